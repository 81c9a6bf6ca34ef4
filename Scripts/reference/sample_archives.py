"""Zip archives and pickles, written byte by byte so that samples can lie in any field. Needs nothing but Python."""

import io
import itertools
import json
import pickle
import struct
import sys
import types
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1,
}  # fmt: skip


@dataclass
class Member:
    """An entry of an archive. `local` and `central` set fields to what they should not be."""

    name: str
    data: bytes
    deflated: bool = False
    descriptor: bool = False
    zip64: bool = False
    flags: int = 0
    method: int | None = None
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    stored: bytes | None = None
    extra: bytes = b""


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def archive(
    members: list[Member], *, prefix: bytes = b"", comment: bytes = b"", zip64: bool = False, end: dict | None = None,
    wide: dict | None = None, locator: dict | None = None, before_end: bytes = b"",
) -> bytes:  # fmt: skip
    """A zip archive; `end`, `wide` and `locator` set fields of the records at its end."""
    out = bytearray(prefix)
    directory = bytearray()
    for member in members:
        stored = member.stored
        if stored is None:
            stored = deflate(member.data) if member.deflated else member.data
        name = member.name.encode()
        flags = member.flags | (8 if member.descriptor else 0)
        base = {
            "name": name, "flags": flags, "method": member.method if member.method is not None else 8 * member.deflated,
            "crc": zlib.crc32(member.data), "stored": len(stored), "count": len(member.data), "extra": member.extra,
            "signature": 0x04034B50,
        }  # fmt: skip
        local = dict(base)
        if member.descriptor:
            local |= {"crc": 0, "stored": 0, "count": 0}
        if member.zip64:
            local |= {"extra": struct.pack("<HHQQ", 1, 16, base["count"], base["stored"]) + member.extra}
            local |= {"stored": 0xFFFFFFFF, "count": 0xFFFFFFFF}
        local |= member.local
        offset = len(out)
        out += struct.pack(
            "<IHHHHHIIIHH", local["signature"], 20, local["flags"], local["method"], 0, 33, local["crc"],
            local["stored"], local["count"], len(local["name"]), len(local["extra"]),
        )  # fmt: skip
        out += local["name"] + local["extra"] + stored
        if member.descriptor:
            width = "Q" if member.zip64 else "I"
            out += struct.pack(f"<II{width}{width}", 0x08074B50, base["crc"], base["stored"], base["count"])
        central = base | {"signature": 0x02014B50, "offset": offset, "disk": 0, "comment": b""}
        if member.zip64:
            central["extra"] = struct.pack("<HHQQQ", 1, 24, base["count"], base["stored"], offset) + member.extra
            central |= {"stored": 0xFFFFFFFF, "count": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
        central |= member.central
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", central["signature"], 20, 20, central["flags"], central["method"], 0, 33,
            central["crc"], central["stored"], central["count"], len(central["name"]), len(central["extra"]),
            len(central["comment"]), central["disk"], 0, 0, central["offset"],
        )  # fmt: skip
        directory += central["name"] + central["extra"] + central["comment"]
    start = len(out)
    out += directory
    fields = {"here": len(members), "entries": len(members), "size": len(directory), "offset": start}
    if zip64:
        values = fields | (wide or {})
        record = len(out)
        out += struct.pack(
            "<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, values["here"], values["entries"], values["size"],
            values["offset"],
        )  # fmt: skip
        pointer = {"record": record, "disks": 1} | (locator or {})
        out += struct.pack("<IIQI", 0x07064B50, 0, pointer["record"], pointer["disks"])
        fields = {"here": 0xFFFF, "entries": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
    out += before_end
    fields |= end or {}
    out += struct.pack(
        "<IHHHHIIH", 0x06054B50, fields.get("disk", 0), fields.get("disk", 0), fields["here"], fields["entries"],
        fields["size"], fields["offset"], len(comment),
    )  # fmt: skip
    return bytes(out) + comment


def module(name: str) -> types.ModuleType:
    """A module that pickles refer to: an empty one, unless Python has loaded one of that name."""
    if "." in name:
        module(name.rsplit(".", 1)[0])
    if name not in sys.modules:
        sys.modules[name] = types.ModuleType(name)
    return sys.modules[name]


def named(path: str) -> Any:
    """Something that pickles as the global `path`."""
    home, name = path.rsplit(".", 1)
    holder = module(home)
    if not hasattr(holder, name):
        thing = type(name, (), {})
        thing.__module__ = home
        thing.__qualname__ = name
        setattr(holder, name, thing)
    return getattr(holder, name)


class Call:
    """What pickles as a call of a global with arguments, and a state if there is one."""

    def __init__(self, path: str, *arguments: Any, state: Any = None) -> None:
        self.path = path
        self.arguments = arguments
        self.state = state

    def __reduce__(self) -> tuple:
        call = (named(self.path), self.arguments)
        return call if self.state is None else (*call, self.state)


STORAGES = {
    "F64": "Double", "F32": "Float", "F16": "Half", "BF16": "BFloat16", "I64": "Long", "I32": "Int", "I16": "Short",
    "I8": "Char", "U8": "Byte", "BOOL": "Bool",
}  # fmt: skip
TYPES = {
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip


class Storage:
    """Bytes that tensors share. `view` is the legacy format's: (key, first element, count)."""

    def __init__(self, dtype: str, data: bytes, key: str = "0", count: int | None = None, view: Any = ()) -> None:
        self.dtype = dtype
        self.data = data
        self.key = key
        self.view = view
        self.untyped = dtype not in STORAGES
        self.count = len(data) // (1 if self.untyped else SIZES[dtype]) if count is None else count

    @property
    def name(self) -> tuple:
        path = "torch.storage.UntypedStorage" if self.untyped else f"torch.{STORAGES[self.dtype]}Storage"
        return ("storage", named(path), self.key, "cpu", self.count, *([self.view] if self.view != () else []))


class Tensor:
    """A tensor over a storage, and what it holds."""

    def __init__(self, storage: Storage, shape: list[int], strides: list[int] | None = None, offset: int = 0) -> None:
        self.storage, self.shape, self.offset = storage, shape, offset
        dense = [1]
        for extent in reversed(shape[1:]):
            dense.insert(0, dense[0] * max(extent, 1))
        self.strides = (dense if shape else []) if strides is None else strides
        self.metadata: Any = None

    def __reduce__(self) -> tuple:
        ordered = __import__("collections").OrderedDict()
        common = (self.storage, self.offset, tuple(self.shape), tuple(self.strides), False, ordered)
        if self.storage.untyped:
            return named("torch._utils._rebuild_tensor_v3"), (*common, named(f"torch.{TYPES[self.storage.dtype]}"))
        return named("torch._utils._rebuild_tensor_v2"), common if self.metadata is None else (*common, self.metadata)

    def holds(self, swapped: bool = False) -> dict:
        size = SIZES[self.storage.dtype]
        out = bytearray()
        for index in itertools.product(*(range(extent) for extent in self.shape)):
            start = size * (self.offset + sum(i * s for i, s in zip(index, self.strides, strict=True)))
            element = self.storage.data[start : start + size]
            out += element[::-1] if swapped else element
        return {"dtype": self.storage.dtype, "shape": self.shape, "bytes": out.hex()}


class Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.storages: dict[str, Storage] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        return value.name


def pickled(value: Any, protocol: int = 2) -> tuple[bytes, dict[str, Storage]]:
    """The pickle, and the storages that it refers to."""
    file = io.BytesIO()
    pickler = Pickler(file, protocol)
    pickler.dump(value)
    return file.getvalue(), pickler.storages


def write_samples(name: str, valid: dict[str, tuple[bytes, Any]], invalid: dict[str, tuple[bytes, str]]) -> None:
    """Writes a corpus of `Formats/samples`, or into the folder that the command names: files, and what is expected of each."""
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / name
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    for kind, cases in (("valid", valid), ("invalid", invalid)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for file, (content, expected) in cases.items():
            (folder / kind / file).write_bytes(content)
            expectations[kind][file] = expected
    text = json.dumps(expectations, indent=2, ensure_ascii=False)
    (folder / "expectations.json").write_text(text + "\n", encoding="utf-8")
