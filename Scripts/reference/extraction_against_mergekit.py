"""Holds `crayon adapter extract` against mergekit-extract-lora 0.1.5 on a random pair of models at the same rank.

Its rows are part of the table of adapters_table.py. mergekit runs as the command that its users run. Two of its faults
are shown beside what Crayon does: it writes deltas of biases without `lora_bias`, so PEFT drops them; and a layer that
did not change becomes a pair of rank 0 under `--sv-epsilon`, which PEFT refuses.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from extraction_against_torch import Harness, gaussian, planted, relative

Row = tuple[str, str, str, bool]
RANK = 16
UNCHANGED = "model.layers.1.mlp.down_proj"
# Wide enough that crayon's randomized decomposition does not give way to the full one, but for keys and values.
SHAPE = {
    "hidden_size": 512, "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 64, "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


class Absent(Exception):
    """mergekit or something that it imports is not installed."""


def mergekit(base: Path, tuned: Path, out: Path, *options: str, rank: int = RANK) -> Path:
    command = [sys.executable, "-m", "mergekit.scripts.extract_lora", "--base-model", str(base), "--model", str(tuned)]
    command += ["--out-path", str(out), "--max-rank", str(rank), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr or "ImportError" in done.stderr:
        raise Absent(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return out


def pair_of_models(folder: Path, model: Any) -> tuple[Path, Path]:
    """The first layer's linear weights change by a spectrum that falls off, the second's by noise, one not at all."""
    base, tuned = folder / "base", folder / "tuned"
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.05)
    model.save_pretrained(base)
    falling = 1 / torch.arange(1, 201) ** 0.7
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(model.named_parameters()):
            if ".layers." not in name or "norm" in name or UNCHANGED in name:
                continue
            if parameter.ndim == 1:
                parameter += gaussian(len(parameter), 1, seed, 0.1)[:, 0]
            elif ".0." in name:
                parameter += planted(*parameter.shape, falling, seed).float()
            else:
                parameter += gaussian(*parameter.shape, seed)
    model.save_pretrained(tuned)
    return base, tuned


def residuals(folder: Path, base: Path, tuned: Path) -> dict[str, float]:
    """|B A - delta| / |delta| of each module that changed, from the file itself, in float64."""
    pairs = load_file(folder / "adapter_model.safetensors")
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    result = {}
    for key, a in pairs.items():
        if key.endswith(".lora_A.weight"):
            module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            b = pairs[key.replace("lora_A", "lora_B")]
            delta = after[f"{module}.weight"].double() - before[f"{module}.weight"].double()
            if delta.any():
                result[module] = relative(b.double() @ a.double() - delta, delta)
    return result


def loaded(base: Path, folder: Path) -> tuple[Any, list[str]]:
    """The model as PEFT loads it, and what it warned of that concerns adapters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return model, [str(warning.message) for warning in caught if "adapter" in str(warning.message).lower()]


def compared(harness: Harness, base: Path, tuned: Path, rank: int, *methods: str) -> list[Row]:
    """Residuals of pairs of one rank over those of mergekit, by crayon's ways to decompose."""
    theirs = residuals(mergekit(base, tuned, harness.folder / f"theirs-{rank}", rank=rank), base, tuned)
    rows = []
    for method in methods:
        code, _, error = harness.extract(base, tuned, f"{method}-{rank}", "--rank", str(rank), "--svd", method)
        if code:
            raise RuntimeError(error.strip())
        ours = residuals(harness.folder / f"{method}-{rank}", base, tuned)
        for label, layer in (("spectrum k^-0.7", ".0."), ("noise", ".1.")):
            names = [name for name in theirs if layer in name]
            worst = max(ours[name] / theirs[name] for name in names)
            figure = f"ours / theirs - 1 <= {worst - 1:.1e} (bound 1e-04), {len(names)} modules"
            rows.append((f"residual, rank {rank}, {label}, {method}", "mergekit's pairs", figure, worst <= 1 + 1e-4))
    return rows


def same_rank(harness: Harness) -> list[Row]:
    torch.manual_seed(21)
    base, tuned = pair_of_models(harness.folder, LlamaForCausalLM(LlamaConfig(**SHAPE)))
    rows = compared(harness, base, tuned, RANK, "randomized")
    rows += compared(harness, base, tuned, 64, "randomized", "full")
    ours, theirs = harness.folder / f"randomized-{RANK}", harness.folder / f"theirs-{RANK}"
    ids = torch.arange(24)[None] * 5 % 64
    with torch.no_grad():
        target = AutoModelForCausalLM.from_pretrained(tuned)(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(base)(ids).logits
        model, warned = loaded(base, ours)
        off = relative(model(ids).logits - target, plain - target)
        their_off = relative(loaded(base, theirs)[0](ids).logits - target, plain - target)
    # What PEFT adds to a weight must be what the file's pair leaves; logits depend on how the layers' errors fall.
    applied = max(
        relative(layer.get_delta_weight("default").double() - delta_of(ours, path), delta_of(ours, path))
        for path, layer in model.base_model.model.named_modules() if isinstance(layer, LoraLayer))  # fmt: skip
    figure = f"{len(warned)} warnings, deltas off by {applied:.1e}, logits by {off:.3f} (mergekit's {their_off:.3f})"
    rows.append(("what was extracted loads", "PEFT", figure, not warned and applied < 1e-6))
    return rows + unchanged(harness, base, tuned, ours)


def delta_of(folder: Path, path: str) -> torch.Tensor:
    pairs = load_file(folder / "adapter_model.safetensors")
    stem = f"base_model.model.{path}.lora_"
    return pairs[f"{stem}B.weight"].double() @ pairs[f"{stem}A.weight"].double()


def unchanged(harness: Harness, base: Path, tuned: Path, ours: Path) -> list[Row]:
    theirs = mergekit(base, tuned, harness.folder / "epsilon", "--sv-epsilon", "1e-3")
    rank = load_file(theirs / "adapter_model.safetensors")[f"base_model.model.{UNCHANGED}.lora_A.weight"].shape[0]
    try:
        loaded(base, theirs)
        outcome = "PEFT loads it"
    except Exception as error:
        outcome = f"PEFT raises {type(error).__name__}"
    found = [key for key in load_file(ours / "adapter_model.safetensors") if UNCHANGED in key]
    figure = f"mergekit: rank {rank}, {outcome}; ours: {len(found)} tensors, loads"
    return [("unchanged layer, --sv-epsilon", "mergekit and PEFT", figure, not found)]


def biases(harness: Harness) -> list[Row]:
    """Qwen2, whose biases mergekit knows of; those of a Llama it does not look at."""
    torch.manual_seed(22)
    model = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    base, tuned = pair_of_models(harness.folder, model)
    theirs = mergekit(base, tuned, harness.folder / "theirs")
    code, _, error = harness.extract(base, tuned, "ours", "--rank", str(RANK), "--biases")
    if code:
        return [("bias deltas", "mergekit 0.1.5 and PEFT", error.strip()[:120], False)]
    before, after = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    deltas = {name.removesuffix(".bias"): after[name] - before[name] for name in before if name.endswith(".bias")}
    written = sum(key.endswith(".lora_B.bias") for key in load_file(theirs / "adapter_model.safetensors"))
    arrived = [arrivals(loaded(base, folder)[0], deltas) for folder in (theirs, harness.folder / "ours")]
    figure = f"mergekit: {written} written, {arrived[0]} arrive; ours: {arrived[1]} of {len(deltas)} arrive"
    return [("bias deltas, lora_bias", "mergekit and PEFT", figure, arrived[1] == len(deltas))]


def arrivals(model: Any, deltas: dict[str, torch.Tensor]) -> int:
    """How many modules add their bias's delta, as PEFT has loaded them."""
    count = 0
    for path, layer in model.base_model.model.named_modules():
        if isinstance(layer, LoraLayer) and path in deltas:
            bias = layer.lora_B["default"].bias
            count += bias is not None and relative(bias * layer.scaling["default"] - deltas[path], deltas[path]) < 1e-6
    return count


def rows(crayon: str) -> list[Row]:
    result = []
    for group in (same_rank, biases):
        with tempfile.TemporaryDirectory() as folder:
            result += group(Harness(crayon, Path(folder), is_loud=False))
    return result
