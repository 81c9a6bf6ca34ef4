"""Writes Formats/samples/index: folders of safetensors shards that a reader must take, and others that it must refuse.

    python3 Scripts/reference/index_samples.py [FOLDER]

Needs nothing but Python. `expectations.json` says of each valid folder which file holds each tensor (`tensors`) and which
tensors the index leaves out (`unindexed`), and of each invalid one a text that Crayon's error must contain. A second run
writes the same bytes. A link that leaves a folder is not here, since archives lose links; the tests make one.
"""

import json
import shutil
import sys
from pathlib import Path

from safetensors_samples import dump, entry, file

INDEX = "model.safetensors.index.json"
A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def shard(*names: str, size: int = 2) -> bytes:
    """A file with these tensors of `size` bytes each, every byte the number of its tensor."""
    header = {name: entry(i * size, (i + 1) * size) for i, name in enumerate(names)}
    return file(dump(header), b"".join(bytes([i + 1]) * size for i in range(len(names))))


def index(weight_map: object, metadata: object = None) -> bytes:
    value = {"metadata": {"total_size": 6} if metadata is None else metadata, "weight_map": weight_map}
    return (json.dumps(value, indent=2) + "\n").encode()


TWO = {A: shard("a", "b"), B: shard("c")}
MAP = {"a": A, "b": A, "c": B}


def valid() -> dict[str, tuple[dict[str, bytes], dict]]:
    def holds(tensors: dict[str, str], unindexed: list[str] | None = None) -> dict:
        return {"tensors": tensors, "unindexed": unindexed or []}

    one = {"x": "model.safetensors"}
    nested = {"a": f"part/{A}", "b": f"part/{A}", "c": B}
    return {
        "two-shards": ({INDEX: index(MAP), **TWO}, holds(MAP)),
        "index-over-one-shard": ({INDEX: index(one), "model.safetensors": shard("x")}, holds(one)),
        "index-without-metadata": ({INDEX: json.dumps({"weight_map": MAP}).encode(), **TWO}, holds(MAP)),
        "wrong-total-size": ({INDEX: index(MAP, {"total_size": -1}), **TWO}, holds(MAP)),
        "shard-in-a-folder": ({INDEX: index(nested), f"part/{A}": shard("a", "b"), B: shard("c")}, holds(nested)),
        "tensor-not-in-the-index": (
            {INDEX: index({"a": A, "c": B}), **TWO}, holds({"a": A, "c": B}, ["b"])),
        "file-not-in-the-index": ({INDEX: index({"c": B}), **TWO}, holds({"c": B})),
        "no-tensors": ({INDEX: index({})}, holds({})),
        "one-file": ({"model.safetensors": shard("x", "y")}, holds({"x": "model.safetensors", "y": "model.safetensors"})),
        "one-file-of-another-name": ({"weights.safetensors": shard("x")}, holds({"x": "weights.safetensors"})),
    }  # fmt: skip


def invalid() -> dict[str, tuple[dict[str, bytes], str]]:
    def mapped(weight_map: object) -> dict[str, bytes]:
        return {INDEX: index(weight_map), **TWO}

    def leaving(path: str) -> tuple[dict[str, bytes], str]:
        shown = path.replace("\0", "")
        return mapped({**MAP, "a": path}), f"file name '{shown}': a name that leaves" if shown == path else "leaves"

    twice = f'{{"weight_map": {{"a": "{A}", "a": "{B}"}}}}'.encode()
    return {
        "index-cut-short": ({INDEX: index(MAP)[:-20], **TWO}, f"{INDEX}: JSON at byte"),
        "index-is-an-array": ({INDEX: b"[]", **TWO}, f"{INDEX}: an array of 0; expected an object"),
        "index-empty": ({INDEX: b"", **TWO}, f"{INDEX}: JSON at byte 0"),
        "no-weight-map": ({INDEX: b'{"metadata": {}}', **TWO}, "key 'weight_map': nothing"),
        "weight-map-is-a-list": (mapped([A, B]), "key 'weight_map': an array of 2"),
        "shard-name-is-a-number": (mapped({**MAP, "a": 1}), "key 'weight_map.a': the number 1"),
        "tensor-twice-in-the-index": ({INDEX: twice, **TWO}, "name 'a' twice in one object"),
        "path-to-the-folder-above": leaving("../valid/two-shards/" + A),
        "path-down-and-up": leaving("part/../../x.safetensors"),
        "path-from-the-root": leaving("/etc/passwd"),
        "path-empty": leaving(""),
        "path-ending-in-a-slash": leaving(A + "/"),
        "path-with-a-zero": leaving(A + "\0"),
        "path-with-two-slashes": leaving("part//" + A),
        "shard-missing": ({INDEX: index(MAP), A: TWO[A]}, f"1 of 2 shards missing: '{B}'"),
        "shard-is-a-folder": ({INDEX: index(MAP), A: TWO[A], f"{B}/x": b""}, f"{B}: "),
        "shard-cut-short": ({INDEX: index(MAP), A: TWO[A], B: TWO[B][:-1]}, f"{B}: tensor 'c': data_offsets end at 2"),
        "shard-header-cut-short": ({INDEX: index(MAP), A: TWO[A][:20], B: TWO[B]}, f"{A}: header length"),
        "shard-is-a-git-lfs-pointer": (
            {INDEX: index(MAP), A: TWO[A], B: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"},
            f"{B}: header length: "),
        "tensor-in-two-shards": (
            {INDEX: index(MAP), A: shard("a", "b"), B: shard("c", "a")}, f"tensor 'a': it is in two shards, {A} and {B}"),
        "tensor-in-another-shard": (
            mapped({**MAP, "b": B}), f"{A}: tensor 'b': it lies in {A}; expected {B}"),
        "index-names-an-absent-tensor": (mapped({**MAP, "d": B}), "1 tensors that the index names are in no shard: 'd'"),
        "two-files-without-an-index": (TWO, f"2 safetensors files without an index: '{A}', '{B}'"),
        "pytorch-files-only": ({"pytorch_model.bin": b"PK\x03\x04"}, "pytorch_model.bin: zip end record"),
        "no-tensors-at-all": ({"config.json": b"{}\n"}, "no file with tensors"),
    }  # fmt: skip


def main() -> None:
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "index"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {}
    for kind, cases in (("valid", valid()), ("invalid", invalid())):
        shutil.rmtree(folder / kind, ignore_errors=True)
        expectations[kind] = {}
        for name, (files, expected) in cases.items():
            expectations[kind][name] = expected
            for path, content in files.items():
                target = folder / kind / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    text = json.dumps(expectations, indent=2, ensure_ascii=False)
    (folder / "expectations.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
