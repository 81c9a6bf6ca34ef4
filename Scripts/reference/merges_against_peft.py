"""Holds `crayon adapter merge` against PEFT's `merge_and_unload` on random models, weight by weight, and prints one table.

    CRAYON=.build/release/crayon python merges_against_peft.py

Bits are compared as bits, 4-bit weights as codes and scales; DoRA in float32, whose norms are sums in an order of PyTorch's
own, within four units in the last place. Everything runs on one thread.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def llama(dtype, bias=False, **sizes):
    torch.manual_seed(7)
    usual = dict(
        vocab_size=128, hidden_size=96, intermediate_size=160, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=64,
    )
    config = LlamaConfig(**{**usual, **sizes}, attention_bias=bias, tie_word_embeddings=False)
    model = LlamaForCausalLM(config).to(dtype)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def gpt2(dtype, **sizes):
    torch.manual_seed(8)
    usual = dict(vocab_size=128, n_embd=64, n_layer=2, n_head=4, n_positions=64)
    return GPT2LMHeadModel(GPT2Config(**{**usual, **sizes})).to(dtype)


def adapter(model, folder, dtype=torch.float32, **options):
    """A trained-looking adapter: every number of it random."""
    torch.manual_seed(9)
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    for name, parameter in peft.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            if "magnitude" in name:
                parameter.data *= 1 + 0.05 * torch.randn_like(parameter)
            else:
                torch.nn.init.normal_(parameter, std=0.04)
            parameter.data = parameter.data.to(dtype)
    peft.save_pretrained(folder)


def crayon(*words):
    result = subprocess.run([CRAYON, *map(str, words)], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"crayon {' '.join(map(str, words))}\n{result.stderr}")
    return result.stdout


def merged_by_peft(base_folder, adapter_folder, dtype, **options):
    auto = GPT2LMHeadModel if "gpt2" in str(base_folder) else LlamaForCausalLM
    base = auto.from_pretrained(base_folder, dtype=dtype, **options)
    return PeftModel.from_pretrained(base, adapter_folder).merge_and_unload()


def differing(ours, theirs, ulps=0):
    """How many numbers differ, and how many there are."""
    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
    wrong = total = 0
    for name, tensor in theirs.items():
        other = ours[name]
        assert other.dtype == tensor.dtype and other.shape == tensor.shape, name
        a = tensor.contiguous().view(bits.get(tensor.dtype, tensor.dtype)).long()
        b = other.contiguous().view(bits.get(other.dtype, other.dtype)).long()
        wrong += int(((a - b).abs() > ulps).sum())
        total += a.numel()
    return wrong, total


CASES = [
    ("fp32", llama, torch.float32, dict(r=8, lora_alpha=16, target_modules=LINEAR), {}),
    ("bf16", llama, torch.bfloat16, dict(r=8, lora_alpha=16, target_modules=LINEAR), {}),
    ("fp16", llama, torch.float16, dict(r=8, lora_alpha=16, target_modules=LINEAR), {}),
    ("bf16, factors bf16", llama, torch.bfloat16, dict(r=8, lora_alpha=16, target_modules=LINEAR),
     dict(dtype=torch.bfloat16)),
    ("fp32, rank 1", llama, torch.float32, dict(r=1, lora_alpha=3, target_modules=LINEAR), {}),
    ("bf16, rank 64", llama, torch.bfloat16, dict(r=64, lora_alpha=16, target_modules=LINEAR), {}),
    ("rslora", llama, torch.bfloat16, dict(r=12, lora_alpha=16, use_rslora=True, target_modules=LINEAR), {}),
    ("patterns", llama, torch.bfloat16,
     dict(r=8, lora_alpha=16, target_modules=LINEAR, rank_pattern={"q_proj": 4, r"layers\.1\.mlp\..*": 5},
          alpha_pattern={r".*0\.mlp\.up_proj": 32, "up_proj": 2}), {}),
    ("two layers' q only", llama, torch.float32, dict(r=4, lora_alpha=4, target_modules=["q_proj"]), {}),
    ("embeddings and head", llama, torch.float32,
     dict(r=6, lora_alpha=6, target_modules=["embed_tokens", "lm_head", "q_proj"]), {}),
    ("embeddings, bf16", llama, torch.bfloat16, dict(r=6, lora_alpha=6, target_modules=["embed_tokens"]), {}),
    ("modules_to_save", llama, torch.bfloat16,
     dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head"]), {}),
    ("lora_bias", lambda t: llama(t, bias=True), torch.float32,
     dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj"], lora_bias=True), {}),
    ("fan_in_fan_out", gpt2, torch.float32,
     dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True), {}),
    ("DoRA, fp32", llama, torch.float32, dict(r=8, lora_alpha=16, use_dora=True, target_modules=LINEAR), {}),
    ("DoRA, bf16", llama, torch.bfloat16, dict(r=8, lora_alpha=16, use_dora=True, target_modules=LINEAR), {}),
]


def dense_case(name, make, dtype, options, extra, folder):
    base = folder / ("gpt2" if make is gpt2 else "llama")
    shutil.rmtree(base, ignore_errors=True)
    make(dtype).save_pretrained(base)
    auto = GPT2LMHeadModel if make is gpt2 else LlamaForCausalLM
    adapter(auto.from_pretrained(base, dtype=dtype), folder / "adapter", **options, **extra)
    theirs = merged_by_peft(base, folder / "adapter", dtype).state_dict()
    crayon("adapter", "merge", base, folder / "adapter", "-o", folder / "out")
    ours = load_file(folder / "out" / "model.safetensors")
    saved = load_file(base / "model.safetensors")
    wrong, total = differing(ours, {k: theirs[k] for k in saved if k in theirs}, ulps=4 if name == "DoRA, fp32" else 0)
    return wrong, total


def four_bit_case(dtype, double, folder):
    """PEFT requantizes dequantized + delta; the codes and scales must be the same."""
    base = folder / "llama"
    llama(dtype).save_pretrained(base)
    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=dtype
    )
    model = LlamaForCausalLM.from_pretrained(base, dtype=dtype, quantization_config=quantization, device_map="cpu")
    model.save_pretrained(folder / "base4")
    adapter(model, folder / "adapter", r=8, lora_alpha=64, target_modules=LINEAR)
    theirs = merged_by_peft(folder / "base4", folder / "adapter", dtype, device_map="cpu")
    crayon("adapter", "merge", folder / "base4", folder / "adapter", "-o", folder / "out", "--rounding", "plain")
    ours = load_file(folder / "out" / "model.safetensors")
    wrong = total = 0
    for name, module in theirs.named_modules():
        weight = getattr(module, "weight", None)
        state = getattr(weight, "quant_state", None)
        if state is None:
            continue
        parts = {"": weight.data, ".absmax": state.absmax}
        if double:
            parts[".nested_absmax"] = state.state2.absmax
        for suffix, tensor in parts.items():
            other = ours[f"{name}.weight{suffix}"]
            wrong += int((other.flatten() != tensor.flatten()).sum())
            total += tensor.numel()
    return wrong, total


def rows(names=None):
    """Name of a case, how many numbers differ, and how many there are; of the cases named, or of all."""
    with tempfile.TemporaryDirectory() as temporary:
        runs = [(case[0], lambda path, case=case: dense_case(*case, path)) for case in CASES]
        for dtype in (torch.bfloat16, torch.float32):
            for double in (True, False):
                label = f"NF4 of {str(dtype).split('.')[1]}{', double' if double else ''}"
                runs.append((label, lambda path, d=dtype, q=double: four_bit_case(d, q, path)))
        for index, (name, run) in enumerate(runs):
            if names is not None and name not in names:
                continue
            folder = Path(temporary) / str(index)
            folder.mkdir()
            yield name, *run(folder)


def main():
    failed = False
    print(f"{'case':<24} {'differ':>8} {'numbers':>9}")
    for name, wrong, total in rows():
        failed |= wrong > 0
        print(f"{name:<24} {wrong:>8} {total:>9}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
