"""Holds `crayon quantize --layout generic` against transformers and bitsandbytes, on tiny random models of many families.

    CRAYON=.build/release/crayon python3 Scripts/reference/generic_against_peers.py [--only bert] [--seed 1]

transformers loads each model in 4 bits and saves it; Crayon makes a folder of the same checkpoint. Names, types, shapes and bytes of
all tensors must be equal, and transformers must load Crayon's folder and give the same logits from it. Exit code 1 if any case fails.
Needs torch, transformers, bitsandbytes 0.50, accelerate and safetensors. One thread and AVX2, as in bitsandbytes_equality.py.
"""

import os

os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from safetensors.torch import load_file

torch.set_num_threads(1)
tf.logging.set_verbosity_error()
tf.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
TOKENS = torch.arange(4, 20)[None]
TEXT = dict(hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, vocab_size=90)
KV = dict(num_key_value_heads=2, max_position_embeddings=64)
EYE = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
)
QFORMER = dict(**TEXT, max_position_embeddings=64, encoder_hidden_size=64, cross_attention_frequency=1)
OPT = dict(hidden_size=128, word_embed_proj_dim=128, ffn_dim=192, num_hidden_layers=2, num_attention_heads=4, vocab_size=90,
           max_position_embeddings=64)  # fmt: skip


def bert(kind: str = "BertForMaskedLM") -> tf.PreTrainedModel:
    return getattr(tf, kind)(tf.BertConfig(**TEXT, max_position_embeddings=64, num_labels=32))


def gpt2(kind: str = "GPT2LMHeadModel") -> tf.PreTrainedModel:
    return getattr(tf, kind)(
        tf.GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=90, n_positions=64, pad_token_id=0)
    )


def qwen2(tied: bool) -> tf.PreTrainedModel:
    return tf.Qwen2ForCausalLM(tf.Qwen2Config(**TEXT, **KV, tie_word_embeddings=tied))


def mixtral() -> tf.PreTrainedModel:
    return tf.MixtralForCausalLM(tf.MixtralConfig(**TEXT, **KV, num_local_experts=4, num_experts_per_tok=2))


def blip2() -> tf.PreTrainedModel:
    config = tf.Blip2Config(
        vision_config=EYE, qformer_config=QFORMER, text_config=dict(model_type="opt", **OPT), num_query_tokens=4,
        image_token_index=89)  # fmt: skip
    return tf.Blip2ForConditionalGeneration(config)


def instructblip() -> tf.PreTrainedModel:
    config = tf.InstructBlipConfig(
        vision_config=EYE, qformer_config=QFORMER,
        text_config=dict(model_type="llama", **TEXT, **KV), num_query_tokens=4, image_token_index=89)  # fmt: skip
    return tf.InstructBlipForConditionalGeneration(config)


def qwen2_vl() -> tf.PreTrainedModel:
    config = tf.Qwen2VLConfig(
        text_config=dict(**TEXT, **KV, rope_scaling={"type": "mrope", "mrope_section": [4, 6, 6]}),
        vision_config=dict(depth=2, embed_dim=64, hidden_size=128, num_heads=4, mlp_ratio=2, patch_size=14))  # fmt: skip
    return tf.Qwen2VLForConditionalGeneration(config)


CASES = {
    "bert": bert,
    "bert-classifier": lambda: bert("BertForSequenceClassification"),
    "bert-model": lambda: bert("BertModel"),
    "gpt2": gpt2,
    "gpt2-score": lambda: gpt2("GPT2ForSequenceClassification"),
    "qwen2": lambda: qwen2(False),
    "qwen2-tied": lambda: qwen2(True),
    "mixtral": mixtral,
    "blip-2": blip2,
    "instructblip": instructblip,
    "qwen2_vl": qwen2_vl,
    "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT, **KV)),
    "opt": lambda: tf.OPTForCausalLM(tf.OPTConfig(**OPT)),
    "t5": lambda: tf.T5ForConditionalGeneration(
        tf.T5Config(vocab_size=90, d_model=128, d_kv=32, d_ff=192, num_layers=2, num_heads=4, decoder_start_token_id=0)),
    "roberta": lambda: tf.RobertaForMaskedLM(tf.RobertaConfig(**TEXT, max_position_embeddings=64)),
    "vit": lambda: tf.ViTForImageClassification(tf.ViTConfig(**EYE, num_labels=32)),
    "clip": lambda: tf.CLIPModel(tf.CLIPConfig(
        text_config=dict(**TEXT, max_position_embeddings=64), vision_config=EYE, projection_dim=32)),
}  # fmt: skip


def inputs(config: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    picture = torch.linspace(-1, 1, 3 * 28 * 28).reshape(1, 3, 28, 28).to(dtype)
    kind = config.model_type
    if kind == "vit":
        return dict(pixel_values=picture)
    if kind == "clip":
        return dict(input_ids=TOKENS, pixel_values=picture)
    if kind == "t5":
        return dict(input_ids=TOKENS, decoder_input_ids=TOKENS)
    if kind in ("blip-2", "instructblip"):
        given = dict(input_ids=torch.cat([torch.full((1, 4), 89), TOKENS], 1), pixel_values=picture)
        return given | (dict(qformer_input_ids=TOKENS) if kind == "instructblip" else {})
    return dict(input_ids=TOKENS)


def logits(kind: Any, folder: Path, dtype: torch.dtype) -> torch.Tensor:
    model = kind.from_pretrained(folder, dtype=dtype, device_map="cpu").eval()
    with torch.no_grad():
        output = model(**inputs(model.config, dtype))
    for name in ("logits", "logits_per_image", "last_hidden_state"):
        if name in output:
            return output[name].float()
    raise KeyError(f"no logits among {list(output)}")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def case(
    work: Path,
    name: str,
    make: Callable[[], Any],
    dtype: torch.dtype,
    seed: int,
    options: dict,
    arguments: list[str],
    load: dict,
) -> str:
    dense, peer, ours = (work / f"{name}-{part}" for part in ("dense", "peer", "ours"))
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too: all that is zero or one would hide mistakes
            parameter.add_(torch.randn_like(parameter) * 0.02)
    model.to(dtype).save_pretrained(dense)
    subprocess.run([CRAYON, "quantize", "--layout", "generic", dense, "-o", ours, "--quiet", *arguments], check=True,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    quantization = tf.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=load.get("dtype", dtype), **options
    )
    type(model).from_pretrained(dense, quantization_config=quantization, device_map="cpu", **load).save_pretrained(peer)
    theirs, mine = tensors(peer), tensors(ours)
    wrong = [f"only transformers has {key}" for key in sorted(set(theirs) - set(mine))]
    wrong += [f"only crayon has {key}" for key in sorted(set(mine) - set(theirs))]
    for key in sorted(set(theirs) & set(mine)):
        a, b = theirs[key], mine[key]
        if a.dtype != b.dtype or a.shape != b.shape:
            wrong.append(f"{key}: {a.dtype} {list(a.shape)}, crayon {b.dtype} {list(b.shape)}")
        elif not torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8)):
            texts = [bytes(t.numpy()).decode() for t in (a, b)] if "quant_state" in key else []
            wrong.append(f"{key}: other bytes {texts}")
    configs = [json.loads((f / "config.json").read_text())["quantization_config"] for f in (peer, ours)]
    # What is listed is what is left alone: nothing is listed of the families that are known by heart.
    for config in configs:
        if not options.get("llm_int8_skip_modules"):
            config.pop("llm_int8_skip_modules")
    if configs[0] != configs[1]:
        wrong.append(f"quantization_config: {configs}")
    difference = (
        (logits(type(model), peer, load.get("dtype", dtype)) - logits(type(model), ours, load.get("dtype", dtype)))
        .abs()
        .max()
        .item()
    )
    if difference != 0:
        wrong.append(f"logits differ by {difference}")
    four = sum("quant_state" in key for key in theirs)
    print(
        f"{name:28}{'FAILED' if wrong else 'equal':8}{len(theirs):5} tensors, {four:3} in 4 bits, logits differ by {difference:.1g}",
        flush=True,
    )
    for line in wrong[:6]:
        print("   ", line)
    return name if wrong else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    double = dict(bnb_4bit_use_double_quant=True)
    runs = [(name, make, torch.bfloat16, double, [], {}) for name, make in CASES.items()]
    runs += [
        ("qwen2-f16-single", CASES["qwen2"], torch.float16, {}, ["--no-double-quantization"], {}),
        ("qwen2-f32", CASES["qwen2"], torch.float32, double, [], {}),
        ("qwen2-f32-as-bf16", CASES["qwen2"], torch.float32, double, ["--type", "bf16"], dict(dtype=torch.bfloat16)),
        ("gpt2-f32-as-f16", CASES["gpt2"], torch.float32, double, ["--type", "f16"], dict(dtype=torch.float16)),
        ("blip-2-f32-as-f16", CASES["blip-2"], torch.float32, double, ["--type", "f16"], dict(dtype=torch.float16)),
        ("qwen2-skip", CASES["qwen2"], torch.bfloat16, double | dict(llm_int8_skip_modules=["lm_head", "mlp.up_proj", "model.layers.1"]),
         ["--skip", "lm_head", "mlp.up_proj", "model.layers.1"], {}),
    ]  # fmt: skip
    failed = []
    for name, make, dtype, options, extra, load in runs:
        if not name.startswith(arguments.only):
            continue
        with tempfile.TemporaryDirectory() as work:
            try:
                failed.append(case(Path(work), name, make, dtype, arguments.seed, options, extra, load))
            except Exception as error:  # a case that cannot run is a case that failed
                print(f"{name:28}FAILED  {type(error).__name__}: {str(error)[:300]}", flush=True)
                failed.append(name)
    failed = [name for name in failed if name]
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "all equal")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
