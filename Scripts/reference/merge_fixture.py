#!/usr/bin/env python3
"""Writes Tests/AdaptersTests/Fixtures/requantized.safetensors: 4-bit weights with a change merged in by bitsandbytes.

    python merge_fixture.py Tests/AdaptersTests/Fixtures

Needs torch, numpy, safetensors and bitsandbytes 0.50 on x86-64 with AVX2. For each case

    NAME.base, NAME.base.absmax, …    a weight and its state as bitsandbytes saves them
    NAME.delta                        float32, the change
    NAME.merged, NAME.merged.absmax…  quantize_4bit(dequantize_4bit(base).float() + delta), which is what PEFT's merge does

The base of the case `other_map` carries a nested map of its own. Run again, it writes the same bytes.
"""

import os
import pathlib
import sys

os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")

import numpy as np
import torch
from bitsandbytes import functional as bnb
from safetensors.torch import save_file

torch.set_num_threads(1)


def components(name: str, packed: torch.Tensor, state: bnb.QuantState) -> dict[str, torch.Tensor]:
    parts = {name: packed}
    for key, value in state.as_dict(packed=True).items():
        parts[f"{name}.{key}"] = value.clone()
    return parts


def main(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(31)
    tensors: dict[str, torch.Tensor] = {}
    cases = [
        ("f32", (24, 96), 64, torch.float32, True, 0.01),
        ("f16", (24, 96), 64, torch.float16, True, 0.05),
        ("bf16", (24, 96), 64, torch.bfloat16, True, 0.05),
        ("single", (9, 64), 64, torch.bfloat16, False, 0.1),
        ("odd", (33, 35), 64, torch.bfloat16, True, 0.5),
        ("nested", (70, 130), 32, torch.bfloat16, True, 0.1),
        ("large", (5, 1000), 4096, torch.float32, True, 0.3),
        ("other_map", (24, 96), 64, torch.float32, True, 0.05),
    ]
    for name, shape, block, dtype, double, ratio in cases:
        weight = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)).to(dtype)
        weight[shape[0] // 2] *= 0.01
        packed, state = bnb.quantize_4bit(weight, blocksize=block, compress_statistics=double, quant_type="nf4")
        if name == "other_map":
            state.state2.code = state.state2.code.clone()
            state.state2.code[0] = -1.0
            state.state2.code[int(state.absmax[3])] *= 0.75
        b = rng.standard_normal((shape[0], 4), dtype=np.float32)
        a = rng.standard_normal((4, shape[1]), dtype=np.float32)
        delta = torch.from_numpy(b @ a)
        delta *= ratio * weight.float().norm() / delta.norm()
        value = bnb.dequantize_4bit(packed, state).float() + delta
        merged, merged_state = bnb.quantize_4bit(value, blocksize=block, compress_statistics=double, quant_type="nf4")
        tensors |= components(f"{name}.base", packed, state)
        tensors |= components(f"{name}.merged", merged, merged_state)
        tensors[f"{name}.delta"] = delta.contiguous()
    path = folder / "requantized.safetensors"
    save_file(tensors, path)
    print(f"{path}: {path.stat().st_size} bytes, {len(cases)} cases")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
