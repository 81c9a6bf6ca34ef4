"""Trains, evaluates and exports the sample checkpoint. See README.md for the commands.

How a prompt becomes token ids
------------------------------
The template (``TEMPLATE``, also in ``crayon_config.json``) is plain text:

    begin + image + objects + user + assistant            the prompt of a first question
    user + assistant                                      what each further question of a conversation appends
    answer                                                what follows the prompt: answer text, then ``<stop>``

1. Ids start with BOS (1).
2. The text is cut at ``<image>``. Each piece of text between is given to SentencePiece on its own; an empty piece
   gives no ids. ``<image>`` itself is the id ``vocab_size`` (512), the last row of the embedding table, and is
   replaced by one embedding per patch cell.
3. ``<stop>`` and the line feed are user-defined pieces, so SentencePiece finds them inside text by itself.

The tokenizer adds no dummy prefix, drops no white space and normalises nothing, and pieces never cross white space or
a line feed. Hence encoding is the same whether a conversation is encoded whole or turn by turn, as long as the cuts
stand before `` {answer}``, after ``<stop>\\n`` or around ``<image>``. A decoded answer starts with a space.

    <image>\\nUser: Is there a red circle in this image?\\nAssistant:   ->
    1, 512, then the pieces \\n User : ▁Is ▁there ▁a ▁red ▁circle ▁in ▁this ▁image ? \\n Assistant :

How training sequences are packed
---------------------------------
Picture, then several questions about it. In most sequences every question sees the picture and itself only and takes
its positions right behind the picture, so that it is exactly a first question; the picture is paid for once. In the
others the questions form one conversation. Loss: cross-entropy on the answers' tokens up to ``<stop>``.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import re
import string
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import TypeVar

import numpy as np
import sentencepiece
import torch
import torch.nn.functional as F
from numpy.random import Generator
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import scenes
from model import CoLLaVO, Config, initialise, load, nf4_main_weights, save
from scenes import CATEGORIES, GRID, KINDS, SIZE, Instruction, Scene, draw_scene, make_instruction

BOS, VOCAB, CELLS = 1, 512, GRID * GRID
IMAGE = slice(1, 1 + CELLS)  # where the picture's cells stand in every training sequence
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TEMPLATE = {
    "name": "paper",
    "begin": "",
    "image": "<image>\n",
    "objects": "",
    "user": "User: {question}\n",
    "assistant": "Assistant:",
    "answer": " {answer}<stop>\n",
    "stop": ["<stop>"],
}
KIND_WEIGHT = {"list": 1.0, "box": 1.0, "class": 2.0, "presence": 4.0}  # per token: long answers would drown short ones
HERE = Path(__file__).parent
T = TypeVar("T")


# ------------------------------------------------------------------------------------------------ text


class Tokenizer:
    def __init__(self, file: Path) -> None:
        self.sp = sentencepiece.SentencePieceProcessor(model_file=str(file))
        self.stop: int = self.sp.piece_to_id("<stop>")

    def question(self, text: str) -> list[int]:
        return self.sp.encode(TEMPLATE["user"].format(question=text) + TEMPLATE["assistant"])

    def answer(self, text: str) -> list[int]:
        """The answer's ids up to and including ``<stop>``."""
        ids = self.sp.encode(TEMPLATE["answer"].format(answer=text))
        return ids[: ids.index(self.stop) + 1]

    def newline(self) -> list[int]:
        return self.sp.encode("\n")

    def prompt(self, question: str) -> list[int]:
        """A first question's ids, by the general rule in the module's description."""
        text = TEMPLATE["begin"] + TEMPLATE["image"] + TEMPLATE["objects"]
        text += TEMPLATE["user"].format(question=question) + TEMPLATE["assistant"]
        ids = [BOS]
        for i, piece in enumerate(text.split("<image>")):
            ids += ([VOCAB] if i else []) + self.sp.encode(piece)
        return ids


def train_tokenizer(file: Path) -> None:
    """A BPE vocabulary of 512 pieces with byte fallback, single digits, and the starts of box numbers as pieces."""
    rng = np.random.default_rng(0)
    lines: list[str] = []
    for _ in range(1500):
        scene = draw_scene(rng, held_out=False)
        for kind in KINDS:
            instruction = make_instruction(rng, scene, kind)
            lines += [f"User: {instruction.question}", f"Assistant: {instruction.answer}"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(file.with_suffix("")), vocab_size=VOCAB, model_type="bpe",
        split_digits=True, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False, user_defined_symbols=["<stop>", "\n", "\u2581[0.", "\u25810.", "\u25811."],
        required_chars=string.printable[:94], character_coverage=1.0, unk_id=0, bos_id=BOS, eos_id=2, pad_id=-1, minloglevel=2)
    file.with_suffix(".vocab").unlink()


# ------------------------------------------------------------------------------------------------ batches


def normalise(rgb: np.ndarray) -> Tensor:
    """uint8 ``[..., size, size, 3]`` -> float32 ``[..., 3, size, size]``."""
    pixels = torch.from_numpy(rgb).float() / 255
    return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, -3).contiguous()


@dataclass
class Batch:
    pixels: Tensor  # [batch, 3, size, size]
    semantic: Tensor  # [batch, grid, grid]
    numbering: Tensor  # [batch, grid, grid]
    ids: Tensor  # [batch, text]
    positions: Tensor  # [batch, 1 + cells + text]
    mask: Tensor  # bool [batch, 1, total, total]
    label_rows: Tensor  # [labels], into the flattened [batch * text] hidden states
    labels: Tensor  # [labels]
    question_of_label: Tensor  # [labels]
    kinds: list[str]  # per question


def pack(tokenizer: Tokenizer, scenes_: list[Scene], instructions: list[list[Instruction]], text: int,
         talk: np.ndarray, blank: np.ndarray, fill: bool = True) -> Batch:
    """``talk`` marks sequences that are one conversation, ``blank`` those whose crayon maps are all unknown."""
    size = len(scenes_)
    ids = np.zeros((size, text), np.int64)
    positions = np.zeros((size, text), np.int64)
    block = np.full((size, text), -1, np.int64)
    rows, labels, owner, kinds = [], [], [], []
    newline = tokenizer.newline()
    for b, asked in enumerate(instructions):
        at = 0
        for turn, instruction in enumerate(asked):
            question, answer = tokenizer.question(instruction.question), tokenizer.answer(instruction.answer)
            whole = newline + question + answer  # the line feed ends "<image>\n" or the answer before
            if at + len(whole) > text:
                if fill:
                    break
                raise ValueError("sequence too short for its questions")
            here = slice(at, at + len(whole))
            ids[b, here] = whole
            positions[b, here] = np.arange(at, here.stop) if talk[b] else np.arange(len(whole))
            block[b, here] = 0 if talk[b] else turn
            start = at + len(newline) + len(question) - 1
            rows += range(b * text + start, b * text + start + len(answer))
            labels += answer
            owner += [len(kinds)] * len(answer)
            kinds.append(instruction.kind)
            at = here.stop
    maps = [s.maps() for s in scenes_]
    keep = (~blank)[:, None, None]
    first = 1 + CELLS
    block_t = torch.from_numpy(block)
    mask = torch.ones(first + text, first + text, dtype=torch.bool).tril().expand(size, -1, -1).clone()
    mask[:, first:, first:] &= block_t[:, :, None] == block_t[:, None, :]
    prefix = torch.arange(first).expand(size, -1)
    return Batch(
        normalise(np.stack([s.rgb for s in scenes_])), torch.from_numpy(np.stack([m[0] for m in maps]) * keep),
        torch.from_numpy(np.stack([m[1] for m in maps]) * keep), torch.from_numpy(ids),
        torch.cat([prefix, first + torch.from_numpy(positions)], 1), mask[:, None], torch.tensor(rows),
        torch.tensor(labels), torch.tensor(owner), kinds)


def training_batch(rng: Generator, tokenizer: Tokenizer, size: int, text: int, easy: float) -> Batch:
    """``easy`` is the share of scenes with one or two things only."""
    drawn, asked = [], []
    for _ in range(size):
        scene = draw_scene(rng, held_out=False, easy=rng.random() < easy)
        kinds = (["list"] if rng.random() < 0.4 else []) + list(rng.choice(KINDS[1:], 8, p=(0.36, 0.44, 0.2)))
        drawn.append(scene)
        asked.append([make_instruction(rng, scene, kind) for kind in kinds])
    return pack(tokenizer, drawn, asked, text, rng.random(size) < 0.2, rng.random(size) < 0.15)


def prefetch(make: Callable[[], T]) -> Queue[T]:
    """What ``make`` gives, again and again, by a thread beside the training step."""
    queue: Queue[T] = Queue(maxsize=4)

    def work() -> None:
        while True:
            queue.put(make())

    threading.Thread(target=work, daemon=True).start()
    return queue


def hidden_states(model: CoLLaVO, pixels: Tensor, semantic: Tensor, numbering: Tensor, ids: Tensor, positions: Tensor,
                  mask: Tensor) -> Tensor:
    """Normed hidden states of the text ``[batch * text, hidden]``; all shapes are fixed, so this part compiles."""
    bos = model.model.tok_embeddings.weight[BOS].expand(len(ids), 1, -1)
    x = torch.cat([bos, model.embed_image(pixels), model.model.tok_embeddings(ids)], 1)
    h = model.backbone(x, positions, mask, IMAGE, model.crayon_prompt(semantic, numbering))
    return h[:, IMAGE.stop :].flatten(0, 1)


def answer_logits(model: CoLLaVO, batch: Batch, hidden: Callable[..., Tensor] = hidden_states) -> Tensor:
    """Logits ``[labels, vocab]`` at the positions that predict an answer's token."""
    b = batch
    return model.output(hidden(model, b.pixels, b.semantic, b.numbering, b.ids, b.positions, b.mask)[b.label_rows])


def keep_freed_memory() -> None:
    """Has glibc keep large freed blocks: page faults on fresh ones cost a third of a training step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # another C library; only speed is lost
    trim_threshold, mmap_threshold = -1, -3
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(mmap_threshold, 2**31 - 1)


# ------------------------------------------------------------------------------------------------ evaluation


@torch.no_grad()
def exact_rates(model: CoLLaVO, tokenizer: Tokenizer, count: int, seed: int, blank: bool = False) -> dict[str, float]:
    """Share of answers, per kind, that greedy decoding gives exactly, over freshly drawn held-out scenes.

    Greedy decoding gives the reference exactly when, fed the reference, every token is the most probable one.
    """
    rng = np.random.default_rng(seed)
    right: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, count, 16):
        drawn = [draw_scene(rng, held_out=True) for _ in range(min(16, count - start))]
        asked = [[make_instruction(rng, s, k) for k in ("list", "box", "class", "class", "presence", "presence")] for s in drawn]
        batch = pack(tokenizer, drawn, asked, 416, np.zeros(len(drawn), bool), np.full(len(drawn), blank), fill=False)
        hit = answer_logits(model, batch).argmax(-1) == batch.labels
        missed = torch.zeros(len(batch.kinds)).index_add_(0, batch.question_of_label, (~hit).float())
        for kind, wrong in zip(batch.kinds, missed.tolist()):
            right[kind].append(wrong == 0)
    return {k: float(np.mean(right[k])) for k in KINDS}


def parse_boxes(answer: str) -> dict[tuple[str, str], tuple[float, ...]]:
    """``(#1 red circle) [0.12, ...]`` items, keyed by number and name."""
    found = re.findall(r"\(#(\d+) ([^)]*)\) \[([\d., ]+)\]", answer)
    return {(n, w): box for n, w, t in found if len(box := tuple(float(v) for v in re.findall(r"\d+\.\d+", t))) == 4}


def mean_iou(answer: str, reference: str) -> list[float]:
    """One value per reference box; 0 where the answer lacks it."""
    given = parse_boxes(answer)
    values = []
    for key, r in parse_boxes(reference).items():
        g = given.get(key, (0.0, 0.0, 0.0, 0.0))
        width, height = min(r[2], g[2]) - max(r[0], g[0]), min(r[3], g[3]) - max(r[1], g[1])
        shared = max(width, 0.0) * max(height, 0.0)
        area = (r[2] - r[0]) * (r[3] - r[1]) + max(g[2] - g[0], 0.0) * max(g[3] - g[1], 0.0)
        values.append(shared / (area - shared))
    return values


def carried_scene(folder: Path, stem: str) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels and maps of one scene of ``scenes/``, from its files alone."""
    picture = next(p for p in (folder / f"{stem}.png", folder / f"{stem}.jpg") if p.exists())
    info = json.loads((folder / f"{stem}_segments.json").read_text())["segments_info"]
    panoptic = np.array(Image.open(folder / f"{stem}_panoptic.png"))
    semantic, numbering = (torch.from_numpy(m) for m in scenes.maps_from_panoptic(panoptic, info))
    return normalise(np.array(Image.open(picture).convert("RGB"))), semantic, numbering


@torch.no_grad()
def carried_rates(model: CoLLaVO, tokenizer: Tokenizer, folder: Path, blank: bool = False) -> dict[str, float]:
    """Greedy decoding of every question of ``scenes/questions.json``: exact rates per kind, and mean IoU of boxes."""
    right: dict[str, list[float]] = defaultdict(list)
    for q in json.loads((folder / "questions.json").read_text()):
        pixels, semantic, numbering = carried_scene(folder, q["scene"])
        if blank:
            semantic, numbering = torch.zeros_like(semantic), torch.zeros_like(numbering)
        ids = model.generate(torch.tensor(tokenizer.prompt(q["question"])), pixels, semantic, numbering, tokenizer.stop)
        answer = tokenizer.sp.decode(ids).strip()
        right[q["kind"]].append(answer == q["answer"])
        right["IoU"] += mean_iou(answer, q["answer"]) if q["kind"] in ("list", "box") else []
    return {k: float(np.mean(right[k])) for k in (*KINDS, "IoU")}


def evaluate(args: argparse.Namespace) -> None:
    model, tokenizer = load(args.checkpoint), Tokenizer(args.checkpoint / "tokenizer.model")
    print("| weights | maps | scenes | list | boxes of a class | class in a box | presence | mean IoU |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, blank, weights in (("bfloat16", False, nullcontext()), ("NF4", False, nf4_main_weights(model)),
                                 ("bfloat16", True, nullcontext())):
        with weights:
            maps = "all unknown" if blank else "given"
            for label, rates in (("carried", carried_rates(model, tokenizer, HERE / "scenes", blank)),
                                 (f"{args.count} fresh", exact_rates(model, tokenizer, args.count, seed=99, blank=blank))):
                cells = [f"{100 * rates[k]:.1f} %" for k in KINDS] + [f"{rates['IoU']:.3f}" if "IoU" in rates else ""]
                print(f"| {name} | {maps} | {label} | " + " | ".join(cells) + " |", flush=True)


# ------------------------------------------------------------------------------------------------ training


def pretrain_vision(model: CoLLaVO, minutes: float, seed: int, batch: int = 48) -> None:
    """Teaches the tower and its projector to see, as CLIP's own pretraining would have: every patch cell names the
    class and the four box edges (in cells) of the segment that owns it, through a linear head that is thrown away."""
    rng = np.random.default_rng(seed)
    edges = GRID + 1
    head = torch.nn.Linear(model.c.hidden, len(CATEGORIES) + 4 * edges)
    weights = [*model.vit.parameters(), *model.vision_proj.parameters(), *head.parameters()]
    optim = torch.optim.AdamW(weights, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.02)

    def make() -> tuple[Tensor, Tensor]:
        drawn = [draw_scene(rng, held_out=False) for _ in range(batch)]
        truth = [np.array([(s.category, *(v // scenes.PATCH for v in s.box)) for s in d.segments])[d.cells()] for d in drawn]
        return normalise(np.stack([d.rgb for d in drawn])), torch.from_numpy(np.stack(truth)).flatten(0, 2)

    queue = prefetch(make)
    start = last = time.time()
    step = 0
    while (progress := (time.time() - start) / (60 * minutes)) < 1:
        optim.param_groups[0]["lr"] = 2e-3 * schedule(progress)
        pixels, truth = queue.get()
        scores = head(model.embed_image(pixels)).flatten(0, 1).split([len(CATEGORIES)] + 4 * [edges], -1)
        loss = sum(F.cross_entropy(s, t) for s, t in zip(scores, truth.unbind(-1)))
        optim.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optim.step()
        step += 1
        if time.time() - last > 20:
            right = [f"{100 * float((s.argmax(-1) == t).float().mean()):.0f}%" for s, t in zip(scores, truth.unbind(-1))]
            print(f"vision {60 * minutes * progress:4.0f} s  step {step}  loss {loss.item():.3f}  class, x0, y0, x1, y1 right: {right}", flush=True)
            last = time.time()


def optimisers(model: CoLLaVO, lr: float, muon_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the full matrices inside the blocks, AdamW for the rest, gently for the pretrained tower.

    Each group remembers its peak rate.
    """
    inner, tower, decayed, plain = [], [], [], []
    for name, p in model.named_parameters():
        if name.startswith("vit."):
            tower.append(p)
        elif p.dim() < 2 or "embed" in name:
            plain.append(p)
        elif "Plora_main" in name:
            inner.append(p)
        else:
            decayed.append(p)
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain}, {"params": tower, "lr": 0.15 * lr}],
        lr=lr, betas=(0.9, 0.98), weight_decay=0.0)
    muon = torch.optim.Muon(inner, lr=muon_lr, momentum=0.95, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for optim in (adam, muon):
        for group in optim.param_groups:
            group["peak"] = group["lr"]
    return [adam, muon]


def schedule(progress: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak; ``progress`` is the share of the time budget."""
    if progress < warmup:
        return 0.05 + 0.95 * progress / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0)))


def train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "tokenizer.model").exists():
        train_tokenizer(args.out / "tokenizer.model")
    write_crayon_config(args.out / "crayon_config.json")
    tokenizer = Tokenizer(args.out / "tokenizer.model")
    if args.init:
        model = load(args.init).train()
    else:
        model = CoLLaVO(Config(semantic_rows=len(CATEGORIES) + 1))
        initialise(model, args.seed)
        pretrain_vision(model, args.vision_minutes, args.seed + 7)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M weights", flush=True)
    optims = optimisers(model, args.lr, args.muon_lr)
    hidden = torch.compile(hidden_states) if args.compile else hidden_states
    rng, coin = np.random.default_rng(args.seed + 1), np.random.default_rng(args.seed)
    easy = args.easy
    queue = prefetch(lambda: training_batch(rng, tokenizer, args.batch, args.text, easy))
    start = time.time()
    budget = 60 * args.minutes
    last_report = last_save = start
    losses: list[float] = []
    step = 0
    while (elapsed := time.time() - start) < budget:
        factor = schedule(elapsed / budget, args.warmup)
        easy = args.easy * max(0.0, 1 - elapsed / budget / 0.4)
        for optim in optims:
            for group in optim.param_groups:
                group["lr"] = group["peak"] * factor
        batch = queue.get()
        noisy = elapsed > (1 - args.nf4_share) * budget and coin.random() < 0.6
        with nf4_main_weights(model) if noisy else nullcontext():
            each = F.cross_entropy(answer_logits(model, batch, hidden), batch.labels, reduction="none")
            weight = torch.tensor([KIND_WEIGHT[k] for k in batch.kinds])[batch.question_of_label]
            ((each * weight).sum() / weight.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        losses.append(each.mean().item())
        step += 1
        now = time.time()
        if now - last_report > args.report or step == 20:
            recent = losses[-50:]
            line = f"{elapsed / 60:6.1f} min  step {step:5d}  {(now - start) / step:.2f} s/step  loss {np.mean(recent):.4f}  lr {args.lr * factor:.2e}"
            if step > 20:
                rates = exact_rates(model, tokenizer, 48, seed=5)
                line += "  " + "  ".join(f"{k} {100 * v:.0f}%" for k, v in rates.items())
            print(line, flush=True)
            last_report = time.time()
        if now - last_save > args.save_every:
            save(model, args.out)
            last_save = now
    print(f"{save(model, args.out)} bytes of weights, {step} steps", flush=True)


def write_crayon_config(file: Path) -> None:
    file.write_text(json.dumps({
        "image_size": SIZE, "crayon_input": "low-rank",
        "categories": [{"id": c.id, "name": c.name, "isthing": c.isthing} for c in CATEGORIES],
        "image_mean": MEAN, "image_std": STD, "prompt_template": TEMPLATE}, indent=1) + "\n")


# ------------------------------------------------------------------------------------------------ probes


@torch.no_grad()
def write_probes(args: argparse.Namespace) -> None:
    """Three recorded forward passes of the bfloat16 weights in float32 arithmetic, one per short kind of question."""
    torch.set_num_threads(1)
    model, tokenizer = load(args.checkpoint), Tokenizer(args.checkpoint / "tokenizer.model")
    questions = json.loads((HERE / "scenes" / "questions.json").read_text())
    (HERE / "probes").mkdir(exist_ok=True)
    for i, kind in enumerate(("presence", "class", "box")):
        q = [q for q in questions if q["kind"] == kind and not (HERE / "scenes" / f"{q['scene']}.jpg").exists()][i]
        pixels, semantic, numbering = carried_scene(HERE / "scenes", q["scene"])
        prompt, answer = tokenizer.prompt(q["question"]), tokenizer.answer(q["answer"])
        ids = torch.tensor(prompt + answer)
        logits = model.prefill(ids, pixels, semantic, numbering)
        labels = torch.full((len(logits),), -100)
        labels[-len(answer) :] = torch.tensor(answer)
        file = HERE / "probes" / f"{q['scene']}-{kind}.safetensors"
        save_file({"input_ids": ids, "pixel_values": pixels, "semantic_map": semantic.contiguous(),
                   "numbering_map": numbering.contiguous(), "logits": logits.contiguous(), "labels": labels}, file)
        file.chmod(0o644)
        print(file.name, file.stat().st_size, "bytes", q["question"], "->", q["answer"])


@torch.no_grad()
def check(args: argparse.Namespace) -> None:
    """Compares this implementation's logits with recorded ones: ``check CHECKPOINT PROBE...``."""
    model = load(args.checkpoint)
    for file in args.probes:
        probe = load_file(file)
        logits = model.prefill(probe["input_ids"], probe["pixel_values"], probe["semantic_map"], probe["numbering_map"])
        error = float((logits - probe["logits"]).norm() / probe["logits"].norm())
        print(f"{file}: relative error {error:.2e}")
        if error > 1e-5:
            raise SystemExit("relative error above 1e-5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    checkpoint = HERE / "checkpoint"

    p = commands.add_parser("train", help="train and write a checkpoint folder")
    p.add_argument("--out", type=Path, default=checkpoint)
    p.add_argument("--init", type=Path, help="start from this checkpoint folder instead of fresh weights")
    p.add_argument("--minutes", type=float, default=50, help="time budget; the learning rate follows it")
    p.add_argument("--vision-minutes", type=float, default=4, help="time for the tower's own pretraining, before the rest")
    p.add_argument("--batch", type=int, default=24, help="pictures per step")
    p.add_argument("--text", type=int, default=192, help="text tokens per picture")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--muon-lr", type=float, default=4e-3)
    p.add_argument("--easy", type=float, default=0.7, help="share of easy scenes at first; falls to 0 in 40 %% of the time")
    p.add_argument("--warmup", type=float, default=0.02, help="share of the time budget")
    p.add_argument("--nf4-share", type=float, default=0.3, help="last share of the time with 4-bit noise in most steps")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--report", type=float, default=60, help="seconds between reports")
    p.add_argument("--save-every", type=float, default=240, help="seconds between checkpoints")
    p.set_defaults(run=train)

    p = commands.add_parser("scenes", help="write the held-out scenes")
    p.add_argument("--count", type=int, default=24)
    p.set_defaults(run=lambda a: scenes.write_held_out(HERE / "scenes", a.count, seed=2024))

    p = commands.add_parser("evaluate", help="print the held-out table")
    p.add_argument("--checkpoint", type=Path, default=checkpoint)
    p.add_argument("--count", type=int, default=400, help="freshly drawn held-out scenes")
    p.set_defaults(run=evaluate)

    p = commands.add_parser("probes", help="record three forward passes")
    p.add_argument("--checkpoint", type=Path, default=checkpoint)
    p.set_defaults(run=write_probes)

    p = commands.add_parser("check", help="compare with recorded logits")
    p.add_argument("checkpoint", type=Path)
    p.add_argument("probes", type=Path, nargs="+")
    p.set_defaults(run=check)

    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
