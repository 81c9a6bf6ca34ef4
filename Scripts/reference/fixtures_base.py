"""What the fixture makers share: prompts, probes with their self-checks, entries of cases.json."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model import Model, Prompt, forward, greedy
from probes import relative_error, write_probe
from random_models import write_json

TOLERANCE = 1e-5  # relative error allowed to another float32 implementation
AUDIBLE = 1e-2  # a part whose removal changes the logits by less than this is not really tested
SMALLEST_MARGIN = 1e-3  # greedy tokens must not hang on rounding


@dataclass
class Case:
    """One entry of cases.json. Paths are relative to the fixture folder."""

    name: str
    covers: str
    inputs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    probes: list[dict[str, Any]] = field(default_factory=list)
    greedy: list[dict[str, Any]] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value or key == "probes"}


def random_prompt(seed: int, vocab: int, length: int, images: int = 0, size: int = 0, grid: int = 0) -> Prompt:
    """`length` ids, `images` of them placeholders (id `vocab`) at spread places, and random pictures and maps.

    One picture comes as [3, H, W] and [g, g]; several as [images, 3, H, W] and [images, g, g].
    """
    rng = np.random.default_rng([seed, 0xC0])
    ids = rng.integers(3, vocab, length)
    ids[0] = 1
    if images == 0:
        return Prompt(torch.from_numpy(ids))
    ids[[1 + k * (length - 2) // images for k in range(images)]] = vocab
    pixels = torch.from_numpy(rng.standard_normal((images, 3, size, size)).astype(np.float32))
    semantic, numbering = (torch.from_numpy(rng.integers(0, rows, (images, grid, grid))) for rows in (134, 21))
    if images == 1:
        pixels, semantic, numbering = pixels[0], semantic[0], numbering[0]
    return Prompt(torch.from_numpy(ids), pixels, semantic, numbering)


def labels(prompt: Prompt, vocab: int, patches: int) -> torch.Tensor:
    """Labels I64 [total]: each position's own token (the loss shifts by one), -100 at images and in the first half."""
    spliced: list[int] = []
    for token in prompt.input_ids.tolist():
        spliced += [-100] * patches if token == vocab else [token]
    half = len(spliced) // 2
    return torch.tensor([-100] * half + spliced[half:])


def add_probe(
    case: Case,
    out: Path,
    file: str,
    prompt: Prompt,
    logits: torch.Tensor,
    covers: str,
    backbone: str = "source",
    **extra: Any,
) -> None:
    """Write a probe and enter it. `extra`: tensors go into the file, anything else into its entry."""
    tensors = {name: value for name, value in extra.items() if isinstance(value, torch.Tensor)}
    assert torch.isfinite(logits).all()
    write_probe(out / file, prompt, logits=logits, **tensors)
    entry = {"file": file, "covers": covers, "precision": {"backbone": backbone}, "tolerance": TOLERANCE}
    case.probes.append(entry | {name: value for name, value in extra.items() if name not in tensors})


def must_matter(what: str, model: Model, without: Model, prompt: Prompt) -> None:
    """Fail if switching a part off would go unnoticed."""
    change = relative_error(forward(without, prompt), forward(model, prompt))
    assert change > AUDIBLE, f"{what} changes the logits by {change:.1e} only"


def without_rope_scaling(model: Model) -> Model:
    return replace(model, backbone=replace(model.backbone, rope=replace(model.backbone.rope, kind="none")))


def without_bias(model: Model) -> Model:
    kept = {n: x for n, x in model.tensors.items() if not (n.startswith("backbone.") and n.endswith(".bias"))}
    return replace(model, tensors=kept)


def add_greedy(case: Case, out: Path, model: Model, prompts: dict[str, Prompt], steps: int = 32) -> list[list[int]]:
    """Greedy continuations without a cache of the named probes' prompts, in greedy.json."""
    runs = []
    for probe, prompt in prompts.items():
        found = greedy(model, prompt, steps)
        assert found.margin > SMALLEST_MARGIN, f"{case.name}: greedy margin {found.margin:.1e}"
        assert len(set(found.tokens)) > 4, f"{case.name}: greedy repeats itself: {found.tokens}"
        runs.append({"probe": probe, "tokens": found.tokens, "smallest_margin": round(found.margin, 4)})
    file = f"{case.name}/greedy.json"
    write_json(out / file, {"steps": steps, "cache": False, "runs": runs})
    case.greedy.append({"file": file})
    return [run["tokens"] for run in runs]
