"""Converts between all formats with `crayon convert` and reads what comes out with the formats' own libraries; prints a matrix.

    CRAYON=.build/release/crayon python3 Scripts/reference/conversions_against_peers.py [--seed 1]

Sources are written by torch, NumPy, safetensors and gguf, or packed here (bitsandbytes by bitsandbytes itself). Every tensor must come out
with its name, type, shape and bytes; quantized ones as the numbers that their library makes of them. Exit code 1 if anything differs.
Needs torch, safetensors, NumPy, gguf, bitsandbytes and transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ATEN_CPU_CAPABILITY"] = "avx2"

import bitsandbytes
import gguf
import numpy as np
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from quantized_packers import awq_dequantized, gptq_dequantized, pack_awq, pack_gptq

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64,
         torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]  # fmt: skip
NUMPY = {t for t in TYPES if t not in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)}
TARGETS = ["safetensors", "pytorch", "npz", "gguf", "bin shards", "npz shards"]
SHARDS = {"bin shards": ("pytorch", "pytorch_model.bin.index.json"), "npz shards": ("npz", "model.npz.index.json")}
ENDING = {"safetensors": ".safetensors", "pytorch": ".pth", "npz": ".npz", "gguf": ".gguf"}
Tensors = dict[str, torch.Tensor]


def random(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    size = int(np.prod(shape)) * dtype.itemsize
    return torch.randint(0, 2 if dtype == torch.bool else 256, (size,), dtype=torch.uint8).view(dtype).reshape(shape)


def assorted(types: Iterable[torch.dtype]) -> Tensors:
    return {
        f"{str(t)[6:]}.{i}": random(t, *shape)
        for t in types
        for i, shape in enumerate([(), (0,), (7,), (3, 5), (2, 1, 3)])
    }


def llama(folder: Path, dtype: torch.dtype) -> None:
    # Rows of whole blocks: bitsandbytes 0.50.2 dequantizes others wrongly on processors with AVX-512.
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, vocab_size=70, max_position_embeddings=32,
        tie_word_embeddings=False)  # fmt: skip
    transformers.LlamaForCausalLM(config).to(dtype).save_pretrained(folder)


def load(path: Path) -> Tensors:
    """By the format's own library."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    if path.suffix == ".gguf":
        return {t.name: torch.from_numpy(np.array(t.data)) for t in gguf.GGUFReader(path).tensors}
    return torch.load(path, weights_only=True)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    raw = [t.contiguous().reshape(-1).view(torch.uint8) if t.numel() else torch.zeros(0) for t in (a, b)]
    return torch.equal(*raw)


# Each source writes a file or a folder, and says what is in it as numbers.


def safetensors_source(folder: Path) -> tuple[Path, Tensors]:
    tensors = assorted(TYPES)
    save_file(tensors, folder / "a.safetensors")
    return folder / "a.safetensors", tensors


def pytorch_source(folder: Path, legacy: bool = False) -> tuple[Path, Tensors]:
    tensors = assorted(TYPES)
    torch.save(tensors, folder / "a.bin", _use_new_zipfile_serialization=not legacy)
    return folder / "a.bin", tensors


def numpy_source(folder: Path) -> tuple[Path, Tensors]:
    tensors = assorted(NUMPY)
    np.savez_compressed(folder / "a.npz", **{name: t.numpy() for name, t in tensors.items()})
    return folder / "a.npz", tensors


def gguf_source(folder: Path) -> tuple[Path, Tensors]:
    writer = gguf.GGUFWriter(folder / "a.gguf", "llama")
    tensors: Tensors = {}
    for name, kind in [("plain", None), ("half", None), ("q8", "Q8_0"), ("q4", "Q4_0"), ("q5", "Q5_1")]:
        values = (
            np.random.default_rng(len(name))
            .standard_normal((4, 64))
            .astype(np.float16 if name == "half" else np.float32)
        )
        if kind is None:
            writer.add_tensor(name, values)
            tensors[name] = torch.from_numpy(values)
        else:
            code = gguf.GGMLQuantizationType[kind]
            packed = gguf.quants.quantize(values, code)
            writer.add_tensor(name, packed, raw_dtype=code)
            tensors[name] = torch.from_numpy(gguf.quants.dequantize(packed, code))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "a.gguf", tensors


def bitsandbytes_source(folder: Path, bits: int) -> tuple[Path, Tensors]:
    llama(folder / "dense", torch.float16)
    options = dict(load_in_4bit=True, bnb_4bit_quant_type="nf4") if bits == 4 else dict(load_in_8bit=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "dense",
        quantization_config=transformers.BitsAndBytesConfig(**options),
        dtype=torch.float16,
        device_map="cpu",
    )
    model.save_pretrained(folder / "quantized")
    tensors: Tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            tensors[f"{name}.weight"] = bitsandbytes.functional.dequantize_4bit(
                module.weight.data, module.weight.quant_state
            )
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            codes, scales = module.weight.data.float(), module.weight.SCB.view(-1, 1)
            tensors[f"{name}.weight"] = (codes * scales * 7.874015718698502e-3).half()
    return folder / "quantized", load(folder / "dense/model.safetensors") | tensors


def grouped_source(folder: Path, is_awq: bool) -> tuple[Path, Tensors]:
    rng = np.random.default_rng(5)
    out, inputs = 32, 64
    codes = rng.integers(0, 16, (inputs, out))
    zeros = rng.integers(0, 16, (inputs // 32, out))
    scales = (rng.random((inputs // 32, out)) * 0.02 + 0.001).astype(np.float16)
    if is_awq:
        packed, numbers = pack_awq("m", codes, zeros, scales), awq_dequantized(codes, zeros, scales)
    else:
        order = rng.permutation(inputs) // 32
        packed, numbers = pack_gptq("m", codes, zeros, scales, order), gptq_dequantized(codes, zeros, scales, order)
    save_file(packed, folder / "model.safetensors")
    config = {"bits": 4} | ({"quant_method": "awq", "version": "gemm"} if is_awq else {"quant_method": "gptq"})
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": config}))
    return folder, {"m.weight": numbers}


def known_source(folder: Path) -> tuple[Path, Tensors]:
    llama(folder / "dense", torch.float16)
    return folder / "dense", load(folder / "dense/model.safetensors")


def bundle_source(folder: Path) -> tuple[Path, Tensors]:
    path, tensors = known_source(folder)
    subprocess.run(
        [CRAYON, "quantize", path, "-o", folder / "a.crayon", "--precision", "backbone=source", "--quiet"], check=True
    )
    return folder / "a.crayon", tensors


SOURCES = {
    "safetensors": safetensors_source,
    "PyTorch": pytorch_source,
    "PyTorch, legacy": lambda folder: pytorch_source(folder, legacy=True),
    "NumPy, deflated": numpy_source,
    "GGUF": gguf_source,
    "bitsandbytes 4-bit": lambda folder: bitsandbytes_source(folder, 4),
    "bitsandbytes 8-bit": lambda folder: bitsandbytes_source(folder, 8),
    "GPTQ": lambda folder: grouped_source(folder, False),
    "AWQ": lambda folder: grouped_source(folder, True),
    "Llama folder": known_source,
    "bundle": bundle_source,
}


def convert(source: Path, output: Path, *options: str) -> str:
    done = subprocess.run([CRAYON, "convert", source, "-o", output, "--quiet", *options], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""


def shards(folder: Path, index: str) -> Tensors:
    """All tensors of a folder in shards; each file must hold what the index says, and no more."""
    if not (folder / index).exists():
        # One tensor is one file, without an index.
        return load(folder / index.removesuffix(".index.json"))
    files: dict[str, list[str]] = {}
    for name, file in json.loads((folder / index).read_text())["weight_map"].items():
        files.setdefault(file, []).append(name)
    found = {}
    for file, names in files.items():
        held = load(folder / file)
        assert sorted(held) == sorted(names), f"{file} holds {sorted(held)}"
        found |= held
    return found


def cell(source: Path, tensors: Tensors, target: str, folder: Path) -> tuple[str, str]:
    """What the matrix says, and the reason where it is a failure."""
    expected = dict(tensors)
    if target.startswith("npz"):
        if any(t.dtype in (torch.float8_e4m3fn, torch.float8_e5m2) for t in expected.values()):
            error = convert(source, folder / "refused.npz")
            if "F8_E" not in error:
                return "FAILED", f"8-bit floats were not refused: {error}"
            kept = {name: t for name, t in expected.items() if not str(t.dtype).startswith("torch.float8")}
            save_file(kept, folder / "kept.safetensors")
            source, expected = folder / "kept.safetensors", kept
        expected = {name: t.float() if t.dtype == torch.bfloat16 else t for name, t in expected.items()}
    if target in SHARDS:
        kind, index = SHARDS[target]
        # Files of 200 bytes, or one tensor.
        error = convert(source, folder / "out", "--to", kind, "--shard-size", "2e-7")
        found = {} if error else shards(folder / "out", index)
        wrong = [n for n in set(found) ^ set(expected) or expected if not (n in found and same(found[n], expected[n]))]
        files = len(list((folder / "out").glob("*-of-*")))
        return ("FAILED", error or f"{wrong[:4]}") if error or wrong else (f"{len(found)} in {files}", "")
    output = folder / f"out{ENDING[target]}"
    error = convert(source, output)
    if target == "gguf":
        if not error:
            names = {t.name for t in gguf.GGUFReader(output).tensors}
            return ("ok", "") if len(names) == len(tensors) else ("FAILED", f"{len(names)} tensors")
        return ("refused", "") if "Llama, InternLM2 and Qwen2" in error else ("FAILED", error)
    if error:
        return "FAILED", error
    found = load(output)
    wrong = [name for name in set(found) ^ set(expected)] + [
        n for n in expected if n in found and not same(found[n], expected[n])
    ]
    return ("FAILED", f"{wrong[:4]}") if wrong else (f"{len(found)} equal", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    torch.manual_seed(parser.parse_args().seed)
    print(f"{'':20}" + "".join(f"{target:>14}" for target in TARGETS))
    reasons = []
    for name, make in SOURCES.items():
        with tempfile.TemporaryDirectory() as work:
            path, tensors = make(Path(work))
            row = []
            for target in TARGETS:
                folder = Path(work) / f"to-{target}"
                folder.mkdir()
                word, reason = cell(path, tensors, target, folder)
                row.append(word)
                if reason:
                    reasons.append(f"{name} to {target}: {reason}")
        print(f"{name:20}" + "".join(f"{word:>14}" for word in row), flush=True)
    print("\n".join(reasons) if reasons else "Every tensor came out with its name, type, shape and bytes.")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
