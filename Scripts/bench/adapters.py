"""Times merging and extraction against PEFT, PyTorch and mergekit's method on layers of a 7B model, in one run on one machine.

    CRAYON=.build/release/crayon python Scripts/bench/adapters.py            # all of it, about ten minutes
    CRAYON=.build/release/crayon python Scripts/bench/adapters.py --quick    # without the full SVD

Crayon is timed as a whole process: start, reading, work, writing and syncing to disk; a layer's time is the process's over the
number of layers. Merges are timed a second time with all files in memory (a file system in /dev/shm, where there is one), still
as whole processes: that is what can be held against peers, which are timed on what lies in memory already, and write nothing:
PEFT's `merge_and_unload`, `torch.svd_lowrank` (q = 72, niter = 4), and
the full SVD in float32 that mergekit-extract-lora makes. Each figure is the median of three runs, the full SVD's of one. Memory is
the most that a process held, for Crayon anonymous memory, since the files that it maps may be dropped at will.
"""

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
from safetensors.torch import save_file

CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
RANK = 64
MEMORY = Path("/dev/shm")
SIZES = {"4096 x 4096": (4096, 4096, 8), "14336 x 4096": (14336, 4096, 2)}
# Parameters of the linear layers of InternLM2-7B's blocks.
PARAMETERS_7B = 32 * (6144 * 4096 + 4096 * 4096 + 3 * 14336 * 4096)


def name(layer):
    return f"model.layers.{layer}.mlp.up_proj"


def make(folder, rows, columns, layers):
    """A base in bfloat16 and in NF4, an adapter of 1 % of the weights' norm, and what the base was tuned to."""
    from bitsandbytes.functional import quantize_4bit

    torch.manual_seed(1)
    weights, quantized, pairs, tuned = {}, {}, {}, {}
    for layer in range(layers):
        key = name(layer) + ".weight"
        weight = (torch.randn(rows, columns) * 0.02).bfloat16()
        a, b = torch.randn(RANK, columns), torch.randn(rows, RANK)
        b *= 0.01 * 0.02 / RANK**0.5
        weights[key], tuned[key] = weight, weight.float() + b @ a
        codes, state = quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")
        quantized[key] = codes
        quantized |= {f"{key}.{part}": value for part, value in state.as_dict(packed=True).items()}
        prefix = "base_model.model." + name(layer)
        pairs[prefix + ".lora_A.weight"], pairs[prefix + ".lora_B.weight"] = a, b
    for kind, tensors in {"bf16": weights, "nf4": quantized, "tuned": tuned}.items():
        (folder / kind).mkdir()
        save_file(tensors, folder / kind / "model.safetensors", metadata={"format": "pt"})
    (folder / "adapter").mkdir()
    save_file(pairs, folder / "adapter" / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["up_proj"], "task_type": None}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(config))


def crayon(*words):
    """Seconds of the process, the figures that it prints, and the most anonymous memory."""
    start = time.perf_counter()
    result = subprocess.run([CRAYON, *map(str, words)], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if result.returncode:
        sys.exit(result.stderr)
    memory = [line for line in result.stdout.splitlines() if "of memory at most" in line]
    return seconds, result.stdout, memory[-1].split(", ")[-1].removesuffix(" of memory at most") if memory else ""


def median_of(runs, action):
    results = [action() for _ in range(runs)]
    return statistics.median(r[0] for r in results), results[-1]


class Layers(torch.nn.Module):
    def __init__(self, modules):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.ModuleDict({"up_proj": module}) for module in modules)

    def forward(self, x):
        return x


def peft_merge(folder, kind, layers, threads, pipe):
    """In a process of its own, so that its memory is its own."""
    torch.set_num_threads(threads)
    import bitsandbytes
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file

    weights = load_file(folder / "bf16" / "model.safetensors")
    pairs = load_file(folder / "adapter" / "adapter_model.safetensors")
    modules = []
    for layer in range(layers):
        weight = weights.pop(name(layer) + ".weight")
        if kind == "nf4":
            module = bitsandbytes.nn.Linear4bit(
                weight.shape[1], weight.shape[0], bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
            )
            module.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
            module = module.to("cpu")
        else:
            module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.bfloat16)
            module.weight.data = weight
        modules.append(module)
    layered = Layers(modules)
    layered.is_loaded_in_4bit = kind == "nf4"  # what PEFT goes by
    model = get_peft_model(layered, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["up_proj"]))
    for layer, module in enumerate(model.base_model.model.layers):
        prefix = "base_model.model." + name(layer)
        module["up_proj"].lora_A.default.weight.data = pairs[prefix + ".lora_A.weight"]
        module["up_proj"].lora_B.default.weight.data = pairs[prefix + ".lora_B.weight"]
    start = time.perf_counter()
    model.merge_and_unload()
    seconds = time.perf_counter() - start
    pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def in_process(function, *arguments):
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(*arguments, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def svd(folder, full, threads, pipe):
    torch.set_num_threads(threads)
    from safetensors.torch import load_file

    base = load_file(folder / "bf16" / "model.safetensors")[name(0) + ".weight"].float()
    delta = load_file(folder / "tuned" / "model.safetensors")[name(0) + ".weight"] - base
    start = time.perf_counter()
    if full:
        u, s, v = torch.linalg.svd(delta, full_matrices=False)
        v = v.T
    else:
        u, s, v = torch.svd_lowrank(delta, q=RANK + 8, niter=4)
    b, a = u[:, :RANK] * s[:RANK].sqrt(), s[:RANK].sqrt()[:, None] * v[:, :RANK].T
    seconds = time.perf_counter() - start
    residual = ((delta - b @ a).norm() / delta.norm()).item()
    pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, residual))


def row(size, what, seconds, layers, elements, memory, note=""):
    layer = seconds / layers
    whole = layer * PARAMETERS_7B / elements
    memory = memory if isinstance(memory, str) else f"{memory / 1e6:.0f} MB"
    print(f"{size:<13} {what:<34} {layer:>9.3f} {whole:>9.1f} {memory:>9}  {note}", flush=True)
    return layer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, load {os.getloadavg()[0]:.2f} at the start")
    print(f"{'layer':<13} {'':<34} {'s/layer':>9} {'7B, s':>9} {'memory':>9}")
    for size, (rows, columns, layers) in SIZES.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make(folder, rows, columns, layers)
            elements = rows * columns

            def merge(place, kind, *words):
                shutil.rmtree(place / "out", ignore_errors=True)
                return crayon(
                    "adapter", "merge", place / kind, place / "adapter", "-o", place / "out", "--threads",
                    options.threads, *words)

            def retained(text):
                line = [line for line in text.splitlines() if "of their delta on average" in line][-1]
                return line.split("retain ")[1].split(" of")[0]

            times = {}
            merges = [
                ("bf16", "bf16", []), ("NF4 plain", "nf4", ["--rounding", "plain"]),
                ("NF4 keep", "nf4", ["--rounding", "keep"]),
            ]
            for label, kind, words in merges:
                seconds, (_, text, memory) = median_of(3, lambda: merge(folder, kind, *words))
                times[label] = row(
                    size, f"crayon merge, {label}", seconds, layers, elements, memory, f"retains {retained(text)}")
            if MEMORY.is_dir():
                with tempfile.TemporaryDirectory(dir=MEMORY) as memory_folder:
                    place = Path(memory_folder)
                    for part in ("bf16", "nf4", "adapter"):
                        shutil.copytree(folder / part, place / part)
                    for label, kind, words in merges:
                        seconds, (_, _, memory) = median_of(5, lambda: merge(place, kind, *words))
                        times[f"{label}, in memory"] = row(
                            size, f"the same in memory, {label}", seconds, layers, elements, memory)
            for label, kind in [("PEFT merge_and_unload, bf16", "bf16"), ("PEFT merge_and_unload, NF4", "nf4")]:
                seconds, last = median_of(3, lambda: in_process(peft_merge, folder, kind, layers, options.threads))
                times[label] = row(size, label, seconds, layers, elements, last[1])

            def extract():
                shutil.rmtree(folder / "lora", ignore_errors=True)
                return crayon(
                    "adapter", "extract", "--base", folder / "bf16", "--tuned", folder / "tuned", "-o", folder / "lora",
                    "--rank", RANK, "--threads", options.threads, "--json")

            seconds, (_, text, memory) = median_of(3, extract)
            report = json.loads(text)
            residual = report["layers"][0]["residual"]
            row(size, "crayon extract, rank 64", seconds, layers, elements, memory, f"residual {residual:.2e}")
            # What a peer does of it: no reading, no subtraction, no residual, no writing.
            alone = statistics.median(layer["decomposition_seconds"] for layer in report["layers"])
            times["crayon extract"] = row(size, "crayon's decomposition alone", alone, 1, elements, "")
            seconds, last = median_of(3, lambda: in_process(svd, folder, False, options.threads))
            times["svd_lowrank"] = row(size, "torch.svd_lowrank, one layer", seconds, 1, elements, last[1], f"residual {last[2]:.2e}")
            if not options.quick:
                seconds, last = median_of(1, lambda: in_process(svd, folder, True, options.threads))
                row(size, "full SVD as mergekit's, one layer", seconds, 1, elements, last[1], f"residual {last[2]:.2e}")
            def ratio(label):
                theirs = times["PEFT merge_and_unload, " + label.split()[0]]
                return f"{label} {theirs / times[label]:.1f}" + (
                    f" ({theirs / times[f'{label}, in memory']:.1f} in memory)" if f"{label}, in memory" in times else "")

            print(
                f"{size:<13} times as fast as PEFT: {', '.join(ratio(label) for label, _, _ in merges)}; "
                f"as svd_lowrank {times['svd_lowrank'] / times['crayon extract']:.1f}")
    print(f"load {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
