#!/usr/bin/env python3
"""Holds `crayon adapter extract` against PyTorch's decompositions and against PEFT.

    extraction_against_torch.py                    every case, one line each; exit code 1 when one does not hold
    extraction_against_torch.py --timing           times and residuals of 4096 x 4096 and 14336 x 4096, rank 64, too
    extraction_against_torch.py --full             with --timing: PyTorch's full decomposition of 4096 x 4096 as well
    extraction_against_torch.py --crayon PATH      another binary than .build/release/crayon

Needs torch, transformers, peft and safetensors. Both sides compute on two threads. Random models are made from fixed
seeds; nothing is downloaded.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
THREADS = 2
torch.set_num_threads(THREADS)


class Harness:
    """Runs the command in a folder of its own and keeps what held and what did not."""

    def __init__(self, crayon: str, folder: pathlib.Path, is_loud: bool = True) -> None:
        self.crayon = crayon
        self.folder = folder
        self.is_loud = is_loud
        self.rows: list[tuple[str, str, bool]] = []

    def check(self, name: str, holds: bool, detail: str) -> None:
        if self.is_loud:
            print(f"{'ok  ' if holds else 'FAIL'} {name}: {detail}", flush=True)
        self.rows.append((name, detail, holds))

    def checkpoint(self, name: str, tensors: dict[str, torch.Tensor]) -> pathlib.Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
        return folder

    def extract(self, base: pathlib.Path, tuned: pathlib.Path, name: str, *options: str) -> tuple[int, dict, str]:
        command = [self.crayon, "adapter", "extract", "--base", str(base), "--tuned", str(tuned)]
        command += ["-o", str(self.folder / name), "--json", "--threads", str(THREADS), "--overwrite", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else {}, done.stderr

    def pair(self, name: str, module: str) -> torch.Tensor:
        tensors = load_file(self.folder / name / "adapter_model.safetensors")
        a = tensors[f"base_model.model.{module}.lora_A.weight"].double()
        return tensors[f"base_model.model.{module}.lora_B.weight"].double() @ a


def planted(rows: int, columns: int, values: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    u = torch.linalg.qr(torch.randn(rows, len(values), generator=generator, dtype=torch.float64))[0]
    v = torch.linalg.qr(torch.randn(columns, len(values), generator=generator, dtype=torch.float64))[0]
    return (u * values.double()) @ v.T


def gaussian(rows: int, columns: int, seed: int, deviation: float = 0.02) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * deviation


def relative(difference: torch.Tensor, whole: torch.Tensor) -> float:
    """Ratio of norms, summed in float64: float32's sum of 59 million squares is off in the fourth digit."""
    return (difference.double().norm() / whole.double().norm()).item()


WEIGHT = "model.layers.0.mlp.up_proj.weight"
MODULE = WEIGHT.removesuffix(".weight")


def one_weight(harness: Harness, base: torch.Tensor, tuned: torch.Tensor, *options: str) -> dict:
    a = harness.checkpoint("base", {WEIGHT: base})
    b = harness.checkpoint("tuned", {WEIGHT: tuned})
    code, report, error = harness.extract(a, b, "out", *options)
    if not report:
        harness.check("extract " + " ".join(options), False, error.strip() or f"exit code {code}")
        return {"layers": [], "is_written": False}
    return report


def planted_rank(harness: Harness) -> None:
    base = gaussian(1100, 700, 1)
    delta = planted(1100, 700, torch.tensor([0.5, 0.25, 0.125]), 2).float()
    report = one_weight(harness, base, base + delta, "--rank", "16")
    error = ((harness.pair("out", MODULE) - delta.double()).norm() / delta.norm()).item()
    rank = report["layers"][0]["rank"]
    harness.check("planted rank 3, F32", rank == 3 and error < 1e-4, f"rank {rank}, error {error:.2e}")


def thresholds(harness: Harness) -> None:
    base = gaussian(1100, 700, 1)
    values = 2 * 0.5 ** (torch.arange(40) / 2)
    delta = planted(1100, 700, values, 3).float()
    change = (base + delta) - base
    exact = torch.linalg.svdvals(change.double())
    energy = torch.cumsum(exact**2, 0) / (exact**2).sum()
    for share in (0.5001, 0.9, 0.99, 0.9999):
        expected = int((energy < share).sum()) + 1
        found = one_weight(harness, base, base + delta, "--energy", str(share))["layers"][0]["rank"]
        harness.check(f"energy {share}", found == expected, f"rank {found}, of the full spectrum {expected}")
    for ratio in (3.0, 50.0):
        expected = int((exact > exact[0] / ratio).sum())
        found = one_weight(harness, base, base + delta, "--sv-ratio", str(ratio))["layers"][0]["rank"]
        harness.check(f"sv-ratio {ratio:g}", found == expected, f"rank {found}, of the full spectrum {expected}")


def residuals(harness: Harness) -> None:
    base = gaussian(1100, 700, 1)
    for name, delta in (
        ("power law", planted(1100, 700, 1 / torch.arange(1, 301) ** 0.7, 4).float()),
        ("noise", gaussian(1100, 700, 5)),
    ):
        change = (base + delta) - base
        u, s, v = torch.svd_lowrank(change, 72, niter=4)
        low = relative(change - (u[:, :64] * s[:64]) @ v[:, :64].T, change)
        exact = torch.linalg.svdvals(change.double())
        best = (exact[64:].norm() / exact.norm()).item()
        for method in ("randomized", "full"):
            residual = one_weight(harness, base, base + delta, "--svd", method)["layers"][0]["residual"]
            holds = residual <= low * (1 + 1e-5) and residual >= best * (1 - 1e-5)
            detail = f"{residual:.6f}, svd_lowrank {low:.6f}, full spectrum {best:.6f}"
            harness.check(f"residual at rank 64, {name}, {method}", holds, detail)


def noise_floors(harness: Harness) -> None:
    master = gaussian(1024, 768, 7)
    base = master.bfloat16()
    delta = planted(1024, 768, torch.tensor([2.0, 1.0, 0.5]), 8).float()
    tuned = (base.float() + delta).bfloat16()
    layer = one_weight(harness, base, tuned, "--rank", "64")["layers"][0]
    noise = torch.linalg.svdvals(((tuned.float() - base.float()) - delta).double())[0].item()
    detail = f"rank {layer['rank']}, floor {layer['noise_floor']:.4f}, the rounding's norm {noise:.4f}"
    holds = layer["rank"] == 3 and noise <= layer["noise_floor"] <= 1.3 * noise
    harness.check("bf16 rounding of a rank 3 delta", holds, detail)
    for name, a, b in (
        ("bf16 of an F32 base", master, master.bfloat16()),
        ("F32 master of a bf16 base", base, master),
        ("F16 of a bf16 base", base, base.half()),
        ("bf16 of F16", master.half(), master.half().bfloat16()),
    ):
        report = one_weight(harness, a, b)
        verdicts = [layer["verdict"] for layer in report["layers"]]
        holds = not report["is_written"] and all(verdict == "rounding only" for verdict in verdicts)
        harness.check(name, holds, f"{verdicts or 'unchanged'}, written: {report['is_written']}")


def tiny_models(harness: Harness, biases: bool) -> tuple[pathlib.Path, pathlib.Path, torch.nn.Module]:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=320, hidden_size=96, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, attention_bias=True, tie_word_embeddings=False,
    )
    base = LlamaForCausalLM(config).float().eval()
    for name, parameter in base.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.05)  # made as zeros, from which any difference is exact
    base.save_pretrained(harness.folder / "llama")
    with torch.no_grad():
        for index, (name, parameter) in enumerate(base.named_parameters()):
            if parameter.ndim == 2 and ".2.mlp.down" not in name:
                rows, columns = parameter.shape
                parameter += planted(rows, columns, torch.tensor([0.4, 0.3, 0.2, 0.1]), index).float()
            elif parameter.ndim == 1 and (biases or "bias" not in name):
                parameter += 0.05 * torch.randn(parameter.shape)
    base.save_pretrained(harness.folder / "llama-tuned")
    return harness.folder / "llama", harness.folder / "llama-tuned", base


def peft_loads(harness: Harness) -> None:
    # PEFT gives pairs on an embedding no bias, and refuses lora_bias beside them: so no biases are tuned there.
    for embeddings in ("whole", "pairs"):
        peft_loads_with(harness, embeddings)


def peft_loads_with(harness: Harness, embeddings: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, tuned_folder, tuned = tiny_models(harness, biases=embeddings == "whole")
    ids = torch.arange(2 * 24).reshape(2, 24) * 5 % 320
    with torch.no_grad():
        expected = tuned(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(base).eval()(ids).logits
    distance = (expected - plain).norm().item()
    for kind in ("f32", "f16", "bf16"):
        options = ["--type", kind, "--norms", "--embeddings", embeddings, "--rank", "8"]
        options += ["--biases"] if embeddings == "whole" else []
        name = f"PEFT, {kind}, embeddings {embeddings}"
        code, report, error = harness.extract(base, tuned_folder, "peft", *options)
        if not report.get("is_written"):
            harness.check(name, False, f"exit code {code}: {error.strip()}")
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), harness.folder / "peft")
        with torch.no_grad():
            found = model.eval()(ids).logits
        off = (found - expected).norm().item() / distance
        text = [str(w.message)[:90] for w in caught if "adapter" in str(w.message).lower()]
        before = dict(AutoModelForCausalLM.from_pretrained(base).named_parameters())
        after = dict(tuned.named_parameters())
        # What is printed of each weight is what the pair in the folder leaves.
        worst = 0.0
        for layer in report["layers"]:
            if "embed" in layer["module"]:
                continue
            key = layer["module"] + ".weight"
            delta = (after[key] - before[key]).detach().double()
            left = ((harness.pair("peft", layer["module"]) - delta).norm() / delta.norm()).item()
            worst = max(worst, abs(left - layer["residual"]) / (layer["residual"] + 1e-6))
        # Layers add up, so the logits may be off by a little more than one weight is.
        residual = max(layer["residual"] for layer in report["layers"])
        holds = worst < 0.05 if kind != "f32" else off < 5e-6
        holds = holds and off < 3 * residual + 2e-6 and not text
        holds = holds and all(layer["rank"] == 4 for layer in report["layers"])
        detail = f"logits off by {off:.2e} of the tuning; residuals up to {residual:.2e}, held to "
        harness.check(name, holds, f"{detail}{worst:.1%}, warnings {text}")
    modules = [layer["module"] for layer in report["layers"]]
    harness.check("unchanged layer left out", "model.layers.2.mlp.down_proj" not in modules, f"{len(modules)} modules")


def biases(harness: Harness) -> None:
    base, tuned, _ = tiny_models(harness, biases=True)
    code, _, error = harness.extract(base, tuned, "biases", "--biases", "--rank", "8")
    if code:
        return harness.check("bias deltas", False, f"exit code {code}: {error.strip()}")
    config = json.loads((harness.folder / "biases" / "adapter_config.json").read_text())
    found = load_file(harness.folder / "biases" / "adapter_model.safetensors")
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    worst = 0.0
    names = [name for name in before if name.endswith(".bias")]
    for name in names:
        bias = found.get(f"base_model.model.{name.removesuffix('.bias')}.lora_B.bias")
        if bias is None:
            return harness.check("bias deltas", False, f"nothing for {name}")
        delta = after[name].double() - before[name].double()
        worst = max(worst, relative(bias * config["lora_alpha"] / config["r"] - delta, delta))
    # In float32 the difference of two biases is off by their own rounding.
    holds = config["lora_bias"] is True and worst < 1e-6 and not (config["rank_pattern"] or config["alpha_pattern"])
    harness.check("bias deltas", holds, f"lora_bias {config['lora_bias']}, {len(names)} biases off by {worst:.1e}")


def refusals(harness: Harness) -> None:
    base = gaussian(300, 280, 1)
    for name, tuned, words in (
        ("another width", gaussian(300, 290, 2), ["[300, 290]", "[300, 280]", WEIGHT]),
        ("NaN", base.index_fill(0, torch.tensor([3]), float("nan")), ["nan", WEIGHT]),
    ):
        a, b = harness.checkpoint("base", {WEIGHT: base}), harness.checkpoint("tuned", {WEIGHT: tuned})
        code, _, error = harness.extract(a, b, "refused")
        written = (harness.folder / "refused").exists()
        harness.check(name, code == 2 and not written and all(w in error for w in words), error.strip()[:150])


def resumes(harness: Harness) -> None:
    tensors = {f"model.layers.{i}.self_attn.q_proj.weight": gaussian(1500, 1500, i) for i in range(12)}
    tuned = {k: v + gaussian(1500, 1500, 100 + i, 0.001) for i, (k, v) in enumerate(tensors.items())}
    base, other = harness.checkpoint("base", tensors), harness.checkpoint("tuned", tuned)
    harness.extract(base, other, "whole")
    command = [harness.crayon, "adapter", "extract", "--base", str(base), "--tuned", str(other), "--threads", "1", "-q"]
    command += ["-o", str(harness.folder / "cut")]
    journal = harness.folder / ".cut.crayon-resume" / "journal.jsonl"
    process = subprocess.Popen(command)
    while process.poll() is None:
        if journal.exists() and journal.read_text().count("\n") > 4:
            process.kill()
            break
        time.sleep(0.005)
    process.wait()
    lines = journal.read_text().count("\n") if journal.exists() else 0
    nothing = not (harness.folder / "cut").exists()
    code, _, error = harness.extract(base, other, "cut", "--resume")
    same = code == 0 and all(
        (harness.folder / "cut" / f).read_bytes() == (harness.folder / "whole" / f).read_bytes()
        for f in ("adapter_model.safetensors", "adapter_config.json")
    )
    detail = f"killed after {lines - 1} of 12 modules, the same bytes: {same} {error.strip()}"
    harness.check("resume", same and nothing and lines > 1 and not journal.exists(), detail)


def timing(harness: Harness, full: bool) -> None:
    rows = []
    for m, n in ((4096, 4096), (14336, 4096)):
        base = gaussian(m, n, 1)
        for name, delta in (
            ("rank 64 + noise", (gaussian(m, 64, 2) @ gaussian(64, n, 3)) / 50 + gaussian(m, n, 4, 2e-5)),
            ("noise", gaussian(m, n, 5, 1e-3)),
        ):
            change = (base + delta) - base
            walls, cpus = [], []
            for _ in range(2):
                wall, cpu = time.perf_counter(), time.process_time()
                u, s, v = torch.svd_lowrank(change, 72, niter=4)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
            low = relative(change - (u[:, :64] * s[:64]) @ v[:, :64].T, change)
            layers = [one_weight(harness, base, base + delta)["layers"][0] for _ in range(2)]
            mine = min(layer["decomposition_seconds"] for layer in layers)
            whole = min(layer["seconds"] for layer in layers)
            complete = ""
            if full and m == 4096:
                wall = time.perf_counter()
                torch.linalg.svd(change, full_matrices=False)
                complete = f"{time.perf_counter() - wall:.1f}"
            rows.append([
                f"{m} x {n}, {name}", f"{min(walls):.2f}", f"{min(cpus):.2f}", complete, f"{mine:.2f}", f"{whole:.2f}",
                f"{min(walls) / mine:.1f}", f"{low:.6f}", f"{layers[0]['residual']:.6f}", str(layers[0]["rank"]),
            ])
    print("\nSeconds, two threads. all: with reading, subtracting and the residual.")
    head = ["matrix", "svd_lowrank", "its CPU", "full SVD", "crayon SVD", "all", "ratio", "residual", "crayon's"]
    head.append("rank")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def rows(crayon: str, *cases: Callable[[Harness], None]) -> list[tuple[str, str, bool]]:
    """Name, what was found, and whether it holds, of each check of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(crayon, pathlib.Path(folder), is_loud=False)
        for case in cases:
            case(harness)
        return harness.rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crayon", default=str(ROOT / ".build" / "release" / "crayon"))
    parser.add_argument("--timing", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(options.crayon, pathlib.Path(folder))
        for case in (planted_rank, thresholds, residuals, noise_floors, peft_loads, biases, refusals, resumes):
            case(harness)
        if options.timing:
            timing(harness, options.full)
    failures = sum(not holds for _, _, holds in harness.rows)
    print(f"\n{failures} of the cases did not hold" if failures else "\nAll held.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
