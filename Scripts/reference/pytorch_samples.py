"""Writes Formats/samples/pytorch: small files of torch.save that a reader must take, and small files that it must refuse.

    python3 Scripts/reference/pytorch_samples.py [FOLDER]

Needs nothing but Python: archives and pickles are written byte by byte (`sample_archives.py`), so that they can lie. That
PyTorch writes such files, `weights_against_torch.py` holds. `expectations.json` says of each valid file what it holds, and of
each invalid one a text that Crayon's error must contain. A second run writes the same bytes.
"""

import argparse
import collections
import datetime
import pathlib
import pickle
import struct
from typing import Any

from sample_archives import SIZES, Call, Member, Storage, Tensor, archive, named, pickled, write_samples

ORDER = Member("archive/byteorder", b"little")
VERSION = Member("archive/version", b"3\n")


def data(dtype: str, count: int) -> bytes:
    """Elements whose bytes all differ, but for booleans."""
    size = count * SIZES[dtype]
    return bytes(i % 2 for i in range(size)) if dtype == "BOOL" else bytes((7 * i + 1) % 256 for i in range(size))


def storage(dtype: str, count: int, key: str = "0", **options: Any) -> Storage:
    return Storage(dtype, data(dtype, count), key, **options)


def members(value: Any, protocol: int = 2, **options: Any) -> list[Member]:
    stream, storages = pickled(value, protocol)
    found = [Member(f"archive/data/{key}", part.data, **options) for key, part in storages.items()]
    return [Member("archive/data.pkl", stream, **options), ORDER, *found, VERSION]


def saved(value: Any, protocol: int = 2) -> bytes:
    return archive(members(value, protocol))


def around(stream: bytes, storages: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """An archive with this text as its pickle."""
    parts = [Member(f"archive/data/{key}", content) for key, content in (storages or {}).items()]
    return archive([Member("archive/data.pkl", stream), *parts], **options)


def legacy(value: Any, protocol: int = 2, roots: dict[str, bytes] | None = None, sizes: dict[str, int] | None = None,
           magic: int = 0x1950A86A20F9469CFC6C, version: int = 1001) -> bytes:  # fmt: skip
    """The stream of before PyTorch 1.6. `roots` are the storages that views are parts of."""
    stream, storages = pickled(value, protocol)
    found = {key: part.data for key, part in storages.items()} | (roots or {})
    counts = {key: len(content) // SIZES[storages[key].dtype] for key, content in found.items()} | (sizes or {})
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [pickle.dumps(part, protocol) for part in (magic, version, machine)]
    keys = pickle.dumps(sorted(found), protocol)
    body = b"".join(struct.pack("<q", counts[key]) + found[key] for key in sorted(found))
    return b"".join(head) + stream + keys + body


X = Tensor(storage("F32", 6), [2, 3])


def valid() -> dict[str, tuple[bytes, dict]]:
    def plain(tensors: dict[str, Tensor], **kind: Any) -> tuple[bytes, dict]:
        return saved(tensors, **kind), {name: tensor.holds() for name, tensor in tensors.items()}

    types = {name.lower(): Tensor(storage(name, 3, str(i)), [3]) for i, name in enumerate(SIZES)}
    long = storage("I16", 24)
    strides = {
        "dense": Tensor(long, [2, 3, 4]),
        "offset": Tensor(long, [2, 2], offset=5),
        "transposed": Tensor(long, [4, 6], [1, 4]),
        "channels-last": Tensor(long, [2, 2, 3, 2], [12, 1, 4, 2]),
        "column": Tensor(long, [6], [4], 1),
        "row-of-ones": Tensor(long, [1, 4, 1], [99, 1, 7], 8),
        "expanded": Tensor(long, [3, 4], [0, 1]),
        "overlapping": Tensor(long, [3, 4], [2, 1]),
        "scalar": Tensor(long, [], [], 23),
        "nothing": Tensor(long, [0, 5], [5, 1]),
        "nothing-at-the-end": Tensor(long, [0], [1], 24),
        "five-axes": Tensor(long, [2, 1, 3, 2, 2], [12, 24, 2, 6, 1]),
    }
    shared = {"embed.weight": X, "head.weight": X, "row": Tensor(X.storage, [3], offset=3)}
    y = Tensor(storage("BF16", 4, "1"), [2, 2])
    ordered = collections.OrderedDict([("b.weight", X), ("a.weight", y)])
    two = {"b.weight": X.holds(), "a.weight": y.holds()}

    class State(dict):
        """What a module's state_dict is: an OrderedDict with attributes."""

        def __reduce__(self) -> tuple:
            attributes = {"_metadata": collections.OrderedDict([("", {"version": 1})])}
            return named("collections.OrderedDict"), (), attributes, None, iter(self.items())

    def parameter(tensor: Tensor) -> Call:
        return Call("torch._utils._rebuild_parameter", tensor, True, collections.OrderedDict())

    z = Tensor(storage("F16", 2, "2"), [2])
    wrapped = {
        "parameter": parameter(X),
        "with-state": Call("torch._utils._rebuild_parameter_with_state", y, True, collections.OrderedDict(), {"tag": 1}),
        "buffer": Call(
            "torch._tensor._rebuild_from_type_v2", named("torch._utils._rebuild_tensor_v2"), named("torch.Tensor"),
            z.__reduce__()[1], {"persistent": True, "_is_buffer": True}),
    }  # fmt: skip
    scalar = Call("numpy._core.multiarray.scalar", Call("numpy.dtype", "f8", False, True, state=(3, "<", None, -1)), b"12345678")
    training = {
        "epoch": 3, "big": 1 << 80, "negative": -5, "loss": 0.5, "best": scalar, "name": "run \u00e9", "none": None,
        "args": argparse.Namespace(lr=1e-3, path=pathlib.PurePosixPath("a/b")), "when": datetime.date(2024, 1, 1),
        "set": {1, 2}, "bytes": b"abc", "size": Call("torch.Size", (1, 2)), "dtype": named("torch.float16"),
        "device": Call("torch.device", "cpu"),
        "numbers": Call("numpy._core.multiarray._reconstruct", named("numpy.ndarray"), (0,), b"b", state=(1, (2,))),
        "counts": collections.defaultdict(list, {"a": [1]}),
        "state_dict": {"layer.weight": X, "layer.bias": z},
        "optimizer": {
            "state": {0: {"step": Tensor(storage("F32", 1, "3"), []), "exp_avg": Tensor(storage("F32", 6, "4"), [2, 3])}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}],
        },
        "rng": [Tensor(storage("U8", 5, "5"), [5])],
    }  # fmt: skip
    holds_training = {
        "layer.weight": X.holds(), "layer.bias": z.holds(),
        "optimizer.state.0.step": training["optimizer"]["state"][0]["step"].holds(),
        "optimizer.state.0.exp_avg": training["optimizer"]["state"][0]["exp_avg"].holds(),
        "rng.0": training["rng"][0].holds(),
    }  # fmt: skip
    cases = {
        "every-type.pt": plain(types),
        "strides.pt": plain(strides),
        "shared-storage.pt": plain(shared),
        "ordered.pt": (saved(ordered), two),
        "state-dict.pt": (saved(State(ordered)), two),
        "parameters.pt": (saved(wrapped), {"parameter": X.holds(), "with-state": y.holds(), "buffer": z.holds()}),
        "no-tensors.pt": (saved({}), {}),
        "one-tensor.pt": (saved(X), {"tensor": X.holds()}),
        "list.pt": (saved([X, (y, 1), {"z": z}]), {"0": X.holds(), "1.0": y.holds(), "2.z": z.holds()}),
        "names.pt": plain({"ωeight": X, "a b/c": y, "": z}),
        "training.pt": (saved(training), holds_training),
        "only-wrapper.pt": (saved({"weights": {"a": X, "b": y}, "epoch": 1}), {"a": X.holds(), "b": y.holds()}),
        "wrapper-of-wrappers.pt": (saved({"model": {"module": {"a": X}}}), {"module.a": X.holds()}),
        "nested-not-wrapped.pt": (
            saved({"model": {"embed": {"weight": X}}, "head": {"weight": y}}),
            {"model.embed.weight": X.holds(), "head.weight": y.holds()}),
        "model-and-optimizer.pt": (
            saved({"optimizer": {"state": {0: {"m": z}}}, "model": {"a": X, "b": y}}),
            {"optimizer.state.0.m": z.holds(), "a": X.holds(), "b": y.holds()}),
        "not-a-wrapper.pt": (saved({"weight": X}), {"weight": X.holds()}),
        "big-endian.pt": (
            archive([Member("archive/byteorder", b"big") if m is ORDER else m for m in members({"x": X, "y": y})]),
            {"x": X.holds(swapped=True), "y": y.holds(swapped=True)}),
        "no-byteorder.pt": (archive([m for m in members({"x": X}) if m is not ORDER]), {"x": X.holds()}),
        "descriptors.pt": (archive(members({"x": X}, descriptor=True)), {"x": X.holds()}),
        "zip64.pt": (archive(members({"x": X}, zip64=True), zip64=True), {"x": X.holds()}),
        "zip64-descriptors.pt": (archive(members({"x": X}, zip64=True, descriptor=True), zip64=True), {"x": X.holds()}),
        "deflated.pt": (
            archive(members({"x": X, "row": Tensor(X.storage, [3]), "y": y}, deflated=True)),
            {"x": X.holds(), "row": Tensor(X.storage, [3]).holds(), "y": y.holds()}),
        "aligned.pt": (archive(members({"x": X}, extra=struct.pack("<HH", 0x4246, 37) + b"Z" * 37)), {"x": X.holds()}),
        "without-checksums.pt": (
            archive([Member(m.name, m.data, local={"crc": 0}, central={"crc": 0}) for m in members({"x": X})]),
            {"x": X.holds()}),
        "legacy.pt": (legacy({"x": legacy_of(X), "y": legacy_of(y)}), {"x": X.holds(), "y": y.holds()}),
        "legacy-untyped.pt": (
            legacy({"x": (u := Tensor(storage("U16", 4, "9", view=None), [2, 2], [1, 2]))},
                   sizes={"9": 8}), {"x": u.holds()}),
    }  # fmt: skip
    for protocol in (1, 3, 4, 5):
        cases[f"protocol-{protocol}.pt"] = (saved({"x": X, "epoch": 1, "t": (1, 2)}, protocol), {"x": X.holds()})
        if protocol != 1:
            cases[f"legacy-protocol-{protocol}.pt"] = (legacy({"x": legacy_of(X)}, protocol), {"x": X.holds()})
    root = data("F32", 8)
    part = Tensor(Storage("F32", root[8:24], "7", count=8, view=("70", 2, 4)), [2, 2])
    cases["legacy-views.pt"] = (legacy({"x": part}, roots={"7": root}), {"x": part.holds()})
    return cases


def legacy_of(tensor: Tensor) -> Tensor:
    """The same, its storage named as old files name it: with a place for a view."""
    return Tensor(Storage(tensor.storage.dtype, tensor.storage.data, tensor.storage.key, view=None), tensor.shape)


# A pickle by hand: opcodes of protocol 2.
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
EMPTY = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def tuple_of(values: list[int]) -> bytes:
    return b"(" + b"".join(integer(value) for value in values) + b"t"


def store(kind: str = "torch\nFloatStorage", key: str = "0", count: int = 6, tag: str = "storage") -> bytes:
    return b"(" + text(tag) + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + integer(count) + b"tQ"


def tensor(
    offset: int = 0, size: list[int] | bytes = (2, 3), stride: list[int] | bytes = (3, 1), storage: bytes | None = None,
    more: bytes = b"",
) -> bytes:  # fmt: skip
    shape = size if isinstance(size, bytes) else tuple_of(list(size))
    steps = stride if isinstance(stride, bytes) else tuple_of(list(stride))
    return TENSOR + b"(" + (storage or store()) + integer(offset) + shape + steps + b"\x89" + EMPTY + more + b"tR"


def dict_of(value: bytes, name: str = "x") -> bytes:
    return b"\x80\x02}" + text(name) + value + b"s."


def invalid() -> dict[str, tuple[bytes, str]]:
    good = members({"x": X})
    whole = archive(good)
    six = {"0": X.storage.data}
    stream = good[0].data

    def one(value: bytes, storages: dict[str, bytes] | None = None) -> bytes:
        return around(dict_of(value), six if storages is None else storages)

    def changed(index: int, **fields: Any) -> bytes:
        parts = [Member(m.name, m.data) for m in good]
        for key, value in fields.items():
            setattr(parts[index], key, value)
        return archive(parts)

    def function(name: str, arguments: bytes = b")") -> bytes:
        home, last = name.rsplit(".", 1)
        return f"c{home}\n{last}\n".encode() + arguments + b"R"

    bomb = bytes(20 << 20)
    laughs = b"\x80\x02}" + text("x") + tensor() + b"s"
    for i in range(40):
        laughs += b"q" + bytes([i]) + b"0}" + text("a") + b"h" + bytes([i]) + b"s" + text("b") + b"h" + bytes([i]) + b"s"
    deep = b"\x80\x02" + b"".join(b"}" + text("k") for _ in range(200)) + tensor() + b"s" * 200 + b"."
    within = b"\x80\x02}q\x00" + text("a") + b"h\x00s" + text("x") + tensor() + b"s."
    script = [*good, Member("archive/constants.pkl", pickle.dumps(())), Member("archive/code/__torch__.py", b"op_version = 1\n")]
    shifted = archive(good, prefix=b"#!/bin/sh\n")
    second = len(good[0].name) + 30 + len(good[0].data)
    return {
        # The archive.
        "cut-short.pt": (whole[:-1], "zip end record: none"),
        "cut-in-the-data.pt": (whole[: second + 8], "zip end record: none"),
        "bytes-at-the-end.pt": (whole + b"\0", "zip end record: none"),
        "comment.pt": (archive(good, comment=b"hello"), "zip end record: none"),
        "comment-that-is-an-end-record.pt": (
            archive(good, comment=struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, 0, 0)), "zip end record: a central directory of 0 bytes"),
        "two-parts.pt": (archive(good, end={"disk": 1}), "an archive in several parts"),
        "count-too-small.pt": (archive(good, end={"here": 3, "entries": 3}), "zip central directory: "),
        "count-too-large.pt": (archive(good, end={"here": 5, "entries": 5}), "zip central directory: "),
        "counts-that-differ.pt": (archive(good, end={"here": 3}), "3 of 4 entries"),
        "count-of-all-ones.pt": (archive(good, end={"here": 0xFFFF, "entries": 0xFFFF}), "65535 entries"),
        "directory-past-the-end.pt": (archive(good, end={"offset": 1 << 31}), "zip end record: a central directory"),
        "directory-too-small.pt": (archive(good, end={"size": 46}), "zip end record: a central directory"),
        "bytes-before-the-end-record.pt": (archive(good, before_end=b"\0" * 8), "zip end record: a central directory"),
        "zip64-without-its-record.pt": (
            archive(good, zip64=True, locator={"record": 3}), "a zip64 locator that points to no"),
        "zip64-that-differs.pt": (archive(good, zip64=True, end={"entries": 3, "here": 3}), "than in the zip64 end record"),
        "zip64-count-past-64-bits.pt": (
            archive(good, zip64=True, wide={"here": (1 << 64) - 1, "entries": (1 << 64) - 1}), "18446744073709551615 entries"),
        "zip64-size-past-64-bits.pt": (
            archive(good, zip64=True, wide={"size": (1 << 64) - 1, "offset": 2}), "18446744073709551615 bytes at 2"),
        "zip64-field-cut-short.pt": (
            changed(2, central={"count": 0xFFFFFFFF, "extra": struct.pack("<HHI", 1, 4, 24)}), "a zip64 field cut short"),
        "zip64-field-twice.pt": (changed(2, central={"extra": struct.pack("<HHHH", 1, 0, 1, 0)}), "two zip64 fields"),
        "extra-past-its-end.pt": (changed(2, central={"extra": struct.pack("<HH", 7, 9)}), "an extra field past its end"),
        "zip64-without-its-field.pt": (changed(2, central={"count": 0xFFFFFFFF}), "4294967295 bytes stored in 24"),
        "prefix.pt": (b"PK\x03\x04" + archive(good, prefix=b"....")[4:], "4 bytes before the first entry"),
        "before-the-first-entry.pt": (b"PK\x03\x04" + shifted[4:], "10 bytes before the first entry"),
        "another-name-in-the-local-header.pt": (changed(2, local={"name": b"archive/data/1"}), "another name in the local header"),
        "another-size-in-the-local-header.pt": (changed(2, local={"count": 23}), "other sizes or another checksum"),
        "another-checksum-in-the-local-header.pt": (changed(2, local={"crc": 1}), "other sizes or another checksum"),
        "another-method-in-the-local-header.pt": (changed(2, local={"method": 8}), "another method or other flags"),
        "no-local-header.pt": (changed(2, local={"signature": 0x04034B51}), "no local header at byte"),
        "data-past-the-next-entry.pt": (changed(2, local={"count": 90, "stored": 90}, central={"count": 90, "stored": 90}), "past byte"),
        "entries-that-overlap.pt": (
            archive([*good[:2], Member("archive/data/0", six["0"], central={"offset": 0}), VERSION]), "'archive/data"),
        "name-twice.pt": (archive([*good, good[2]]), "a name that two entries have"),
        "name-no-text.pt": (changed(2, central={"name": b"\xff\xfe"}), "a name that is no text"),
        "encrypted.pt": (changed(2, flags=1), "encrypted, or a patch (flags 0x1)"),
        "method-lzma.pt": (changed(2, method=14), "method 14 (LZMA)"),
        "method-unknown.pt": (changed(2, method=77), "method 77; expected stored, or deflated"),
        "descriptor-missing.pt": (changed(2, flags=8), "no data descriptor"),
        "stored-of-two-sizes.pt": (changed(2, local={"count": 25}, central={"count": 25}), "25 bytes stored in 24"),
        "pickle-damaged.pt": (whole.replace(b"FloatStorage", b"HalfStorage\n", 1), "contents with another CRC-32"),
        "deflate-damaged.pt": (archive([Member("archive/data.pkl", stream, deflated=True, stored=b"\xff" * 9), *good[1:]]), "a deflate stream that is damaged"),
        "deflate-longer-than-it-says.pt": (
            archive([Member("archive/data.pkl", stream, deflated=True, local={"count": 9}, central={"count": 9}), *good[1:]]), "another size than the directory says"),
        "deflate-bomb.pt": (archive([*good, Member("archive/data/1", bomb, deflated=True)]), "that inflates to more than 16777216"),
        "deflated-pickle.pt": (archive([Member("archive/data.pkl", b"\x80\x02}." + bytes(2 << 20), deflated=True)]), "data.pkl: 2097156 bytes in an archive of"),
        "something-else.zip": (archive([Member("readme.txt", b"hello")]), "a zip archive of something else: 'readme.txt'"),
        "empty.zip": (archive([]), "an empty zip archive"),
        "torchscript.pt": (archive(script), "a TorchScript program"),
        "byteorder-unknown.pt": (archive([good[0], Member("archive/byteorder", b"middle"), *good[2:]]), "expected 'little' or 'big'"),
        # The pickle.
        "pickle-empty.pt": (around(b""), "data.pkl, byte 0: a pickle that is cut short"),
        "pickle-cut-short.pt": (around(stream[:-1]), "a pickle that is cut short"),
        "pickle-with-more-behind.pt": (around(stream + b"\0", six), "1 bytes after the pickle"),
        "pickle-of-protocol-6.pt": (around(b"\x80\x06}."), "pickle protocol 6"),
        "opcode-unknown.pt": (around(b"\x80\x02\xff."), "0xff; expected an opcode"),
        "stack-empty.pt": (around(b"\x80\x02s."), "an opcode without its values"),
        "stack-of-two.pt": (around(b"\x80\x02}}."), "2 values at the end"),
        "stack-empty-at-the-end.pt": (around(b"\x80\x02."), "0 values at the end"),
        "mark-missing.pt": (around(b"\x80\x02}u."), "an opcode without its mark"),
        "mark-left.pt": (around(b"\x80\x02}(."), "values at the end"),
        "below-the-mark.pt": (around(b"\x80\x02}(Ns."), "an opcode without its values"),
        "odd-items.pt": (around(b"\x80\x02}(Nu."), "a key without a value"),
        "memo-empty.pt": (around(b"\x80\x02h\x07."), "memo 7, which holds nothing"),
        "text-past-the-end.pt": (around(b"\x80\x02X\xff\xff\xff\x7f."), "a pickle that is cut short"),
        "text-of-2-to-the-63.pt": (around(b"\x80\x04\x8d" + b"\xff" * 8 + b"."), "a count past 63 bits"),
        "frame-past-the-end.pt": (around(b"\x80\x04\x95" + struct.pack("<Q", 99) + b"}."), "a frame of 99 bytes"),
        "append-to-a-dict.pt": (around(b"\x80\x02}Na."), "a value appended to what is no list"),
        "item-of-a-list.pt": (around(b"\x80\x02]NNs."), "a key set in what is no dict"),
        "state-of-a-number.pt": (around(b"\x80\x02K\x01Nb."), "a state for what takes none"),
        "call-of-a-text.pt": (around(b"\x80\x02" + text("print") + b")R."), "a call of what is no global"),
        "call-without-a-tuple.pt": (around(b"\x80\x02ccollections\nOrderedDict\nNR."), "arguments are no tuple"),
        "call-of-a-type.pt": (around(b"\x80\x02ctorch\nFloatStorage\n)R."), "a call of 'torch.FloatStorage'"),
        "extension.pt": (around(b"\x80\x02\x82\x01."), "opcode 0x82, which refers to something outside"),
        "next-buffer.pt": (around(b"\x80\x05\x97."), "opcode 0x97, which refers to something outside"),
        "os-system.pt": (around(dict_of(function("os.system", b"(" + text("echo hello") + b"t"))), "'os.system', which is no part of a tensor"),
        "builtins-eval.pt": (around(dict_of(function("builtins.eval", b"(" + text("1") + b"t"))), "'builtins.eval'"),
        "getattr.pt": (around(dict_of(function("builtins.getattr"))), "'builtins.getattr'"),
        "stack-global.pt": (around(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."), "'posix.system'"),
        "inst.pt": (around(b"(" + b"S'echo'\nios\nsystem\n."), "'os.system'"),
        "a-module.pt": (around(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b."), "'torch.nn.modules.linear.Linear'"),
        "pickle-in-a-pickle.pt": (around(b"\x80\x02cpickle\nloads\n."), "'pickle.loads'"),
        "name-in-disguise.pt": (around(b"\x80\x04\x8c\x05torch\x8c\x10_utils.os.system\x93."), "'torch._utils.os.system'"),
        "only-numbers.pt": (around(b"\x80\x02}" + text("epoch") + b"K\x01s."), "no tensor, only 'epoch'"),
        "a-number.pt": (around(b"\x80\x02K\x01."), "a pickle that holds no dict of tensors"),
        # Dicts.
        "deeply-nested.pt": (around(deep, six), "nested deeper than 64"),
        "dict-within-itself.pt": (around(within, six), "nested deeper than 64"),
        "billion-laughs.pt": (around(laughs + b".", six), "dicts and lists that hold one another too often"),
        "name-of-two-tensors.pt": (around(b"\x80\x02}" + text("a.b") + tensor() + b"s" + text("a") + b"}" + text("b") + tensor() + b"ss.", six), "tensor 'a.b': a name that two tensors have"),
        "name-too-long.pt": (around(dict_of(b"}" + text("n" * 4080) + tensor() + b"s", "m" * 90), six), "a name of 4171 bytes"),
        # Tensors.
        "storage-missing.pt": (one(tensor(), {}), "tensor 'x': no entry 'archive/data/0'"),
        "storage-of-another-size.pt": (one(tensor(storage=store(count=7))), "tensor 'x': a storage of 24 bytes in 'archive/data/0'; expected 28"),
        "storage-of-another-type.pt": (one(tensor(storage=store("torch\nHalfStorage"))), "tensor 'x': a storage of 24 bytes"),
        "storage-past-64-bits.pt": (one(tensor(storage=store(count=1 << 62))), "more bytes than 64 bits can count"),
        "storage-negative.pt": (one(tensor(storage=store(count=-6))), "tensor 'x': a storage of another kind"),
        "storage-with-another-tag.pt": (one(tensor(storage=store(tag="module"))), "tensor 'x': a storage of another kind"),
        "storage-no-persistent-name.pt": (one(tensor(storage=b"N")), "tensor 'x': no storage"),
        "storage-key-that-climbs.pt": (one(tensor(storage=store(key="../data.pkl"))), "no entry 'archive/data/../data.pkl'"),
        "size-past-the-storage.pt": (one(tensor(size=[3, 3])), "shape [3, 3] with strides [3, 1] from element 0"),
        "stride-past-the-storage.pt": (one(tensor(stride=[4, 1])), "shape [2, 3] with strides [4, 1]"),
        "offset-past-the-storage.pt": (one(tensor(offset=1)), "from element 1"),
        "offset-negative.pt": (one(tensor(offset=-1)), "from element -1"),
        "stride-negative.pt": (one(tensor(offset=5, size=[2], stride=[-1])), "strides [-1]"),
        "size-negative.pt": (one(tensor(size=[-2, -3])), "a shape of negative extents"),
        "size-product-overflows.pt": (one(tensor(size=[1 << 62, 4])), "more elements than 64 bits can count"),
        "stride-overflows.pt": (one(tensor(size=[3, 3], stride=[1 << 62, 1 << 62])), "strides [4611686018427387904"),
        "size-and-stride-of-two-lengths.pt": (one(tensor(stride=[1])), "shape [2, 3] with strides [1]"),
        "size-of-texts.pt": (one(tensor(size=b"(" + text("2") + b"t")), "a size or stride with something else in it"),
        "size-a-list.pt": (one(tensor(size=b"]")), "a size or stride that is no tuple"),
        "size-past-64-bits.pt": (one(tensor(size=b"(\x8a\x0a" + b"\xff" * 9 + b"\x01t")), "a size or stride with something else in it"),
        "expanded-to-a-terabyte.pt": (one(tensor(size=[1 << 38, 6], stride=[0, 1])), "bytes that repeat 24"),
        "too-many-axes.pt": (one(tensor(size=[1] * 65, stride=[1] * 65)), "a size or stride that is no tuple, or too long"),
        "negated.pt": (one(tensor(more=b"}" + text("neg") + b"\x88s")), "a tensor that is negated"),
        "complex.pt": (one(tensor(size=[3], stride=[1], storage=store("torch\nComplexFloatStorage", count=3))), "tensor 'x': element type 'complex64'"),
        "quantized-storage.pt": (one(tensor(storage=store("torch\nQInt8Storage", count=24))), "tensor 'x': element type 'qint8'"),
        "untyped-as-typed.pt": (one(tensor(storage=store("torch.storage\nUntypedStorage", count=24))), "tensor 'x': an untyped storage"),
        "arguments-too-few.pt": (one(TENSOR + b"(" + store() + b"tR"), "tensor 'x': arguments of another kind"),
        "sparse.pt": (one(b"ctorch._utils\n_rebuild_sparse_tensor\n)R"), "tensor 'x': a sparse tensor"),
        "quantized.pt": (one(b"ctorch._utils\n_rebuild_qtensor\n)R"), "tensor 'x': a quantized tensor"),
        "meta.pt": (one(b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R"), "tensor 'x': a tensor on the device 'meta'"),
        "another-class.pt": (
            one(b"ctorch._tensor\n_rebuild_from_type_v2\n(" + TENSOR + b"ctorch\nfloat32\n)}tR"), "tensor 'x': a tensor of a class of its own"),
        "parameter-of-parameters.pt": (
            one(b"ctorch._utils\n_rebuild_parameter\n(" * 9 + tensor() + (b"\x88" + EMPTY + b"tR") * 9), "tensor 'x': a tensor of a class of its own"),
        # The older stream.
        "legacy-cut-short.pt": (legacy({"x": legacy_of(X)})[:-1], "storage '0': 6 elements"),
        "legacy-with-more-behind.pt": (legacy({"x": legacy_of(X)}) + b"\0", "1 bytes after the last"),
        "legacy-of-another-protocol.pt": (legacy({"x": legacy_of(X)}, version=1000), "protocol version: another than 1001"),
        "legacy-count-past-64-bits.pt": (legacy({"x": legacy_of(X)}, sizes={"0": -1}), "storage '0': no count"),
        "legacy-count-too-large.pt": (legacy({"x": legacy_of(X)}, sizes={"0": 1 << 61}), "storage '0': 2305843009213693952 elements"),
        "legacy-count-too-small.pt": (legacy({"x": legacy_of(X)}, sizes={"0": 5}), "4 bytes after the last"),
        "legacy-view-past-its-root.pt": (
            legacy({"x": Tensor(Storage("F32", b"", "7", count=8, view=("70", 6, 4)), [2, 2])}, roots={"7": data("F32", 8)}), "elements 6 to 6 + 4 of a storage of 8"),
        "legacy-view-negative.pt": (
            legacy({"x": Tensor(Storage("F32", b"", "7", count=8, view=("70", -1, 4)), [2, 2])}, roots={"7": data("F32", 8)}), "a view of another kind"),
        "legacy-os-system.pt": (legacy({"x": Call("os.system", "echo")}), "system', which is no part of a tensor"),
        "another-pickle.pkl": (pickle.dumps({"x": [1, 2, 3]}, 2), "a pickle that torch.save did not write"),
    }  # fmt: skip


def main() -> None:
    write_samples("pytorch", valid(), invalid())


if __name__ == "__main__":
    main()
