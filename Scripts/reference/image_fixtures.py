#!/usr/bin/env python3
"""Makes Tests/ImagesTests/Fixtures: small pictures of every kind, and what Pillow, PyTorch and transformers make of them.

Needs pillow (13 or later, which chooses the order of its two passes), torch, numpy and transformers. PNG files of the kinds that Pillow does not write are put together here.

    python3 Scripts/reference/image_fixtures.py
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

FIXTURES = Path(__file__).resolve().parents[2] / "Tests/ImagesTests/Fixtures"
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def base64_of(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def digest(array: np.ndarray) -> str:
    """Of bytes that must be equal to the last bit."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def packed(samples: np.ndarray, depth: int) -> bytes:
    """Rows of samples [height, width, channels], each behind the byte that says it is not filtered."""
    rows = []
    for row in samples:
        if depth == 16:
            body = row.astype(">u2").tobytes()
        elif depth == 8:
            body = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(sample), f"0{depth}b") for sample in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        rows.append(b"\0" + body)
    return b"".join(rows)


def png(samples: np.ndarray, color: int, depth: int, extra: list[tuple[bytes, bytes]] = [], interlaced: bool = False):
    height, width = samples.shape[:2]
    if interlaced:
        data = b"".join(packed(part, depth) for x, y, dx, dy in ADAM7 if (part := samples[y::dy, x::dx]).size)
    else:
        data = packed(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header)] + [chunk(*pair) for pair in extra]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def scene(width: int, height: int, seed: int) -> np.ndarray:
    """Gradients, edges and noise, [height, width, 3]."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 7 % 256], axis=-1)
    image[height // 3 : height // 2, width // 4 : width // 2] = [255, 0, 0]
    image[height // 2 :, width // 2 :] = generator.integers(0, 256, (height - height // 2, width - width // 2, 3))
    return image.astype(np.uint8)


def pictures() -> dict[str, str]:
    """File name -> digest of the RGB bytes expected, [height, width, 3]."""
    generator = np.random.default_rng(1)
    expected: dict[str, str] = {}

    def add(name: str, data: bytes, pixels: np.ndarray | None = None) -> None:
        (FIXTURES / name).write_bytes(data)
        if pixels is None:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            pixels = np.asarray(image.convert("RGB"))
        expected[name] = digest(pixels)

    width, height = 19, 13
    palette = generator.integers(0, 256, (256, 3)).astype(np.uint8)
    for depth in [1, 2, 4, 8]:
        grey = generator.integers(0, 1 << depth, (height, width, 1))
        add(f"grey{depth}.png", png(grey, 0, depth))
        table = [(b"PLTE", palette[: 1 << depth].tobytes())]
        add(f"palette{depth}.png", png(grey, 3, depth, table))
        add(f"palette{depth}-interlaced.png", png(grey, 3, depth, table, interlaced=True))
    index = generator.integers(0, 256, (height, width, 1))
    clear = [(b"PLTE", palette.tobytes()), (b"tRNS", generator.integers(0, 256, 256).astype(np.uint8).tobytes())]
    add("palette8-transparent.png", png(index, 3, 8, clear))
    add("grey8-transparent.png", png(index, 0, 8, [(b"tRNS", struct.pack(">H", int(index[0, 0, 0])))]))
    for color, channels, name in [(2, 3, "rgb"), (4, 2, "grey-alpha"), (6, 4, "rgba")]:
        for depth in [8, 16]:
            samples = generator.integers(0, 1 << depth, (height, width, channels))
            add(f"{name}{depth}.png", png(samples, color, depth), None if depth == 8 else high_bytes(samples))
            add(f"{name}{depth}-interlaced.png", png(samples, color, depth, interlaced=True),
                None if depth == 8 else high_bytes(samples))
    # Pillow clips 16-bit grey at 255; here it is scaled as colour is.
    grey = generator.integers(0, 1 << 16, (height, width, 1))
    add("grey16.png", png(grey, 0, 16), high_bytes(grey))
    # A gamma that must not be applied.
    gamma = [(b"gAMA", struct.pack(">I", 100000))]
    add("rgb8-gamma.png", png(generator.integers(0, 256, (height, width, 3)), 2, 8, gamma))

    photo = Image.fromarray(scene(45, 31, 2))
    for name, mode, options in [
        ("ycc444", "RGB", {"subsampling": 0}), ("ycc422", "RGB", {"subsampling": 1}), ("ycc420", "RGB", {"subsampling": 2}),
        ("progressive", "RGB", {"progressive": True}), ("restarts", "RGB", {"restart_marker_blocks": 2}),
        ("grey", "L", {}), ("grey-progressive", "L", {"progressive": True}), ("cmyk", "CMYK", {}), ("rgb", "RGB", {"keep_rgb": True}),
    ]:
        data = io.BytesIO()
        photo.convert(mode).save(data, "JPEG", quality=85, **options)
        add(f"{name}.jpg", data.getvalue())

    small = Image.fromarray(scene(16, 9, 3))
    for orientation in range(0, 10):
        exif = Image.Exif()
        exif[0x010f] = "a maker"
        exif[0x0112] = orientation
        data = io.BytesIO()
        small.save(data, "JPEG", quality=95, exif=exif.tobytes())
        add(f"orientation{orientation}.jpg", data.getvalue())
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=95, exif=b"Exif\0\0" + exif)
    add("orientation6-big-endian.jpg", data.getvalue())
    add("orientation6.png", png(np.asarray(small), 2, 8, [(b"eXIf", exif)]))
    return expected


def high_bytes(samples: np.ndarray) -> np.ndarray:
    """RGB of 16-bit samples: the high byte, alpha dropped."""
    colour = (samples >> 8)[..., : 3 if samples.shape[2] >= 3 else 1]
    return np.broadcast_to(colour, samples.shape[:2] + (3,)).astype(np.uint8)


def torch_bilinear(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """torchvision's Resize(antialias=False) of a uint8 tensor."""
    values = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    values = torch.nn.functional.interpolate(values, (height, width), mode="bilinear", align_corners=False)
    return values.round().to(torch.uint8)[0].permute(1, 2, 0).numpy()


def resizes() -> dict[str, Any]:
    source = scene(61, 43, 4)
    (FIXTURES / "resize.png").write_bytes(png(source, 2, 8))
    image = Image.fromarray(source)
    sizes = [(28, 28), (61, 20), (20, 43), (84, 70), (1, 1), (7, 90), (60, 44), (50, 10), (70, 40), (52, 25), (52, 24)]
    cases: list[dict[str, Any]] = []
    for width, height in sizes:
        cases.append({
            "width": width, "height": height,
            "pillow-bilinear": digest(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))),
            "pillow-bicubic": digest(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))),
        })
    # PyTorch has another kernel for small pictures.
    for width, height in [(84, 70), (490, 490), (392, 294), (61, 500), (900, 43)]:
        cases.append({"width": width, "height": height, "torch-bilinear": digest(torch_bilinear(source, width, height))})
    return {"source": "resize.png", "cases": cases}


def preparations() -> list[dict[str, Any]]:
    from transformers import CLIPImageProcessorPil

    cases = []
    for width, height, size in [(61, 43, 14), (30, 77, 14), (9, 9, 14), (41, 40, 7)]:
        source = scene(width, height, 5)
        name = f"prepare{width}x{height}.png"
        (FIXTURES / name).write_bytes(png(source, 2, 8))
        clip = CLIPImageProcessorPil(
            size={"shortest_edge": size}, crop_size={"height": size, "width": size}, image_mean=CLIP_MEAN, image_std=CLIP_STD)
        values = clip(images=Image.fromarray(source), return_tensors="np")["pixel_values"][0].astype(np.float32)
        # The published evaluation: detectron2's Resize (Pillow, bilinear), then mean and deviation on the scale of 255.
        squeezed = torch.from_numpy(np.array(Image.fromarray(source).resize((size, size), Image.Resampling.BILINEAR)))
        mean, std = (torch.tensor(v).view(-1, 1, 1) * 255 for v in (CLIP_MEAN, CLIP_STD))
        collavo = ((squeezed.permute(2, 0, 1) - mean) / std).numpy().astype(np.float32)
        cases.append({"file": name, "size": size, "clip": base64_of(values), "collavo": base64_of(collavo)})
    return cases


def grids() -> list[dict[str, Any]]:
    cases = []
    torch.manual_seed(6)
    for rows, columns, new_rows, new_columns, dim in [
        (24, 24, 35, 35, 2), (7, 7, 16, 16, 3), (6, 6, 6, 6, 2), (16, 16, 7, 7, 5), (5, 9, 8, 3, 2), (1, 1, 4, 4, 3), (2, 2, 5, 5, 1)
    ]:
        source = torch.randn(1, dim, rows, columns)
        case: dict[str, Any] = {
            "rows": rows, "columns": columns, "newRows": new_rows, "newColumns": new_columns, "dim": dim,
            "source": base64_of(source[0].permute(1, 2, 0).numpy()),
        }
        for name, antialias in [("plain", False), ("antialias", True)]:
            result = torch.nn.functional.interpolate(
                source, (new_rows, new_columns), mode="bicubic", align_corners=False, antialias=antialias)
            case[name] = base64_of(result[0].permute(1, 2, 0).numpy())
        cases.append(case)
    return cases


# Panoptic maps. The rules are the published code's make_seg_prompt on the sampled map, written anew.

CATEGORIES = {1: "person", 19: "horse", 124: None, 193: "grass-merged", 187: "sky-other-merged", 112: "door-stuff"}
COCO_INDEX = {1: 0, 19: 17, 193: 125, 187: 119, 112: 86}


def crayon(ids: np.ndarray, segments: list[dict[str, int]], side: int, sampling: str) -> dict[str, Any]:
    height, width = ids.shape
    if sampling == "corner":
        cells = torch.nn.functional.interpolate(torch.from_numpy(ids)[None, None].float(), (side, side), mode="nearest")
        cells = cells[0, 0].numpy().astype(np.int64)
    else:
        pick = lambda size: [int((i + 0.5) * size / side) for i in range(side)]
        cells = ids[np.ix_(pick(height), pick(width))]
    semantic, numbering = np.zeros_like(cells), np.zeros_like(cells)
    count: dict[str, int] = {}
    objects = []
    by_id = {segment["id"]: segment for segment in segments}
    for value in np.unique(cells):
        segment = by_id.get(int(value))
        if value == 0 or segment is None or segment["category_id"] not in COCO_INDEX:
            continue
        mask = cells == value
        semantic[mask] = COCO_INDEX[segment["category_id"]] + 1
        if segment.get("iscrowd"):
            continue
        name = CATEGORIES[segment["category_id"]]
        for suffix in ["-merged", "-other", "-stuff"]:
            name = name.replace(suffix, "")
        count[name] = count.get(name, 0) + 1
        numbering[mask] = count[name] if count[name] <= 20 else 0
        ys, xs = np.where(mask)
        box = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=torch.float32) * (1 / side)
        text = ", ".join(f"{round(x.item(), 2):.2f}" for x in box)
        objects.append(f"(#{count[name]} {name}) [{text}]")
    sentence = f"The image includes {', '.join(objects)}." if objects else "None of detailed object information for image."
    return {
        "side": side, "sampling": sampling, "semantic": semantic.reshape(-1).tolist(),
        "numbering": numbering.reshape(-1).tolist(), "sentence": sentence,
    }


def rgb_of(ids: np.ndarray) -> np.ndarray:
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)


def panoptic() -> list[dict[str, Any]]:
    generator = np.random.default_rng(8)
    maps: dict[str, tuple[np.ndarray, list[dict[str, int]]]] = {}

    ids = np.full((50, 70), 3939)
    ids[:20] = 0x0a0b0c
    ids[15:40, 5:20] = 300
    ids[18:49, 40:55] = 7
    ids[22:45, 21:30] = 65537
    ids[0:3, 60:70] = 0
    segments = [
        {"id": 65537, "category_id": 1}, {"id": 300, "category_id": 19}, {"id": 7, "category_id": 19},
        {"id": 3939, "category_id": 193}, {"id": 0x0a0b0c, "category_id": 187},
    ]
    maps["scene"] = (ids, segments)

    # Twenty-five of a class, a crowd, an unknown category, a segment without pixels, pixels without a segment.
    ids = np.zeros((64, 48), dtype=np.int64)
    segments = []
    for index in range(25):
        y, x = divmod(index, 5)
        ids[y * 8 : y * 8 + 7, x * 9 : x * 9 + 8] = 1000 - index
        segments.append({"id": 1000 - index, "category_id": 1})
    ids[40:48] = 50
    ids[48:54] = 60
    ids[54:60] = 70
    ids[60:64, :10] = 80
    segments += [
        {"id": 50, "category_id": 19, "iscrowd": 1}, {"id": 60, "category_id": 124}, {"id": 90, "category_id": 112},
        {"id": 80, "category_id": 112, "iscrowd": 0},
    ]
    maps["odd"] = (ids, segments)
    maps["void"] = (np.zeros((9, 9), dtype=np.int64), [])
    noise = generator.integers(0, 6, (37, 53))
    maps["noise"] = (noise, [{"id": i, "category_id": c} for i, c in [(1, 1), (2, 19), (3, 19), (4, 193), (5, 112)]])

    cases = []
    for name, (ids, segments) in maps.items():
        (FIXTURES / f"panoptic-{name}.png").write_bytes(png(rgb_of(ids), 2, 8))
        info = [dict(segment, area=int((ids == segment["id"]).sum()), bbox=[0, 0, 1, 1]) for segment in segments]
        document = {"segments_info": info, "file_name": f"panoptic-{name}.png", "image_id": 1}
        (FIXTURES / f"panoptic-{name}.json").write_text(json.dumps(document))
        for side in [6, 7, 12, 35]:
            for sampling in ["centre", "corner"]:
                cases.append({"map": f"panoptic-{name}"} | crayon(ids, segments, side, sampling))
    return cases


def main() -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    fixture = {
        "pictures": pictures(), "resizes": resizes(), "preparations": preparations(), "grids": grids(), "panoptic": panoptic(),
    }
    (FIXTURES / "images.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


main()
