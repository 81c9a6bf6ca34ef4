"""Hold `crayon` against the reference on fresh random models of random shapes.

    python run_random_models.py --count 40 [--seed 1] [--crayon .build/release/crayon] [--keep DIR]

Every model is written as a real checkpoint with a batch of probes (texts, one picture, several, one without maps), packed
by `crayon quantize` and run by `crayon verify --json`, once with its weights as they are (tolerance 1e-5) and once with
a 4-bit backbone (1e-4). The table has one line per model and precision: the largest relative error of its probes, and
beside it the noise: how far this float32 reference itself lies from the same formulas in float64. Where the noise alone
is more than half of the tolerance, the model amplifies rounding too much to decide anything at that tolerance: it is
marked `noisy`, counted apart, and allowed twice its noise. At the end stand the worst errors of each family. Exit code 0: all held, 1: something did not, 2: crayon could not run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import save_file

from checkpoints import by_pattern, load, load_parts, source_tensors, with_nf4_backbone
from fixtures_base import random_prompt
from model import Model, Prompt, forward
from probes import relative_error, write_probe
from random_models import (
    Clip,
    Config,
    Language,
    Shapes,
    Tensors,
    crayon_shapes,
    draw_all,
    internlm,
    internlm2,
    linear,
    published,
    save,
    write_json,
)

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
T = TypeVar("T")
TOLERANCE = {"source": 1e-5, "nf4": 1e-4}


@dataclass(frozen=True)
class Made:
    """A checkpoint on disk, how crayon is told about it, and the model that the reference reads from it."""

    family: str
    about: str
    arguments: list[str]
    model: Model
    dtype: torch.dtype
    image_size: int  # 0 where the model sees none
    grid: int


class Dice:
    """Seeded choices."""

    def __init__(self, seed: int, number: int, llama3: bool = False) -> None:
        self.llama3 = llama3
        self.rng = np.random.default_rng([seed, number])
        self.seed = int(self.rng.integers(1 << 31))

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one_of(self, *choices: T) -> T:
        return choices[self.between(0, len(choices) - 1)]

    def scaling(self) -> Config | None:
        if self.llama3:
            low = float(self.one_of(0.5, 1, 1.5))
            return {
                "rope_type": "llama3", "factor": float(self.one_of(2, 3, 8, 32)), "low_freq_factor": low,
                "high_freq_factor": low * self.one_of(1.5, 4, 20), "original_max_position_embeddings": self.between(8, 300),
            }  # fmt: skip
        factor = {"factor": float(self.one_of(1, 1.5, 2, 4, 8))}
        return self.one_of(None, {"type": "dynamic", **factor}, {"type": "linear", **factor})

    def language(self, grouped: bool = True) -> Language:
        kv = self.between(1, 4)
        heads = kv * (self.between(1, 4) if grouped else 1)
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
            rope_scaling=self.scaling(),
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
    """The published layout: its crayon prompt enters through pairs; or, said in crayon_config.json, is added as well;
    or there are no pairs for it, and it is only added."""
    language, clip, dtype, rank = dice.language(), dice.clip(), dice.one_of(*DTYPES), dice.between(1, 9)
    config, tensors = published(language, clip, rank, dtype, dice.seed)
    entry = dice.one_of("low-rank", "low-rank", "both", "additive")
    if entry == "additive":
        tensors = {name: tensor for name, tensor in tensors.items() if "Plora_seg" not in name}
    if entry == "both":
        write_json(folder / "crayon_config.json", {"crayon_input": "additive"})
    save(folder, config, tensors, shards=dice.between(1, 3))
    model = load(folder)
    if entry != "low-rank":
        model = replace(model, crayon_entry="additive")
    about = f"{entry}, rank {rank}, clip {clip.width}/{clip.heads}/{clip.patch}"
    return Made("collavo", about, [str(folder)], model, dtype, clip.image_size, clip.image_size // clip.patch)


def make_internlm2(folder: Path, dice: Dice) -> Made:
    language, dtype = dice.language(), dice.one_of(*DTYPES)
    save(folder, *internlm2(language, dtype, dice.seed), shards=dice.between(1, 3))
    return Made("internlm2", "", [str(folder)], load(folder), dtype, 0, 0)


def make_internlm(folder: Path, dice: Dice) -> Made:
    language = replace(dice.language(grouped=False), rope_scaling=dice.one_of(None, {"type": "dynamic"}))
    dtype = dice.one_of(*DTYPES)
    save(folder, *internlm(language, dtype, dice.seed))
    return Made("internlm", "", [str(folder)], load(folder), dtype, 0, 0)


def llama_kin(kind: str, language: Language, dice: Dice, dtype: torch.dtype) -> tuple[Config, Tensors, str]:
    """config.json and tensors of Llama, Mistral or Qwen2 as their users write them, and what is particular."""
    architecture = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}[kind]
    config = language.config(kind, f"{architecture}ForCausalLM", dtype)
    shapes: Shapes = replace(language, bias=language.bias or kind == "qwen2").separate_shapes()
    about = []
    del config["bias"]
    if kind == "llama":
        config["attention_bias"] = language.bias
        if dice.one_of(False, True):
            config["mlp_bias"] = True
            about.append("mlp bias")
            for n in range(language.layers):
                at = f"model.layers.{n}.mlp"
                for part, outputs in (("gate", language.mlp), ("up", language.mlp), ("down", language.hidden)):
                    shapes |= linear(f"{at}.{part}_proj", shapes[f"{at}.{part}_proj.weight"][1], outputs, True)
    elif kind == "mistral":
        shapes = {name: shape for name, shape in shapes.items() if not name.endswith(".bias")}
        config["sliding_window"] = dice.one_of(None, dice.between(1, 30))
        size = 2 * dice.between(2, 12)  # heads of a size that the width does not tell
        config["head_dim"] = size
        rows = {"q": language.heads * size, "k": language.kv_heads * size, "v": language.kv_heads * size}
        for n in range(language.layers):
            at = f"model.layers.{n}.self_attn"
            shapes |= {f"{at}.{part}_proj.weight": (count, language.hidden) for part, count in rows.items()}
            shapes[f"{at}.o_proj.weight"] = (language.hidden, rows["q"])
        about.append(f"window {config['sliding_window']}, head {size}")
    else:
        shapes = {name: shape for name, shape in shapes.items() if not name.endswith("o_proj.bias")}
        if dice.one_of(False, True):
            config |= {"sliding_window": dice.between(1, 30), "max_window_layers": dice.between(0, language.layers)}
            about.append(f"window {config['sliding_window']} from layer {config['max_window_layers']}")
        config["use_sliding_window"] = "sliding_window" in config
    if dice.one_of(False, True):
        config["tie_word_embeddings"] = True
        del shapes["lm_head.weight"]
        about.append("tied")
    return config, draw_all(shapes, dice.seed, dtype), ", ".join(about)


def make_llama_kin(folder: Path, dice: Dice) -> Made:
    kind, dtype = dice.one_of("llama", "mistral", "qwen2"), dice.one_of(*DTYPES)
    config, tensors, about = llama_kin(kind, dice.language(), dice, dtype)
    save(folder, config, tensors, shards=dice.between(1, 3))
    return Made(kind, about, [str(folder)], load(folder), dtype, 0, 0)


def write_lora(folder: Path, backbone: Path, dice: Dice) -> str:
    """A PEFT LoRA folder on some of a backbone's linear layers, some of them of a rank and alpha of their own."""
    fused = {"attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"}
    apart = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    linears = {n.removesuffix(".weight"): x.shape for n, x in source_tensors(backbone).items() if n.endswith(".weight")}
    here = sorted(name for name in fused | apart if any(path.endswith("." + name) for path in linears))
    targets = [name for name in here if dice.between(0, 2)] or here[:1]
    rank = dice.between(1, 8)
    config = {
        "peft_type": "LORA",
        "r": rank,
        # Scales of at most 2: larger ones would leave attention one-hot, and rounding errors grown.
        "lora_alpha": dice.between(1, rank),
        "use_rslora": dice.one_of(False, True),
        "target_modules": [name.split(".")[-1] for name in targets],
        "rank_pattern": {},
        "alpha_pattern": {},
        "bias": "none",
    }
    if dice.one_of(False, True):
        config["rank_pattern"][targets[0].split(".")[-1]] = dice.between(1, 8)
    if dice.one_of(False, True):
        config["alpha_pattern"][f"layers.0.*{targets[-1].split('.')[-1]}"] = dice.between(1, 2 * rank)
    shapes: Shapes = {}
    for path, (outputs, inputs) in ((p, s) for p, s in linears.items() if p.endswith(tuple("." + t for t in targets))):
        rank = by_pattern(config["rank_pattern"], path, config["r"])
        at = f"base_model.model.{path}"
        shapes |= {f"{at}.lora_A.weight": (rank, inputs), f"{at}.lora_B.weight": (outputs, rank)}
    folder.mkdir(parents=True)
    write_json(folder / "adapter_config.json", config)
    save_file(draw_all(shapes, dice.seed + 7, dice.one_of(*DTYPES)), folder / "adapter_model.safetensors")
    return f"{len(targets)} of {len(here)} linears"


def make_parts(folder: Path, dice: Dice) -> Made:
    """Backbone (InternLM2 or Llama kin), CLIP, crayon file and LoRA sets apart; the crayon prompt is added."""
    language, clip, dtype = dice.language(), dice.clip(), dice.one_of(*DTYPES)
    kind = dice.one_of("internlm2", "llama", "qwen2")
    if kind == "internlm2":
        config, tensors = internlm2(language, dtype, dice.seed)
    else:
        config, tensors, _ = llama_kin(kind, language, dice, dtype)
    save(folder / "backbone", config, tensors)
    save(folder / "clip", {"model_type": "clip", "vision_config": clip.config()}, draw_all(clip.shapes(""), dice.seed, dtype))
    save_file(draw_all(crayon_shapes(clip.width, language.hidden), dice.seed, dtype), folder / "crayon.safetensors")
    arguments = ["--backbone", str(folder / "backbone"), "--vision", str(folder / "clip")]
    arguments += ["--crayon", str(folder / "crayon.safetensors")]
    adapters = [f"set{k}" for k in range(dice.between(0, 2))]
    for name in adapters:
        write_lora(folder / name, folder / "backbone", dice)
        arguments += ["--adapter", f"{name}={folder / name}"]
    grid = dice.between(2, 7)  # not CLIP's own: its positions are resized
    arguments += ["--image-size", str(grid * clip.patch)]
    model = load_parts(folder, folder / "clip", adapters)
    about = f"{kind}, clip {clip.width}/{clip.heads}/{clip.patch} grid {grid}, {len(adapters)} sets"
    return Made("parts", about, arguments, model, dtype, grid * clip.patch, grid)


MAKERS: tuple[Callable[[Path, Dice], Made], ...] = (
    make_published,
    make_internlm2,
    make_parts,
    make_internlm,
    make_llama_kin,
)


def prompts(made: Made, dice: Dice) -> list[Prompt]:
    """A batch: texts of several lengths and, where there is a tower, one to three images, and one without maps."""
    vocab = made.model.backbone.vocab
    lengths = (1, dice.between(2, 15), dice.between(16, 60))
    batch = [random_prompt(dice.seed + n, vocab, n) for n in lengths]
    for images in (1, 2, 3) if made.image_size else ():
        length = dice.between(2 * images + 2, 20)
        batch.append(random_prompt(dice.seed + 100 + images, vocab, length, images, made.image_size, made.grid))
    if made.image_size:
        batch.append(replace(batch[-2], semantic_map=None, numbering_map=None))
    return batch


def noise(model: Model, prompt: Prompt, logits: torch.Tensor) -> float:
    """Relative error of float32 logits against the same formulas in float64."""
    double = model.with_tensors({name: tensor.double() for name, tensor in model.tensors.items()})
    pixels = None if prompt.pixel_values is None else prompt.pixel_values.double()
    return relative_error(logits, forward(double, replace(prompt, pixel_values=pixels)))


def crayon(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(command), *arguments], capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Outcome:
    held: bool | None  # None: crayon could not run
    error: float
    noise: float
    probes: int
    allowed: float
    problem: str = ""

    def is_noisy(self, precision: str) -> bool:
        return self.allowed > TOLERANCE[precision]


def run(command: Path, made: Made, precision: str, batch: list[Prompt], folder: Path) -> Outcome:
    """Pack, verify, and compare crayon's own judgement with the numbers that it prints."""
    model = made.model if precision == "source" else with_nf4_backbone(made.model, made.dtype)
    files, worst_noise = [], 0.0
    for k, prompt in enumerate(batch):
        logits = forward(model, prompt)
        worst_noise = max(worst_noise, noise(model, prompt, logits))
        files.append(folder / f"{precision}-{k}.safetensors")
        write_probe(files[-1], prompt, logits=logits)

    allowed = max(TOLERANCE[precision], 2 * worst_noise)

    def failed(held: bool | None, problem: str) -> Outcome:
        return Outcome(held, float("nan"), worst_noise, len(files), allowed, problem)

    bundle = folder / f"{precision}.crayon"
    packed = crayon(
        command, "quantize", *made.arguments, "-o", str(bundle), "--precision", f"backbone={precision}", "--quiet"
    )
    if packed.returncode != 0:
        return failed(None, f"quantize: {packed.stderr.strip()}")
    flags = [flag for file in files for flag in ("--probe", str(file))]
    verified = crayon(command, "verify", str(bundle), *flags, "--tolerance", str(allowed), "--json")
    try:
        found = json.loads(verified.stdout)
        errors = [float(probe["relative_error"]) for probe in found["probes"]]
    except (ValueError, KeyError, TypeError):
        return failed(None, f"verify: {verified.stderr.strip() or verified.stdout.strip()}")
    if len(errors) != len(files):
        return failed(False, f"{len(files)} probes given, {len(errors)} reported; {found['structure']}")
    held = all(error <= allowed for error in errors)
    if held != bool(found["passed"]) or held != (verified.returncode == 0):
        return failed(False, f"errors {errors} but passed = {found['passed']}, exit code {verified.returncode}")
    return Outcome(held, max(errors), worst_noise, len(errors), allowed, "" if held else f"errors {errors}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--first", type=int, default=0, help="number of the first model, to repeat one of a run")
    parser.add_argument("--count", type=int, default=10, help="models (default %(default)s)")
    parser.add_argument(
        "--crayon", type=Path, default=Path(".build/release/crayon"), help="the command (default %(default)s)"
    )
    parser.add_argument("--llama3", action="store_true", help="rotary scaling of type llama3 for every model that can have it")
    parser.add_argument("--keep", type=Path, help="write models and bundles here and leave them")
    arguments = parser.parse_args()
    if not arguments.crayon.is_file():
        print(f"{arguments.crayon}: no such command; build it with `swift build -c release`", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    print(f"seed {arguments.seed}; --seed {arguments.seed} --first N --count 1 repeats model N")
    print(f"{'N':>3} {'model':50} {'backbone':34} {'dtype':8} {'format':6} {'error':>8} {'noise':>8} {'probes':>6}")
    code = 0
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(arguments.first, arguments.first + arguments.count):
            dice = Dice(arguments.seed, number, arguments.llama3)
            folder = (arguments.keep or Path(scratch)) / f"{arguments.seed}-{number}"
            made = MAKERS[number % len(MAKERS)](folder / "model", dice)
            c = made.model.backbone
            bias = " bias" if any(name.endswith(("attention.q.bias", "qkv.bias")) for name in made.model.tensors) else ""
            scaling = "" if c.rope.kind == "none" else f" {c.rope.kind} {c.rope.factor:g}"
            shape = f"{c.layers}x{c.hidden} {c.heads}/{c.kv_heads} mlp {c.mlp}{scaling}{bias}"
            batch = prompts(made, dice)
            for precision in TOLERANCE:
                outcome = run(arguments.crayon, made, precision, batch, folder)
                outcomes.setdefault((made.family, precision), []).append(outcome)
                noisy = "  noisy" if outcome.is_noisy(precision) else ""
                mark = noisy + {True: "", False: "  FAILED: ", None: "  COULD NOT RUN: "}[outcome.held]
                dtype = str(made.dtype).removeprefix("torch.")
                print(
                    f"{number:3} {f'{made.family} {made.about}':50} {shape:34} {dtype:8} {precision:6} "
                    f"{outcome.error:8.1e} {outcome.noise:8.1e} {outcome.probes:6}{mark}{outcome.problem}",
                    flush=True,
                )
                code = max(code, {True: 0, False: 1, None: 2}[outcome.held])
            if not arguments.keep:
                shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{'worst of':10} {'format':6} {'models':>6} {'probes':>6} {'error':>8} {'noise':>8} {'allowed':>8}")
    for (family, precision), found in sorted(outcomes.items()):
        print(
            f"{family:10} {precision:6} {len(found):6} {sum(o.probes for o in found):6} "
            f"{max(o.error for o in found):8.1e} {max(o.noise for o in found):8.1e} {TOLERANCE[precision]:8.0e}"
        )
    for precision, tolerance in TOLERANCE.items():
        found = [o for (_, p), group in outcomes.items() if p == precision for o in group]
        bad = sum(not o.held for o in found)
        clear = [o for o in found if not o.is_noisy(precision)]
        noisy = [o for o in found if o.is_noisy(precision)]
        line = f"{precision}: {len(found)} models, {sum(o.probes for o in found)} probes, "
        line += "all held" if not bad else f"{bad} DID NOT HOLD"
        line += f"; relative error at most {max((o.error for o in clear), default=0):.1e} (allowed {tolerance:.0e})"
        if noisy:
            line += f"; {len(noisy)} noisy ones at most {max(o.error / o.noise for o in noisy):.2f} of their noise"
        print(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
