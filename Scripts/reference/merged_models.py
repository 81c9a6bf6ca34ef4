"""Writes Tests/AdaptersTests/Fixtures/merges: tiny bases, adapters, and what PEFT's `merge_and_unload` makes of them.

    python merged_models.py Tests/AdaptersTests/Fixtures/merges

    bases/BASE                  a checkpoint, 16-bit or of bitsandbytes' 4 bits
    CASE/adapter                as PEFT saves it
    CASE/merged.safetensors     the tensors that the merge changed; its metadata name the base
Needs what merges_against_peft.py needs, on x86-64 with AVX2. Weights have 16 columns and 4 rows at least, and factors too but
for the rank: PyTorch's product of smaller matrices is another routine and rounds otherwise. A second run writes the same bytes.
"""

import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

if os.environ.get("PYTHONHASHSEED") != "0":
    # PEFT writes sets as lists.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from merges_against_peft import LINEAR, adapter, gpt2, llama, merged_by_peft
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, GPT2LMHeadModel, LlamaForCausalLM

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16
SIZES = dict(
    vocab_size=32, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=32,
)  # fmt: skip
BASES = {
    "f32": (F32, lambda: llama(F32, bias=True, num_hidden_layers=1, **SIZES)),
    "bf16": (BF16, lambda: llama(BF16, num_hidden_layers=2, **SIZES)),
    "f16": (F16, lambda: llama(F16, num_hidden_layers=1, **SIZES)),
    "gpt2": (F32, lambda: gpt2(F32, vocab_size=32, n_embd=32, n_inner=48, n_layer=1, n_head=2, n_positions=16)),
    "nf4-double": (BF16, lambda: llama(BF16, num_hidden_layers=1, **SIZES)),
    "nf4-single": (F32, lambda: llama(F32, num_hidden_layers=1, **SIZES)),
}
CASES = {
    "f32": ("f32", dict(r=4, lora_alpha=8, target_modules=LINEAR)),
    "patterns-rslora-bf16": (
        "bf16", dict(
            r=6, lora_alpha=9, use_rslora=True, target_modules=[name for name in LINEAR if name != "k_proj"],
            rank_pattern={"q_proj": 4, r"layers\.1\.mlp\..*": 5},
            alpha_pattern={r".*0\.mlp\.up_proj": 24, "up_proj": 2})),
    "f16": ("f16", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "dora-f32": ("f32", dict(r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "down_proj"])),
    "fan-in-fan-out": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "embeddings-and-head": ("f32", dict(r=5, lora_alpha=5, target_modules=["embed_tokens", "lm_head", "q_proj"])),
    "modules-to-save": ("f32", dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head"])),
    "pair-biases": ("f32", dict(r=4, lora_alpha=6, target_modules=["q_proj", "o_proj"], lora_bias=True)),
    # A delta of some tenths of the weight: less would not survive 4 bits, and the case would show nothing.
    "nf4-double": ("nf4-double", dict(r=4, lora_alpha=48, target_modules=LINEAR)),
    "nf4-single": ("nf4-single", dict(r=4, lora_alpha=48, target_modules=["k_proj", "o_proj", "up_proj"])),
}  # fmt: skip


def four_bits(name, dtype):
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=name == "nf4-double",
        bnb_4bit_compute_dtype=dtype,
    )  # fmt: skip
    return dict(quantization_config=quantization, device_map="cpu")


def load(name, path, **options):
    return (GPT2LMHeadModel if name == "gpt2" else LlamaForCausalLM).from_pretrained(path, **options)


def save_base(name, target):
    dtype, make = BASES[name]
    if name.startswith("nf4"):
        with tempfile.TemporaryDirectory() as dense:
            make().save_pretrained(dense)
            load(name, dense, dtype=dtype, **four_bits(name, dtype)).save_pretrained(target)
    else:
        make().save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((target / "config.json").read_text())
    config.pop("transformers_version", None)
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save_case(name, bases, target):
    base, options = CASES[name]
    dtype = BASES[base][0]
    placement = {"device_map": "cpu"} if base.startswith("nf4") else {}
    model = load(base, bases / base, dtype=dtype, **placement)
    # The name of the folder that a base was loaded from goes into the file.
    model.name_or_path = model.config._name_or_path = f"tiny/{base}"
    adapter(model, target / "adapter", **options)
    (target / "adapter" / "README.md").unlink(missing_ok=True)
    merged = merged_by_peft(bases / base, target / "adapter", dtype, **placement)
    theirs = dict(merged.state_dict())
    for path, module in merged.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            theirs |= {f"{path}.weight.{key}": value for key, value in state.as_dict(packed=True).items()}
    old = load_file(bases / base / "model.safetensors")
    changed = {
        key: theirs[key].contiguous().clone() for key, value in old.items() if not torch.equal(theirs[key], value)
    }
    save_file(changed, target / "merged.safetensors", {"base": base})
    return len(changed)


def main(folder):
    warnings.simplefilter("ignore")
    shutil.rmtree(folder, ignore_errors=True)
    for name in BASES:
        save_base(name, folder / "bases" / name)
    for name in CASES:
        (folder / name).mkdir()
        print(f"{name:24} {save_case(name, folder / 'bases', folder / name):3} tensors changed")
    print(f"{folder}: {sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
