"""Writes Formats/samples/safetensors: small files that a reader must take, and small files that it must refuse.

    python3 Scripts/reference/safetensors_samples.py [FOLDER]

Needs nothing but Python. `expectations.json` says of each valid file what it holds (type, shape and bytes in hexadecimal
of every tensor), and of each invalid one a text that Crayon's error must contain. A second run writes the same bytes.
"""

import json
import struct
import sys
from pathlib import Path

SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
}  # fmt: skip


def file(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header text, whatever it says."""
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int, end: int, dtype: str = "U8", shape: list | None = None) -> dict:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def dump(header: dict) -> str:
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False)


def valid() -> dict[str, bytes]:
    types: dict[str, dict] = {}
    end = 0
    for name, size in SIZES.items():
        types[name.lower()] = entry(end, end + 2 * size, name, [2])
        end += 2 * size
    swapped = {"second": entry(4, 6), "first": entry(0, 4, "F32", [1])}
    named = {"a b/c.weight": entry(0, 1), "ωeight": entry(1, 2), '"quoted"\\': entry(2, 3)}
    return {
        "no-tensors": file("{}"),
        "metadata-only": file(dump({"__metadata__": {"format": "pt", "note": "ein Wort"}})),
        "scalar": file(dump({"x": entry(0, 4, "F32", [])}), struct.pack("<f", 1.5)),
        "no-elements": file(dump({"x": entry(0, 0, "F32", [0, 3]), "y": entry(0, 1)}), b"\x07"),
        "only-no-elements": file(dump({"x": entry(0, 0, "BF16", [4, 0])})),
        "every-type": file(dump(types), bytes(i & 1 for i in range(end))),
        "entries-out-of-order": file(dump(swapped), bytes(range(6))),
        "padded-with-spaces": file(dump({"x": entry(0, 2)}) + " " * 21, b"\x01\x02"),
        "unaligned-data": file(dump({"a": entry(0, 1), "b": entry(1, 9, "F64", [1])}), b"\x01" + struct.pack("<d", 2)),
        "names": file(dump(named), b"\x01\x02\x03"),
        "escaped-name": file('{"\\u0061\\/\\ud83d\\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\x09"),
        "many-axes": file(dump({"x": entry(0, 1, "U8", [1] * 40)}), b"\x05"),
        "other-keys": file(dump({"x": {**entry(0, 1), "comment": [1, {"a": None}]}}), b"\x05"),
    }


def invalid() -> dict[str, tuple[bytes, str]]:
    one = dump({"x": entry(0, 4)})

    def lone(shape: object = None, offsets: object = None, dtype: object = "U8") -> bytes:
        value = {"dtype": dtype, "shape": [4] if shape is None else shape, "data_offsets": offsets or [0, 4]}
        return file(dump({"x": value}), bytes(4))

    def without(key: str) -> bytes:
        value = entry(0, 4)
        del value[key]
        return file(dump({"x": value}), bytes(4))

    huge = 1 << 62
    return {
        "empty-file": (b"", "a file of 0 bytes"),
        "seven-bytes": (b"\x02\0\0\0\0\0\0", "a file of 7 bytes"),
        "length-past-the-end": (file(one, bytes(4), length=1000), "expected at most the"),
        "length-of-the-whole-file": (file("{}", length=10), "expected at most the 2 that follow"),
        "length-beyond-the-limit": (file(one, bytes(4), length=100_000_001), "expected at most 100000000"),
        "length-negative": (file(one, bytes(4), length=(1 << 64) - 8), "18446744073709551608 bytes"),
        "no-header": (file(""), "header: no text"),
        "space-before-the-header": (file(" " + one, bytes(4)), "first byte 0x20"),
        "header-is-an-array": (file("[]"), "first byte 0x5b"),
        "header-cut-short": (file(one[:-1], bytes(4)), "JSON at byte"),
        "text-after-the-header": (file("{}{}"), "more text after the value"),
        "zeros-after-the-header": (file("{}\0\0"), "more text after the value"),
        "trailing-comma": (file('{"__metadata__":{},}'), "a name in quotes"),
        "not-utf8": (file(b'{"\xff\xfe":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "UTF-8"),
        "overlong-utf8": (file(b'{"\xc0\xaf":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "UTF-8"),
        "lone-surrogate": (file('{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "surrogate"),
        "line-break-in-a-name": (file('{"a\nb":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "a control character in a string"),
        "name-twice": (
            file('{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],'
                 '"data_offsets":[0,0]}}'),
            "'x' twice in one object"),
        "name-twice-by-escape": (
            file('{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0078":{"dtype":"U8","shape":[0],'
                 '"data_offsets":[0,0]}}'),
            "'x' twice in one object"),
        "dtype-twice": (
            file('{"x":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'), "'dtype' twice in one object"),
        "metadata-twice": (file('{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' twice"),
        "deep-nesting": (file('{"x":' + "[" * 100 + "]" * 100 + "}"), "nesting deeper than 8"),
        "metadata-no-object": (file('{"__metadata__":"pt"}'), "key '__metadata__'"),
        "metadata-of-numbers": (file('{"__metadata__":{"version":1}}'), "key '__metadata__.version'"),
        "entry-no-object": (file('{"x":[0,0]}'), "tensor 'x': an array of 2"),
        "dtype-absent": (without("dtype"), "tensor 'x': dtype is absent"),
        "dtype-unknown": (lone(dtype="F128"), "tensor 'x': element type 'F128'"),
        "dtype-in-lower-case": (lone(dtype="u8"), "tensor 'x': element type 'u8'"),
        "dtype-a-number": (lone(dtype=8), "tensor 'x': dtype is"),
        "shape-absent": (without("shape"), "tensor 'x': shape is absent"),
        "shape-a-number": (lone(shape=4), "tensor 'x': shape is"),
        "shape-negative": (lone(shape=[-4]), "tensor 'x': shape has"),
        "shape-of-two-negatives": (lone(shape=[-2, -2]), "tensor 'x': shape has"),
        "shape-of-fractions": (lone(shape=[4.5]), "tensor 'x': shape has"),
        "shape-of-texts": (lone(shape=["4"]), "tensor 'x': shape has"),
        "shape-past-64-bits": (
            file('{"x":{"dtype":"U8","shape":[18446744073709551620],"data_offsets":[0,4]}}', bytes(4)), "tensor 'x'"),
        "shape-product-overflows": (lone(shape=[huge, 4, 1]), "tensor 'x': a shape of more elements"),
        "shape-product-wraps-to-four": (lone(shape=[1 << 33, (1 << 31) + 1, 4]), "tensor 'x': a shape of more elements"),
        "shape-bytes-overflow": (lone(shape=[huge], dtype="F64"), "of more bytes than 64 bits"),
        "zero-hides-an-overflow": (lone(shape=[0, huge, 8], offsets=[0, 0]), "tensor 'x': a shape of more elements"),
        "offsets-absent": (without("data_offsets"), "tensor 'x': data_offsets is absent"),
        "offsets-of-one": (lone(offsets=[4]), "tensor 'x': 1 data_offsets"),
        "offsets-of-three": (lone(offsets=[0, 2, 4]), "tensor 'x': 3 data_offsets"),
        "offsets-negative": (lone(offsets=[-4, 0]), "tensor 'x': data_offsets has"),
        "offsets-reversed": (lone(offsets=[4, 0]), "tensor 'x': data_offsets [4, 0]"),
        "offsets-of-another-size": (lone(shape=[3]), "tensor 'x': data_offsets of 4 bytes; expected 3"),
        "offsets-past-the-end": (lone(shape=[5], offsets=[0, 5]), "tensor 'x': data_offsets end at 5"),
        "offsets-at-the-end-of-64-bits": (
            lone(shape=[4], offsets=[(1 << 63) - 5, (1 << 63) - 1]), "tensor 'x': data_offsets end at"),
        "overlap": (
            file(dump({"a": entry(0, 4), "b": entry(2, 6)}), bytes(6)), "tensor 'b': data that overlap tensor 'a' by 2"),
        "one-tensor-twice": (
            file(dump({"a": entry(0, 4), "b": entry(0, 4)}), bytes(4)), "tensor 'b': data that overlap tensor 'a' by 4"),
        "hole": (file(dump({"a": entry(0, 2), "b": entry(3, 4)}), bytes(4)), "tensor 'b': a hole of 1 bytes"),
        "hole-at-the-start": (file(dump({"a": entry(2, 4)}), bytes(4)), "tensor 'a': a hole of 2 bytes"),
        "bytes-after-the-data": (file(one, bytes(5)), "1 bytes after the last tensor"),
        "data-without-tensors": (file("{}", bytes(3)), "3 bytes after the last tensor"),
        "data-cut-short": (file(one, bytes(3)), "tensor 'x': data_offsets end at 4"),
        "nan-in-the-header": (file('{"x":{"dtype":"U8","shape":[NaN],"data_offsets":[0,4]}}', bytes(4)), "JSON at byte"),
        "git-lfs-pointer": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4\n", "git lfs pull"),
        "pytorch-zip": (b"PK\x03\x04" + bytes(60), "PyTorch file"),
        "gguf": (b"GGUF\x03\0\0\0" + bytes(60), "GGUF"),
    }  # fmt: skip


def holds(content: bytes) -> dict:
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: {
            "dtype": value["dtype"],
            "shape": value["shape"],
            "bytes": data[slice(*value["data_offsets"])].hex(),
        }
        for name, value in header.items()
    }


def main() -> None:
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "safetensors"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    for kind in expectations:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, content in valid().items():
        (folder / "valid" / f"{name}.safetensors").write_bytes(content)
        expectations["valid"][f"{name}.safetensors"] = holds(content)
    for name, (content, error) in invalid().items():
        (folder / "invalid" / f"{name}.safetensors").write_bytes(content)
        expectations["invalid"][f"{name}.safetensors"] = error
    text = json.dumps(expectations, indent=2, ensure_ascii=False)
    (folder / "expectations.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
