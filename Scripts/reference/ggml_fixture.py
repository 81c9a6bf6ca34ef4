"""Writes Tests/QuantizationTests/Fixtures/ggml.safetensors: blocks and numbers that GGML made (see ggml.py).

    python ggml_fixture.py --llama BUILD/bin FILE

`values` are rows that are odd in some way, `blocks.TYPE` what GGML's quantizer makes of them without an importance matrix;
`random.TYPE` are blocks of random bytes whose scales are finite, `numbers.TYPE` what GGML reads in them.
A second run writes the same bytes.
"""

import argparse

import numpy as np
from ggml import GGML, TYPES
from safetensors.numpy import save_file

HALVES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def rows(random):
    width = 256
    normal = random.standard_normal(width)
    spread = normal.copy()
    spread[17] = 60
    spread[200] = -90
    ties = np.resize(np.arange(-9, 10) / 2, width)
    groups = np.where(np.arange(width) // 32 % 2 == 0, 0, normal)
    tiny = normal * 1e-7
    tiny[:32] = 1e-30
    tiny[32:64] = np.float32(1e-45) * np.arange(32)
    return np.stack(
        [
            normal * 0.02,
            spread,
            ties,
            groups,
            tiny,
            np.abs(normal),
            -np.abs(normal) - 3,
            np.full(width, 0.75),
            np.zeros(width),
            normal * 1e4,
        ]
    ).astype(np.float32)


def random_blocks(random, name):
    _, elements, size = TYPES[name]
    blocks = random.integers(0, 256, (512 // elements, size), dtype=np.uint8)
    for offset in HALVES.get(name, (0,)):
        scales = (random.standard_normal(len(blocks)) * 0.1).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llama", required=True)
    parser.add_argument("file")
    options = parser.parse_args()
    ggml = GGML(options.llama)
    random = np.random.default_rng(20)
    values = rows(random)
    tensors = {"values": values}
    for name in TYPES:
        tensors[f"blocks.{name}"] = ggml.quantize(values, name)
        blocks = random_blocks(random, name)
        tensors[f"random.{name}"] = blocks
        tensors[f"numbers.{name}"] = ggml.dequantize(blocks.reshape(-1), name)
    save_file(tensors, options.file)
    print(f"{options.file}: {len(tensors)} tensors")


main()
