"""Writes Formats/samples/bundle: bundles that a reader must take, and bundles that it must refuse or find damaged.

    python3 Scripts/reference/bundle_samples.py [FOLDER]

A writer of bundles by Formats/crayon-bundle.md alone. Needs nothing but Python: the few Zstandard frames are made by hand.
`expectations.json` says of each valid bundle what its weights decode to, and of each invalid one where it must fail and how:
`open` holds a text that the error must contain, `weight` the same for reading the head, `verify` the tensors that
verifying must name. A second run writes the same bytes.
"""

import hashlib
import json
import math
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

Tensors = dict[str, tuple[str, list[int], bytes]]
FP4_LEVELS = [value / 12 * sign for sign in (1, -1) for value in (0, 0.0625, 8, 12, 4, 6, 2, 3)]
LEVELS = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
          -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
          0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]  # fmt: skip
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
WIDTH = {"F32": 4, "F16": 2, "BF16": 2}


# Numbers


def f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def floats(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def rounded(value: float, dtype: str) -> bytes:
    if dtype == "F32":
        return struct.pack("<f", value)
    if dtype == "F16":
        return struct.pack("<e", value)
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def drawn(count: int, below: int, seed: int) -> list[int]:
    """Numbers of a linear congruential generator."""
    values = []
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        values.append((seed >> 16) % below)
    return values


def elements(count: int, dtype: str, seed: int) -> bytes:
    """Values of one exponent, so that the exponent's plane is all the same; signs and mantissas are drawn."""
    values = [(0.5 + m / 256) * (-1 if m % 3 == 0 else 1) for m in drawn(count, 128, seed)]
    return b"".join(rounded(value, dtype) for value in values)


RAMP = [f32((2 * i - 255) / 255) for i in range(256)]


# Codings: each gives the weight's coding, its tensors by suffix, and the bytes that it decodes to.


def plain(shape: list[int], dtype: str, seed: int) -> tuple[dict, Tensors, bytes]:
    content = elements(math.prod(shape), dtype, seed)
    return {"kind": "plain", "type": dtype, "sourceType": dtype, "shape": shape}, {"": (dtype, shape, content)}, content


def frame(content: bytes) -> bytes:
    """A Zstandard frame of one RLE block: up to 255 equal bytes."""
    head = struct.pack("<IBB", 0xFD2FB528, 0x20, len(content))
    return head + struct.pack("<I", len(content) << 3 | 1 << 1 | 1)[:3] + content[:1]


def packed_bytes(content: bytes, dtype: str, block: int) -> bytes:
    width = WIDTH[dtype]
    payload, table = b"", b""
    count = len(content) // width
    for start in range(0, count, block):
        words = [
            int.from_bytes(content[i * width : (i + 1) * width], "little")
            for i in range(start, min(start + block, count))
        ]
        bits = 8 * width
        turned = [(word << 1 | word >> (bits - 1)) & ((1 << bits) - 1) for word in words]
        for plane in range(width):
            data = bytes(word >> (bits - 8 - 8 * plane) & 0xFF for word in turned)
            coded = frame(data)
            if len(set(data)) == 1 and len(coded) < len(data):
                payload += coded
                table += struct.pack("<I", len(coded))
            else:
                payload += data
                table += struct.pack("<I", len(data) | 1 << 31)
    return payload + bytes(-(len(payload) + len(table)) % 64) + table


def packed(shape: list[int], dtype: str, seed: int, block: int) -> tuple[dict, Tensors, bytes]:
    content = elements(math.prod(shape), dtype, seed)
    data = packed_bytes(content, dtype, block)
    coding = {"kind": "packed", "type": dtype, "sourceType": dtype, "shape": shape, "blockSize": block}
    return coding, {"": ("U8", [len(data)], data)}, content


def state(kind: str, dtype: str, shape: list[int], block: int, offset: float | None = None) -> bytes:
    value = {"quant_type": kind, "blocksize": block, "dtype": DTYPES[dtype], "shape": shape}
    if offset is not None:
        value |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
    return json.dumps(value).encode()


def quantized(levels: list[float], codes: list[int], scales: list[float], block: int, dtype: str) -> bytes:
    # The product of two float32 is exact in double, so this rounds once to float32, then to the type.
    return b"".join(rounded(f32(levels[code] * scales[i // block]), dtype) for i, code in enumerate(codes))


def four_bit(
    shape: list[int], dtype: str, seed: int, block: int, double: bool, kind: str = "nf4"
) -> tuple[dict, Tensors, bytes]:
    count = math.prod(shape)
    levels = [f32(level) for level in (LEVELS if kind == "nf4" else FP4_LEVELS)]
    codes = drawn(count, 16, seed)
    blocks = -(-count // block)
    nibbles = [*codes, 0] if count % 2 else codes
    data = bytes(nibbles[i] << 4 | nibbles[i + 1] for i in range(0, len(nibbles), 2))
    coding = {"kind": kind, "type": dtype, "sourceType": dtype, "shape": shape, "blockSize": block}
    parts: Tensors = {"": ("U8", [len(data), 1], data)}
    offset = None
    if double:
        coding |= {"nestedBlockSize": 256, "codeRule": "exact-nearest"}
        offset, nested = f32(0.0625 + seed / 1024), [f32(0.03 + seed / 4096)]
        scale_codes = drawn(blocks, 256, seed + 1)
        scales = [f32(f32(RAMP[code] * nested[0]) + offset) for code in scale_codes]
        parts[".absmax"] = ("U8", [blocks], bytes(scale_codes))
        parts[".quant_map"] = ("F32", [16], floats(levels))
        parts[".nested_absmax"] = ("F32", [1], floats(nested))
        parts[".nested_quant_map"] = ("F32", [256], floats(RAMP))
    else:
        scales = [f32(0.05 + value / 512) for value in drawn(blocks, 32, seed + 1)]
        parts[".absmax"] = ("F32", [blocks], floats(scales))
        parts[".quant_map"] = ("F32", [16], floats(levels))
    text = state(kind, dtype, shape, block, offset)
    parts[f".quant_state.bitsandbytes__{kind}"] = ("U8", [len(text)], text)
    return coding, parts, quantized(levels, codes, scales, block, dtype)


def int8(shape: list[int], dtype: str, seed: int, block: int) -> tuple[dict, Tensors, bytes]:
    count = math.prod(shape)
    codes = drawn(count, 256, seed)
    scales = [f32(0.05 + value / 512) for value in drawn(-(-count // block), 32, seed + 1)]
    text = state("dynamic8", dtype, shape, block)
    coding = {"kind": "int8", "type": dtype, "sourceType": "F32", "shape": shape, "blockSize": block}
    parts: Tensors = {
        "": ("U8", shape, bytes(codes)),
        ".absmax": ("F32", [len(scales)], floats(scales)),
        ".quant_map": ("F32", [256], floats(RAMP)),
        ".quant_state.crayon__int8": ("U8", [len(text)], text),
    }
    return coding, parts, quantized(RAMP, codes, scales, block, dtype)


# Bundles


class Bundle:
    """Tensors, manifest and header, each of which an edit may spoil before the next is made from it."""

    def __init__(self, layers: int) -> None:
        hidden, rows, inner = 7, 9, 5
        self.model = {
            "layout": "internlm2",
            "backbone": {
                "vocabularySize": rows, "embeddingRows": rows, "hiddenSize": hidden, "layerCount": layers, "headCount": 2,
                "keyValueHeadCount": 1, "headSize": 4, "intermediateSize": inner, "normEpsilon": 1e-5,
                "rope": {"base": 10000.0, "maxPositions": 32, "scaling": {"none": {}}}, "attentionForm": "fused",
                "hasQueryKeyValueBias": False, "hasOutputBias": False, "hasMLPBias": False, "isHeadTied": False,
            },
            "lowRankSets": [], "tokens": {"begin": 1, "end": [2], "added": {}},
            "prompt": {"name": "plain", "begin": "", "image": "<image>", "objects": "", "user": "{question}",
                       "assistant": "", "answer": "{answer}\n", "stop": []},
        }  # fmt: skip
        self.weights: list[dict] = []
        self.tensors: Tensors = {}
        self.decoded: dict[str, dict] = {}
        self.trailing: Tensors = {}
        self.add(
            "embeddings.tokens.weight", "model.tok_embeddings.weight", four_bit([rows, hidden], "BF16", 1, 32, True)
        )
        self.add("backbone.norm.weight", "model.norm.weight", plain([hidden], "BF16", 2))
        if layers:
            self.add_layer(hidden, inner)
        self.add("head.weight", "output.weight", packed([rows, hidden], "BF16", 3, 30))
        ids = struct.pack("<3q", 1, 5, 7)
        self.put("crayon.probe.0.input_ids", ("I64", [3], ids))
        self.put("crayon.probe.0.logits", ("F32", [1, 9], floats([0.5 * i for i in range(9)])))
        self.put("crayon.probe.0.positions", ("I64", [1], struct.pack("<q", 2)))
        self.files = {"config.json": b'{"model_type": "internlm2"}\n', "vision/preprocessor_config.json": b"{}"}
        for name, content in self.files.items():
            self.trailing[f"crayon.file.{name}"] = ("U8", [len(content)], content)
        self.tensors |= self.trailing

    def add_layer(self, hidden: int, inner: int) -> None:
        block, source = "backbone.layers.0", "model.layers.0"
        self.add(f"{block}.attention_norm.weight", f"{source}.attention_norm.weight", plain([hidden], "BF16", 4))
        self.add(
            f"{block}.attention.qkv.weight",
            f"{source}.attention.wqkv.weight",
            four_bit([16, hidden], "F16", 5, 32, True),
        )
        self.add(f"{block}.attention.o.weight", f"{source}.attention.wo.weight", int8([hidden, 8], "BF16", 6, 32))
        self.add(f"{block}.mlp_norm.weight", f"{source}.ffn_norm.weight", plain([hidden], "F32", 7))
        self.add(
            f"{block}.mlp.gate.weight",
            f"{source}.feed_forward.w1.weight",
            four_bit([inner, hidden], "F32", 8, 32, False),
        )
        self.add(f"{block}.mlp.up.weight", f"{source}.feed_forward.w3.weight", packed([inner, hidden], "F32", 9, 16))
        self.add(
            f"{block}.mlp.down.weight", f"{source}.feed_forward.w2.weight", packed([hidden, inner], "F16", 10, 1 << 18)
        )
        self.model["lowRankSets"] = [
            {"name": "vl", "rank": 2, "alpha": 4.0, "isRankStabilized": False, "modules": ["attention.o"], "scope": "all",
             "input": "hidden", "isActive": True, "exceptions": {}}
        ]  # fmt: skip
        for half, shape in (("A", [2, 8]), ("B", [hidden, 2])):
            name = f"base_model.model.{source}.attention.wo.lora_{half}.weight"
            role = f"adapters.vl.layers.0.attention.o.{half.lower()}.weight"
            made = four_bit(shape, "F32", 12, 32, False, "fp4") if half == "A" else plain(shape, "F32", 11)
            self.add(role, name, made, "adapters.vl.", "adapters/vl")

    def add(
        self, role: str, source: str, made: tuple[dict, Tensors, bytes], prefix: str = "", origin: str = ""
    ) -> None:
        coding, parts, content = made
        name = prefix + source
        part = role.split(".")[0]
        weight = {"role": role, "part": part, "name": name, "sourceName": source, "origin": origin, "coding": coding}
        self.weights.append(weight)
        for suffix, tensor in parts.items():
            if ".quant_state." in suffix:
                self.trailing[name + suffix] = tensor
            else:
                self.put(name + suffix, tensor)
        self.decoded[role] = {"type": coding["type"], "shape": coding["shape"], "bytes": content.hex()}

    def put(self, name: str, tensor: tuple[str, list[int], bytes]) -> None:
        gap = -sum(len(content) for _, _, content in self.tensors.values()) % 64
        if gap:
            number = sum(name.startswith("crayon.pad.") for name in self.tensors)
            self.tensors[f"crayon.pad.{number}"] = ("U8", [gap], bytes(gap))
        self.tensors[name] = tensor

    def manifest(self) -> dict:
        part_of = {weight["name"]: weight["part"] for weight in self.weights}
        sections: dict[str, dict] = {}
        for name, (_, _, content) in self.tensors.items():
            kinds = (("crayon.pad.", "padding"), ("crayon.file.", "files"), ("crayon.probe.", "probes"))
            section = next((section for prefix, section in kinds if name.startswith(prefix)), None)
            section = section or next(part for owner, part in part_of.items() if name.startswith(owner))
            entry = sections.setdefault(section, {"name": section, "tensors": 0, "bytes": 0})
            entry["tensors"] += 1
            entry["bytes"] += len(content)
        return {
            "version": 1, "model": self.model, "weights": self.weights, "files": list(self.files),
            "probes": [{"name": "0", "fields": ["input_ids", "logits", "positions"], "relativeError": 0.015625}],
            "sections": list(sections.values()),
            "digests": {name: hashlib.sha256(content).hexdigest() for name, (_, _, content) in self.tensors.items()},
            "history": [{
                "kind": "convert", "producer": "bundle_samples.py", "options": {"profile": "sample"},
                "sources": [{"name": "model.safetensors", "origin": "", "byteCount": 1234, "sha256": "ab" * 32}],
            }],
        }  # fmt: skip


Edit = Callable[..., object]


def dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write(
    layers: int = 0,
    bundle: Edit | None = None,
    manifest: Edit | None = None,
    text: Callable[[str], str] | None = None,
    metadata: Edit | None = None,
    entries: Edit | None = None,
    page: int = 4096,
    header: Callable[[str], str] | None = None,
    file: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A bundle, with what each edit does to its stage; later stages are made from the spoilt ones, digests included."""
    made = Bundle(layers)
    if bundle:
        bundle(made)
    value = made.manifest()
    if manifest:
        manifest(value)
    manifest_text = dump(value)
    pairs = {"format": "pt", "crayon.version": "1", "crayon.digest": "0" * 64}
    pairs["crayon.manifest"] = text(manifest_text) if text else manifest_text
    if metadata:
        metadata(pairs)
    head: dict = {"__metadata__": pairs}
    end = 0
    for name, (dtype, shape, content) in made.tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(content)]}
        end += len(content)
    if entries:
        entries(head)
    header_text = header(dump(head)) if header else dump(head)
    encoded = header_text.encode()
    encoded += b" " * (-(8 + len(encoded)) % page)
    encoded = struct.pack("<Q", len(encoded)) + encoded
    mark = b'"crayon.digest":"' + b"0" * 64
    digest = hashlib.sha256(encoded).hexdigest().encode()
    encoded = encoded.replace(mark, mark[:-64] + digest)
    whole = encoded + b"".join(content for _, _, content in made.tensors.values())
    return file(whole) if file else whole


def valid() -> dict[str, tuple[bytes, Bundle]]:
    def other(value: dict) -> None:
        value["model"]["backbone"] |= {"slidingWindow": None, "newKey": [1]}
        value["model"] |= {"vision": None, "crayon": None}
        value["weights"][1]["coding"]["blockSize"] = None
        value["probes"][0]["relativeError"] = None
        value["newKey"] = {}

    return {
        "every-coding": (write(1), Bundle(1)),
        "no-layers": (write(), Bundle(0)),
        "other-json": (
            write(manifest=other, text=lambda text: json.dumps(json.loads(text), indent=1),
                  metadata=lambda pairs: pairs.update(note="a quote: \" and crayon.digest"),
                  header=lambda text: text.replace('"shape":', '\n "sh\\u0061pe" : ')),
            Bundle(0)),
    }  # fmt: skip


def flipped(name: str, at: int = 0) -> Callable[[bytes], bytes]:
    """One bit of a tensor's byte changed in the finished file."""

    def change(whole: bytes) -> bytes:
        (count,) = struct.unpack("<Q", whole[:8])
        first, last = json.loads(whole[8 : 8 + count])[name]["data_offsets"]
        place = 8 + count + (first if at >= 0 else last) + at
        return whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]

    return change


def replaced(name: str, content: bytes, dtype: str = "U8", shape: list[int] | None = None) -> Edit:
    def change(bundle: Bundle) -> None:
        bundle.tensors[name] = (dtype, [len(content)] if shape is None else shape, content)

    return change


def padded(payload: bytes, table: list[int]) -> bytes:
    entries = b"".join(struct.pack("<I", entry) for entry in table)
    return payload + bytes(-(len(payload) + len(entries)) % 64) + entries


def invalid() -> dict[str, tuple[bytes, dict]]:
    head, table, norm = "output.weight", "model.tok_embeddings.weight", "model.norm.weight"
    state_name = table + ".quant_state.bitsandbytes__nf4"
    good = Bundle(0).tensors[head][2]
    raw, coded = 1 << 31, len(frame(bytes(30)))
    sizes = [coded, 30 | raw, coded, 30 | raw, 3 | raw, 3 | raw]
    payload = good[: sum(size & ~raw for size in sizes)]
    gap = -(len(payload) + 24) % 64

    def set_key(path: str, value: object) -> Edit:
        def change(manifest: dict) -> None:
            *parents, last = path.split("/")
            for key in parents:
                manifest = manifest[int(key) if isinstance(manifest, list) else key]
            manifest[last] = value

        return change

    def drop_key(path: str) -> Edit:
        def change(manifest: dict) -> None:
            *parents, last = path.split("/")
            for key in parents:
                manifest = manifest[int(key) if isinstance(manifest, list) else key]
            del manifest[last]

        return change

    def remove(name: str) -> Edit:
        def change(bundle: Bundle) -> None:
            # In its place, bytes of the same number, so that the rest stays where it was.
            rest = bundle.tensors
            bundle.tensors = {("crayon.pad.9" if key == name else key): value for key, value in rest.items()}

        return change

    def opens(whole: bytes, error: str) -> tuple[bytes, dict]:
        return whole, {"open": error}

    def said(path: str, value: object, error: str) -> tuple[bytes, dict]:
        return opens(write(manifest=set_key(path, value)), error)

    def model(key: str, value: object, error: str | None = None) -> tuple[bytes, dict]:
        return said("model/" + key, value, error or f"model.{key.replace('/', '.')} is")

    def head_of(data: bytes, error: str) -> tuple[bytes, dict]:
        return write(bundle=replaced(head, data)), {"weight": f"packed tensor '{head}': {error}"}

    def bits(name: str, at: int = 0, layers: int = 0) -> tuple[bytes, dict]:
        return write(layers, file=flipped(name, at)), {"verify": [name]}

    def state_of(value: bytes, error: str) -> tuple[bytes, dict]:
        return opens(write(bundle=replaced(state_name, value)), error)

    def long_frame(size: int) -> bytes:
        # Content size in eight bytes, one RLE block of 30.
        return struct.pack("<IBQ", 0xFD2FB528, 0xE0, size) + struct.pack("<I", 30 << 3 | 3)[:3] + b"\x7e"

    def with_frame(content: bytes) -> bytes:
        return padded(content + payload[coded:], [len(content), *sizes[1:]])

    def spoilt_padding(content: bytes, dtype: str = "U8") -> Edit:
        def change(bundle: Bundle) -> None:
            bundle.tensors["crayon.pad.0"] = (dtype, [len(content)], content)

        return change

    def without_padding(bundle: Bundle) -> None:
        bundle.tensors = {key: value for key, value in bundle.tensors.items() if not key.startswith("crayon.pad.")}

    def twice(value: dict) -> None:
        value["weights"].append({**value["weights"][1], "name": head})

    def shared(value: dict) -> None:
        value["weights"][1] |= {"name": head, "coding": value["weights"][2]["coding"]}

    def shouted(whole: bytes) -> bytes:
        at = whole.index(digest_mark.encode()) + len(digest_mark)
        return whole[:at] + whole[at : at + 64].upper() + whole[at + 64 :]

    digest_mark = '"crayon.digest":"'
    no_digest = "header: a digest that is not the one it states"
    not_nf4 = '{"quant_type": "fp4", "blocksize": 32, "dtype": "bfloat16", "shape": [9, 7]}'
    coding, embedding = "weights/2/coding/", "weights/0/coding/"
    return {
        # The container
        "empty": opens(b"", "a file of 0 bytes"),
        "cut-in-the-header": opens(write()[:3000], "header length"),
        "cut-after-the-header": opens(write(file=lambda whole: whole[: 8 + struct.unpack("<Q", whole[:8])[0]]), "data_offsets end"),
        "cut-short": opens(write()[:-1], "tensor 'crayon.file.vision/preprocessor_config.json': data_offsets end"),
        "bytes-after-the-data": opens(write() + b"\0", "1 bytes after the last tensor"),
        # Version and digest of the header
        "no-version": opens(write(metadata=lambda pairs: pairs.pop("crayon.version")), "a safetensors file that is no bundle"),
        "version-2": opens(write(metadata=lambda pairs: pairs.update({"crayon.version": "2"})), "bundle version '2'"),
        "version-2-of-the-manifest": said("version", 2, "manifest: version 2"),
        "header-flipped": opens(write(file=lambda whole: whole.replace(b"internlm2", b"internlm3", 1)), no_digest),
        "header-padding-flipped": opens(
            write(file=lambda whole: whole.replace(b"} ", b"}\t", 1)), no_digest),
        "digest-of-another": opens(
            write(header=lambda text: text.replace(digest_mark + "00", digest_mark + "ff")), no_digest),
        "digest-in-upper-case": opens(write(file=shouted), no_digest),
        "no-digest": opens(write(metadata=lambda pairs: pairs.pop("crayon.digest")), no_digest),
        "digest-after-a-space": opens(write(header=lambda text: text.replace(digest_mark, '"crayon.digest": "')), no_digest),
        "digest-member-twice": opens(
            write(entries=lambda entries: entries[norm].update({"crayon.digest": "0" * 64})), no_digest),
        # The manifest
        "no-manifest": opens(write(metadata=lambda pairs: pairs.pop("crayon.manifest")), "header: no manifest"),
        "manifest-cut-short": opens(write(text=lambda text: text[:-9]), "JSON at byte"),
        "manifest-is-an-array": opens(write(text=lambda text: f"[{text}]"), "key 'manifest': an array of 1"),
        "manifest-name-twice": opens(write(text=lambda text: '{"version":1,' + text[1:]), "name 'version' twice"),
        "manifest-nested-deep": said("newKey", json.loads("[" * 20 + "]" * 20), "nesting deeper than 16"),
        "no-weights": opens(write(manifest=drop_key("weights")), "manifest: key 'weights' is missing"),
        "kind-unknown": said(coding + "kind", "gptq", "manifest: key 'weights.Index 2.coding.kind'"),
        "type-unknown": said(coding + "type", "BF17", "manifest: key 'weights.Index 2.coding.type'"),
        "hidden-size-a-fraction": said("model/backbone/hiddenSize", 7.5, "manifest: a number that is out of bounds, or a fraction"),
        "epsilon-past-every-double": opens(write(text=lambda text: text.replace("1e-05", "1e999")), "manifest: a number that is out of bounds"),
        # Places
        "data-not-at-a-page": opens(write(page=64), "header: data that begin at byte"),
        "weight-not-aligned": opens(write(bundle=without_padding), f"tensor '{table}.absmax': data at byte"),
        "padding-not-zero": opens(write(bundle=spoilt_padding(b"\1" * 32)), "tensor 'crayon.pad.0': a tensor that the manifest"),
        "padding-of-another-type": opens(
            write(bundle=spoilt_padding(bytes(32), "I8")), "tensor 'crayon.pad.0': a tensor that the manifest"),
        "padding-of-a-block": opens(write(bundle=spoilt_padding(bytes(96))), "tensor 'crayon.pad.0': a tensor that the manifest"),
        # Accounting
        "tensor-of-nobody": opens(
            write(bundle=replaced("output.weight.extra", b"\0")), "tensor 'output.weight.extra': a tensor that the manifest"),
        "tensor-without-a-digest": opens(write(manifest=drop_key(f"digests/{norm}")), f"tensor '{norm}': no digest"),
        "digest-without-a-tensor": said("digests/model.extra", "0" * 64, "tensor 'model.extra': a digest without its tensor"),
        "digest-of-no-digits": said(f"digests/{norm}", "x" * 64, f"tensor '{norm}': a digest that is not 64"),
        "component-missing": opens(write(bundle=remove(table + ".nested_absmax")), f"tensor '{table}.nested_absmax': nothing"),
        "quant-state-missing": opens(write(bundle=remove(state_name)), f"tensor '{state_name}': nothing"),
        "tensor-of-two-weights": opens(write(manifest=shared), f"tensor '{head}'"),
        "role-twice": opens(write(manifest=twice), "two"),
        "role-missing": opens(
            write(manifest=lambda value: value["weights"].pop(1)), "weight 'backbone.norm.weight': nothing"),
        "role-unknown": said("weights/1/role", "backbone.norm.scale", "weight 'backbone.norm"),
        "part-of-another": said("weights/1/part", "head", "weight 'backbone.norm.weight': part 'head'"),
        "reserved-name": said("weights/1/name", "crayon.norm", "the reserved name 'crayon.norm'"),
        "origin-above": said("weights/1/origin", "../vision", "origin '../vision'"),
        "file-missing": opens(
            write(manifest=lambda value: value["files"].append("other.json")), "tensor 'crayon.file.other.json': nothing"),
        "file-above": opens(write(manifest=lambda value: value["files"].append("../x")), "file '../x'"),
        "file-of-floats": opens(
            write(bundle=replaced("crayon.file.config.json", bytes(28), "F32", [7])), "file 'config.json': F32 [7]"),
        "probe-field-unknown": opens(
            write(manifest=lambda value: value["probes"][0]["fields"].append("mask")), "crayon.probe.0.mask"),
        "probe-field-missing": opens(
            write(manifest=lambda value: value["probes"][0]["fields"].append("labels")), "tensor 'crayon.probe.0.labels': nothing"),
        # Codings against tensors and model
        "shape-of-another": said(coding + "shape", [7, 9], "weight 'head.weight': shape [7, 9]; expected [9, 7]"),
        "shape-past-64-bits": said(coding + "shape", [1 << 40, 1 << 40], "weight 'head.weight': shape"),
        "shape-negative": said(coding + "shape", [-9, -7], "weight 'head.weight': shape"),
        "plain-type-of-another": said("weights/1/coding/type", "F16", f"tensor '{norm}': type BF16; expected F16"),
        "packed-blocks-of-zero": said(coding + "blockSize", 0, "weight 'head.weight': a packed block of 0"),
        "packed-blocks-beyond-the-limit": said(coding + "blockSize", 1 << 40, "weight 'head.weight': a packed block of 1099511627776"),
        "packed-integers": said(coding + "type", "I16", "weight 'head.weight': packed elements of type I16"),
        "packed-of-two-axes": opens(
            write(bundle=replaced(head, good, "U8", [len(good), 1])), f"tensor '{head}': shape"),
        "nf4-blocks-of-48": said(embedding + "blockSize", 48, "a block of 48"),
        "nf4-blocks-of-another": said(embedding + "blockSize", 64, f"tensor '{table}.absmax': shape [2]; expected [1]"),
        "nf4-nested-blocks-of-128": said(embedding + "nestedBlockSize", 128, "nested blocks of 128"),
        "nf4-map-too-short": opens(
            write(bundle=replaced(table + ".quant_map", bytes(60), "F32", [15])), f"tensor '{table}.quant_map': shape [15]"),
        "nf4-scales-of-halves": opens(
            write(bundle=replaced(table + ".nested_absmax", bytes(4), "F16", [2])), f"tensor '{table}.nested_absmax': type F16"),
        "quant-state-flipped": opens(write(file=flipped(state_name, 5)), f"tensor '{state_name}': a digest"),
        "quant-state-no-json": state_of(b"nf4", f"tensor '{state_name}'"),
        "quant-state-of-fp4": state_of(not_nf4.encode(), f"tensor '{state_name}': quant_type 'fp4'"),
        "quant-state-of-another-block": state_of(state("nf4", "BF16", [9, 7], 64, 0.0625), f"tensor '{table}"),
        "quant-state-of-another-shape": state_of(state("nf4", "BF16", [7, 9], 32, 0.0625), f"tensor '{state_name}': another coding"),
        "quant-state-of-another-type": state_of(state("nf4", "F16", [9, 7], 32, 0.0625), f"tensor '{state_name}': another coding"),
        "quant-state-offset-infinite": state_of(
            state("nf4", "BF16", [9, 7], 32, 0.0625).replace(b"0.0625", b"1e999"), f"tensor '{state_name}': nested_blocksize"),
        "quant-state-not-nested": state_of(state("nf4", "BF16", [9, 7], 32), f"tensor '{table}"),
        # The model
        "hidden-size-of-zero": model("backbone/hiddenSize", 0),
        "layers-negative": model("backbone/layerCount", -1),
        "layers-beyond-the-limit": model("backbone/layerCount", 1 << 40),
        "key-heads-no-divisor": opens(
            write(manifest=lambda value: value["model"]["backbone"].update(headCount=3, keyValueHeadCount=2)),
            "model.backbone.keyValueHeadCount is 2, no divisor of 3"),
        "head-size-odd": model("backbone/headSize", 5),
        "embeddings-fewer-than-tokens": model("backbone/embeddingRows", 8),
        "epsilon-negative": model("backbone/normEpsilon", -1e-5),
        "rope-factor-of-zero": model("backbone/rope/scaling", {"linear": {"factor": 0}}),
        "rope-llama3-high-below-low": opens(
            write(manifest=set_key("model/backbone/rope/scaling", {"llama3": {"parameters": {
                "factor": 8, "lowFrequencyFactor": 4, "highFrequencyFactor": 1, "originalMaxPositions": 8192}}})),
            "model.backbone.rope.scaling.highFrequencyFactor is 1.0, not above"),
        "rope-factors-too-few": opens(
            write(manifest=set_key("model/backbone/rope/scaling", {"frequencies": {"factors": [1.5]}})),
            "model.backbone.rope.scaling.factors.count is 1"),
        "rope-scaling-unknown": model("backbone/rope/scaling", {"yarn": {"factor": 2}}, "manifest: key 'model.backbone.rope.scaling'"),
        "window-of-zero": model("backbone/slidingWindow", 0),
        "begin-past-the-vocabulary": model("tokens/begin", 9),
        "low-rank-set-with-a-dot": opens(
            write(1, manifest=set_key("model/lowRankSets/0/name", "v.l")), "model.lowRankSets.name is 'v.l'"),
        "low-rank-set-of-crayon-alone": opens(
            write(1, manifest=set_key("model/lowRankSets/0/input", "crayon")), "model.lowRankSets is a set that reads"),
        # Packed bytes, their digests right
        "packed-too-short-for-its-table": (
            write(bundle=replaced(head, b""), manifest=set_key(coding + "blockSize", 1)),
            {"weight": f"packed tensor '{head}': 0 bytes; expected a multiple of 64"}),
        "packed-no-multiple-of-64": head_of(good[:-8], f"{len(good) - 8} bytes"),
        "packed-size-past-the-end": head_of(padded(payload[:40], sizes), "block 1, plane 0: 10 bytes"),
        "packed-size-of-zero": head_of(padded(payload, [0, *sizes[1:]]), "block 0, plane 0: 0 bytes"),
        "packed-frame-of-full-size": head_of(padded(payload, [30, *sizes[1:]]), "block 0, plane 0: 30 bytes"),
        "packed-raw-of-another-size": head_of(padded(payload, [coded, 29 | raw, *sizes[2:]]), "block 0, plane 1: 29 bytes, raw"),
        "packed-hostile-size": head_of(padded(payload, [0x7FFFFFFF, *sizes[1:]]), "block 0, plane 0: 2147483647 bytes"),
        "packed-gap-of-a-block": head_of(payload + bytes(gap + 64) + good[-24:], f"{gap + 64} bytes between"),
        "packed-gap-not-zero": head_of(payload + b"\1" * gap + good[-24:], f"{gap} bytes between"),
        "packed-frame-no-frame": head_of(with_frame(b"\0" * coded), "block 0, plane 0: no zstd frame"),
        "packed-frame-claims-much": head_of(with_frame(long_frame(1 << 60)), "block 0, plane 0: "),
        "packed-frame-of-fewer": head_of(with_frame(frame(b"\x7e" * 29)), "block 0, plane 0: 29 bytes decoded, 30 expected"),
        "packed-frame-of-more": head_of(with_frame(frame(b"\x7e" * 31)), "block 0, plane 0: "),
        "packed-two-frames": head_of(
            with_frame(frame(b"\x7e" * 15) * 2), "block 0, plane 0: 10 bytes after the zstd frame"),
        "packed-skippable-frame": head_of(
            with_frame(struct.pack("<II", 0x184D2A50, 4) + bytes(4)), "block 0, plane 0: "),
        # Flipped bits that opening does not see
        "flipped-plain": bits(norm, 3),
        "flipped-codes": bits(table, 7),
        "flipped-scales": bits(table + ".absmax"),
        "flipped-nested-scales": bits(table + ".nested_absmax", 1),
        "flipped-map": bits(table + ".quant_map", 2),
        "flipped-nested-map": bits(table + ".nested_quant_map", -1),
        "flipped-packed-payload": bits(head, 12),
        "flipped-packed-table": bits(head, -2),
        "flipped-file": bits("crayon.file.config.json", 4),
        "flipped-probe": bits("crayon.probe.0.logits", 5),
        "flipped-int8-codes": bits("model.layers.0.attention.wo.weight", 9, 1),
        "flipped-adapter": bits("adapters.vl.base_model.model.model.layers.0.attention.wo.lora_A.weight", 1, 1),
        "digest-of-another-tensor": (write(manifest=set_key(f"digests/{norm}", "0" * 64)), {"verify": [norm]}),
    }  # fmt: skip


def main() -> None:
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "bundle"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    for kind in expectations:
        shutil.rmtree(folder / kind, ignore_errors=True)
        (folder / kind).mkdir(parents=True)
    for name, (content, bundle) in valid().items():
        (folder / "valid" / f"{name}.crayon").write_bytes(content)
        files = {path: data.hex() for path, data in bundle.files.items()}
        expectations["valid"][f"{name}.crayon"] = {"weights": bundle.decoded, "files": files}
    for name, (content, expected) in invalid().items():
        (folder / "invalid" / f"{name}.crayon").write_bytes(content)
        expectations["invalid"][f"{name}.crayon"] = expected
    (folder / "expectations.json").write_text(json.dumps(expectations, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
