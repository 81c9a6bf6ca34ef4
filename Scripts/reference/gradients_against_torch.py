"""Hold `crayon train gradients` against autograd on fresh random models of random shapes.

    python gradients_against_torch.py --count 20 [--seed 1] [--crayon .build/release/crayon] [--keep DIR]

The models are those of `run_random_models.py`: published layout and parts put together, the crayon prompt entering
through pairs, added, or both, grouped heads, biases, sliding windows, dynamic and linear rope, tied heads, one or two LoRA
sets. Each gets a text and, where there is a tower, one picture and two; labels are random, half of them ignored. Crayon
runs each probe with the source's weights and with a 4-bit backbone (a bundle), keeping all activations, those of every
block and those of every second block; the three files must have the same bytes. The reference is autograd through
`model.py` in float64, for 4 bits over the dequantized weights.

A tensor's error is the norm of its difference over the norm of the reference's; 1e-4 is allowed. What float32 itself
costs is printed beside it (the same formulas by PyTorch in float32); where that alone is more than half of what is
allowed the model amplifies rounding too much to decide anything, and twice its noise is allowed. Exit code 0: all held.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from checkpoints import load_peft, role, source_tensors, with_nf4_backbone
from fixtures_base import random_prompt
from model import Model, Prompt, Tensors, forward, logits
from probes import write_probe
from run_random_models import MAKERS, Dice, Made
from safetensors.torch import load_file

ALLOWED = 1e-4
CHECKPOINTING = ("off", "1", "2")


def learnable(model: Model) -> list[str]:
    """What a gradient exists for: pairs that act, projectors, tables."""
    sets = {s.name: s for s in model.sets}
    names = []
    for name in model.tensors:
        part, *rest = name.split(".")
        if part in ("projectors", "crayon"):
            names.append(name)
        elif part == "adapters":
            acts = sets[rest[0]].source == "hidden" or ".mlp.down." not in name
            names += [name] if acts else []
    return names


def gradients(model: Model, prompt: Prompt, labels: torch.Tensor, dtype: torch.dtype) -> tuple[float, Tensors]:
    """Mean cross-entropy and its gradients, computed in `dtype`."""
    tensors = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in model.tensors.items()
    }
    names = learnable(model)
    for name in names:
        tensors[name] = tensors[name].clone().requires_grad_()
    pixels = None if prompt.pixel_values is None else prompt.pixel_values.to(dtype)
    output = logits(model.with_tensors(tensors), replace(prompt, pixel_values=pixels))
    loss = F.cross_entropy(output[:-1], labels[1:], ignore_index=-100)
    chosen = [tensors[name] for name in names]
    if loss.requires_grad:
        found = torch.autograd.grad(loss, chosen, allow_unused=True, materialize_grads=True)
    else:  # a text before a model of which only what pictures pass through learns
        found = [torch.zeros_like(tensor) for tensor in chosen]
    return loss.item(), dict(zip(names, found, strict=True))


def carried(folder: Path, model: Model) -> dict[str, float]:
    """What `load_peft` has multiplied into a tensor: a gradient with respect to the file's is that much larger."""
    ratios = {}
    for name in (s.name for s in model.sets if (folder / s.name).is_dir()):
        files = source_tensors(folder / name / "adapter_model.safetensors").values()
        _, loaded = load_peft(folder / name, name)
        ratios |= {k: float(x.norm() / y.float().norm()) for (k, x), y in zip(loaded.items(), files, strict=True)}
    return ratios


def prompts(made: Made, dice: Dice) -> list[tuple[Prompt, torch.Tensor]]:
    vocab = made.model.backbone.vocab
    batch = [random_prompt(dice.seed, vocab, dice.between(5, 70))]
    for images in (1, 2) if made.image_size else ():
        length = dice.between(2 * images + 4, 20)
        batch.append(random_prompt(dice.seed + images, vocab, length, images, made.image_size, made.grid))
    result = []
    for prompt in batch:
        labels = []
        for token in prompt.input_ids.tolist():
            if token == vocab:  # a picture: its patches are not said
                labels += [-100] * made.grid**2
            else:
                labels.append(token if dice.one_of(False, True) else -100)
        labels[-1] = dice.between(0, vocab - 1)
        result.append((prompt, torch.tensor(labels)))
    return result


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    norm = expected.norm()
    difference = (found.double() - expected.double()).norm()
    return float(difference / norm) if norm > 0 else float(difference)


def canonical(name: str, model: Model) -> str:
    """The role of a name in crayon's file: a source name, or the role itself."""
    if name in model.tensors:
        return name
    if (known := role(name)) is not None:
        return known
    path = name.removeprefix("base_model.model.").replace(".lora_A.", ".").replace(".lora_B.", ".")
    side = "a" if ".lora_A." in name else "b"
    at = role(path)
    assert at is not None, name
    candidates = [
        f"adapters.{s.name}.{at.removeprefix('backbone.').removesuffix('.weight')}.{side}.weight" for s in model.sets
    ]
    return next(c for c in candidates if c in model.tensors)


def run(command: Path, source: str, probe: Path, parts: str, folder: Path) -> tuple[Tensors, str]:
    files = []
    for policy in CHECKPOINTING:
        files.append(folder / f"gradients-{policy}.safetensors")
        words = [str(command), "train", "gradients", source, "--probe", str(probe), "--train", parts]
        words += ["--checkpointing", policy, "-o", str(files[-1])]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return {}, done.stderr.strip()
    contents = {file.read_bytes() for file in files}
    if len(contents) != 1:
        return {}, "checkpointing changes the gradients"
    return load_file(files[0]), ""


def check(command: Path, made: Made, precision: str, dice: Dice, folder: Path) -> tuple[bool, str]:
    model = made.model if precision == "source" else with_nf4_backbone(made.model, made.dtype)
    if not learnable(model):
        return True, "nothing learns"
    present = {name.split(".")[0] for name in learnable(model)}
    parts = ",".join(sorted(present))
    bundle = folder / f"{precision}.crayon"
    packed = subprocess.run(
        [
            str(command),
            "quantize",
            *made.arguments,
            "-o",
            str(bundle),
            "--precision",
            f"backbone={precision}",
            "--quiet",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if packed.returncode != 0:
        return False, packed.stderr.strip()
    ratios = carried(folder / "model", model)
    worst, worst_noise, tensors, held = 0.0, 0.0, 0, True
    for number, (prompt, labels) in enumerate(prompts(made, dice)):
        probe = folder / f"{precision}-{number}.safetensors"
        write_probe(probe, prompt, logits=forward(model, prompt), labels=labels)
        found, problem = run(command, str(bundle), probe, parts, folder)
        if problem:
            return False, problem
        loss, exact = gradients(model, prompt, labels, torch.float64)
        _, single = gradients(model, prompt, labels, torch.float32)
        losses = found.pop("loss")
        held &= abs(float(losses) - loss) <= 1e-5 * max(1.0, abs(loss))
        named = {canonical(name, model): tensor for name, tensor in found.items()}
        if set(named) != set(exact):
            return False, f"tensors differ: {sorted(set(named) ^ set(exact))[:4]}"
        for name, expected in exact.items():
            here = error(named[name], expected * ratios.get(name, 1.0))
            noise = error(single[name], expected)
            held &= here <= max(ALLOWED, 2 * noise)
            worst, worst_noise = max(worst, here), max(worst_noise, noise)
            tensors += 1
    return held, f"{worst:8.1e} {worst_noise:8.1e} {tensors:5} tensors"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    parser.add_argument("--first", type=int, default=0, help="number of the first model, to repeat one of a run")
    parser.add_argument("--count", type=int, default=10, help="models (default %(default)s)")
    parser.add_argument("--crayon", type=Path, default=Path(".build/release/crayon"))
    parser.add_argument("--keep", type=Path, help="write models and gradients here and leave them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    makers = [maker for maker in MAKERS if maker.__name__ in ("make_published", "make_parts")]
    print(f"seed {arguments.seed}\n{'N':>3} {'model':56} {'format':6} {'error':>8} {'float32':>8}")
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(arguments.first, arguments.first + arguments.count):
            dice = Dice(arguments.seed, number)
            folder = (arguments.keep or Path(scratch)) / f"{arguments.seed}-{number}"
            made = makers[number % len(makers)](folder / "model", dice)
            for precision in ("source", "nf4"):
                held, line = check(arguments.crayon, made, precision, dice, folder)
                failures += not held
                print(f"{number:3} {f'{made.family} {made.about}':56} {precision:6} {line}{'' if held else '  FAILED'}")
            if not arguments.keep:
                shutil.rmtree(folder, ignore_errors=True)
    print("all held" if failures == 0 else f"{failures} did not hold")
    return 0 if failures == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
