"""Holds `crayon inspect --json --digests` against torch, transformers and NumPy on files that those write.

    CRAYON=.build/release/crayon python Scripts/reference/weights_against_torch.py [--keep FOLDER] [--only WORD] [--large]

Every file is written by the library itself: all element types, odd shapes, strides, shared storages, the format of before
PyTorch 1.6, shards by transformers, checkpoints of a training run, archives that were packed again. Names, types, shapes and the
SHA-256 of every tensor's values must be those of the library. Then files are made to cost more than their size; what Crayon takes
for them, in seconds and in memory beside that of a small file, is printed. `--large` adds an archive past 4 GiB. Ends with 1
when anything differs.
"""

import argparse
import collections
import hashlib
import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sample_archives import Member, archive

warnings.simplefilter("ignore")
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint64: "U64", torch.uint32: "U32",
    torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2", torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0",
}  # fmt: skip
Truth = dict[str, tuple[str, list[int], str]]


def values(tensor: torch.Tensor) -> tuple[str, list[int], str]:
    plain = tensor.detach().contiguous()
    raw = plain.reshape(-1).view(torch.uint8) if plain.numel() else torch.zeros(0, dtype=torch.uint8)
    return TYPES[plain.dtype], list(plain.shape), hashlib.sha256(raw.numpy().tobytes()).hexdigest()


def truth(tensors: dict[str, torch.Tensor]) -> Truth:
    return {name: values(tensor) for name, tensor in tensors.items()}


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    size = int(np.prod(shape)) * dtype.itemsize
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (size,), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


# Each case writes one file or folder and says what is in it.


def save(path: Path, value: Any, **options: Any) -> None:
    torch.save(value, path, **options)


def types(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    tensors = {f"{name}.{rank}": random(*shape, dtype=dtype) for dtype, name in TYPES.items()
               for rank, shape in enumerate([(), (0,), (7,), (3, 5), (2, 1, 3, 2), (1, 1, 1, 1, 1, 5)])}  # fmt: skip
    save(folder / "types.pt", tensors)
    yield "all types, odd shapes", folder / "types.pt", truth(tensors)
    legacy = {name: t for name, t in tensors.items() if not name.startswith(("U16", "U32", "U64", "F8"))}
    save(folder / "types-legacy.pt", legacy, _use_new_zipfile_serialization=False)
    yield "the same, legacy", folder / "types-legacy.pt", truth(legacy)
    new = {name: t for name, t in tensors.items() if name not in legacy}
    save(folder / "types-legacy-untyped.pt", new, _use_new_zipfile_serialization=False)
    yield "untyped storages, legacy", folder / "types-legacy-untyped.pt", truth(new)
    for protocol in (2, 3, 4, 5):
        for zipped in (True, False):
            path = folder / f"protocol-{protocol}-{zipped}.pt"
            save(path, legacy, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
            yield f"protocol {protocol}{'' if zipped else ', legacy'}", path, truth(legacy)


def strides(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    base = random(24, 36, dtype=torch.bfloat16)
    cube = random(6, 5, 7, 8)
    tensors = {
        "whole": base, "transposed": base.t(), "rows": base[3:9], "columns": base[:, 5:7], "every-third": base[::3, 1::2],
        "diagonal": base.diagonal(), "expanded": base[:1].expand(50, 36), "corner": base[-1, -1], "nothing": base[:0],
        "channels-last": cube.contiguous(memory_format=torch.channels_last), "permuted": cube.permute(3, 1, 0, 2),
        "unfolded": cube[0, 0, 0].unfold(0, 3, 1), "strided": torch.as_strided(cube, (3, 3), (1, 2), 11),
        "flipped": cube.flip(0), "real": torch.view_as_real(torch.randn(4, 3, dtype=torch.complex64)),
        "one": random(1, 40)[:, 7:9],
    }  # fmt: skip
    for name, zipped in (("strides", True), ("strides, legacy", False)):
        path = folder / f"strides-{zipped}.pt"
        save(path, tensors, _use_new_zipfile_serialization=zipped)
        yield name, path, truth(tensors)


def modules(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 8, bias=False))
    model[3].weight = model[2].weight
    state = model.state_dict(keep_vars=True)
    save(folder / "parameters.pt", state)
    yield "state_dict with parameters, tied", folder / "parameters.pt", truth(state)
    save(folder / "buffer.pt", {"b": torch.nn.Buffer(random(3)), "p": torch.nn.Parameter(random(2))})
    loaded = torch.load(folder / "buffer.pt")
    yield "buffer and parameter", folder / "buffer.pt", truth(loaded)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    flat = {name: t.detach() for name, t in model.state_dict().items()}
    moments = {f"state.{i}.{key}": t for i, state in optimizer.state_dict()["state"].items() for key, t in state.items()}
    save(folder / "optimizer.pt", optimizer.state_dict())
    yield "optimizer", folder / "optimizer.pt", {n.removeprefix("state."): v for n, v in truth(moments).items()}
    lightning = {
        "epoch": 3, "global_step": 1000, "pytorch-lightning_version": "2.5.0", "state_dict": flat,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.25), "kth_value": torch.tensor(0.5)}},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [{"base_lrs": [1e-3]}],
        "hparams_name": "kwargs", "hyper_parameters": {"lr": np.float64(1e-3), "args": argparse.Namespace(depth=3)},
    }  # fmt: skip
    save(folder / "lightning.ckpt", lightning)
    expected = truth(flat) | {f"optimizer_states.0.{n}": v for n, v in truth(moments).items()}
    expected |= truth({f"callbacks.ModelCheckpoint.{n}": t for n, t in lightning["callbacks"]["ModelCheckpoint"].items()})
    yield "like Lightning's", folder / "lightning.ckpt", expected
    random_state = np.random.default_rng(0).bit_generator.state, np.random.RandomState(0).get_state()
    save(folder / "rng.pth", {"python": random_state, "cpu": torch.get_rng_state(), "path": Path("a"), "size": flat["0.weight"].shape})
    yield "states of generators", folder / "rng.pth", truth({"cpu": torch.get_rng_state()})
    ordered = collections.OrderedDict((name, flat[name]) for name in reversed(list(flat)))
    save(folder / "wrapped.pth", {"model": ordered, "step": 5, "config": {"dims": [1, 2], "name": "x"}})
    yield "wrapped in 'model'", folder / "wrapped.pth", truth(ordered)


def packed_again(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    tensors = {f"t{i}": random(50, 20 + i) for i in range(5)} | {"zeros": torch.zeros(40, 40)}
    file = io.BytesIO()
    torch.save(tensors, file)

    def again(path: Path, method: int, force: bool = False) -> None:
        with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w", method) as new:
            for entry in old.infolist():
                fresh = zipfile.ZipInfo(entry.filename)
                fresh.compress_type = method
                with new.open(fresh, "w", force_zip64=force) as out:
                    out.write(old.read(entry))

    again(folder / "stored.pt", zipfile.ZIP_STORED)
    yield "packed again, stored", folder / "stored.pt", truth(tensors)
    again(folder / "deflated.pt", zipfile.ZIP_DEFLATED)
    yield "packed again, deflated", folder / "deflated.pt", truth(tensors)
    again(folder / "zip64.pt", zipfile.ZIP_STORED, force=True)
    yield "packed again, zip64 forced", folder / "zip64.pt", truth(tensors)
    torch.serialization.set_crc32_options(False)
    save(folder / "no-crc.pt", tensors)
    torch.serialization.set_crc32_options(True)
    yield "without checksums", folder / "no-crc.pt", truth(tensors)
    torch.utils.serialization.config.save.storage_alignment = 4096
    save(folder / "aligned.pt", tensors)
    torch.utils.serialization.config.save.storage_alignment = 64
    yield "storages at 4096", folder / "aligned.pt", truth(tensors)
    many = {f"layer.{i}.weight": torch.full((1,), float(i)) for i in range(70000)}
    save(folder / "many.pt", many)
    yield "70000 tensors, more than zip's 65535", folder / "many.pt", truth(many)


def transformers_folders(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=100, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False)  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    state = model.state_dict()
    plain = folder / "llama"
    model.save_pretrained(plain)
    model.config.save_pretrained(folder / "llama-bin")
    save(folder / "llama-bin/pytorch_model.bin", state)
    yield "transformers, one file", folder / "llama-bin", truth(state)
    # transformers 5 writes no shards of pickles; its own splitting says what lies where.
    from huggingface_hub import split_torch_state_dict_into_shards

    parts = split_torch_state_dict_into_shards(
        state, filename_pattern="pytorch_model{suffix}.bin", max_shard_size=100_000)  # fmt: skip
    shards = folder / "llama-shards"
    model.config.save_pretrained(shards)
    for name, names in parts.filename_to_tensors.items():
        save(shards / name, {key: state[key].clone() for key in names})
    index = {"metadata": parts.metadata, "weight_map": parts.tensor_to_filename}
    (shards / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    yield f"transformers, {len(parts.filename_to_tensors)} shards", shards, truth(state)
    both = folder / "llama-both"
    shutil.copytree(plain, both)
    save(both / "pytorch_model.bin", {name: tensor + 1 for name, tensor in state.items()})
    yield "safetensors beside PyTorch's", both, truth(state)
    yield from quantized(folder, plain, shards)


def quantized(folder: Path, plain: Path, shards: Path) -> Iterator[tuple[str, Path, Truth]]:
    """The weights of a bundle are the same from safetensors and from shards of pickles."""
    tensors = []
    for source in (plain, shards):
        bundle = folder / f"{source.name}.crayon"
        subprocess.run([CRAYON, "quantize", source, "-o", bundle, "--quiet"], check=True, capture_output=True)
        listed = inspect(bundle)["tensors"]
        tensors.append({t["name"]: (t["type"], t["shape"], t["sha256"]) for t in listed if t.get("role")})
    yield "quantized from shards, as from safetensors", folder / "llama-shards.crayon", tensors[0]


def numpy_files(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    names = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8", "u8": "U64",
             "u4": "U32", "u2": "U16", "u1": "U8", "?": "BOOL"}  # fmt: skip
    arrays = {}
    expected: Truth = {}
    for code, name in names.items():
        for order in "<>":
            for layout in "CF":
                for rank, shape in enumerate([(), (0, 2), (5,), (3, 4), (2, 3, 1, 5)]):
                    raw = np.random.default_rng(rank).integers(0, 2 if code == "?" else 256, int(np.prod(shape)) * np.dtype(code).itemsize)
                    array = np.asarray(raw.astype(np.uint8).view(code).reshape(shape).astype(order + code), order=layout)
                    key = f"{name}{'le' if order == '<' else 'be'}{layout}{rank}"
                    arrays[key] = array
                    dense = np.ascontiguousarray(array).astype("<" + code)
                    expected[key] = (name, list(shape), hashlib.sha256(dense.tobytes()).hexdigest())
    np.savez(folder / "all.npz", **arrays)
    yield "all types, orders and layouts", folder / "all.npz", expected
    np.savez_compressed(folder / "packed.npz", **arrays)
    yield "the same, compressed", folder / "packed.npz", expected
    for key in ("F32leC3", "F16beF4", "I64leF3"):
        np.save(folder / f"{key}.npy", arrays[key])
        yield f"one array, {key}", folder / f"{key}.npy", {key: expected[key]}
    for version in ((1, 0), (2, 0), (3, 0)):
        path = folder / f"version-{version[0]}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, arrays["F32leC3"], version=version)
        yield f"version {version[0]}.0", path, {path.stem: expected["F32leC3"]}
    try:
        import ml_dtypes
    except ImportError:
        return
    brain = np.arange(12, dtype=np.float32).reshape(3, 4).astype(ml_dtypes.bfloat16)
    np.save(folder / "brain.npy", brain)
    yield "ml_dtypes' bfloat16", folder / "brain.npy", {"brain": ("BF16", [3, 4], hashlib.sha256(brain.tobytes()).hexdigest())}


def large(folder: Path) -> Iterator[tuple[str, Path, Truth]]:
    tensors = {f"t{i}": torch.full((512 << 20,), i, dtype=torch.int8) for i in range(9)}
    save(folder / "large.pt", tensors)
    yield "4.5 GiB, zip64 by PyTorch", folder / "large.pt", truth(tensors)
    save(folder / "large-legacy.pt", tensors, _use_new_zipfile_serialization=False)
    yield "4.5 GiB, legacy", folder / "large-legacy.pt", truth(tensors)


def refusals(folder: Path) -> Iterator[tuple[str, Path, str]]:
    linear = torch.nn.Linear(2, 2)
    save(folder / "module.pt", linear)
    yield "a whole module", folder / "module.pt", "'torch.nn.modules.linear.Linear', which is no part of a tensor"
    torch.jit.script(linear).save(folder / "script.pt")
    yield "TorchScript", folder / "script.pt", "a TorchScript program"
    save(folder / "sparse.pt", {"w": torch.eye(3).to_sparse()})
    yield "sparse", folder / "sparse.pt", "tensor 'w': a sparse tensor"
    save(folder / "csr.pt", {"w": torch.eye(3).to_sparse_csr()})
    yield "sparse rows", folder / "csr.pt", "tensor 'w': a sparse tensor"
    save(folder / "quantized.pt", {"w": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)})
    yield "quantized", folder / "quantized.pt", "tensor 'w': a quantized tensor"
    save(folder / "channels.pt", {"w": torch.quantize_per_channel(torch.eye(3), torch.ones(3), torch.zeros(3), 0, torch.qint8)})
    yield "quantized by channel", folder / "channels.pt", "tensor 'w': a quantized tensor"
    save(folder / "nested.pt", {"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])})
    yield "nested", folder / "nested.pt", "tensor 'w': a nested tensor"
    save(folder / "meta.pt", {"w": torch.zeros(3, device="meta")})
    yield "meta", folder / "meta.pt", "tensor 'w': a tensor on the device 'meta'"
    save(folder / "complex.pt", {"w": torch.zeros(3, dtype=torch.complex64)})
    yield "complex", folder / "complex.pt", "tensor 'w': element type 'complex64'"
    save(folder / "negated.pt", {"w": torch.zeros(3, dtype=torch.complex64).conj().imag})
    yield "negated", folder / "negated.pt", "tensor 'w': a tensor that is negated"

    class Run:
        def __reduce__(self) -> tuple:
            return os.system, ("touch " + str(folder / "ran"),)

    save(folder / "runs.pt", {"w": torch.zeros(3), "x": Run()})
    yield "code", folder / "runs.pt", "system', which is no part of a tensor"
    np.savez(folder / "objects.npz", w=np.array([{}, []], dtype=object))
    yield "NumPy's objects", folder / "objects.npz", "Python objects, which are a pickle"
    np.save(folder / "structures.npy", np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]))
    yield "NumPy's structures", folder / "structures.npy", "an array of structures"
    (folder / "plain.pkl").write_bytes(pickle.dumps({"a": 1}))
    yield "a plain pickle", folder / "plain.pkl", "a pickle that torch.save did not write"


def hostile(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of some megabytes, made to cost a reader more."""

    def pack(name: str, stream: bytes, *more: Member, deflated: bool = False) -> tuple[str, Path]:
        path = folder / (name.replace(" ", "-") + ".pt")
        path.write_bytes(archive([Member("a/data.pkl", stream, deflated=deflated), *more]))
        return name, path

    size = 4 << 20
    start = b"\x80\x02"
    yield pack("empty lists", start + b"]" * size + b".")
    yield pack("empty dicts in each other", start + b"}N" * (size // 4) + b"N" + b"s" * (size // 4) + b".")
    yield pack("lists in lists", start + b"]" * (size // 2) + b"a" * (size // 2 - 1) + b".")
    yield pack("tuples in tuples", start + b")" + b"\x85" * size + b".")
    yield pack("memo entries", start + b"N" + b"".join(b"r" + (i * 2654435761 % (1 << 32)).to_bytes(4, "little") for i in range(size // 5)) + b".")
    yield pack("one list in a list", start + b"]q\x00(" + b"h\x00" * (size // 2) + b"e.")
    yield pack("towers", start + b"]" + b"q\x000](h\x00h\x00h\x00h\x00e" * 200000 + b".")
    yield pack("duplicates", start + b"N" + b"2" * size + b".")
    yield pack("escapes", start + b"V" + b"\\u0041" * (size // 6) + b"\n.")
    shape = b"(" + b"K\x01" * 64 + b"t"
    storage = b"(X\x07\0\0\0storagectorch\nByteStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpuK\x01tQ"
    one = b"ctorch._utils\n_rebuild_tensor_v2\nq\x000(" + storage + b"K\x00" + shape + shape + b"\x89NtRq\x01"
    yield pack("a tensor many times", start + one + b"0](" + b"h\x01" * (size // 2) + b"e.", Member("a/data/0", b"x"))
    yield pack("zeros inflated", start + b"}." + bytes(15 << 20), deflated=True)
    name = folder / "entries.zip"
    name.write_bytes(archive([Member(f"a/data/{i}", b"") for i in range(60000)]))
    yield "empty entries", name


def inspect(path: Path) -> dict:
    done = subprocess.run([CRAYON, "inspect", path, "--json", "--digests"], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip())
    return json.loads(done.stdout)


# In a process of its own: a child begins with its parent's peak, and this one has torch in it.
MEASURE = """
import os, subprocess, sys, time
began = time.monotonic()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
error = child.stderr.read()
_, status, usage = os.wait4(child.pid, 0)
print(time.monotonic() - began, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
sys.stdout.flush()
sys.stdout.buffer.write(error)
"""


def cost(path: Path) -> tuple[float, int, int, str]:
    """Seconds, peak memory in KiB, exit code and the error."""
    command = [sys.executable, "-S", "-c", MEASURE, CRAYON, "inspect", path]
    head, _, error = subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("\n")
    seconds, memory, code = head.split()
    return float(seconds), int(memory), int(code), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="write the files here and leave them")
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("--large", action="store_true", help="files past 4 GiB, too")
    options = parser.parse_args()
    torch.manual_seed(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    failed = 0
    files = tensors = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        groups: list[Callable] = [types, strides, modules, packed_again, transformers_folders, numpy_files]
        for group in [*groups, *([large] if options.large else [])]:
            for name, path, expected in group(folder):
                if options.only not in name:
                    continue
                try:
                    listed = inspect(path)["tensors"]
                    found = {t["name"]: (t["type"], t["shape"], t["sha256"]) for t in listed}
                    if "crayon" in path.suffix:
                        found = {n: v for n, v in found.items() if n in expected}
                    differ = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
                except ValueError as error:
                    differ = [str(error)]
                files += 1
                tensors += len(expected)
                failed += bool(differ)
                verdict = f"{len(expected)} tensors equal" if not differ else f"{len(differ)} DIFFER: {differ[:3]}"
                print(f"{name:45} {verdict}")
        for name, path, error in refusals(folder):
            _, _, code, text = cost(path)
            good = code == 2 and error in text
            failed += not good
            print(f"{name:45} {'refused' if good else f'TAKEN, or refused as: {text}'}")
        if (folder / "ran").exists():
            failed += 1
            print("CODE WAS RUN")
        base = cost(folder / "stored.pt")[1]
        print(f"\n{'made to cost more':45} {'file':>9} {'seconds':>8} {'memory':>9}  a byte of it takes")
        for name, path in hostile(folder):
            seconds, memory, code, text = cost(path)
            extra = max(memory - base, 0) * 1024
            size = path.stat().st_size
            # 32 MiB are allowed whatever the size: small archives may inflate to 16.
            good = code in (0, 2) and seconds < 20 and extra < 64 * size + (32 << 20)
            failed += not good
            print(f"{name:45} {size / 1e6:6.2f} MB {seconds:8.2f} {extra / 1e6:6.1f} MB  {extra / size:.1f}{'' if good else f'  FAILED: {code} {text[:200]}'}")
    print(f"\n{files} files, {tensors} tensors; {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
