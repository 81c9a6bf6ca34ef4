"""Times Crayon beside its peers, in turns, in one run on one machine.

    Scripts/bench-peers [--only quantize|generate|clip|train]... [--quick] [--layers 4] [--json FILE]

quantize: one weight of 14336 x 4096 from bfloat16 to NF4 with double quantization, in memory, beside bitsandbytes on the CPU.
generate: tokens one by one and a prompt, on a random backbone of InternLM2-7B's shape with few layers, beside llama.cpp's 4-bit
types. llama.cpp keeps the output head in 6 bits; Crayon keeps it in 16, or in 8 with the profile `compact`: both are shown.
clip: CLIP ViT-L/14 on a picture of 490 x 490, as `crayon run` computes it and in float32, beside transformers in float32 and
bfloat16.
train: one QLoRA step, beside PyTorch with PEFT and bitsandbytes (`Scripts/bench/training.py`).

Whoever is compared takes turns, in new processes where that is how one uses it; figures are medians over all turns, with the
lowest and the highest. A ratio above 1 says that Crayon is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import llama
import torch
import training

HERE = Path(__file__).resolve().parent
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
BENCH = str(Path(CRAYON).with_name("crayon-bench"))


@dataclass
class Figure:
    """What one contender reached: rates, the higher the better."""

    job: str
    who: str
    unit: str
    command: str
    rates: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stderr[-3000:]}")
    return done.stdout


def crayon_bench(name: str, options: argparse.Namespace, *more: object) -> tuple[float, str]:
    """The rate of one of `crayon-bench`'s results, and the command."""
    words = ["--only", name, "--threads", options.threads, "--all-threads-only", "--quick", "--json", "-", *more]
    report = json.loads(run(BENCH, *words))
    return report["results"][0]["all"]["rate"], " ".join(map(str, ["crayon-bench", *words]))


def seconds(body: Callable[[], object], repetitions: int) -> list[float]:
    """Of each repetition, after one that does not count."""
    body()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return times


def quantize(options: argparse.Namespace) -> list[Figure]:
    import bitsandbytes

    rows, columns = 14336, 4096
    weight = torch.randn(rows, columns).mul_(0.02).bfloat16()
    call = "bitsandbytes.functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type='nf4')"

    def peer() -> object:
        return bitsandbytes.functional.quantize_4bit(weight, blocksize=64, compress_statistics=True, quant_type="nf4")

    job = "NF4 + double quantization, bf16 14336 x 4096"
    ours = Figure(job, "crayon", "M parameters/s", "")
    theirs = Figure(job, "bitsandbytes", "M parameters/s", call)
    for _ in range(options.turns):
        rate, ours.command = crayon_bench("quantize-nf4", options)
        ours.rates.append(rate / 1e6)
        theirs.rates += [rows * columns / second / 1e6 for second in seconds(peer, 2)]
    return [ours, theirs]


def generate(options: argparse.Namespace) -> list[Figure]:
    figures: dict[tuple[str, str], Figure] = {}
    tests = [f"tg{options.generate}", f"pp{options.prompt}"]

    def note(test: str, who: str, command: str, size: int, rates: list[float]) -> None:
        job = f"{test}, {options.layers} layers of 7B shape, vocabulary {options.vocabulary}"
        figure = figures.setdefault((test, who), Figure(job, who, "tokens/s", command, note=f"{size / 1e6:.0f} MB"))
        figure.rates += rates

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        training.make(folder / "model", options.layers, options.vocabulary)
        shutil.copy(HERE.parent / "sample" / "checkpoint" / "tokenizer.model", folder / "model")
        bundles, models = {}, {}
        for profile in ("faithful", "compact"):
            bundles[profile] = folder / f"{profile}.crayon"
            words = ["--backbone", folder / "model", "-o", bundles[profile], "--profile", profile, "--quiet"]
            run(CRAYON, "quantize", *words)
        llama.convert(folder / "model", folder / "f16.gguf")
        for kind in llama.TYPES:
            models[kind] = folder / f"{kind}.gguf"
            llama.quantize(options.llama, folder / "f16.gguf", models[kind], kind, options.threads)
        (folder / "f16.gguf").unlink()
        shutil.rmtree(folder / "model")
        shape = ["--prompt", options.prompt, "--generate", options.generate, "--repetitions", options.repetitions]
        for _ in range(options.turns):
            for profile, bundle in bundles.items():
                words = ["bench", bundle, *shape, "--threads", options.threads, "--json"]
                report = json.loads(run(CRAYON, *words))
                command = " ".join(map(str, ["crayon", "bench", bundle.name, *words[2:]]))
                for test in report["tests"]:
                    rates = [test["tokens"] / second for second in test["seconds"]]
                    note(test["name"], f"crayon {profile}", command, bundle.stat().st_size, rates)
            for kind, model in models.items():
                results = llama.bench(
                    options.llama, model, options.threads, options.repetitions, options.prompt, options.generate
                )
                command = (
                    f"llama-bench -m {model.name} -p {options.prompt} -n {options.generate} -r {options.repetitions} "
                    f"-t {options.threads} -o json"
                )
                for test, rates in results.items():
                    note(test, f"llama.cpp {kind}", command, model.stat().st_size, rates)
    return [figure for test in tests for (name, _), figure in figures.items() if name == test]


def clip(options: argparse.Namespace) -> list[Figure]:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        image_size=490,
    )
    job = "CLIP ViT-L/14, one picture of 490 x 490"
    ours = {
        "clip": Figure(job, "crayon", "pictures/s", ""),
        "clip-float32": Figure(job, "crayon, float32", "pictures/s", ""),
    }
    theirs = {}
    models = {}
    pixels = torch.randn(1, 3, 490, 490)
    for kind in ("float32", "bfloat16"):
        models[kind] = CLIPVisionModel(config).eval().to(getattr(torch, kind))
        command = f"CLIPVisionModel(config).to(torch.{kind})(pixel_values) under torch.inference_mode()"
        theirs[kind] = Figure(job, f"transformers, {kind}", "pictures/s", command)
    for _ in range(options.turns):
        for name, figure in ours.items():
            rate, figure.command = crayon_bench(name, options, "--layers", 1, "--vocabulary", 512)
            figure.rates.append(rate)
        with torch.inference_mode():
            for kind, model in models.items():
                picture = pixels.to(getattr(torch, kind))
                times = seconds(lambda model=model, picture=picture: model(pixel_values=picture), options.repetitions)
                theirs[kind].rates += [1 / second for second in times]
    return [*ours.values(), *theirs.values()]


def train(options: argparse.Namespace) -> list[Figure]:
    words = ["--layers", options.layers, "--turns", options.turns, "--steps", 1 if options.quick else 2]
    words += ["--threads", options.threads, "--vocabulary", options.vocabulary]
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        run(sys.executable, HERE / "training.py", *words, "--json", file.name)
        report = json.loads(Path(file.name).read_text())
    command = " ".join(map(str, ["Scripts/bench/training.py", *words]))
    job = f"one QLoRA step, {report['layers']} layers of 7B shape, {report['tokens']} tokens"
    return [
        Figure(
            job, who, "steps/s", command, [1 / s for s in part["seconds"]],
            f"{part['peak_bytes'] / 1e9:.2f} GB"
            + (f", {part['anonymous_bytes'] / 1e9:.2f} without mapped pages" if "anonymous_bytes" in part else ""),
        )
        for who, part in (("crayon", report["crayon"]), ("PyTorch + PEFT + bitsandbytes", report["peer"]))
    ]  # fmt: skip


JOBS = {"quantize": quantize, "generate": generate, "clip": clip, "train": train}


def table(figures: list[Figure]) -> str:
    """Every contender, and how many times as fast as a peer each Crayon of its job is."""
    lines = []
    for job in dict.fromkeys(figure.job for figure in figures):
        here = [figure for figure in figures if figure.job == job]
        ours = [figure for figure in here if figure.who.startswith("crayon")]
        heads = " ".join(f"{figure.who + ' is':>19}" for figure in ours)
        lines += ["", job, f"  {'':32} {here[0].unit:>15} {'lowest to highest':>20} {heads}"]
        for figure in here:
            spread = f"{min(figure.rates):.4g} to {max(figure.rates):.4g}"
            ratios = [f"{own.median / figure.median:.2f} x" if figure not in ours else "" for own in ours]
            columns = " ".join(f"{ratio:>19}" for ratio in ratios)
            lines.append(f"  {figure.who:32} {figure.median:15.4g} {spread:>20} {columns}  {figure.note}".rstrip())
    commands = dict.fromkeys(f"{figure.who}: {figure.command}" for figure in figures)
    return "\n".join([*lines, "", "Commands:", *(f"  {command}" for command in commands)])


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(JOBS), help="repeat for more; all by default")
    parser.add_argument("--quick", action="store_true", help="one layer, one turn: for a first look")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--turns", type=int)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--llama", type=Path, required=True, help="the folder of llama-bench and llama-quantize")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    options.layers = options.layers or (1 if options.quick else 4)
    options.turns = options.turns or (1 if options.quick else 3)
    options.repetitions = options.repetitions or (1 if options.quick else 3)
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)

    packages = {name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes", "gguf")}
    machine = {"processor": processor(), "cores": os.cpu_count(), "threads": options.threads}
    versions = {"crayon": run(CRAYON, "--version").strip(), **packages, "llama.cpp": llama.version(options.llama)}
    load = os.getloadavg()[0]
    print(f"{machine['processor']}, {machine['cores']} cores, {options.threads} threads, load {load:.2f} at the start")
    print(", ".join(f"{name} {number}" for name, number in versions.items()), flush=True)
    figures: list[Figure] = []
    for name in options.only or JOBS:
        found = JOBS[name](options)
        figures += found
        print(table(found), flush=True)
    end = os.getloadavg()[0]
    print(f"\nload {end:.2f} at the end")
    if options.json:
        report = {
            "machine": machine, "versions": versions, "load": [load, end], "date": time.strftime("%Y-%m-%d"),
            "figures": [{**asdict(figure), "median": figure.median} for figure in figures],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
