"""Writes the samples of quantized checkpoints, `Formats/samples/quantized`, with bitsandbytes, and GPTQ and AWQ as their packers do it.

    python3 Scripts/reference/quantized_samples.py

Expectations hold a digest of each weight as the peer dequantizes it. Needs torch, bitsandbytes and safetensors.
"""

import hashlib
import json
from pathlib import Path

import bitsandbytes as bnb
import numpy as np
import torch
from bitsandbytes import functional
from safetensors.torch import save_file

from quantized_packers import awq_dequantized, gptq_dequantized, pack_awq, pack_gptq

ROOT = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "quantized"
Tensors = dict[str, torch.Tensor]
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def blockwise(
    name: str, weight: torch.Tensor, kind: str, nested: bool, storage: torch.dtype = torch.uint8, block: int = 64
) -> tuple[Tensors, torch.Tensor]:
    """A weight as `Linear4bit` saves it, and what bitsandbytes makes of that."""
    codes, state = functional.quantize_4bit(
        weight, blocksize=block, compress_statistics=nested, quant_type=kind, quant_storage=storage)  # fmt: skip
    tensors = {f"{name}.weight": codes.contiguous()}
    for key, value in state.as_dict(packed=True).items():
        tensors[f"{name}.weight.{key}"] = value
    # Code 8 of FP4 is -0 to bitsandbytes' CPU code and 0 by the map that it saves, which is followed here.
    return tensors, functional.dequantize_4bit(codes, state) + 0.0


def vectorwise(name: str, weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A weight as `Linear8bitLt` saves it."""
    codes, scales, _ = functional.int8_vectorwise_quant(weight)
    tensors = {
        f"{name}.weight": codes,
        f"{name}.SCB": scales,
        f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
    }
    return tensors, functional.int8_vectorwise_dequant(codes, scales).to(torch.float16)


def grouped(name: str, out: int, inputs: int, group: int, kind: str, seed: int) -> tuple[Tensors, torch.Tensor]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 16, (inputs, out))
    zeros = rng.integers(1, 16, (inputs // group, out))
    scales = (rng.random((inputs // group, out)) * 0.02 + 0.001).astype(np.float16)
    if kind == "awq":
        return pack_awq(name, codes, zeros, scales), awq_dequantized(codes, zeros, scales)
    order = rng.permutation(inputs) // group if kind == "gptq-act-order" else np.arange(inputs) // group
    return pack_gptq(name, codes, zeros, scales, order), gptq_dequantized(codes, zeros, scales, order)


def entry(value: torch.Tensor, encoding: str) -> dict[str, object]:
    data = value.contiguous().view(torch.uint8).numpy().tobytes()
    return {
        "encoding": encoding, "type": TYPES[value.dtype], "shape": list(value.shape),
        "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(5)
    valid: dict[str, dict[str, object]] = {}
    invalid: dict[str, str] = {}
    for folder in ("valid", "invalid"):
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        for old in (ROOT / folder).glob("*"):
            old.unlink()

    def write(name: str, cases: list[tuple[str, str, tuple[Tensors, torch.Tensor]]]) -> Tensors:
        tensors: Tensors = {"norm.weight": torch.ones(3, dtype=torch.bfloat16)}
        expected: dict[str, object] = {"norm.weight": entry(tensors["norm.weight"], "BF16")}
        for module, encoding, (parts, value) in cases:
            tensors |= parts
            expected[f"{module}.weight"] = entry(value, encoding)
        save_file(tensors, ROOT / "valid" / f"{name}.safetensors")
        valid[f"{name}.safetensors"] = expected
        return tensors

    def refuse(name: str, tensors: Tensors, error: str) -> None:
        save_file(tensors, ROOT / "invalid" / f"{name}.safetensors")
        invalid[f"{name}.safetensors"] = error

    def normal(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        return (torch.randn(*shape) * 0.02).to(dtype)

    half, single = torch.float16, torch.float32
    nf4 = write("nf4", [
        ("a", "nf4", blockwise("a", normal(33, 70), "nf4", True)),
        ("b", "nf4", blockwise("b", normal(16, 64, dtype=half), "nf4", False)),
        ("c", "nf4", blockwise("c", normal(24, 40, dtype=single), "nf4", True, block=128)),
    ])  # fmt: skip
    write("fp4", [
        ("a", "fp4", blockwise("a", normal(33, 70), "fp4", True)),
        ("b", "fp4", blockwise("b", normal(16, 64, dtype=half), "fp4", False)),
    ])  # fmt: skip
    write("quant-storage", [
        (storage_name, "nf4", blockwise(storage_name, normal(32, 64), "nf4", True, storage))
        for storage_name, storage in (("bf16", torch.bfloat16), ("f16", half), ("f32", single))
    ])  # fmt: skip
    int8 = write("llm-int8", [
        ("a", "LLM.int8", vectorwise("a", normal(33, 70, dtype=half))),
        ("b", "LLM.int8", vectorwise("b", normal(5, 3, dtype=half))),
    ])  # fmt: skip
    gptq = write("gptq", [
        ("a", "GPTQ", grouped("a", 24, 64, 16, "gptq", 1)), ("b", "GPTQ", grouped("b", 16, 32, 8, "gptq-act-order", 2)),
    ])  # fmt: skip
    awq = write(
        "awq", [("a", "AWQ", grouped("a", 24, 64, 32, "awq", 3)), ("b", "AWQ", grouped("b", 8, 8, 8, "awq", 4))]
    )

    def without(tensors: Tensors, *names: str) -> Tensors:
        return {name: value for name, value in tensors.items() if name not in names}

    state = "a.weight.quant_state.bitsandbytes__nf4"
    text = bytes(nf4[state].numpy()).decode()

    def restated(old: str, new: str) -> Tensors:
        assert old in text, text
        return nf4 | {state: torch.tensor(list(text.replace(old, new).encode()), dtype=torch.uint8)}

    refuse("nf4-without-scales", without(nf4, "a.weight.absmax"), "a.weight.absmax")
    refuse("nf4-without-nested-scales", without(nf4, "a.weight.nested_absmax"), "a.weight.nested_absmax")
    refuse("nf4-without-map", without(nf4, "a.weight.quant_map"), "a.weight.quant_map")
    refuse("nf4-scales-of-another-shape", nf4 | {"a.weight.absmax": nf4["a.weight.absmax"][:-1]}, "36 bytes")
    refuse("nf4-codes-cut-short", nf4 | {"a.weight": nf4["a.weight"][:-1]}, "bytes of codes")
    refuse("nf4-shape-that-does-not-fit", restated("[33, 70]", "[33, 71]"), "bytes of codes")
    refuse("nf4-shape-in-the-billions", restated("[33, 70]", "[4294967296, 70]"), "bytes of codes")
    refuse(
        "nf4-shape-that-overflows",
        restated("[33, 70]", "[4294967296, 4294967296]"),
        "extents whose product fits 64 bits",
    )
    refuse("nf4-shape-negative", restated("[33, 70]", "[-33, -70]"), "extents whose product fits 64 bits")
    refuse("nf4-block-size-odd", restated('"blocksize": 64', '"blocksize": 63'), "block size 63")
    refuse("nf4-of-another-kind", restated('"nf4"', '"af4"'), "quant_type 'af4'")
    refuse("nf4-state-no-json", restated("{", "["), "a.weight.quant_state")
    refuse("int8-without-codes", without(int8, "a.weight"), "a.weight")
    refuse("int8-scales-of-another-length", int8 | {"a.SCB": int8["a.SCB"][:-1]}, "F32 [33]")
    refuse("int8-of-an-old-format", int8 | {"a.weight_format": torch.tensor(1, dtype=torch.uint8)}, "a.weight_format")
    refuse("int8-codes-of-bytes", int8 | {"a.weight": int8["a.weight"].view(torch.uint8)}, "I8 with two axes")
    refuse("gptq-without-zeros", without(gptq, "a.qzeros"), "a.qzeros")
    refuse("gptq-groups-out-of-range", gptq | {"a.g_idx": gptq["a.g_idx"] + 1}, "64 numbers below 4")
    refuse("gptq-scales-of-another-shape", gptq | {"a.scales": gptq["a.scales"][:, :-1].contiguous()}, "a.qweight")
    refuse("gptq-codes-of-floats", gptq | {"a.qweight": gptq["a.qweight"].view(single)}, "I32")
    refuse("awq-groups-that-do-not-divide", awq | {
        "a.scales": awq["a.scales"].repeat(3, 1)[:5].contiguous(), "a.qzeros": awq["a.qzeros"].repeat(3, 1)[:5].contiguous(),
    }, "divides 64")  # fmt: skip
    (ROOT / "expectations.json").write_text(json.dumps({"valid": valid, "invalid": invalid}, indent=1) + "\n")
    print(f"{len(valid)} valid and {len(invalid)} invalid samples, bitsandbytes {bnb.__version__}")


if __name__ == "__main__":
    main()
