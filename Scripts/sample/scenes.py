"""Seeded synthetic scenes with panoptic ground truth, and crayon instructions about them.

A scene is a 112 x 112 picture: one or two stuff regions (sky, grass, ...) under one to five coloured shapes, all
placed on the grid of 14-pixel patches so that a small model can learn exact boxes. Ground truth is COCO panoptic:

* a PNG whose pixel ``R + 256 G + 65536 B`` is the id of the segment that owns it;
* ``segments_info``: ``id``, ``category_id`` (not contiguous, see ``CATEGORIES``), ``bbox`` ``[x, y, width, height]``
  in pixels, ``area`` and ``iscrowd``.

Segment ids rise in reading order (by the first patch cell that a segment owns). Boxes in text are measured on the
visible mask, divided by the picture's size and written with two decimals, ties to even as C's ``printf`` does
(0.125 -> 0.12, 0.375 -> 0.38).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

PATCH = 14
GRID = 8
SIZE = PATCH * GRID
MAX_INSTANCES = 20

COLOURS = {"red": (205, 45, 40), "green": (30, 165, 70), "blue": (40, 65, 205), "yellow": (240, 215, 45)}
SHAPES = ("circle", "square", "cross")


@dataclass(frozen=True)
class Category:
    id: int
    name: str
    isthing: int

    @property
    def word(self) -> str:
        """The name used in text: COCO's suffixes are dropped."""
        return re.sub(r"(-merged|-other|-stuff)+$", "", self.name)


_THING_IDS = (1, 2, 3, 4, 6, 8, 11, 13, 16, 17, 21, 25)  # holes as in COCO's own list
CATEGORIES: tuple[Category, ...] = tuple(
    Category(i, f"{colour} {shape}", 1) for i, (shape, colour) in zip(_THING_IDS, ((s, c) for s in SHAPES for c in COLOURS))
) + (Category(154, "sand", 0), Category(178, "water-other", 0), Category(187, "sky-other-merged", 0), Category(193, "grass-merged", 0))
THINGS = tuple(k for k, c in enumerate(CATEGORIES) if c.isthing)
WORDS = tuple(c.word for c in CATEGORIES)
SAND, WATER, SKY, GRASS = range(12, 16)
_STUFF_COLOURS = {SAND: (215, 190, 140), WATER: (75, 140, 150), SKY: (165, 205, 240), GRASS: (110, 135, 60)}
COLOUR_OF_CLASS = np.array([COLOURS[c.name.split()[0]] if c.isthing else _STUFF_COLOURS[k] for k, c in enumerate(CATEGORIES)], np.int16)


@dataclass(frozen=True)
class Segment:
    """One segment: ``category`` is the class index k, ``number`` its instance number (from 1), ``box`` in pixels."""

    id: int
    category: int
    number: int
    box: tuple[int, int, int, int]
    area: int

    @property
    def word(self) -> str:
        return WORDS[self.category]


@dataclass
class Scene:
    segments: list[Segment]
    index: np.ndarray  # uint8 [size, size]: which entry of `segments` owns the pixel
    rgb: np.ndarray = field(repr=False)  # uint8 [size, size, 3]

    def panoptic(self) -> np.ndarray:
        """uint8 ``[size, size, 3]``: the COCO panoptic picture."""
        ids = np.array([s.id for s in self.segments])[self.index]
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)

    def segments_info(self) -> list[dict]:
        return [{"id": s.id, "category_id": CATEGORIES[s.category].id, "iscrowd": 0, "area": s.area,
                 "bbox": [s.box[0], s.box[1], s.box[2] - s.box[0], s.box[3] - s.box[1]]} for s in self.segments]

    def cells(self) -> np.ndarray:
        """uint8 ``[grid, grid]``: which entry of ``segments`` owns the centre of each patch cell."""
        return self.index[np.ix_(_CENTRES, _CENTRES)]

    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """The semantic and the numbering map, int64 ``[grid, grid]``; rows of the two crayon tables."""
        cells = self.cells()
        semantic = np.array([s.category + 1 for s in self.segments])
        number = np.array([s.number if s.number <= MAX_INSTANCES else 0 for s in self.segments])
        return semantic[cells], number[cells]

    def held_out(self) -> bool:
        """One layout in sixteen, by a hash of the maps, is kept out of training."""
        return hashlib.sha1(b"".join(m.tobytes() for m in self.maps())).digest()[0] % 16 == 0


def maps_from_panoptic(png: np.ndarray, segments_info: list[dict], grid: int = GRID) -> tuple[np.ndarray, np.ndarray]:
    """The rule from files alone: ids ascending, the n-th of a class is number n, nearest sample at cell centres."""
    ids = png.astype(np.int64) @ (1, 256, 65536)
    rows = ((np.arange(grid) + 0.5) * ids.shape[0] / grid).astype(int)
    columns = ((np.arange(grid) + 0.5) * ids.shape[1] / grid).astype(int)
    cells = ids[np.ix_(rows, columns)]
    class_of = {c.id: k for k, c in enumerate(CATEGORIES)}
    semantic, numbering = np.zeros_like(cells), np.zeros_like(cells)
    seen: dict[int, int] = {}
    for segment in sorted(segments_info, key=lambda s: s["id"]):
        k = class_of[segment["category_id"]]
        seen[k] = seen.get(k, 0) + 1
        semantic[cells == segment["id"]] = k + 1
        numbering[cells == segment["id"]] = seen[k] if seen[k] <= MAX_INSTANCES else 0
    return semantic, numbering


# ------------------------------------------------------------------------------------------------- rendering

_CENTRES = ((np.arange(GRID) + 0.5) * PATCH).astype(int)


def _stencil(shape: str, cells: int) -> np.ndarray:
    """bool ``[pixels, pixels]``; every shape reaches all four sides of its box, also in the cells' centres."""
    n = cells * PATCH
    middle = np.abs(np.arange(n) + 0.5 - n / 2)
    y, x = middle[:, None], middle[None, :]
    if shape == "circle":
        return x * x + y * y < n * n / 4
    if shape == "cross":
        return (x < 0.3 * n) & (y < n) & ((x < 0.3 * n) | (y < 0.3 * n)) | (y < 0.3 * n)
    return np.ones((n, n), bool)


_STENCILS = {(shape, cells): _stencil(shape, cells) for shape in SHAPES for cells in (1, 2, 3, 4)}
_noise_source = np.random.default_rng(7)
_NOISE = _noise_source.normal(0, 9, (256, 256, 3)).astype(np.int16)
_y, _x = np.mgrid[0:SIZE, 0:SIZE]
_TEXTURE = {
    SAND: np.where(_noise_source.random((SIZE, SIZE)) < 0.12, -40, 0),
    WATER: 22 * np.sin(_y / 2.1),
    SKY: 30 * (_y / SIZE - 0.5),
    GRASS: 22 * np.sign(np.sin(_x * 1.3)),
}
_TEXTURE = {k: t.astype(np.int16)[..., None] for k, t in _TEXTURE.items()}


def _layout(rng: Generator, easy: bool) -> tuple[np.ndarray, list[int]] | None:
    """An index map (entries in painting order) and the entries' classes, or None when the draw is not usable."""
    index = np.zeros((SIZE, SIZE), np.uint8)
    if rng.random() < 0.15:
        classes = [int(rng.choice((SAND, WATER, SKY, GRASS)))]
    else:
        top = int(rng.choice((SKY, SKY, WATER)))
        bottom = int(rng.choice([k for k in (SAND, WATER, GRASS) if k != top]))
        classes = [top, bottom]
        index[PATCH * int(rng.integers(2, 7)) :] = 1
    areas = []
    for _ in range(int(rng.integers(1, 3)) if easy else int(rng.choice((1, 2, 3, 4, 5), p=(0.14, 0.24, 0.28, 0.2, 0.14)))):
        painted = classes[1:] if len(areas) else []
        repeat = [k for k in painted if CATEGORIES[k].isthing]
        k = int(rng.choice(repeat)) if repeat and rng.random() < 0.35 else int(rng.choice(THINGS))
        cells = int(rng.choice((1, 2, 3, 4), p=(0.2, 0.4, 0.3, 0.1)))
        stencil = _STENCILS[CATEGORIES[k].name.split()[1], cells]
        for attempt in range(12):
            left, top = (PATCH * int(v) for v in rng.integers(0, GRID - cells + 1, 2))
            view = index[top : top + len(stencil), left : left + len(stencil)]
            first_thing = len(classes) - len(areas)
            if (view < first_thing).all() or (attempt > 6 and rng.random() < 0.3):
                view[stencil] = len(classes)
                classes.append(k)
                areas.append(int(stencil.sum()))
                break
    visible = np.bincount(index.ravel(), minlength=len(classes))
    things = visible[len(classes) - len(areas) :]
    if not areas or visible.min() == 0 or (things < 0.55 * np.array(areas)).any():
        return None
    return index, classes


def make_scene(rng: Generator, easy: bool = False) -> Scene:
    """Draws until all segments own a cell and all visible boxes lie on the patch grid; ``easy``: one or two things."""
    while True:
        drawn = _layout(rng, easy)
        if drawn is None:
            continue
        index, classes = drawn
        owners, first = np.unique(index[np.ix_(_CENTRES, _CENTRES)], return_index=True)
        if len(owners) < len(classes):
            continue
        boxes, areas = [], []
        for entry in range(len(classes)):
            mask = index == entry
            ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes.append((int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1))
            areas.append(int(mask.sum()))
        if any(v % PATCH for box in boxes for v in box) or len(set(boxes)) < len(boxes):
            continue
        break
    segments: list[Segment] = []
    rank = np.zeros(len(classes), np.uint8)
    seen: dict[int, int] = {}
    segment_id = int(rng.integers(1, 120_000))
    for order, entry in enumerate(np.argsort(first)):
        k = classes[entry]
        seen[k] = seen.get(k, 0) + 1
        segments.append(Segment(segment_id, k, seen[k], boxes[entry], areas[entry]))
        rank[entry] = order
        segment_id += int(rng.integers(1, 90_000))
    index = rank[index]
    return Scene(segments, index, _paint(rng, index, [s.category for s in segments]))


def _paint(rng: Generator, index: np.ndarray, classes: list[int]) -> np.ndarray:
    colours = COLOUR_OF_CLASS[classes] + rng.integers(-18, 19, (len(classes), 3), dtype=np.int16)
    dy, dx = rng.integers(0, 256 - SIZE, 2)
    rgb = colours[index] + _NOISE[dy : dy + SIZE, dx : dx + SIZE] + rng.integers(-15, 16, dtype=np.int16)
    for entry, k in enumerate(classes):
        if k in _TEXTURE:
            rgb += _TEXTURE[k] * (index == entry)[..., None]
    return rgb.clip(0, 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- instructions

LIST_QUESTIONS = (
    "Provide multiple object names with their numbering index and the objects' bounding box coordinates in this image.",
    "List every object in this image with its number and bounding box.",
    "What objects are in this image, and where are they?",
)
BOX_QUESTIONS = (
    "Provide the bounding box coordinates of {} in this image.",
    "Where is the {}?",
    "Give the bounding box of every {} in this image.",
    "Find the {} in this image.",
)
CLASS_QUESTIONS = (
    "What is in the box {}?",
    "What is the object in the box {}?",
    "Which object is in the box {}?",
    "Name the object in the bounding box {}.",
)
PRESENCE_QUESTIONS = (
    "Is there a {} in this image?",
    "Is there {} in this image?",
    "Does this image contain {}?",
    "Can you see a {} in this image?",
)
KINDS = ("list", "box", "class", "presence")


@dataclass(frozen=True)
class Instruction:
    kind: str
    question: str
    answer: str


def box_text(box: tuple[int, int, int, int], write: Callable[[float], str] = "{:.2f}".format) -> str:
    return "[" + ", ".join(write(v / SIZE) for v in box) + "]"


def _shortest(v: float) -> str:
    """Two decimals without trailing zeros, at least one decimal: 0.5, 0.25, 1.0."""
    text = f"{v:.2f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _question_box(rng: Generator, box: tuple[int, int, int, int]) -> str:
    """A box as people type it: two decimals, one decimal, no trailing zeros, or slightly off."""
    draw = rng.random()
    if draw < 0.5:
        return box_text(box)
    if draw < 0.65:
        return box_text(box, _shortest)
    if draw < 0.78:
        return box_text(box, "{:.1f}".format)
    if draw < 0.88:
        return box_text(box, "{:.1f}0".format)
    return box_text(box, lambda v: f"{min(max(v + rng.uniform(-0.025, 0.025), 0.0), 1.0):.2f}")


def _listing(segments: list[Segment]) -> str:
    return "Sure, it is " + ", ".join(f"(#{s.number} {s.word}) {box_text(s.box)}" for s in segments)


def _absent(rng: Generator, scene: Scene) -> int:
    """An absent class: half the time one that shares colour or shape with a thing that is there."""
    present = {s.category for s in scene.segments}
    absent = [k for k in range(len(CATEGORIES)) if k not in present]
    words = {w for k in present if k in THINGS for w in WORDS[k].split()}
    near = [k for k in absent if words & set(WORDS[k].split())]
    return int(rng.choice(near if near and rng.random() < 0.6 else absent))


def make_instruction(rng: Generator, scene: Scene, kind: str, plain: bool = False) -> Instruction:
    """One instruction; ``plain`` keeps to the first wording and two-decimal boxes."""

    def wording(choices: tuple[str, ...]) -> str:
        return choices[0 if plain else int(rng.integers(len(choices)))]

    segments = scene.segments
    if kind == "list":
        return Instruction(kind, wording(LIST_QUESTIONS), _listing(segments))
    if kind == "box":
        if not plain and rng.random() < 0.08:
            word = WORDS[_absent(rng, scene)]
            return Instruction(kind, wording(BOX_QUESTIONS).format(word), f"There is no {word} in this image.")
        things = [s for s in segments if s.category in THINGS]
        pool = things if plain or rng.random() < 0.8 else segments
        k = pool[int(rng.integers(len(pool)))].category
        return Instruction(kind, wording(BOX_QUESTIONS).format(WORDS[k]), _listing([s for s in segments if s.category == k]))
    if kind == "class":
        segment = segments[int(rng.integers(len(segments)))]
        text = box_text(segment.box) if plain else _question_box(rng, segment.box)
        return Instruction(kind, wording(CLASS_QUESTIONS).format(text), segment.word)
    present = rng.random() < 0.5
    k = segments[int(rng.integers(len(segments)))].category if present else _absent(rng, scene)
    return Instruction(kind, wording(PRESENCE_QUESTIONS).format(WORDS[k]), "Yes" if present else "No")


def draw_scene(rng: Generator, held_out: bool, easy: bool = False) -> Scene:
    while True:
        scene = make_scene(rng, easy)
        if scene.held_out() == held_out:
            return scene


# ------------------------------------------------------------------------------------------------ files


def write_held_out(folder: Path, count: int, seed: int) -> None:
    """Writes the held-out set: pictures, panoptic PNGs, ``panoptic.json``, ``NNN_segments.json``, ``questions.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images, annotations, questions = [], [], []
    for i in range(count):
        scene = draw_scene(rng, held_out=True)
        stem = f"{i:03d}"
        picture = f"{stem}.jpg" if i % 4 == 3 else f"{stem}.png"
        Image.fromarray(scene.rgb).save(folder / picture, **({"quality": 92} if picture.endswith("jpg") else {"optimize": True}))
        Image.fromarray(scene.panoptic()).save(folder / f"{stem}_panoptic.png", optimize=True)
        images.append({"id": i, "file_name": picture, "width": SIZE, "height": SIZE})
        annotation = {"image_id": i, "file_name": f"{stem}_panoptic.png", "segments_info": scene.segments_info()}
        annotations.append(annotation)
        (folder / f"{stem}_segments.json").write_text(json.dumps({"segments_info": annotation["segments_info"]}) + "\n")
        assert all((a == b).all() for a, b in zip(scene.maps(), maps_from_panoptic(scene.panoptic(), scene.segments_info())))
        drawn: list[Instruction] = []
        for kind in ("list", "box", "class", "class", "presence", "presence"):
            instruction = make_instruction(rng, scene, kind, plain=rng.random() < 0.5)
            if instruction not in drawn:
                drawn.append(instruction)
        files = {"image": picture, "panoptic": f"{stem}_panoptic.png", "segments": f"{stem}_segments.json"}
        questions += [{"scene": stem, **files, "kind": d.kind, "question": d.question, "answer": d.answer} for d in drawn]
    panoptic = {"images": images, "annotations": annotations,
                "categories": [{"id": c.id, "name": c.name, "isthing": c.isthing} for c in CATEGORIES]}
    (folder / "panoptic.json").write_text(json.dumps(panoptic, indent=1) + "\n")
    (folder / "questions.json").write_text(json.dumps(questions, indent=1) + "\n")
