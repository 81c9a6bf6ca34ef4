"""Reads a `.crayon` bundle by Formats/crayon-bundle.md alone: checks every digest, decodes every weight, prints a line for each.

    python3 Scripts/reference/read_bundle.py model.crayon [--source CHECKPOINT]

With `--source` (a safetensors file or a folder of shards), weights that are plain or packed must be the source's bytes. Needs
numpy, and the zstandard package. Exit code 0: all held; 1: something did not.
"""

import argparse
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import zstandard

BITS = {"F32": np.dtype("<u4"), "F16": np.dtype("<u2"), "BF16": np.dtype("<u2")}
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1}
NF4_PARTS = ("", ".absmax", ".quant_map", ".quant_state.bitsandbytes__nf4")
NF4_NESTED = (".nested_absmax", ".nested_quant_map")
INT8_PARTS = ("", ".absmax", ".quant_map", ".quant_state.crayon__int8")


def fail(text: str) -> None:
    raise SystemExit(f"error: {text}")


class Safetensors:
    def __init__(self, path: Path) -> None:
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        (count,) = struct.unpack("<Q", self.bytes[:8].tobytes())
        self.begin = 8 + count
        self.header = json.loads(self.bytes[8 : self.begin].tobytes())
        self.metadata = self.header.pop("__metadata__", {})

    def __getitem__(self, name: str) -> np.ndarray:
        first, last = self.header[name]["data_offsets"]
        return self.bytes[self.begin + first : self.begin + last]


def check_header(file: Safetensors) -> dict:
    if file.metadata.get("crayon.version") != "1":
        fail("not a bundle of version 1")
    if file.begin % 4096:
        fail(f"data begin at {file.begin}")
    header = file.bytes[: file.begin].tobytes()
    key = b'"crayon.digest":"'
    if header.count(key) != 1:
        fail("the digest's member does not occur once")
    at = header.index(key) + len(key)
    zeroed = header[:at] + b"0" * 64 + header[at + 64 :]
    if hashlib.sha256(zeroed).hexdigest().encode() != header[at : at + 64]:
        fail("the header's digest is not the one that it states")
    return json.loads(file.metadata["crayon.manifest"])


def unpack(data: np.ndarray, kind: str, count: int, block_size: int) -> np.ndarray:
    """The elements of a packed tensor as unsigned integers."""
    bits = BITS[kind]
    planes = bits.itemsize
    blocks = -(-count // block_size)
    payload = len(data) - 4 * planes * blocks
    if len(data) % 64 or payload < 0:
        fail(f"{len(data)} packed bytes")
    table = data[payload:].view("<u4").reshape(blocks, planes)
    result = np.empty(count, bits)
    at = 0
    for block in range(blocks):
        elements = min(block_size, count - block * block_size)
        value = np.zeros(elements, bits)
        for plane in range(planes):
            size = int(table[block, plane]) & 0x7FFFFFFF
            content = data[at : at + size].tobytes()
            at += size
            if table[block, plane] >> 31 == 0:
                content = zstandard.ZstdDecompressor().decompress(content, max_output_size=elements)
            if len(content) != elements:
                fail(f"block {block}, plane {plane}: {len(content)} of {elements} bytes")
            value = value << 8 | np.frombuffer(content, np.uint8).astype(bits)
        result[block * block_size :][:elements] = value >> 1 | value << (8 * planes - 1)
    if payload - at > 63 or data[at:payload].any():
        fail(f"{payload - at} bytes between payload and table")
    return result


def to_type(values: np.ndarray, kind: str) -> np.ndarray:
    """float32 rounded to the type, as bits."""
    if kind == "F32":
        return values.view("<u4")
    if kind == "F16":
        return values.astype("<f2").view("<u2")
    bits = values.view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def dequantize(file: Safetensors, name: str, coding: dict) -> np.ndarray:
    """The elements in float32, as a product uses them."""
    count = int(np.prod(coding["shape"]))
    size = coding["blockSize"]
    data = file[name]
    four_bit = coding["kind"] == "nf4"
    codes = np.stack([data >> 4, data & 15], axis=1).reshape(-1)[:count] if four_bit else data
    state = json.loads(file[name + (NF4_PARTS if four_bit else INT8_PARTS)[3]].tobytes())
    names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    expected = {
        "quant_type": "nf4" if four_bit else "dynamic8",
        "blocksize": size,
        "dtype": names[coding["type"]],
        "shape": coding["shape"],
    }
    if {key: state[key] for key in expected} != expected:
        fail(f"{name}: quant state {state}")
    absmax = file[name + ".absmax"]
    if coding.get("nestedBlockSize"):
        levels = file[name + ".nested_quant_map"].view("<f4")
        nested = np.repeat(file[name + ".nested_absmax"].view("<f4"), coding["nestedBlockSize"])[: len(absmax)]
        scales = levels[absmax] * nested + np.float32(state["nested_offset"])
    else:
        scales = absmax.view("<f4")
    return file[name + ".quant_map"].view("<f4")[codes] * np.repeat(scales, size)[:count]


def components(weight: dict) -> list[str]:
    coding = weight["coding"]
    if coding["kind"] in ("plain", "packed"):
        return [weight["name"]]
    if coding["kind"] == "int8":
        return [weight["name"] + part for part in INT8_PARTS]
    return [weight["name"] + part for part in NF4_PARTS + (NF4_NESTED if coding.get("nestedBlockSize") else ())]


def decode(file: Safetensors, weight: dict) -> bytes:
    coding = weight["coding"]
    if coding["kind"] == "plain":
        return file[weight["name"]].tobytes()
    if coding["kind"] == "packed":
        count = int(np.prod(coding["shape"]))
        return unpack(file[weight["name"]], coding["type"], count, coding["blockSize"]).tobytes()
    return to_type(dequantize(file, weight["name"], coding), coding["type"]).tobytes()


def read_weights(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The manifest, and every weight by its role in float32, quantized ones as they are multiplied with."""
    file = Safetensors(path)
    manifest = check_header(file)
    weights = {}
    for weight in manifest["weights"]:
        coding = weight["coding"]
        if coding["kind"] in ("plain", "packed"):
            bits = np.frombuffer(decode(file, weight), BITS[coding["type"]])
            if coding["type"] == "BF16":
                values = (bits.astype("<u4") << 16).view("<f4")
            else:
                values = bits.view("<f4" if coding["type"] == "F32" else "<f2").astype("<f4")
        else:
            values = dequantize(file, weight["name"], coding)
        weights[weight["role"]] = values.reshape(coding["shape"])
    return manifest, weights


def sources(path: Path) -> dict[str, np.ndarray]:
    paths = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    files = [Safetensors(item) for item in paths]
    return {name: file[name] for file in files for name in file.header}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--source", type=Path, help="a checkpoint whose tensors plain and packed weights must equal")
    options = parser.parse_args()
    file = Safetensors(options.bundle)
    manifest = check_header(file)
    if set(manifest["digests"]) != set(file.header):
        fail("digests and tensors are not of the same names")
    bad = [name for name, digest in manifest["digests"].items() if hashlib.sha256(file[name]).hexdigest() != digest]
    owners = [name for weight in manifest["weights"] for name in components(weight)]
    owners += [f"crayon.file.{name}" for name in manifest["files"]]
    owners += [f"crayon.probe.{probe['name']}.{field}" for probe in manifest["probes"] for field in probe["fields"]]
    rest = set(file.header) - set(owners)
    if len(set(owners)) != len(owners) or not all(name.startswith("crayon.pad.") for name in rest):
        fail("tensors are not accounted for once each")
    source = sources(options.source) if options.source else {}
    compared = 0
    for weight in manifest["weights"]:
        coding = weight["coding"]
        content = decode(file, weight)
        if len(content) != int(np.prod(coding["shape"])) * SIZES[coding["type"]]:
            fail(f"{weight['name']}: {len(content)} bytes for shape {coding['shape']}")
        note = ""
        if coding["kind"] in ("plain", "packed") and coding["type"] == coding["sourceType"] and source:
            same = content == source[weight["sourceName"]].tobytes()
            compared += 1
            note = "  as the source" if same else "  NOT THE SOURCE'S"
            if not same:
                bad.append(weight["name"])
        stored = sum(len(file[name]) for name in components(weight))
        print(f"{weight['role']:<52} {coding['kind']:<7}{coding['type']:<5}{coding['shape']!s:<18}{stored:>10}{note}")
    names, weights = len(file.header), len(manifest["weights"])
    print(f"{names} tensors, {weights} weights, {compared} compared with the source, {len(bad)} bad")
    for name in bad:
        print(f"bad: {name}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
