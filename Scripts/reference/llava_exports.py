"""Holds LLaVA checkpoints that went through Crayon against transformers, on tiny random models.

    CRAYON=.build/release/crayon python3 Scripts/reference/llava_exports.py [--seed 1]

- dense: `crayon export --format safetensors` gives every tensor back under its name, to the bit, from both families of names, and
  transformers loads the folder with no key missing or left over.
- 4-bit: transformers loads `crayon export --format bitsandbytes` as `LlavaForConditionalGeneration`, and `crayon verify` holds the
  bundle against its logits.
- quantized: what transformers and bitsandbytes quantized and saved comes out of a bundle with its bits.

Exit code 1 if any case fails. Needs torch, transformers, bitsandbytes, accelerate and safetensors.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from fixtures_llava import published_name
from model import Prompt
from probes import write_probe

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
IMAGE, PATCHES, SIZE = 90, 16, 28


def crayon(*arguments: object) -> str:
    done = subprocess.run([CRAYON, *map(str, arguments)], check=True, capture_output=True, text=True)
    return done.stdout


def random_llava(folder: Path, seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    config = LlavaConfig(
        text_config=LlamaConfig(
            hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=96, max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=2, image_size=SIZE, patch_size=7
        ),
        image_token_index=IMAGE, image_seq_length=PATCHES, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip
    LlavaForConditionalGeneration(config).to(dtype).save_pretrained(folder)


def prompt(seed: int) -> Prompt:
    generator = np.random.default_rng(seed)
    ids = generator.integers(3, IMAGE, 12)
    ids[[0, 3]] = 1, IMAGE
    pixels = generator.standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    return Prompt(torch.from_numpy(ids), torch.from_numpy(pixels))


def load(folder: Path, **options: Any) -> Any:
    model, info = LlavaForConditionalGeneration.from_pretrained(
        folder, device_map="cpu", attn_implementation="eager", output_loading_info=True, **options
    )
    wrong = {key: sorted(names) for key, names in info.items() if names and key != "error_msgs"}
    assert not wrong, wrong
    return model.eval()


def logits(model: Any, asked: Prompt) -> torch.Tensor:
    ids: list[int] = []
    for token in asked.input_ids.tolist():
        ids += [token] * (PATCHES if token == IMAGE else 1)
    assert asked.pixel_values is not None
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), pixel_values=asked.pixel_values.to(model.dtype)).logits[0].float()


def same_tensors(before: Path, after: Path) -> int:
    left, right = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert set(left) == set(right), sorted(set(left) ^ set(right))
    for name in left:
        if "quant_state" in name:
            assert json.loads(bytes(left[name].numpy())) == json.loads(bytes(right[name].numpy())), name
            continue
        bits = (tensors[name].contiguous().flatten().view(torch.uint8) for tensors in (left, right))
        assert torch.equal(*bits), name
    return len(left)


def dense_case(work: Path, seed: int, names: str) -> str:
    dense, bundle, back = (work / f"dense-{names}-{part}" for part in ("in", "bundle.crayon", "out"))
    random_llava(dense, seed, torch.float32)
    if names != "saved":
        state = LlavaForConditionalGeneration.from_pretrained(dense).state_dict()
        state = {name: tensor.contiguous() for name, tensor in state.items() if "position_ids" not in name}
        chosen = state if names == "modules" else {published_name(name): tensor for name, tensor in state.items()}
        save_file(chosen, dense / "model.safetensors", metadata={"format": "pt"})
    crayon("quantize", dense, "-o", bundle, "--precision", "backbone=source", "--quiet")
    crayon("export", bundle, "--format", "safetensors", "-o", back, "--quiet")
    count = same_tensors(dense, back)
    asked = prompt(seed)
    expected = logits(load(dense), asked)
    assert torch.equal(logits(load(back), asked), expected)
    probe = work / f"dense-{names}.safetensors"
    write_probe(probe, asked, logits=expected)
    crayon("verify", bundle, "--probe", probe, "--tolerance", "5e-6")
    return f"{count} tensors equal to the bit, logits equal, crayon verify within 5e-6"


def four_bit_case(work: Path, seed: int, name: str, *precision: str) -> str:
    dense, bundle, back = (work / f"{name}-{part}" for part in ("in", "bundle.crayon", "out"))
    random_llava(dense, seed, torch.float32)
    crayon("quantize", dense, "-o", bundle, "--quiet", *precision)
    crayon("export", bundle, "--format", "bitsandbytes", "-o", back, "--quiet")
    model = load(back, dtype=torch.float32)
    layers = [module for module in model.modules() if type(module).__name__ == "Linear4bit"]
    for layer in layers:
        # On processors with AVX512-BF16 bitsandbytes would repack the weight and multiply in bfloat16.
        layer.support_avx512bf16_for_cpu = False
        layer.compute_dtype, layer.compute_type_is_set = torch.float32, True
    asked = prompt(seed)
    probe = work / f"{name}.safetensors"
    write_probe(probe, asked, logits=logits(model, asked))
    crayon("verify", bundle, "--probe", probe, "--tolerance", "1e-5")
    return f"{len(layers)} 4-bit layers, crayon verify within 1e-5 of transformers"


def quantized_case(work: Path, seed: int, name: str, dtype: torch.dtype, **options: Any) -> str:
    dense, saved, bundle, back = (work / f"{name}-{part}" for part in ("dense", "saved", "bundle.crayon", "back"))
    random_llava(dense, seed, dtype)
    model = load(dense, quantization_config=BitsAndBytesConfig(**options), dtype=dtype)
    model.save_pretrained(saved)
    crayon("quantize", saved, "-o", bundle, "--quiet")
    crayon("export", bundle, "--format", "bitsandbytes", "-o", back, "--quiet")
    count = same_tensors(saved, back)
    asked = prompt(seed)
    difference = (logits(load(saved), asked) - logits(load(back), asked)).abs().max().item()
    assert difference == 0, difference
    return f"{count} tensors equal to the bit, logits equal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    language = [r"lm_head", "model.vision_tower", "model.multi_modal_projector"]
    cases: dict[str, Callable[[Path], str]] = {
        "dense-saved": lambda work: dense_case(work, seed, "saved"),
        "dense-published": lambda work: dense_case(work, seed, "published"),
        "dense-modules": lambda work: dense_case(work, seed, "modules"),
        "4bit-backbone": lambda work: four_bit_case(work, seed, "backbone"),
        "4bit-all": lambda work: four_bit_case(
            work, seed, "all", *(word for part in ("vision", "projectors", "head") for word in ("--precision", f"{part}=nf4"))
        ),
        "quantized-nf4": lambda work: quantized_case(
            work, seed, "nf4", torch.bfloat16, load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            llm_int8_skip_modules=language,
        ),
    }  # fmt: skip
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases.items():
            try:
                print(f"{name:18} {case(Path(folder))}")
            except (AssertionError, subprocess.CalledProcessError) as error:
                failed = True
                print(f"{name:18} FAILED: {error} {getattr(error, 'stderr', '')}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
