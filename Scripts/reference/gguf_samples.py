"""Writes Formats/samples/gguf: small files that a reader must take, and small files that it must refuse.

    python Scripts/reference/gguf_samples.py [FOLDER]

Needs the gguf package, which says what the numbers in the blocks are. `expectations.json` says of each valid file what it holds
(type, shape and, as the bytes of float32 or of the stored type in hexadecimal, the numbers of every tensor), and of each invalid one
a text that Crayon's error must contain. A second run writes the same bytes.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

# Number, elements of a block, bytes of a block, where its float16 are.
TYPES = {
    "F32": (0, 1, 4, ()),
    "F16": (1, 1, 2, ()),
    "Q4_0": (2, 32, 18, (0,)),
    "Q4_1": (3, 32, 20, (0, 2)),
    "Q5_0": (6, 32, 22, (0,)),
    "Q5_1": (7, 32, 24, (0, 2)),
    "Q8_0": (8, 32, 34, (0,)),
    "Q4_K": (12, 256, 144, (0, 2)),
    "Q5_K": (13, 256, 176, (0, 2)),
    "Q6_K": (14, 256, 210, (208,)),
    "IQ4_NL": (20, 32, 18, (0,)),
    "I8": (24, 1, 1, ()),
    "I16": (25, 1, 2, ()),
    "I32": (26, 1, 4, ()),
    "I64": (27, 1, 8, ()),
    "F64": (28, 1, 8, ()),
    "BF16": (30, 1, 2, ()),
}
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: object) -> bytes:
    """A value without its type. An array is (element kind, elements)."""
    if kind == 8:
        return text(content)
    if kind == 9:
        inner, elements = content
        return struct.pack("<IQ", inner, len(elements)) + b"".join(value(inner, element) for element in elements)
    return struct.pack("<" + SCALARS[kind], content)


def pair(key: str | bytes, kind: int, content: object) -> bytes:
    return text(key) + struct.pack("<I", kind) + value(kind, content)


def info(name: str | bytes, dims: list[int], kind: int, offset: int) -> bytes:
    """dims innermost first, as the file has them."""
    return text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)


def head(tensors: int, pairs: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def pad(raw: bytes, alignment: int = 32) -> bytes:
    return raw + bytes(-len(raw) % alignment)


def file(pairs: list[bytes], tensors: list[tuple], *, version: int = 3, alignment: int = 32, tail: bool = True) -> bytes:
    """tensors: name, dims innermost first, type, data."""
    infos, data = b"", b""
    for name, dims, kind, raw in tensors:
        infos += info(name, dims, TYPES[kind][0], len(data))
        data = pad(data + raw, alignment)
    whole = pad(head(len(tensors), len(pairs), version) + b"".join(pairs) + infos, alignment) + data
    if tensors and not tail:
        whole = whole[: len(whole) - (-len(tensors[-1][3]) % alignment)]
    return whole


def numbers(kind: str, raw: bytes) -> bytes:
    """What a reader makes of the bytes: float32 for blocks, the same bytes for others."""
    if TYPES[kind][1] == 1:
        return raw
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(1, -1)
    return dequantize(blocks, GGMLQuantizationType[kind]).astype("<f4").tobytes()


def blocks(kind: str, random: np.random.Generator, elements: int) -> bytes:
    _, block, size, halves = TYPES[kind]
    if block == 1:
        if kind in ("F32", "F64", "F16"):
            return random.standard_normal(elements).astype({"F32": "<f4", "F64": "<f8", "F16": "<f2"}[kind]).tobytes()
        if kind == "BF16":
            return (random.standard_normal(elements).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        return random.integers(0, 256, elements * size, dtype=np.uint8).tobytes()
    raw = random.integers(0, 256, (elements // block, size), dtype=np.uint8)
    for offset in halves:
        scales = random.standard_normal(len(raw)).astype(np.float16)
        raw[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return raw.tobytes()


def valid() -> dict[str, tuple[bytes, list[tuple]]]:
    random = np.random.default_rng(7)
    every = []
    for kind, (_, block, _, _) in TYPES.items():
        dims = [block, 2] if block == 32 else [256] if block == 256 else [3]
        count = int(np.prod(dims))
        every.append((kind.lower(), dims, kind, blocks(kind, random, count)))
    one = [("one", [2], "F32", struct.pack("<2f", 1, -2))]
    shapes = [
        ("scalar", [], "F32", struct.pack("<f", 5)),
        ("four", [2, 1, 3, 1], "I8", bytes(range(6))),
        ("rows", [32, 3], "Q8_0", blocks("Q8_0", random, 96)),
        ("naïve ▁", [1], "I16", b"\1\2"),
        ("empty", [4, 0], "F16", b""),
    ]
    metadata = [
        pair("uint8", 0, 200), pair("int8", 1, -3), pair("uint16", 2, 60000), pair("int16", 3, -300),
        pair("uint32", 4, 4000000000), pair("int32", 5, -5), pair("float32", 6, 0.5), pair("bool", 7, True),
        pair("string", 8, "ein Wort ▁"), pair("array", 9, (8, ["a", "", "bc"])), pair("uint64", 10, 2**64 - 1),
        pair("int64", 11, -(2**63)), pair("float64", 12, 0.1), pair("numbers", 9, (6, [1.0, 2.5])),
        pair("nested", 9, (9, [(4, [1, 2]), (4, []), (8, ["x"])])), pair("nothing", 9, (12, [])),
    ]  # fmt: skip
    return {
        "every-type.gguf": (file([], every), every),
        "version-2.gguf": (file([pair("general.name", 8, "old")], one, version=2), one),
        "alignment-64.gguf": (file([pair("general.alignment", 4, 64)], one * 1 + every[:3], alignment=64), one + every[:3]),
        "alignment-1.gguf": (file([pair("general.alignment", 4, 1)], every[:2] + every[11:13], alignment=1), every[:2] + every[11:13]),
        "shapes.gguf": (file([], shapes), shapes),
        "metadata-only.gguf": (file(metadata, []), []),
        "nothing.gguf": (head(0, 0), []),
        "unpadded-end.gguf": (file([], one, tail=False), one),
        "more-at-the-end.gguf": (file([], one) + b"more", one),
    }


def invalid() -> dict[str, tuple[bytes, str]]:
    one = file([pair("a", 8, "bc")], [("one", [2], "F32", struct.pack("<2f", 1, -2))])
    start = 24 + len(pair("a", 8, "bc"))

    def tensor(entry: bytes, data: bytes = bytes(64), count: int = 1, pairs: bytes = b"", pair_count: int = 0) -> bytes:
        return pad(head(count, pair_count) + pairs + entry) + data

    def two(second: int) -> bytes:
        return tensor(info("x", [2], 0, 0) + info("y", [2], 0, second), count=2, data=bytes(128))

    deep: tuple = (4, [1])
    for _ in range(9):
        deep = (9, [deep])
    return {
        "empty.gguf": (b"", "magic: the end of the file"),
        "magic.gguf": (b"GGML" + one[4:], "magic: 47 47 4d 4c; expected 'GGUF'"),
        "big-endian.gguf": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "a big-endian file"),
        "version-1.gguf": (head(0, 0, 1), "version: 1; expected 2 or 3"),
        "version-4.gguf": (head(0, 0, 4), "version: 4; expected 2 or 3"),
        "no-version.gguf": (b"GGUF\3\0", "version: the end of the file at byte 6"),
        "no-counts.gguf": (one[:12], "number of tensors: the end of the file at byte 12"),
        "no-pairs.gguf": (head(0, 0)[:20], "number of metadata: the end of the file at byte 20"),
        "many-tensors.gguf": (head(4_000_000_000, 0) + bytes(64), "number of tensors: 4000000000; expected at most"),
        "many-pairs.gguf": (head(0, 2**63) + bytes(64), "number of metadata: 9223372036854775808; expected at most"),
        "cut-key.gguf": (head(0, 1) + struct.pack("<Q", 20) + bytes(10), "length of key 0: 20; expected at most the 10"),
        "cut-type.gguf": (head(0, 1) + text("abc") + b"\4\0", "type of key 'abc': the end of the file at byte 37"),
        "cut-number.gguf": (head(0, 1) + text("a") + b"\4\0\0\0\1", "key 'a': the end of the file at byte 38"),
        "cut-value.gguf": (one[: start - 1], "expected at most the"),
        "cut-name.gguf": (one[: start + 9], "length of name of tensor 0: 3; expected at most the 1"),
        "short-name.gguf": (head(1, 0) + struct.pack("<Q", 20) + bytes(16), "length of name of tensor 0: 20; expected at most"),
        "cut-shape.gguf": (one[: start + 18], "the end of the file"),
        "cut-offset.gguf": (one[: start + 30], "offset of tensor 'one': the end of the file"),
        "cut-padding.gguf": (one[: start + 36], "padding before the tensors: the end of the file"),
        "cut-data.gguf": (one[:-25], "tensor 'one': 8 bytes from byte"),
        "long-key.gguf": (head(0, 1) + struct.pack("<Q", 2**62) + bytes(32), "length of key 0: 4611686018427387904"),
        "long-text.gguf": (head(0, 1) + text("a") + struct.pack("<IQ", 8, 1000), "length of key 'a': 1000"),
        "long-array.gguf": (
            head(0, 1) + text("a") + struct.pack("<IIQ", 9, 4, 2**61),
            "number of elements of key 'a': 2305843009213693952",
        ),
        "long-texts.gguf": (
            head(0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 3) + text("b") + text("c"),
            "number of elements of key 'a': 3; expected at most 2",
        ),
        "value-type.gguf": (head(0, 1) + text("a") + struct.pack("<I", 13) + bytes(8), "type of key 'a': 13"),
        "element-type.gguf": (head(0, 1) + text("a") + struct.pack("<IIQ", 9, 77, 0), "type of key 'a': 77"),
        "deep-array.gguf": (head(0, 1) + pair("a", 9, deep), "arrays in arrays more than 8 deep"),
        "empty-key.gguf": (head(0, 1) + pair("", 4, 1), "an empty key"),
        "same-key.gguf": (head(0, 2) + pair("a", 4, 1) + pair("a", 4, 2), "key 'a': a key that is taken"),
        "key-no-text.gguf": (head(0, 1) + pair(b"\xff", 4, 1), "key 0: bytes that are no UTF-8"),
        "name-no-text.gguf": (tensor(info(b"\xc3", [2], 0, 0)), "name of tensor 0: bytes that are no UTF-8"),
        "same-name.gguf": (
            tensor(info("x", [2], 0, 0) + info("x", [2], 0, 32), count=2), "tensor 'x': a name that is taken"
        ),
        "long-name.gguf": (tensor(info("n" * 64, [2], 0, 0)), "name of tensor 0: 64 bytes; expected at most 63"),
        "five-dimensions.gguf": (tensor(info("x", [1] * 5, 0, 0)), "dimensions of tensor 'x': 5"),
        "negative-extent.gguf": (tensor(info("x", [2**63], 0, 0)), "shape of tensor 'x'"),
        "many-elements.gguf": (tensor(info("x", [2**32, 2**32], 0, 0)), "shape of tensor 'x'"),
        "hidden-elements.gguf": (tensor(info("x", [0, 2**62, 4], 0, 0)), "shape of tensor 'x'"),
        "many-bytes.gguf": (tensor(info("x", [2**62], 0, 0)), "a size in bytes below 2^63"),
        "tensor-type.gguf": (tensor(info("x", [2], 99, 0)), "type of tensor 'x': 99; expected one of F32, F16, Q4_0"),
        "unread-type.gguf": (tensor(info("x", [256], 10, 0), bytes(96)), "type of tensor 'x': 10 (Q2_K)"),
        "part-of-a-block.gguf": (
            tensor(info("x", [16, 2], 8, 0)), "tensor 'x': rows of 16; expected a multiple of 32, a block of Q8_0"
        ),
        "overlap.gguf": (two(0), "offset of tensor 'y': 0; expected 32"),
        "hole.gguf": (two(64), "offset of tensor 'y': 64; expected 32"),
        "unaligned.gguf": (two(8), "offset of tensor 'y': 8; expected 32"),
        "far.gguf": (two(2**64 - 32), "offset of tensor 'y': 18446744073709551584; expected 32"),
        "past-the-end.gguf": (tensor(info("x", [1000], 0, 0)), "tensor 'x': 4000 bytes from byte 64 on in a file of"),
        "alignment-0.gguf": (head(0, 1) + pair("general.alignment", 4, 0), "a power of two"),
        "alignment-48.gguf": (head(0, 1) + pair("general.alignment", 4, 48), "'general.alignment': 48"),
        "alignment-text.gguf": (head(0, 1) + pair("general.alignment", 8, "32"), "'general.alignment': a text"),
        "alignment-int32.gguf": (head(0, 1) + pair("general.alignment", 5, 32), "'general.alignment': 32"),
    }  # fmt: skip


def part(number: int, count: int, tensors: list[tuple], total: int | None, more: list[bytes] | None = None) -> bytes:
    """One of a model's files, as llama-gguf-split writes it."""
    pairs = [pair("split.no", 2, number), pair("split.count", 2, count)]
    if total is not None:
        pairs.append(pair("split.tensors.count", 5, total))
    return file(pairs + (more or []), tensors)


def split() -> tuple[dict[str, tuple[dict[str, bytes], list[tuple]]], dict[str, tuple[dict[str, bytes], str]]]:
    """Models in several files, by the first one's name: the files, and what they hold or the error."""
    random = np.random.default_rng(8)
    a, b, c = (
        ("a", [3], "F32", blocks("F32", random, 3)), ("b", [32, 2], "Q8_0", blocks("Q8_0", random, 64)),
        ("c", [5], "F16", blocks("F16", random, 5)),
    )  # fmt: skip

    def names(prefix: str, count: int) -> list[str]:
        return [f"{prefix}-{index + 1:05}-of-{count:05}.gguf" for index in range(count)]

    def whole(prefix: str, *contents: list[tuple], total: int | None = None) -> dict[str, bytes]:
        count = len(contents)
        total = sum(map(len, contents)) if total is None else total
        first = [pair("general.name", 8, "in parts")]
        return {
            name: part(index, count, tensors, total, first if index == 0 else [])
            for index, (name, tensors) in enumerate(zip(names(prefix, count), contents, strict=True))
        }

    good = {
        "three": (whole("three", [a], [b], [c]), [a, b, c]),
        "no-tensor-first": (whole("no-tensor-first", [], [a, c]), [a, c]),
        "no-total": ({name: part(index, 2, [x], None) for index, (name, x) in enumerate(zip(names("no-total", 2), (b, c), strict=True))}, [b, c]),
        "one-of-one": ({"one-of-one.gguf": part(0, 1, [a], 1)}, [a]),
    }  # fmt: skip
    missing = dict(list(whole("missing", [a], [b], [c]).items())[:2])
    last = names("not-first", 2)[1]
    swapped = whole("swapped", [a], [b], [c])
    second, third = names("swapped", 3)[1:]
    swapped[second], swapped[third] = swapped[third], swapped[second]
    other = whole("other-count", [a], [b])
    other[names("other-count", 2)[1]] = part(1, 3, [b], 2)
    alone = whole("alone", [a], [b])
    alone[names("alone", 2)[1]] = file([], [b])
    broken = whole("broken", [a], [b])
    broken[names("broken", 2)[1]] = broken[names("broken", 2)[1]][:60]
    one = names("one", 2)[0]
    bad = {
        "missing": (missing, "1 of 3 parts missing: 'missing-00003-of-00003.gguf'"),
        "not-first": ({last: part(1, 2, [b], 2)}, "key 'split.no': part 2 of 2; expected the first part"),
        "swapped": (swapped, "key 'split.no': part 3 of 3; expected part 2 of 3"),
        "other-count": (other, "key 'split.count': part 2 of 3; expected part 2 of 2"),
        "alone": (alone, "key 'split.no': part ? of ?; expected part 2 of 2"),
        "broken": (broken, "broken-00002-of-00002.gguf"),
        "same-name-in-two": (whole("same-name-in-two", [a], [c, a]), "tensor 'a': a name that is taken, in 'same-name-in-two-00001"),
        "more-promised": (whole("more-promised", [a], [b], total=3), "key 'split.tensors.count': 3; expected 2"),
        "fewer-promised": (whole("fewer-promised", [a], [b], total=0), "key 'split.tensors.count': 0; expected 2"),
        "renamed": ({"renamed.gguf": part(0, 2, [a], 2)}, "expected a name that ends in '-00001-of-00002.gguf'"),
        "number-beyond": ({"number-beyond.gguf": part(2, 2, [a], 2)}, "key 'split.no': part 2 of 2"),
        "count-of-0": ({"count-of-0.gguf": part(0, 0, [a], 1)}, "key 'split.count': part 0 of 0"),
        "no-number": ({one: file([pair("split.count", 2, 2)], [a])}, "key 'split.no': nothing"),
        "count-text": ({"count-text.gguf": file([pair("split.count", 8, "2")], [a])}, "key 'split.count': a text"),
        "many-parts": ({"many-parts-00001-of-65535.gguf": part(0, 65535, [a], 1)}, "65534 of 65535 parts missing"),
    }  # fmt: skip
    return good, bad


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "Formats/samples/gguf"
    expectations: dict = {"valid": {}, "invalid": {}}
    for kind in expectations:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, (raw, tensors) in valid().items():
        (folder / "valid" / name).write_bytes(raw)
        expectations["valid"][name] = {
            tensor: {"type": kind, "shape": dims[::-1], "bytes": numbers(kind, data).hex()}
            for tensor, dims, kind, data in tensors
        }
    for name, (raw, error) in invalid().items():
        (folder / "invalid" / name).write_bytes(raw)
        expectations["invalid"][name] = error
    good, bad = split()
    for files, tensors in good.values():
        for name, raw in files.items():
            (folder / "valid" / name).write_bytes(raw)
        expectations["valid"][min(files)] = {
            tensor: {"type": kind, "shape": dims[::-1], "bytes": numbers(kind, data).hex()}
            for tensor, dims, kind, data in tensors
        }
    for files, error in bad.values():
        for name, raw in files.items():
            (folder / "invalid" / name).write_bytes(raw)
        expectations["invalid"][min(files)] = error
    (folder / "expectations.json").write_text(json.dumps(expectations, indent=1, ensure_ascii=False) + "\n")
    print(f"{folder}: {len(expectations['valid'])} valid, {len(expectations['invalid'])} invalid")


main()
