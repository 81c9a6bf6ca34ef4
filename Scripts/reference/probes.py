"""Probe files (safetensors): inputs of one prompt and the logits that a right implementation gives."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from model import Prompt

INPUTS = ("input_ids", "pixel_values", "semantic_map", "numbering_map")


def write_probe(path: Path, prompt: Prompt, **outputs: torch.Tensor) -> None:
    """`outputs`: `logits` F32 [total, vocab], and optionally `labels` I64 [total]."""
    inputs = {name: tensor for name in INPUTS if (tensor := getattr(prompt, name)) is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in {**inputs, **outputs}.items()}, path)


def read_probe(path: Path) -> tuple[Prompt, dict[str, torch.Tensor]]:
    """The prompt of a probe, and everything else in it."""
    with safe_open(path, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    prompt = Prompt(**{name: tensors.pop(name) for name in INPUTS if name in tensors})
    return prompt, tensors


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of the reference, in float64."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm())
