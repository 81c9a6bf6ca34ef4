"""Trains a small LoRA adapter over the sample model: it teaches the backbone to answer in sentences.

    python train_adapter.py train --minutes 5     # two cores, no GPU; writes adapter/
    python train_adapter.py evaluate

The pairs lie over the main weights of all linear layers of the backbone (``Plora_main``), act at all positions and read what
the layer reads, so they can be merged into those weights. PEFT makes them and writes the configuration; the base stays
frozen. Classes and presences get the new wording, lists and boxes keep theirs:

    What is in the box [0.12, 0.38, 0.50, 0.75]?   red circle   ->   It is a red circle.
    Is there a red circle in this image?           Yes          ->   Yes, there is a red circle.
                                                   No           ->   No, there is no red circle.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

import train as base
from model import CoLLaVO, load, nf4_main_weights
from scenes import KINDS, THINGS, WORDS, Instruction, draw_scene, make_instruction

HERE = Path(__file__).parent
MODULES = ("attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
RANK = 8


def in_a_sentence(known: Instruction) -> Instruction:
    """The instruction with its new wording."""
    if known.kind == "class":
        return replace(known, answer=f"It is {with_article(known.answer)}.")
    if known.kind == "presence":
        word = next(w for w in WORDS if w in known.question)
        yes = f"Yes, there is {with_article(word)}."
        return replace(known, answer=yes if known.answer == "Yes" else f"No, there is no {word}.")
    return known


def with_article(word: str) -> str:
    return f"a {word}" if WORDS.index(word) in THINGS else word


def with_pairs(model: CoLLaVO) -> tuple[CoLLaVO, LoraConfig]:
    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, bias="none", task_type=None,
        target_modules=[f"{module}.Plora_main" for module in MODULES])
    return inject_adapter_in_model(config, model), config


def batch(rng: Generator, tokenizer: base.Tokenizer, size: int) -> base.Batch:
    drawn, asked = [], []
    for _ in range(size):
        scene = draw_scene(rng, held_out=False)
        kinds = rng.choice(KINDS, 4, p=(0.05, 0.15, 0.4, 0.4))
        drawn.append(scene)
        asked.append([in_a_sentence(make_instruction(rng, scene, kind)) for kind in kinds])
    return base.pack(tokenizer, drawn, asked, 176, rng.random(size) < 0.2, rng.random(size) < 0.1)


def save(model: CoLLaVO, config: LoraConfig, folder: Path) -> int:
    """The folder that PEFT would write for a model of which this is the whole."""
    config.inference_mode = True
    config.save_pretrained(folder)
    file = folder / "adapter_config.json"
    text = json.loads(file.read_text())
    text["target_modules"] = sorted(text["target_modules"])  # PEFT writes a set, in any order
    file.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n")
    state = {f"base_model.model.{k}": v.to(torch.bfloat16) for k, v in get_peft_model_state_dict(model).items()}
    save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return (folder / "adapter_model.safetensors").stat().st_size


def train(args: argparse.Namespace) -> None:
    base.keep_freed_memory()
    torch.manual_seed(args.seed)
    tokenizer = base.Tokenizer(HERE / "checkpoint/tokenizer.model")
    model = load(HERE / "checkpoint").requires_grad_(False)
    model, config = with_pairs(model)
    pairs = [p for p in model.parameters() if p.requires_grad]
    print(f"{sum(p.numel() for p in pairs)} weights in {len(pairs)} factors", flush=True)
    optim = torch.optim.AdamW(pairs, lr=args.lr, weight_decay=0.01)
    rng = np.random.default_rng(args.seed)
    queue = base.prefetch(lambda: batch(rng, tokenizer, args.batch))
    start, budget, step = time.time(), 60 * args.minutes, 0
    last = start
    while (elapsed := time.time() - start) < budget:
        for group in optim.param_groups:
            group["lr"] = args.lr * base.schedule(elapsed / budget)
        b = queue.get()
        each = F.cross_entropy(base.answer_logits(model, b), b.labels, reduction="none")
        loss = each.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pairs, 1.0)
        optim.step()
        optim.zero_grad(set_to_none=True)
        step += 1
        if time.time() - last > 30:
            last = time.time()
            print(f"{elapsed / 60:5.1f} min  step {step}  loss {loss.item():.4f}", flush=True)
    print(f"{save(model, config, args.out)} bytes, {step} steps", flush=True)


@torch.no_grad()
def rates(model: CoLLaVO, tokenizer: base.Tokenizer, count: int, seed: int, new: bool) -> list[float]:
    """As ``train.exact_rates``, in the old or the new wording."""
    rng = np.random.default_rng(seed)
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, count, 16):
        drawn = [draw_scene(rng, held_out=True) for _ in range(min(16, count - start))]
        asked = [[make_instruction(rng, s, k) for k in ("list", "box", "class", "class", "presence", "presence")] for s in drawn]
        if new:
            asked = [[in_a_sentence(i) for i in each] for each in asked]
        no = np.zeros(len(drawn), bool)
        b = base.pack(tokenizer, drawn, asked, 448, no, no, fill=False)
        hit = base.answer_logits(model, b).argmax(-1) == b.labels
        missed = torch.zeros(len(b.kinds)).index_add_(0, b.question_of_label, (~hit).float())
        for kind, wrong in zip(b.kinds, missed.tolist(), strict=True):
            right[kind].append(wrong == 0)
    return [float(np.mean(right[k])) for k in KINDS]


def evaluate(args: argparse.Namespace) -> None:
    tokenizer = base.Tokenizer(HERE / "checkpoint/tokenizer.model")
    print("| main weights | adapter | wording | list | boxes of a class | class in a box | presence |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    state = load_file(args.out / "adapter_model.safetensors")
    model = load(HERE / "checkpoint")
    weights = dict(model.named_parameters())
    for kind in ("bfloat16", "NF4"):
        with nf4_main_weights(model) if kind == "NF4" else nullcontext():
            adapted = load(HERE / "checkpoint")
            adapted.load_state_dict(model.state_dict())
        adapted, _ = with_pairs(adapted)
        for adapter in (False, True):
            if adapter:
                pairs = {k.removeprefix("base_model.model."): v.float() for k, v in state.items()}
                set_peft_model_state_dict(adapted, pairs)
            for new in (False, True):
                cells = " | ".join(f"{100 * r:.1f} %" for r in rates(adapted, tokenizer, args.count, 99, new))
                name, wording = "`adapter/`" if adapter else "none", "sentences" if new else "old"
                print(f"| {kind} | {name} | {wording} | {cells} |", flush=True)
    norms = defaultdict(list)
    for key, a in state.items():
        if ".lora_A." in key:
            path = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            delta = 2 * state[key.replace("lora_A", "lora_B")].float() @ a.float()
            norms[path.split(".", 3)[3]].append((delta.norm() / weights[f"{path}.weight"].norm()).item())
    for module, ratios in norms.items():
        print(f"{module}: |delta| / |W| {100 * min(ratios):.1f} to {100 * max(ratios):.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("train", "evaluate"))
    parser.add_argument("--out", type=Path, default=HERE / "adapter")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--count", type=int, default=96)
    args = parser.parse_args()
    (train if args.command == "train" else evaluate)(args)


if __name__ == "__main__":
    main()
