"""Times one training step against PyTorch + PEFT + bitsandbytes, in one run on one machine.

    CRAYON=.build/release/crayon python Scripts/bench/training.py [--layers 4] [--turns 2] [--steps 2]

QLoRA of rank 64 on every linear layer of a backbone of InternLM2-7B's shape with few layers: NF4 with double quantization,
one sequence, every token a target, gradient checkpointing, AdamW with 32-bit states. PyTorch computes in float32, the
faster of what this kind of processor offers (`--dtype bfloat16` shows the other). The two take turns, each time in a new
process whose first step does not count; the table has medians of the others, and the most memory that a process held, of
Crayon also without the pages of the mapped bundle, which the system may take back at will. Both print the loss of the first
step, when the adapters are zero, so that one can see that they compute the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
RANK = 64
HIDDEN, HEADS, GROUPS, INNER = 4096, 32, 8, 14336


def config(layers: int, vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def make(folder: Path, layers: int, vocabulary: int) -> None:
    """A random checkpoint in bfloat16, in Llama's layout."""
    torch.manual_seed(1)
    shapes = {"model.embed_tokens": (vocabulary, HIDDEN), "lm_head": (vocabulary, HIDDEN)}
    keys = HIDDEN // HEADS * GROUPS
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{n}_proj": (rows, HIDDEN) for n, rows in zip("qkv", (HIDDEN, keys, keys), strict=True)}
        shapes |= {f"{at}.self_attn.o_proj": (HIDDEN, HIDDEN), f"{at}.mlp.down_proj": (HIDDEN, INNER)}
        shapes |= {f"{at}.mlp.{n}_proj": (INNER, HIDDEN) for n in ("gate", "up")}
    tensors = {f"{name}.weight": torch.randn(shape).mul_(0.02).bfloat16() for name, shape in shapes.items()}
    for layer in range(layers):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = torch.ones(HIDDEN).bfloat16()
    tensors["model.norm.weight"] = torch.ones(HIDDEN).bfloat16()
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(layers, vocabulary)))


def peer(folder: Path, tokens: list[int], steps: int, threads: int, dtype: str, pipe) -> None:  # noqa: ANN001
    """One step that does not count and `steps` that do, in a process of its own so that its memory is its own."""
    torch.set_num_threads(threads)
    import bitsandbytes
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import LlamaConfig, LlamaForCausalLM

    kind = getattr(torch, dtype)
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**json.loads((folder / "config.json").read_text())))
    weights = load_file(folder / "model.safetensors")
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "layers." in name:
            linear = bitsandbytes.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, compute_dtype=kind, quant_type="nf4"
            )
            weight = weights.pop(f"{name}.weight")
            linear.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, linear.to("cpu"))
    model.load_state_dict(weights, strict=False, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    model.is_loaded_in_4bit = True  # what PEFT goes by
    model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets, task_type="CAUSAL_LM"))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    ids = torch.tensor([tokens])
    seconds, losses = [], []
    for _ in range(steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    pipe.send((seconds[1:], losses[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def in_process(*arguments: object) -> tuple[list[float], float, int]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=peer, args=(*arguments, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def crayon(*words: object) -> str:
    done = subprocess.run([CRAYON, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def own(folder: Path, steps: int, threads: int) -> tuple[list[float], float, int, int]:
    for name in ("out.crayon", "out.crayon.run"):
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    words = ["train", "qlora", folder / "model.crayon", "--text", folder / "text.jsonl", "--updates", steps + 1]
    words += ["--sequences", 1, "--rank", RANK, "--rate", 1e-4, "--warmup", 0, "--dropout", 0, "--clip", 0]
    words += ["--checkpointing", 1, "--threads", threads, "-o", folder / "out.crayon", "--json"]
    result = json.loads(crayon(*words))
    lines = (folder / "out.crayon.run" / "metrics.jsonl").read_text().splitlines()
    metrics = [m for m in map(json.loads, lines) if "loss" in m]
    seconds = [m["seconds"] for m in metrics]
    return seconds[1:], metrics[0]["loss"], result["peak_anonymous_bytes"], result["peak_resident_bytes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--words", type=int, default=255, help="of the text; two tokens each")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--vocabulary", type=int, default=92544)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    tokenizer = Path(__file__).resolve().parents[1] / "sample" / "checkpoint" / "tokenizer.model"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder / "model", arguments.layers, arguments.vocabulary)
        shutil.copy(tokenizer, folder / "model")
        crayon("quantize", "--backbone", folder / "model", "-o", folder / "model.crayon", "--quiet")
        (folder / "text.jsonl").write_text(json.dumps({"text": " ".join(["circle square"] * arguments.words)}) + "\n")
        words = ["--text", folder / "text.jsonl", "--sequences", 1, "--updates", 1, "-o", folder / "data", "--quiet"]
        crayon("data", "batches", folder / "model.crayon", *words)
        tokens = load_file(folder / "data" / "000000.safetensors")["0.input_ids"].tolist()
        print(f"{arguments.layers} layers of 7B shape, {len(tokens)} tokens, {arguments.threads} threads")
        print(f"load {os.getloadavg()[0]:.2f} at the start")
        ours, theirs, memory = [], [], {}
        for _ in range(arguments.turns):
            seconds, loss, anonymous, resident = own(folder, arguments.steps, arguments.threads)
            ours += seconds
            memory["crayon"], memory["anonymous"] = resident, anonymous
            other, other_loss, memory["peer"] = in_process(
                folder / "model", tokens, arguments.steps, arguments.threads, arguments.dtype
            )
            theirs += other
        mine, peers = statistics.median(ours), statistics.median(theirs)
        print(f"{'':34} {'s/step':>8} {'spread':>15} {'memory':>9} {'first loss':>11}")
        spread = f"{min(ours):.1f} to {max(ours):.1f}"
        print(f"{'crayon':34} {mine:8.2f} {spread:>15} {memory['crayon'] / 1e9:6.2f} GB {loss:11.5f}")
        print(f"{'  without the mapped pages':34} {'':8} {'':15} {memory['anonymous'] / 1e9:6.2f} GB")
        spread = f"{min(theirs):.1f} to {max(theirs):.1f}"
        name = f"PyTorch + PEFT + bitsandbytes, {arguments.dtype}"
        print(f"{name:34} {peers:8.2f} {spread:>15} {memory['peer'] / 1e9:6.2f} GB {other_loss:11.5f}")
        share = memory["crayon"] / memory["peer"]
        print(f"{peers / mine:.2f} times as fast, {share:.2f} of the memory; load {os.getloadavg()[0]:.2f} at the end")
        if arguments.json:
            crayons = {"seconds": ours, "peak_bytes": memory["crayon"], "anonymous_bytes": memory["anonymous"]}
            report = {"layers": arguments.layers, "tokens": len(tokens), "threads": arguments.threads, "crayon": crayons}
            report["peer"] = {"seconds": theirs, "peak_bytes": memory["peer"], "dtype": arguments.dtype}
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
