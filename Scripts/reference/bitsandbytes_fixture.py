"""Writes Tests/QuantizationTests/Fixtures/bitsandbytes.safetensors: what bitsandbytes 0.50 makes of small tensors.

Called by `bitsandbytes_equality.py --fixture FOLDER`. Each case is a handful of tensors under its name:

    NAME.input            the weight
    NAME.codes            packed NF4 codes
    NAME.absmax           float32 scales
    NAME.scale_codes      the scales' 8-bit codes; NAME.nested_absmax, NAME.offset
    NAME.nearest_codes    the scales' codes by the exact-nearest rule (from numpy, not from bitsandbytes)
    NAME.single           dequantized in the weight's type, scales not quantized; NAME.double: scales quantized
    NAME.state_single     the text of quant_state without double quantization; NAME.state_double: with

`__metadata__` holds a JSON object `cases`: name -> block size.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file

import bitsandbytes_equality as equality
from bitsandbytes import functional as bnb

NF4 = np.array(bnb.get_4bit_type("nf4", device="cpu").tolist(), np.float32)
DYNAMIC = np.array(bnb.create_dynamic_map().tolist(), np.float32)


def cases():
    rng = np.random.default_rng(7)

    def normal(*shape, dtype=torch.float32):
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)).to(dtype)

    yield "ramp", 64, torch.linspace(-1, 1, 64)
    thresholds = ((NF4[:-1] + NF4[1:]) / np.float32(2)).astype(np.float32)
    around = np.stack([thresholds, np.nextafter(thresholds, np.float32(2)), np.nextafter(thresholds, np.float32(-2))])
    row = np.zeros(64, np.float32)
    row[:45], row[45] = around.reshape(-1), 1
    yield "thresholds", 64, torch.from_numpy(row)
    for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
        yield f"normal_{name}", 64, normal(7, 96, dtype=dtype)
    for block in equality.BLOCK_SIZES:
        yield f"block_{block}", block, normal(block + block // 4, dtype=torch.bfloat16)
    for n in (1, 2, 7, 70):
        yield f"count_{n}", 64, normal(n)
    yield "odd_3x5", 64, normal(3, 5)
    yield "odd_33x70", 64, normal(33, 70, dtype=torch.float16)
    x = normal(5, 64)
    x[1], x[3] = 0.0, -0.0
    yield "zero_blocks", 64, x
    yield "zero_partial", 64, torch.cat([normal(64), torch.zeros(20)])
    yield "all_zero", 64, torch.zeros(2, 64)
    yield "denormal_1e-39", 64, torch.full((64,), 1e-39)
    yield "denormal_1e-45", 64, torch.full((96,), 1e-45)
    yield "denormals_bf16", 64, (normal(4, 64) * 1e-37).bfloat16()
    yield "huge", 64, torch.full((64,), 3.4e38) * torch.from_numpy(rng.choice(np.float32([-1, 1, 0.5]), 64))
    yield "constant", 64, torch.full((8, 64), 0.0123)
    for blocks in (1, 7, 8, 31, 255, 256, 257):
        yield f"blocks_{blocks}", 32, normal(blocks * 32, dtype=torch.bfloat16)
    yield "tiny_offset", 64, normal(3, 64) * 1e-4
    yield "tinier_offset", 64, normal(3, 64) * 1e-20


def write_fixture(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors, blocks = {}, {}
    for name, block, x in cases():
        x = x.contiguous()
        codes, single = equality.peer(x, block, False)
        _, double = equality.peer(x, block, True)
        blocks[name] = block
        tensors[f"{name}.input"] = x
        tensors[f"{name}.codes"] = codes
        tensors[f"{name}.absmax"] = single.absmax
        tensors[f"{name}.scale_codes"] = double.absmax
        tensors[f"{name}.nested_absmax"] = double.state2.absmax
        tensors[f"{name}.offset"] = double.offset.reshape(1)
        tensors[f"{name}.nearest_codes"] = torch.from_numpy(
            equality.nearest_codes(single.absmax.numpy() - np.float32(double.offset.item()), 256, DYNAMIC)[0])
        if not name.startswith("blocks_"):  # these are about the scales alone
            tensors[f"{name}.single"] = equality.dequantized(codes, single, x.dtype).clone()
            tensors[f"{name}.double"] = equality.dequantized(codes, double, x.dtype).clone()
        key = "quant_state.bitsandbytes__nf4"
        tensors[f"{name}.state_single"] = single.as_dict(packed=True)[key]
        tensors[f"{name}.state_double"] = double.as_dict(packed=True)[key]
        if name == "normal_f32":
            # Some files carry a map with an entry of its own, such as a first one of -1.0: it is the file's map that
            # counts. An entry that this weight uses is changed too, so that the difference shows.
            double.state2.code = double.state2.code.clone()
            double.state2.code[0] = -1.0
            double.state2.code[int(double.absmax[3])] *= 0.75
            tensors["other_map.map"] = double.state2.code
            tensors["other_map.double"] = equality.dequantized(codes, double, x.dtype).clone()
    rng = np.random.default_rng(8)
    for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
        for block in (64, 256, 4096):
            x = torch.from_numpy(rng.standard_normal(300, dtype=np.float32)).to(dtype)
            codes, state = bnb.quantize_blockwise(x, blocksize=block)
            for part, tensor in (("input", x), ("codes", codes), ("absmax", state.absmax)):
                tensors[f"int8_{name}_{block}.{part}"] = tensor
            tensors[f"int8_{name}_{block}.values"] = bnb.dequantize_blockwise(codes, state).to(dtype)
    x = torch.tensor([0, 1, -1, -0.0, 1e-6, -1e-6, 2e-5, -2e-5])
    tensors["int8_known.input"], tensors["int8_known.codes"] = x, bnb.quantize_blockwise(x, blocksize=64)[0]
    # numpy's own generator, so that the offset can be looked up in the reference; only its scales are kept.
    x = torch.from_numpy(np.random.default_rng(1234).standard_normal((256, 1024)).astype(np.float32) * np.float32(0.02))
    for dtype, expected in (
        (torch.float32, 0.051864609122276306), (torch.bfloat16, 0.05186516046524048),
        (torch.float16, 0.05186457559466362),
    ):
        _, state = equality.peer(x.to(dtype), 64, True)
        assert state.offset.item() == expected, (state.offset.item(), expected)
    tensors["offset_1234.absmax"] = equality.peer(x, 64, False)[1].absmax
    # Means of v[i] = (i * 2654435761 mod 2^32 >> 8) / 2^24, which a test makes again.
    counts = [*range(1, 70), 255, 256, 257, 511, 1000, 2047, 4096, 4097, 32768, 32769, 100003, 262144]
    index = np.arange(max(counts), dtype=np.uint64)
    values = ((index * 2654435761 % 2**32) >> 8).astype(np.float32) / np.float32(2**24)
    tensors["means.counts"] = torch.tensor(counts)
    tensors["means.values"] = torch.stack([torch.from_numpy(values[:n]).mean() for n in counts])
    path = folder / "bitsandbytes.safetensors"
    save_file(tensors, path, metadata={"cases": json.dumps(blocks)})
    print(f"{path}: {path.stat().st_size} bytes, {len(blocks)} cases")
