#!/usr/bin/env python3
"""Holds Crayon's 4-bit and 8-bit quantization against bitsandbytes, bit for bit.

    bitsandbytes_equality.py                     at least a million random blocks, a line that sums up, and the timings
    bitsandbytes_equality.py --blocks 20000      fewer
    bitsandbytes_equality.py --fixture FOLDER    write the fixture of Tests/QuantizationTests
    bitsandbytes_equality.py --sanitize          the same comparison under ASan and UBSan (preload their runtime)

Needs torch, numpy, safetensors and bitsandbytes 0.50 on x86-64, and a C compiler. The C kernels are compiled into a
shared object and called through ctypes, once for each variant that this machine can run (portable, AVX2, AVX-512).
The profile that is matched: bitsandbytes 0.50, CPU, AVX2, one thread; torch is told so below, because its sum
depends on both. The option of exact-nearest codes, which bitsandbytes has on CUDA only, is held against numpy.
"""

import os

os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # bitsandbytes would compile its fallback once for each odd shape

import argparse
import ctypes
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch

torch.set_num_threads(1)
warnings.filterwarnings("ignore")
import bitsandbytes
from bitsandbytes import functional as bnb

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK_SIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096]
TYPES = {"F32": (0, torch.float32), "F16": (1, torch.float16), "BF16": (2, torch.bfloat16)}


class NF4(ctypes.Structure):
    """ck_nf4_tensor of ckernels.h."""

    _fields_ = [
        ("codes", ctypes.c_void_p), ("map", ctypes.c_void_p), ("block", ctypes.c_int64), ("absmax", ctypes.c_void_p),
        ("scale_codes", ctypes.c_void_p), ("nested_absmax", ctypes.c_void_p), ("nested_map", ctypes.c_void_p),
        ("nested_block", ctypes.c_int64), ("offset", ctypes.c_float),
    ]


def build(folder, sanitize):
    compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("cc")
    source = ROOT / "Sources" / "CKernels"
    library = pathlib.Path(folder) / "libckernels.so"
    flags = ["-O2", "-ffp-contract=on"]
    if sanitize:
        flags = ["-O1", "-g", "-fsanitize=address,undefined", "-shared-libsan"]
    files = sorted(str(f) for f in source.glob("*.c"))
    subprocess.run(
        [compiler, *flags, "-shared", "-fPIC", f"-I{source / 'include'}", *files, "-lm", "-o", str(library)], check=True)
    kernels = ctypes.CDLL(str(library))
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    kernels.ck_variant.restype = ctypes.c_char_p
    kernels.ck_select_variant.argtypes, kernels.ck_select_variant.restype = [ctypes.c_char_p], ctypes.c_bool
    kernels.ck_nf4_quantize.argtypes = [pointer, ctypes.c_int, integer, integer, pointer, pointer]
    kernels.ck_nf4_quantize.restype = integer
    kernels.ck_nf4_dequantize.argtypes = [ctypes.POINTER(NF4), integer, integer, ctypes.c_int, pointer]
    kernels.ck_nf4_multiply.argtypes = [ctypes.POINTER(NF4), integer, integer, integer, pointer, pointer]
    kernels.ck_dynamic8_quantize.argtypes = [
        pointer, ctypes.c_int, integer, integer, ctypes.c_float, ctypes.c_int, pointer, pointer]
    kernels.ck_dynamic8_quantize.restype = integer
    kernels.ck_dynamic8_dequantize.argtypes = [
        pointer, pointer, pointer, integer, integer, integer, ctypes.c_int, pointer]
    kernels.ck_cascade_mean.argtypes, kernels.ck_cascade_mean.restype = [pointer, integer], ctypes.c_float
    return kernels


class Ours:
    """The whole tensor algorithm through the C kernels of the selected variant."""

    def __init__(self, kernels):
        self.kernels = kernels
        self.map = np.ctypeslib.as_array((ctypes.c_float * 16).in_dll(kernels, "ck_nf4_map"))
        self.dynamic_map = np.ctypeslib.as_array((ctypes.c_float * 256).in_dll(kernels, "ck_dynamic_map"))

    def quantize(self, tensor, type_name, block, rule=0):
        n = tensor.numel()
        blocks = -(-n // block)
        codes, absmax = np.empty((n + 1) // 2, np.uint8), np.empty(blocks, np.float32)
        bad = self.kernels.ck_nf4_quantize(
            tensor.data_ptr(), TYPES[type_name][0], n, block, codes.ctypes.data, absmax.ctypes.data)
        if bad != -1:
            return bad
        offset = np.float32(self.kernels.ck_cascade_mean(absmax.ctypes.data, blocks))
        scale_codes, nested = np.empty(blocks, np.uint8), np.empty(-(-blocks // 256), np.float32)
        self.kernels.ck_dynamic8_quantize(
            absmax.ctypes.data, 0, blocks, 256, offset, rule, scale_codes.ctypes.data, nested.ctypes.data)
        return codes, absmax, scale_codes, nested, offset

    def view(self, parts, block, double):
        codes, absmax, scale_codes, nested, offset = parts
        return NF4(
            codes.ctypes.data, self.map.ctypes.data, block, None if double else absmax.ctypes.data,
            scale_codes.ctypes.data, nested.ctypes.data, self.dynamic_map.ctypes.data, 256, offset)

    def dequantize(self, view, n, type_name, start=0):
        target = torch.empty(n, dtype=TYPES[type_name][1])
        self.kernels.ck_nf4_dequantize(ctypes.byref(view), start, n, TYPES[type_name][0], target.data_ptr())
        return target

    def quantize8(self, tensor, type_name, block, offset=0.0, rule=0):
        n = tensor.numel()
        codes, absmax = np.empty(n, np.uint8), np.empty(-(-n // block), np.float32)
        bad = self.kernels.ck_dynamic8_quantize(
            tensor.data_ptr(), TYPES[type_name][0], n, block, offset, rule, codes.ctypes.data, absmax.ctypes.data)
        return (codes, absmax) if bad == -1 else bad

    def dequantize8(self, codes, absmax, block, type_name):
        target = torch.empty(codes.size, dtype=TYPES[type_name][1])
        self.kernels.ck_dynamic8_dequantize(
            codes.ctypes.data, absmax.ctypes.data, self.dynamic_map.ctypes.data, block, 0, codes.size,
            TYPES[type_name][0], target.data_ptr())
        return target


def bits(array):
    if isinstance(array, torch.Tensor):
        return array.contiguous().reshape(-1).view(torch.uint8).numpy()
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1)


def same(a, b):
    return np.array_equal(bits(a), bits(b))


def peer(tensor, block, double):
    return bnb.quantize_4bit(tensor, blocksize=block, compress_statistics=double, quant_type="nf4")


def random_tensor(rng, n, block, dtype):
    """n weights whose blocks differ in size, with zero, constant, denormal and huge blocks among them."""
    x = rng.standard_normal(n, dtype=np.float32)
    kind = rng.integers(8)
    if kind == 0:
        x *= np.float32(10.0 ** rng.uniform(-30, 30))
    elif kind == 1:
        x = rng.uniform(-1, 1, n).astype(np.float32)
    elif kind == 2:
        x = x / np.maximum(np.abs(rng.standard_normal(n, dtype=np.float32)), np.float32(1e-3))  # heavy tails
    elif kind == 3:
        x = rng.choice(np.array([-1, -0.5, -0.0, 0.0, 0.25, 1], np.float32), n)
    else:
        x *= np.float32(0.02)
    for start in range(0, n, block):
        special = rng.integers(40)
        piece = x[start:start + block]
        if special == 0:
            piece[:] = rng.choice(np.array([0.0, -0.0], np.float32), piece.size)
        elif special == 1:
            piece *= np.float32(1e-38)  # denormals
            piece *= np.float32(10.0 ** rng.uniform(-6, 2))
        elif special == 2:
            piece[:] = x[start]
        elif special == 3:
            piece *= np.float32(10.0 ** rng.uniform(-6, 6))
    finite = torch.finfo(dtype)
    return torch.from_numpy(np.clip(x, finite.min, finite.max)).to(dtype)


def random_size(rng, block):
    blocks = int(rng.choice([1, 2, 7, 8, 31, 32, 255, 256, 257, 600, 2000, 9000]))
    blocks = max(1, min(blocks, 4_000_000 // block))
    n = blocks * block
    if rng.integers(2):
        n -= int(rng.integers(block))  # a partial last block, odd counts included
    return max(n, 1)


def nearest_codes(values, block, code_map):
    """Codes and absmax by the exact rule: nearest by float32 midpoints, a tie to the even index, in numpy."""
    codes, absmax = np.zeros(values.size, np.uint8), np.empty(-(-values.size // block), np.float32)
    midpoints = np.float32(0.5) * (code_map[:-1] + code_map[1:])
    for k in range(absmax.size):
        piece = values[k * block:(k + 1) * block]
        absmax[k] = np.abs(piece).max()
        if absmax[k] == 0:
            continue  # bitsandbytes' code for a block of zeros is 0
        with np.errstate(over="ignore"):
            reciprocal = np.float32(1) / absmax[k]
        scaled = piece * reciprocal if np.isfinite(reciprocal) else piece / absmax[k]
        below = np.searchsorted(midpoints, scaled, side="left")
        tied = np.append(midpoints, np.float32(np.inf))[below] == scaled
        codes[k * block:(k + 1) * block] = below + (tied & (below % 2 == 1))
    return codes, absmax


class Expected:
    """What bitsandbytes makes of one tensor, and numpy of the scales by the exact rule."""

    def __init__(self, tensor, block):
        dtype = tensor.dtype
        self.tensor, self.block = tensor, block
        self.codes, self.single = peer(tensor, block, False)
        codes2, self.double = peer(tensor, block, True)
        assert same(self.codes, codes2)
        self.parts = {
            "codes": self.codes, "absmax": self.single.absmax, "scale codes": self.double.absmax,
            "nested absmax": self.double.state2.absmax, "offset": self.double.offset,
        }
        self.values = [dequantized(self.codes, state, dtype) for state in (self.single, self.double)]
        code_map = self.double.state2.code.numpy()
        centred = self.single.absmax.numpy() - np.float32(self.double.offset)
        self.nearest = nearest_codes(centred, 256, code_map)
        # Exact 8-bit codes of the tensor itself: the first blocks tell as much as all.
        self.head = tensor[:8 * block]
        self.nearest8 = nearest_codes(self.head.float().numpy(), block, code_map)
        if block >= 64:  # quantize_blockwise has no smaller ones
            self.codes8, state8 = bnb.quantize_blockwise(tensor, blocksize=block)
            self.absmax8 = state8.absmax
            self.values8 = bnb.dequantize_blockwise(self.codes8, state8).to(dtype)


def dequantized(codes, state, dtype):
    """bitsandbytes' dequantization; BF16 through its float32.

    On a processor with AVX512-BF16 its library converts with an instruction that flushes denormals to
    zero; elsewhere, and so in the profile, it rounds to nearest and keeps them, as torch's conversion does.

    The weight is passed as a vector: for a matrix whose rows are no multiple of the block size (96 columns and
    blocks of 64) its CPU kernel starts a block anew with every row, though quantize_4bit let blocks cross rows.
    """
    shape = state.shape
    state.shape = torch.Size([shape.numel()])
    state.dtype = torch.float32 if dtype == torch.bfloat16 else dtype
    values = bnb.dequantize_4bit(codes, state).reshape(-1).to(dtype)
    state.shape, state.dtype = shape, dtype
    return values


def compare(ours, expected, type_name, start, count):
    """The parts in which ours and bitsandbytes differ for one tensor."""
    tensor, block, wrong = expected.tensor, expected.block, []
    n = tensor.numel()
    result = ours.quantize(tensor, type_name, block)
    if isinstance(result, int):
        return [f"not finite at {result}"]
    for (name, theirs), mine in zip(expected.parts.items(), result):
        if not same(theirs, mine):
            wrong.append(name)
    for double, theirs in enumerate(expected.values):
        view = ours.view(result, block, double)
        if not same(theirs, ours.dequantize(view, n, type_name)):
            wrong.append("dequantized" + (" twice" if double else ""))
        if not same(theirs[start:start + count], ours.dequantize(view, count, type_name, start)):
            wrong.append("a range, dequantized")
    exact = ours.quantize(tensor, type_name, block, rule=1)
    if not same(expected.nearest[0], exact[2]) or not same(expected.nearest[1], exact[3]):
        wrong.append("exact-nearest scale codes")
    if not same(exact[0], result[0]) or not same(exact[4], result[4]):
        wrong.append("exact-nearest codes or offset")
    exact8 = ours.quantize8(expected.head, type_name, block, rule=1)
    if not all(same(*pair) for pair in zip(expected.nearest8, exact8)):
        wrong.append("exact-nearest 8-bit codes")
    if block >= 64:
        mine = ours.quantize8(tensor, type_name, block)
        if isinstance(mine, int) or not same(expected.codes8, mine[0]):
            wrong.append("8-bit codes")
        elif not same(expected.absmax8, mine[1]):
            wrong.append("8-bit absmax")
        elif not same(expected.values8, ours.dequantize8(*mine, block, type_name)):
            wrong.append("8-bit dequantized")
    return wrong


def shares(wanted):
    """Blocks of each size, per type: large blocks cost more elements, so the smallest make up for them."""
    quota = -(-wanted // (len(BLOCK_SIZES) * len(TYPES)))
    share = {block: min(quota, max(2000, 10_000_000 // block)) for block in BLOCK_SIZES}
    missing = quota * len(BLOCK_SIZES) - sum(share.values())
    for block in (32, 64):
        share[block] += -(-missing // 2)
    return share


def run_equality(kernels, variants, wanted, seed):
    ours, failures, total, weights = Ours(kernels), 0, 0, 0
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__} ({capability}), seed {seed}")
    print(f"variants: {', '.join(variants)}; each block is compared in all of them")
    print(f"{'block':>6} {'type':>5} {'tensors':>8} {'blocks':>9} {'elements':>12}  differences")
    for block, share in shares(wanted).items():
        for type_name, (code, dtype) in TYPES.items():
            rng = np.random.default_rng([seed, block, code])
            tensors = blocks = elements = 0
            found = {}
            while blocks < share:
                n = random_size(rng, block)
                expected = Expected(random_tensor(rng, n, block, dtype), block)
                start = int(rng.integers(n))
                count = int(rng.integers(n - start + 1))
                for variant in variants:
                    assert kernels.ck_select_variant(variant.encode())
                    for part in compare(ours, expected, type_name, start, count):
                        found[f"{variant} {part}"] = found.get(f"{variant} {part}", 0) + 1
                tensors, blocks, elements = tensors + 1, blocks + -(-n // block), elements + n
            failures += sum(found.values())
            total += blocks
            weights += elements
            text = ", ".join(f"{k}: {v}" for k, v in found.items()) or "none"
            print(f"{block:6} {type_name:>5} {tensors:8} {blocks:9} {elements:12}  {text}", flush=True)
    print(f"{'all':>6} {'':>5} {'':>8} {total:9} {weights:12}", flush=True)
    verdict = "equal to the last bit" if failures == 0 else f"{failures} differences"
    print(
        f"\n{verdict}: {total:,} random blocks ({weights:,} weights) of {BLOCK_SIZES[0]} to {BLOCK_SIZES[-1]}, "
        f"{', '.join(TYPES)}, with and without double quantization, 8-bit blockwise, exact-nearest codes; "
        f"kernels {', '.join(variants)}; bitsandbytes {bitsandbytes.__version__}; seed {seed}", flush=True)
    return failures


def best(repeats, body):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return min(times)


def run_timing(kernels, variants):
    ours, n, block = Ours(kernels), 4096 * 4096, 64
    tensor = torch.from_numpy(np.random.default_rng(0).standard_normal(n, dtype=np.float32) * np.float32(0.02)).bfloat16()
    rows = tensor.reshape(4096, 4096)
    codes, state = peer(rows, block, True)
    print(f"\n4096 x 4096 BF16, block 64, double quantization, one thread\n{'':14} {'quantize M/s':>13} {'dequantize M/s':>15} {'row product GB/s of codes':>27}")
    q = best(3, lambda: peer(rows, block, True))
    d = best(3, lambda: bnb.dequantize_4bit(codes, state))
    print(f"{'bitsandbytes':14} {n / q / 1e6:13.0f} {n / d / 1e6:15.0f} {'':>27}")
    x, y = np.random.default_rng(1).standard_normal(4096, dtype=np.float32), np.empty(4096, np.float32)
    for variant in variants:
        kernels.ck_select_variant(variant.encode())
        parts = ours.quantize(tensor, "BF16", block)
        view = ours.view(parts, block, True)
        q = best(3, lambda: ours.quantize(tensor, "BF16", block))
        d = best(3, lambda: ours.dequantize(view, n, "BF16"))
        m = best(5, lambda: kernels.ck_nf4_multiply(ctypes.byref(view), 4096, 0, 4096, x.ctypes.data, y.ctypes.data))
        print(f"{variant:14} {n / q / 1e6:13.0f} {n / d / 1e6:15.0f} {n / 2 / m / 1e9:27.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1_000_000, help="random blocks for each variant")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--variants", default="portable,avx2,avx512,avx512vnni")
    parser.add_argument("--fixture", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.fixture:
        from bitsandbytes_fixture import write_fixture

        write_fixture(pathlib.Path(arguments.fixture))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        kernels = build(folder, arguments.sanitize)
        variants = [v for v in arguments.variants.split(",") if kernels.ck_select_variant(v.encode())]
        failures = run_equality(kernels, variants, arguments.blocks, arguments.seed)
        if not arguments.sanitize:
            run_timing(kernels, variants)
    return 0 if failures == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
