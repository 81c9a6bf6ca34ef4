"""Holds what Crayon makes of quantized checkpoints against transformers and bitsandbytes, on tiny random Llamas.

    CRAYON=.build/release/crayon python3 Scripts/reference/quantized_against_peers.py [--seed 1]

transformers quantizes and saves each model; Crayon makes a bundle of it, exports it again, and both the codes in the files and the
logits of both models are compared. GPTQ and AWQ checkpoints are packed here and compared as numbers. Exit code 1 if any case fails.
Needs torch, transformers, bitsandbytes, accelerate and safetensors.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from quantized_packers import awq_dequantized, gptq_dequantized, pack_awq, pack_gptq

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def crayon(*arguments: object) -> None:
    subprocess.run([CRAYON, *map(str, arguments), "--quiet"], check=True, stdout=subprocess.PIPE)


def random_llama(folder: Path, seed: int, dtype: torch.dtype) -> None:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=90, max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).to(dtype).save_pretrained(folder)


def logits(folder: Path) -> torch.Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cpu").eval()
    with torch.no_grad():
        return model(torch.arange(3, 35)[None]).logits.float()


def bitsandbytes_case(work: Path, seed: int, name: str, dtype: torch.dtype, **options: object) -> tuple[int, float]:
    """The tensors that are equal, and the largest difference of a logit between the saved model and Crayon's export."""
    dense, saved, bundle, back = (work / f"{name}-{part}" for part in ("dense", "saved", "bundle.crayon", "back"))
    random_llama(dense, seed, dtype)
    quantization = transformers.BitsAndBytesConfig(**options)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        dense, quantization_config=quantization, dtype=dtype, device_map="cpu")  # fmt: skip
    model.save_pretrained(saved)
    crayon("quantize", saved, "-o", bundle)
    crayon("export", bundle, "--format", "bitsandbytes", "-o", back)
    before, after = load_file(saved / "model.safetensors"), load_file(back / "model.safetensors")
    assert set(before) == set(after), sorted(set(before) ^ set(after))
    for key in before:
        if "quant_state" in key:
            states = [json.loads(bytes(tensors[key].numpy())) for tensors in (before, after)]
            assert states[0] == states[1], (key, states)
        else:
            # Codes come back as bytes, whatever type they were stored under.
            same = (tensors[key].contiguous().flatten().view(torch.uint8) for tensors in (before, after))
            assert torch.equal(*same), key
    difference = (logits(saved) - logits(back)).abs().max().item()
    crayon("verify", bundle)
    return len(before), difference


def grouped_case(work: Path, seed: int, name: str) -> int:
    """The number of weights that come out as the packer's arithmetic has them, to the bit."""
    folder, bundle, back = (work / f"{name}-{part}" for part in ("packed", "bundle.crayon", "back"))
    random_llama(folder, seed, torch.float16)
    dense = load_file(folder / "model.safetensors")
    rng = np.random.default_rng(seed)
    packed: dict[str, torch.Tensor] = {}
    expected: dict[str, torch.Tensor] = {}
    for key, value in dense.items():
        module = key.removesuffix(".weight")
        if module.rsplit(".", 1)[-1] not in LAYERS:
            packed[key] = value
            continue
        out, inputs = value.shape
        codes = rng.integers(0, 16, (inputs, out))
        zeros = rng.integers(0, 16, (inputs // 32, out))
        scales = (rng.random((inputs // 32, out)) * 0.01 + 0.001).astype(np.float16)
        if name == "awq":
            packed |= pack_awq(module, codes, zeros, scales)
            expected[key] = awq_dequantized(codes, zeros, scales)
        else:
            order = rng.permutation(inputs) // 32 if name == "gptq-act-order" else np.arange(inputs) // 32
            packed |= pack_gptq(module, codes, zeros, scales, order, 2 if name == "gptq-v2" else 1)
            expected[key] = gptq_dequantized(codes, zeros, scales, order)
    save_file(packed, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    method = {"quant_method": "awq", "bits": 4, "version": "gemm"} if name == "awq" else {
        "quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2" if name == "gptq-v2" else "gptq"}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": method}))
    crayon("quantize", folder, "-o", bundle, "--precision", "backbone=source")
    crayon("export", bundle, "--format", "safetensors", "-o", back)
    exported = load_file(back / "model.safetensors")
    for key, value in expected.items():
        assert torch.equal(exported[key].view(torch.int16), value.view(torch.int16)), key
    logits(back)
    return len(expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    failed = False
    four = {"load_in_4bit": True}
    cases = {
        "nf4": (torch.bfloat16, four | {"bnb_4bit_quant_type": "nf4"}),
        "nf4-double": (torch.bfloat16, four | {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}),
        "nf4-storage-bf16": (torch.float16, four | {
            "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_quant_storage": torch.bfloat16}),
        "fp4": (torch.float16, four | {"bnb_4bit_quant_type": "fp4"}),
        "fp4-double": (torch.bfloat16, four | {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": True}),
        "llm-int8": (torch.float16, {"load_in_8bit": True}),
    }  # fmt: skip
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name, (dtype, options) in cases.items():
            try:
                count, difference = bitsandbytes_case(work, seed, name, dtype, **options)
                print(f"{name:20} {count:4} tensors equal to the bit, logits differ by {difference:.1e}")
                failed |= difference != 0
            except (AssertionError, subprocess.CalledProcessError) as error:
                print(f"{name:20} FAILED: {error}")
                failed = True
        for name in ("gptq", "gptq-act-order", "gptq-v2", "awq"):
            try:
                print(f"{name:20} {grouped_case(work, seed, name):4} weights dequantized to the bit")
            except (AssertionError, subprocess.CalledProcessError) as error:
                print(f"{name:20} FAILED: {error}")
                failed = True
    sys.exit(failed)


if __name__ == "__main__":
    main()
