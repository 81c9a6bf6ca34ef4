"""Writes Formats/samples/{coco,conversations,text-lines}: data that must be taken, and other data that must be refused.

    python3 Scripts/reference/data_samples.py [FOLDER]

Needs nothing but Python. `expectations.json` says of each valid sample what its examples are, and of each invalid one a
text that Crayon's error must contain: an error on opening it, or on asking for one of its examples. A second run writes
the same bytes.
"""

import json
import shutil
import struct
import sys
import zlib
from pathlib import Path

CATEGORIES = [
    {"id": 1, "name": "person", "isthing": 1},
    {"id": 19, "name": "horse", "isthing": 1, "color": [1, 2, 3]},
    {"id": 187, "name": "sky-other-merged", "isthing": 0},
]


def png(rows: list[list[int]]) -> bytes:
    """A colour PNG whose pixels are segment ids."""
    raw = b"".join(b"\0" + b"".join(struct.pack("<I", v)[:3] for v in row) for row in rows)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


# Sky above; two horses and a person below, 8 x 4 pixels.
MAP = png([[300] * 8, [300] * 8, [7, 7, 9, 9, 9, 70000, 70000, 0], [7, 7, 9, 9, 9, 70000, 70000, 0]])
PICTURE = png([[0x808080] * 8] * 4)
SEGMENTS = [
    {"id": 70000, "category_id": 19, "iscrowd": 0, "bbox": [5, 2, 2, 2], "area": 4},
    {"id": 7, "category_id": 19, "iscrowd": 0, "bbox": [0, 2, 2, 2], "area": 4},
    {"id": 9, "category_id": 1, "iscrowd": 0, "bbox": [2, 2, 3, 2], "area": 6},
    {"id": 300, "category_id": 187, "iscrowd": 0, "bbox": [0, 0, 8, 2], "area": 16},
]
OBJECTS = [
    "(#1 horse) [0.00, 0.50, 0.25, 1.00]",
    "(#1 person) [0.25, 0.50, 0.62, 1.00]",
    "(#1 sky) [0.00, 0.00, 1.00, 0.50]",
    "(#2 horse) [0.62, 0.50, 0.88, 1.00]",
]


def annotations(**changes: object) -> dict:
    """One picture's annotations; `segment_…` changes the first segment, `annotation_…` and `image_…` the records."""
    segments = [dict(s) for s in SEGMENTS]
    annotation = {"image_id": 42, "file_name": "000000000042.png", "segments_info": segments}
    image = {"id": 42, "file_name": "000000000042.jpg", "width": 8, "height": 4}
    records = {"segment": segments[0], "annotation": annotation, "image": image}
    whole = {"info": {}, "images": [image], "annotations": [annotation], "categories": CATEGORIES}
    for key, value in changes.items():
        kind, _, name = key.partition("_")
        target = records.get(kind, whole) if name else whole
        if value is None:
            del target[name or kind]
        else:
            target[name or kind] = value
    return whole


def text(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def beside(**changes: object) -> dict[str, bytes]:
    return {"panoptic.json": text(annotations(**changes)), "000000000042.jpg": PICTURE, "000000000042.png": MAP}


def coco() -> tuple[dict, dict]:
    def published(split: str, maps: str, pictures: str) -> dict[str, bytes]:
        return {
            f"annotations/panoptic_{split}2017.json": text(annotations()),
            f"{maps}/000000000042.png": MAP,
            f"{pictures}/000000000042.jpg": PICTURE,
        }

    def holds(split: str = "train") -> dict:
        return {"split": split, "categories": 3, "objects": [OBJECTS]}

    crowd = [dict(s, iscrowd=1) if s["id"] == 7 else s for s in SEGMENTS]
    alone = [OBJECTS[1], OBJECTS[2], OBJECTS[3].replace("#2", "#1")]
    valid = {
        "published": (published("train", "annotations/panoptic_train2017", "train2017"), holds()),
        "published-val": (published("val", "annotations/panoptic_val2017", "val2017"), holds("val")),
        "images-in-a-folder": (published("train", "panoptic_train2017", "images/train2017"), holds()),
        "beside": (beside(), holds()),
        "booleans": (beside(categories=[dict(c, isthing=bool(c["isthing"])) for c in CATEGORIES]), holds()),
        "a-crowd": (beside(annotation_segments_info=crowd), {**holds(), "objects": [alone]}),
    }
    second = {"image_id": 42, "file_name": "other.png", "segments_info": []}
    no_maps = published("train", "annotations/panoptic_train2017", "train2017")
    del no_maps["annotations/panoptic_train2017/000000000042.png"]
    zipped = {**no_maps, "annotations/panoptic_train2017.zip": b"PK\x05\x06" + bytes(18)}
    no_pictures = published("train", "annotations/panoptic_train2017", "train2017")
    del no_pictures["train2017/000000000042.jpg"]
    first = annotations()["annotations"][0]
    invalid = {
        "nothing-there": ({"readme.txt": b"empty\n"}, "no annotations"),
        "no-maps": (no_maps, "no panoptic maps"),
        "maps-in-an-archive": (zipped, "Unpack it there"),
        "no-pictures": (no_pictures, "no pictures"),
        "cut-short": ({"panoptic.json": text(annotations())[:-40]}, "JSON at byte"),
        "a-list": ({"panoptic.json": b"[]\n"}, "key 'annotations'"),
        "no-categories": (beside(categories=None), "key 'categories'"),
        "categories-empty": (beside(categories=[]), "no records"),
        "category-twice": (beside(categories=[*CATEGORIES, CATEGORIES[0]]), "a second category 1"),
        "no-annotations": (beside(annotations=[]), "no records"),
        "picture-annotated-twice": (beside(annotations=[first, second]), "a second annotation of picture 42"),
        "picture-not-listed": (beside(annotation_image_id=43), "the id of a picture in 'images'"),
        "image-id-missing": (beside(annotation_image_id=None), "annotations[0].image_id"),
        "category-not-listed": (beside(segment_category_id=2), "category 2 of segment 70000"),
        "segment-of-id-zero": (beside(segment_id=0), "three bytes of a pixel"),
        "segment-id-too-large": (beside(segment_id=1 << 24), "three bytes of a pixel"),
        "segment-twice": (beside(segment_id=9), "a second segment 9"),
        "segments-missing": (beside(annotation_segments_info=None), "segments_info"),
        "map-outside": (beside(annotation_file_name="../000000000042.png"), "the name of a file below"),
        "map-missing": (beside(annotation_file_name="43.png"), "43.png"),
        "picture-outside": (beside(image_file_name="/etc/hostname"), "the name of a file below"),
        "map-is-text": ({**beside(), "000000000042.png": b"not a picture\n"}, "no PNG file"),
        "map-cut-short": ({**beside(), "000000000042.png": MAP[:60]}, "PNG that cannot be decoded"),
        "not-utf-8": ({"panoptic.json": text(annotations()).replace(b"horse", b"h\xffrse")}, "not UTF-8"),
    }
    return valid, invalid


def turn(speaker: str, value: str) -> dict:
    return {"from": speaker, "value": value}


HELLO = [turn("human", "Hello?"), turn("gpt", "Hello.")]


def conversations() -> tuple[dict, dict]:
    def record(*turns: dict, **more: object) -> dict:
        return {"id": "1", "conversations": list(turns), **more}

    def exchange(question: str, answer: str, pictures: int = 0) -> dict:
        return {"question": question, "answer": answer, "pictures": pictures}

    what = [turn("human", "<image>\nWhat?"), turn("gpt", "A horse.")]
    valid = {
        "text-only": (record(*HELLO), [exchange("Hello?", "Hello.")]),
        "picture-first": (record(*what, image="a.png"), [exchange("What?", "A horse.", 1)]),
        "picture-last": (
            record(turn("human", "What?\n<image>"), turn("gpt", "A horse."), image="a.png"), [exchange("What?", "A horse.", 1)]),
        "picture-unmarked": (record(*HELLO, image="a.png"), [exchange("Hello?", "Hello.", 1)]),
        "picture-between": (
            record(turn("human", "Is <image> a horse?"), turn("gpt", "Yes"), image="a.png"),
            [exchange("Is <image> a horse?", "Yes", 1)]),
        "two-pictures": (
            record(*what, turn("human", "And <image>"), turn("gpt", "Too."), image=["a.png", "sub/b.png"]),
            [exchange("What?", "A horse.", 1), exchange("And", "Too.", 1)]),
        "system": (record(turn("system", "Be kind."), *HELLO), [exchange("Be kind.\nHello?", "Hello.")]),
        "other-names": (record(turn("user", "A?"), turn("assistant", "B.")), [exchange("A?", "B.")]),
    }  # fmt: skip
    invalid = {
        "an-object": ({"conversations": HELLO}, "no array"),
        "empty": ([], "no records"),
        "record-is-text": (["text"], "an object"),
        "no-conversations": ([{"id": 1}], "conversations"),
        "no-turns": ([record()], "no turns"),
        "answer-first": ([record(*reversed(HELLO))], "turn 1 from 'gpt'"),
        "two-questions": ([record(HELLO[0], *HELLO)], "turn 2 from 'human'"),
        "question-last": ([record(*HELLO, HELLO[0])], "a question without an answer"),
        "speaker-unknown": ([record(turn("narrator", "Once"))], "turn 1 from 'narrator'"),
        "mark-without-a-picture": ([record(*what)], "1 times <image> for 0 pictures"),
        "marks-too-many": ([record(turn("human", "<image><image>"), turn("gpt", "A"), image="a.png")], "2 times <image>"),
        "picture-outside": ([record(*what, image="../a.png")], "the name of a file below"),
        "picture-of-the-system": ([record(*what, image="/etc/hostname")], "the name of a file below"),
        "value-is-a-number": ([record(turn("human", "A"), {"from": "gpt", "value": 3})], "a string"),
    }  # fmt: skip
    files = {name: ({name + ".json": text([value])}, holds) for name, (value, holds) in valid.items()}
    broken = {name: ({name + ".json": text(value)}, error) for name, (value, error) in invalid.items()}
    good = text([record(*HELLO)])
    broken["cut-short"] = ({"cut-short.json": good[:-20]}, "JSON at byte")
    broken["not-utf-8"] = ({"not-utf-8.json": good.replace(b"Hello.", b"H\xe9llo.")}, "not UTF-8")
    broken["name-twice"] = ({"name-twice.json": b'[{"conversations": [], "conversations": []}]\n'}, "twice")
    return files, broken


def lines() -> tuple[dict, dict]:
    chat = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]
    one = [{"question": "Hello?", "answer": "Hello.", "pictures": 0}]
    valid = {
        "text": (b'{"text": "Once upon a time"}\n', "Once upon a time"),
        "no-line-end": (b'{"text": "Once", "meta": 3}', "Once"),
        "empty-lines": (b'\n  \r\n{"text": "Once"}\r\n\n', "Once"),
        "prompt": (b'{"prompt": "Hello?", "answer": "Hello."}\n', one),
        "messages": (json.dumps({"messages": chat}).encode() + b"\n", one),
        "system": (
            json.dumps({"messages": [{"role": "system", "content": "Be kind."}, *chat]}).encode() + b"\n",
            [{**one[0], "question": "Be kind.\nHello?"}]),
    }  # fmt: skip
    invalid = {
        "empty": (b"\n\n", "no records"),
        "not-json": (b"Once upon a time\n", "JSON at byte 0"),
        "second-line": (b'{"text": "Once"}\n{"text": \n', "JSON at byte 26"),
        "a-list": (b'["Once"]\n', "an object"),
        "no-key": (b'{"content": "Once"}\n', "one of the keys"),
        "two-forms": (b'{"text": "Once", "prompt": "A", "answer": "B"}\n', "text and prompt"),
        "no-answer": (b'{"prompt": "A"}\n', "answer"),
        "text-is-a-number": (b'{"text": 3}\n', "a string"),
        "answer-first": (b'{"messages": [{"role": "assistant", "content": "A"}]}\n', "turn 1 from 'assistant'"),
        "not-utf-8": (b'{"text": "\xff"}\n', "not UTF-8"),
    }
    return (
        {name: ({name + ".jsonl": data}, holds) for name, (data, holds) in valid.items()},
        {name: ({name + ".jsonl": data}, error) for name, (data, error) in invalid.items()},
    )


def write(root: Path, corpus: tuple[dict, dict], folders: bool) -> None:
    """Each sample in a folder of its name, or, of one file, as that file."""
    shutil.rmtree(root, ignore_errors=True)
    expectations: dict[str, dict] = {}
    for kind, samples in zip(("valid", "invalid"), corpus, strict=True):
        expectations[kind] = {}
        for name, (files, expectation) in samples.items():
            for file, data in files.items():
                path = root / kind / name / file if folders else root / kind / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            expectations[kind][name if folders else next(iter(files))] = expectation
    (root / "expectations.json").write_text(json.dumps(expectations, indent=2) + "\n")


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "Formats/samples"
    write(root / "coco", coco(), folders=True)
    write(root / "conversations", conversations(), folders=False)
    write(root / "text-lines", lines(), folders=False)


if __name__ == "__main__":
    main()
