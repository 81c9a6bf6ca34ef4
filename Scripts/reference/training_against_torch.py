"""Holds `crayon train` against PyTorch: the same start, data order, AdamW and schedule, step by step.

    python training_against_torch.py [--updates 50] [--sequences 4] [--crayon .build/release/crayon]
        [--arithmetic float32] [--keep DIR]

For each stage of the paper a bundle is trained by Crayon on synthetic scenes; PyTorch reads the same bundle by
`read_bundle.py`, begins the same sets by `splitmix.py`, learns from the sequences that `crayon data batches` writes with
autograd through `model.py` in float32 and `torch.optim.AdamW`, and the two curves of losses are compared, update by update,
and the learned weights at the end. The stages follow one another: each begins with the bundle that Crayon made of the one before.
Allowed: 1e-3 of the loss. Exit code 0: all held.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from model import Backbone, LowRankSet, Model, Prompt, Rope, Tensors, Vision, logits
from read_bundle import read_weights
from splitmix import SplitMix64

ALLOWED = 1e-3
RATE, FINAL, CLIP, RANK = 2e-3, 1e-5, 1.0, 8
SAMPLE = Path(__file__).resolve().parents[1] / "sample" / "checkpoint"


def run(command: Path, *words: object) -> None:
    done = subprocess.run([str(command), *map(str, words), "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")


def load(path: Path) -> tuple[Model, dict]:
    """A bundle as the reference's model, every weight in float32."""
    manifest, weights = read_weights(path)
    config = manifest["model"]
    c, v = config["backbone"], config["vision"]
    backbone = Backbone(
        hidden=c["hiddenSize"],
        layers=c["layerCount"],
        heads=c["headCount"],
        kv_heads=c["keyValueHeadCount"],
        head_dim=c["headSize"],
        mlp=c["intermediateSize"],
        vocab=c["vocabularySize"],
        eps=c["normEpsilon"],
        rope=Rope(base=c["rope"]["base"], max_positions=c["rope"]["maxPositions"]),
    )
    vision = Vision(
        width=v["width"],
        layers=v["layerCount"],
        heads=v["headCount"],
        mlp=v["intermediateSize"],
        patch=v["patchSize"],
        image_size=v["imageSize"],
    )
    sets = tuple(
        LowRankSet(s["name"], s["alpha"] / s["rank"], s["scope"], s["input"])
        for s in config["lowRankSets"]
        if s["isActive"]
    )
    tensors = {role: torch.from_numpy(np.array(x)) for role, x in weights.items()}
    return Model(backbone, tensors, vision, sets, "additive"), config


def begin_set(model: Model, config: dict, name: str) -> Model:
    """The set that a stage begins, where the bundle does not have it: a uniform, b zero."""
    if any(s.name == name for s in model.sets):
        return model
    tensors: Tensors = {}
    for role, weight in model.tensors.items():
        parts = role.split(".")
        if (
            parts[0] != "backbone"
            or parts[1] != "layers"
            or parts[3] not in ("attention", "mlp")
            or parts[-1] == "bias"
        ):
            continue
        out, width = weight.shape
        at = f"adapters.{name}.{role.removeprefix('backbone.').removesuffix('.weight')}"
        draws = SplitMix64.named(0, f"{at}.a.weight")
        bound = 1 / math.sqrt(width)
        values = [(draws.uniform() * 2 - 1) * bound for _ in range(RANK * width)]
        tensors[f"{at}.a.weight"] = torch.tensor(values, dtype=torch.float64).float().reshape(RANK, width)
        tensors[f"{at}.b.weight"] = torch.zeros(out, RANK)
    return replace(model, tensors={**model.tensors, **tensors}, sets=(*model.sets, LowRankSet(name, 1.0, "all")))


def sequences(file: Path, patches: int, image: int) -> list[tuple[Prompt, torch.Tensor]]:
    """Prompts, and labels at spliced positions."""
    tensors = load_file(file)
    result = []
    for number in range(len({name.split(".")[0] for name in tensors})):
        part = {name.split(".", 1)[1]: x for name, x in tensors.items() if name.startswith(f"{number}.")}
        labels = part.pop("labels")
        spliced = []
        for token, label in zip(part["input_ids"].tolist(), labels.tolist(), strict=True):
            spliced += [-100] * patches if token == image else [label]
        result.append((Prompt(**part), torch.tensor(spliced)))
    return result


def train(
    model: Model, learned: list[str], batches: list[Path], patches: int, image: int
) -> tuple[list[float], Tensors]:
    tensors = dict(model.tensors)
    for name in learned:
        tensors[name] = tensors[name].clone().requires_grad_()
    parameters = [tensors[name] for name in learned]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(batches), eta_min=FINAL)
    losses = []
    for file in batches:
        optimizer.zero_grad()
        total, count = torch.zeros(()), 0
        for prompt, labels in sequences(file, patches, image):
            output = logits(model.with_tensors(tensors), prompt)
            total = total + F.cross_entropy(output[:-1], labels[1:], ignore_index=-100, reduction="sum")
            count += int((labels[1:] != -100).sum())
        loss = total / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, {name: tensors[name].detach() for name in learned}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--crayon", type=Path, default=Path(".build/release/crayon"))
    parser.add_argument("--arithmetic", choices=["float32", "int16"], default="float32", help="of Crayon's products")
    parser.add_argument("--keep", type=Path, help="write everything here and leave it")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    command = arguments.crayon
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        run(command, "synthesize", "scenes", "--count", 400, "-o", folder / "scenes")
        run(command, "quantize", SAMPLE, "-o", folder / "base.crayon")
        run(command, "train", "fresh", folder / "base.crayon", "-o", folder / "fresh.crayon")
        before = folder / "fresh.crayon"
        print(
            f"{'stage':10} {'first loss':>10} {'last loss':>10} {'largest difference of a loss':>28} {'of a weight':>12}"
        )
        for stage, name in (("cpt", None), ("image-cit", "object"), ("vl-cit", "vl")):
            after = folder / f"{stage}.crayon"
            words = ["--coco", folder / "scenes", "--sequences", arguments.sequences]
            run(
                command,
                "data",
                "batches",
                before,
                *words,
                "--updates",
                arguments.updates,
                "-o",
                folder / f"{stage}-data",
            )
            options = ["--updates", arguments.updates, "--rate", RATE, "--final-rate", FINAL, "--clip", CLIP]
            options += ["--arithmetic", arguments.arithmetic]
            options += ["--rank", RANK, "--alpha", RANK] if name else []
            run(command, "train", stage, before, *words, *options, "--run", folder / f"{stage}-run", "-o", after)
            lines = (folder / f"{stage}-run" / "metrics.jsonl").read_text().splitlines()
            ours = [m["loss"] for m in map(json.loads, lines) if "loss" in m]

            model, config = load(before)
            if name:
                model = begin_set(model, config, name)
                learned = [role for role in model.tensors if role.startswith(f"adapters.{name}.")]
            else:
                learned = [role for role in model.tensors if role.startswith(("crayon.", "projectors."))]
            patches = (config["vision"]["imageSize"] // config["vision"]["patchSize"]) ** 2
            files = sorted((folder / f"{stage}-data").iterdir())
            theirs, weights = train(model, learned, files, patches, config["tokens"]["image"])
            _, trained = read_weights(after)
            worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
            drift = max(
                float(np.linalg.norm(trained[role] - x.numpy()) / max(np.linalg.norm(x.numpy()), 1e-12))
                for role, x in weights.items()
            )
            held = worst <= ALLOWED and len(ours) == arguments.updates
            failures += not held
            mark = "" if held else "  FAILED"
            print(f"{stage:10} {theirs[0]:10.4f} {theirs[-1]:10.4f} {worst:28.1e} {drift:12.1e}{mark}", flush=True)
            before = after
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
