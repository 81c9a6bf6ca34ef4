"""Trains a small LoRA adapter over the sample model: it teaches the backbone to count, which it was never asked to.

    python train_adapter.py train --minutes 6     # two cores, no GPU; writes adapter/
    python train_adapter.py evaluate

The pairs lie over the main weights of all linear layers of the backbone (``Plora_main``), act at all positions and read what
the layer reads, so they can be merged into those weights. PEFT makes them and writes the configuration. The base stays
frozen; half of the questions are of the four kinds that it knows, so that it forgets nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from contextlib import nullcontext
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
from scenes import KINDS, THINGS, Instruction, Scene, draw_scene, make_instruction

HERE = Path(__file__).parent
MODULES = ("attention.wqkv", "attention.wo", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
QUESTIONS = ("How many objects are in this image?", "How many objects can you see?", "Count the objects in this image.")
RANK = 8


def count_instruction(scene: Scene, question: str) -> Instruction:
    return Instruction("count", question, str(sum(s.category in THINGS for s in scene.segments)))


def with_pairs(model: CoLLaVO) -> tuple[CoLLaVO, LoraConfig]:
    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, bias="none", task_type=None,
        target_modules=[f"{module}.Plora_main" for module in MODULES])
    return inject_adapter_in_model(config, model), config


def batch(rng: Generator, tokenizer: base.Tokenizer, size: int) -> base.Batch:
    drawn, asked = [], []
    for _ in range(size):
        scene = draw_scene(rng, held_out=False)
        known = [make_instruction(rng, scene, kind) for kind in rng.choice(KINDS, 3, p=(0.15, 0.25, 0.4, 0.2))]
        counts = [count_instruction(scene, question) for question in QUESTIONS]
        drawn.append(scene)
        asked.append([i for pair in zip(counts, known, strict=True) for i in pair])
    return base.pack(tokenizer, drawn, asked, 288, rng.random(size) < 0.2, rng.random(size) < 0.1)


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
        counts = torch.tensor([kind == "count" for kind in b.kinds])[b.question_of_label]
        # A count is two tokens, a list a hundred.
        loss = each[counts].mean() + each[~counts].mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pairs, 1.0)
        optim.step()
        optim.zero_grad(set_to_none=True)
        step += 1
        if time.time() - last > 30:
            last = time.time()
            print(f"{elapsed / 60:5.1f} min  step {step}  counts {each[counts].mean():.4f}  others {each[~counts].mean():.4f}",
                  flush=True)
    print(f"{save(model, config, args.out)} bytes, {step} steps", flush=True)


@torch.no_grad()
def rates(model: CoLLaVO, tokenizer: base.Tokenizer, count: int, seed: int) -> dict[str, float]:
    """As ``train.exact_rates``, with counts: the share of questions whose answer greedy decoding gives exactly."""
    rng = np.random.default_rng(seed)
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, count, 16):
        drawn = [draw_scene(rng, held_out=True) for _ in range(min(16, count - start))]
        asked = [[*(make_instruction(rng, s, k) for k in ("list", "box", "class", "presence")),
                  count_instruction(s, QUESTIONS[0])] for s in drawn]
        no = np.zeros(len(drawn), bool)
        b = base.pack(tokenizer, drawn, asked, 416, no, no, fill=False)
        hit = base.answer_logits(model, b).argmax(-1) == b.labels
        missed = torch.zeros(len(b.kinds)).index_add_(0, b.question_of_label, (~hit).float())
        for kind, wrong in zip(b.kinds, missed.tolist(), strict=True):
            right[kind].append(wrong == 0)
    return {k: float(np.mean(right[k])) for k in (*KINDS, "count")}


def evaluate(args: argparse.Namespace) -> None:
    tokenizer = base.Tokenizer(HERE / "checkpoint/tokenizer.model")
    print("| main weights | adapter | list | boxes of a class | class in a box | presence | count |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    model = load(HERE / "checkpoint")
    for name, adapter in (("none", False), ("`adapter/`", True)):
        for kind in ("bfloat16", "NF4"):
            with nf4_main_weights(model) if kind == "NF4" else nullcontext():
                if adapter:
                    adapted = load(HERE / "checkpoint")
                    if kind == "NF4":
                        adapted.load_state_dict(model.state_dict())
                    adapted, _ = with_pairs(adapted)
                    state = load_file(args.out / "adapter_model.safetensors")
                    set_peft_model_state_dict(
                        adapted, {k.removeprefix("base_model.model."): v.float() for k, v in state.items()})
                found = rates(adapted if adapter else model, tokenizer, args.count, seed=99)
                cells = " | ".join(f"{100 * found[k]:.1f} %" for k in (*KINDS, "count"))
                print(f"| {kind} | {name} | {cells} |", flush=True)
    norms = defaultdict(list)
    state = load_file(args.out / "adapter_model.safetensors")
    weights = dict(model.named_parameters())
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
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--count", type=int, default=400)
    args = parser.parse_args()
    (train if args.command == "train" else evaluate)(args)


if __name__ == "__main__":
    main()
