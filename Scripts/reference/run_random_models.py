"""Hold `crayon` against the reference on fresh random models of random shapes.

    python run_random_models.py --seed 1 --count 20 [--crayon .build/release/crayon] [--keep DIR]

Every model is written as a real checkpoint with a batch of probes, packed by `crayon quantize` and run by
`crayon verify --json`, once with its weights as they are (tolerance 1e-5) and once with a 4-bit backbone (1e-4). The
table has one line per model and precision: the largest relative error of its probes, and beside it the noise: how far
this float32 reference itself lies from the same formulas in float64. Exit code 0: all held, 1: something did not,
2: crayon could not run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import save_file

from checkpoints import load, load_parts, with_nf4_backbone
from fixtures_base import random_prompt
from model import Model, Prompt, forward
from probes import relative_error, write_probe
from random_models import Clip, Config, Language, Tensors, crayon_shapes, draw_all, internlm, internlm2, published, save

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
T = TypeVar("T")
TOLERANCE = {"source": 1e-5, "nf4": 1e-4}


@dataclass(frozen=True)
class Made:
    """A checkpoint on disk, how crayon is told about it, and the model that the reference reads from it."""

    about: str
    arguments: list[str]
    model: Model
    dtype: torch.dtype
    image_size: int  # 0 where the model sees none
    grid: int


class Dice:
    """Seeded choices."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])
        self.seed = int(self.rng.integers(1 << 31))

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one_of(self, *choices: T) -> T:
        return choices[self.between(0, len(choices) - 1)]

    def language(self, grouped: bool = True) -> Language:
        kv = self.between(1, 4)
        heads = kv * (self.between(1, 4) if grouped else 1)
        scaling: Config | None = self.one_of(None, {"type": "dynamic", "factor": float(self.between(1, 4))})
        return Language(
            hidden=heads * 2 * self.between(2, 12),
            layers=self.between(1, 4),
            heads=heads,
            kv_heads=kv,
            mlp=self.between(17, 200),
            vocab=self.between(20, 300),
            bias=self.one_of(False, True),
            max_positions=self.one_of(16, 40, 512),
            rope_theta=self.one_of(1e4, 1e6, 5e5),
            rope_scaling=scaling,
            eps=self.one_of(1e-5, 1e-6),
        )

    def clip(self) -> Clip:
        heads, patch = self.between(1, 5), self.between(2, 9)
        return Clip(
            width=heads * self.between(3, 16),
            layers=self.between(1, 3),
            heads=heads,
            mlp=self.between(11, 120),
            patch=patch,
            image_size=patch * self.between(2, 7),
            activation=self.one_of("quick_gelu", "gelu"),
        )


def make_published(folder: Path, dice: Dice) -> Made:
    language, clip, dtype, rank = dice.language(), dice.clip(), dice.one_of(*DTYPES), dice.between(1, 9)
    save(folder, *published(language, clip, rank, dtype, dice.seed), shards=dice.between(1, 3))
    about = f"collavo rank {rank}, clip {clip.width}/{clip.heads}/{clip.patch}"
    return Made(about, [str(folder)], load(folder), dtype, clip.image_size, clip.image_size // clip.patch)


def make_internlm2(folder: Path, dice: Dice) -> Made:
    language, dtype = dice.language(), dice.one_of(*DTYPES)
    save(folder, *internlm2(language, dtype, dice.seed), shards=dice.between(1, 3))
    return Made("internlm2", [str(folder)], load(folder), dtype, 0, 0)


def make_internlm(folder: Path, dice: Dice) -> Made:
    language = replace(dice.language(grouped=False), rope_scaling=dice.one_of(None, {"type": "dynamic"}))
    dtype = dice.one_of(*DTYPES)
    save(folder, *internlm(language, dtype, dice.seed))
    return Made("internlm", [str(folder)], load(folder), dtype, 0, 0)


def make_llama(folder: Path, dice: Dice) -> Made:
    """Llama's own names and config.json, with linear RoPE, and a tied head now and then."""
    language = replace(
        dice.language(), rope_scaling=dice.one_of(None, {"type": "linear", "factor": 1.5 + dice.between(0, 3)})
    )
    dtype, tied = dice.one_of(*DTYPES), dice.one_of(False, True)
    tensors = draw_all(language.separate_shapes(), dice.seed, dtype)
    config = language.config("llama", "LlamaForCausalLM", dtype)
    config |= {"attention_bias": config.pop("bias"), "tie_word_embeddings": tied}
    if tied:
        del tensors["lm_head.weight"]
    save(folder, config, tensors)
    return Made("llama, tied" if tied else "llama", [str(folder)], load(folder), dtype, 0, 0)


def make_parts(folder: Path, dice: Dice) -> Made:
    """Backbone, CLIP and crayon file apart; the crayon prompt enters additively."""
    language, clip, dtype = dice.language(), dice.clip(), dice.one_of(*DTYPES)
    save(folder / "backbone", *internlm2(language, dtype, dice.seed))
    tensors: Tensors = draw_all(clip.shapes(""), dice.seed, dtype)
    save(folder / "clip", {"model_type": "clip", "vision_config": clip.config()}, tensors)
    save_file(draw_all(crayon_shapes(clip.width, language.hidden), dice.seed, dtype), folder / "crayon.safetensors")
    arguments = ["--backbone", str(folder / "backbone"), "--vision", str(folder / "clip")]
    arguments += ["--crayon", str(folder / "crayon.safetensors")]
    grid = dice.between(2, 7)  # not CLIP's own: its positions are resized
    arguments += ["--image-size", str(grid * clip.patch), "--crayon-entry", "additive"]
    model = load_parts(folder, folder / "clip", [])
    return Made(f"parts, clip {clip.width}/{clip.heads}/{clip.patch}", arguments, model, dtype, grid * clip.patch, grid)


MAKERS: tuple[Callable[[Path, Dice], Made], ...] = (
    make_published,
    make_internlm2,
    make_parts,
    make_internlm,
    make_llama,
)


def prompts(made: Made, dice: Dice) -> list[Prompt]:
    """A batch: texts of several lengths and, where there is a tower, one and two images."""
    vocab = made.model.backbone.vocab
    lengths = (1, dice.between(2, 15), dice.between(16, 60))
    batch = [random_prompt(dice.seed + n, vocab, n) for n in lengths]
    for images in (1, 2) if made.image_size else ():
        length = dice.between(images + 2, 20)
        batch.append(random_prompt(dice.seed + 100 + images, vocab, length, images, made.image_size, made.grid))
    return batch


def noise(model: Model, prompt: Prompt, logits: torch.Tensor) -> float:
    """Relative error of float32 logits against the same formulas in float64."""
    double = model.with_tensors({name: tensor.double() for name, tensor in model.tensors.items()})
    pixels = None if prompt.pixel_values is None else prompt.pixel_values.double()
    return relative_error(logits, forward(double, replace(prompt, pixel_values=pixels)))


def crayon(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(command), *arguments], capture_output=True, text=True, check=False)


def run(command: Path, made: Made, precision: str, batch: list[Prompt], folder: Path) -> tuple[bool | None, str]:
    """Pack, verify, and describe: whether all held (None: crayon could not run) and a line of the table."""
    model = made.model if precision == "source" else with_nf4_backbone(made.model, made.dtype)
    files, worst_noise = [], 0.0
    for k, prompt in enumerate(batch):
        logits = forward(model, prompt)
        worst_noise = max(worst_noise, noise(model, prompt, logits))
        files.append(folder / f"{precision}-{k}.safetensors")
        write_probe(files[-1], prompt, logits=logits)
    bundle = folder / f"{precision}.crayon"
    packed = crayon(
        command, "quantize", *made.arguments, "-o", str(bundle), "--precision", f"backbone={precision}", "--quiet"
    )
    if packed.returncode != 0:
        return None, f"quantize failed: {packed.stderr.strip()}"
    flags = [flag for file in files for flag in ("--probe", str(file))]
    verified = crayon(command, "verify", str(bundle), *flags, "--tolerance", str(TOLERANCE[precision]), "--json")
    try:
        found = json.loads(verified.stdout)
        errors = [float(probe["relative_error"]) for probe in found["probes"]]
    except (ValueError, KeyError, TypeError):
        return None, f"verify failed: {verified.stderr.strip() or verified.stdout.strip()}"
    held = len(errors) == len(files) and all(error <= TOLERANCE[precision] for error in errors)
    if held != bool(found["passed"]) or held != (verified.returncode == 0):
        return False, f"errors {errors} but passed = {found['passed']}, exit code {verified.returncode}"
    return held, f"{max(errors):9.1e} {worst_noise:9.1e} {len(errors):7}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10, help="models (default %(default)s)")
    parser.add_argument(
        "--crayon", type=Path, default=Path(".build/release/crayon"), help="the command (default %(default)s)"
    )
    parser.add_argument("--keep", type=Path, help="write models and bundles here and leave them")
    arguments = parser.parse_args()
    if not arguments.crayon.is_file():
        print(f"{arguments.crayon}: no such command; build it with `swift build -c release`", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    print(f"{'model':34} {'backbone':27} {'dtype':9} {'format':7} {'error':>9} {'noise':>9} {'probes':>7}")
    code = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(arguments.count):
            dice = Dice(arguments.seed, number)
            folder = (arguments.keep or Path(scratch)) / f"{arguments.seed}-{number}"
            made = MAKERS[number % len(MAKERS)](folder / "model", dice)
            c = made.model.backbone
            shape = f"{c.layers}x{c.hidden} {c.heads}/{c.kv_heads} mlp {c.mlp} {c.rope.kind}"
            batch = prompts(made, dice)
            for precision in TOLERANCE:
                held, line = run(arguments.crayon, made, precision, batch, folder)
                mark = {True: "", False: "  FAILED", None: "  COULD NOT RUN"}[held]
                dtype = str(made.dtype).removeprefix("torch.")
                print(f"{made.about:34} {shape:27} {dtype:9} {precision:7} {line}{mark}", flush=True)
                code = max(code, {True: 0, False: 1, None: 2}[held])
    return code


if __name__ == "__main__":
    sys.exit(main())
