"""Holds `crayon adapter` against peft on random tiny models and prints one table.

    CRAYON=.build/release/crayon python3 Scripts/reference/adapters_against_peft.py [--seed 1] [--only WORD]

Each row is a case: what was compared, with what, and the largest difference found. Where the last column does not say
`equal`, `loads` or `refused`, it is a number and the bound that it is held to. Exit code 1 if any case fails.
Needs peft 0.21, transformers, torch, safetensors and gguf.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import gguf
import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from splitmix import SplitMix64

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
HOSTILE = Path(__file__).resolve().parents[2] / "Formats" / "samples"


def llama(**changes: object) -> Any:
    options = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 32, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, **changes,
    }  # fmt: skip
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**options))


def biased() -> Any:
    return llama(attention_bias=True)


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_embd=32, n_layer=2, n_head=4, vocab_size=40, n_positions=32, bos_token_id=1, eos_token_id=2))  # fmt: skip


def qwen2() -> Any:
    return transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=40, max_position_embeddings=32, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2))  # fmt: skip


ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
KINDS: dict[str, tuple[Callable[[], Any], dict]] = {
    "LoRA": (llama, {"target_modules": ["q_proj", "v_proj", "down_proj"]}),
    "rslora": (llama, {"target_modules": ATTENTION, "use_rslora": True}),
    "rank and alpha patterns": (
        llama, {
            "target_modules": ["q_proj", "v_proj"], "rank_pattern": {"model.layers.1.self_attn.q_proj": 3, "v_proj": 2},
            "alpha_pattern": {r"layers\.[02]\..*": 5, "q_proj": 9.5}}),
    "DoRA": (llama, {"target_modules": ["q_proj", "up_proj"], "use_dora": True}),
    "lora_bias": (biased, {"target_modules": ["q_proj"], "lora_bias": True}),
    "bias lora_only": (biased, {"target_modules": ["q_proj", "v_proj"], "bias": "lora_only"}),
    "bias all": (biased, {"target_modules": ["q_proj"], "bias": "all"}),
    "modules_to_save": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}),
    "embedding and head": (llama, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
    "layers_to_transform": (llama, {"target_modules": ["q_proj"], "layers_to_transform": [0, 2]}),
    "all-linear but": (llama, {"target_modules": "all-linear", "exclude_modules": ["k_proj", "model.layers.0.mlp.up_proj"]}),
    "expression": (llama, {"target_modules": r".*layers\.[12]\.(self_attn|mlp)\.(q|up)_proj"}),
    "Conv1D": (gpt2, {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
}  # fmt: skip


class Case:
    """One row of the table."""

    rows: list[tuple[str, str, str, bool]] = []

    @staticmethod
    def add(name: str, against: str, result: str, passed: bool) -> None:
        Case.rows.append((name, against, result, passed))

    @staticmethod
    def number(name: str, against: str, value: float, bound: float) -> None:
        if value == 0:
            return Case.add(name, against, "equal", True)
        return Case.add(name, against, f"{value:.1e} (bound {bound:.0e})", value <= bound)


def run(*arguments: object, fails: bool = False) -> str:
    result = subprocess.run([CRAYON, "adapter", *map(str, arguments)], capture_output=True, text=True, check=False)
    if (result.returncode != 0) != fails:
        raise RuntimeError(f"crayon adapter {arguments}: exit {result.returncode}\n{result.stderr}")
    return result.stderr if fails else result.stdout


def adapt(make: Callable[[], Any], folder: Path, **options: object) -> Any:
    """A random adapter, saved as peft saves it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(make(), LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM", **options}))
        for name, value in model.named_parameters():
            if "lora_" in name or value.requires_grad:
                value.data.normal_()
        model.save_pretrained(folder)
    return model


def layers(model: Any) -> Iterator[tuple[str, LoraLayer]]:
    for path, layer in model.base_model.model.named_modules():
        if isinstance(layer, LoraLayer):
            yield path, layer


def deltas(model: Any, adapter: str = "default") -> dict[str, torch.Tensor]:
    return {path: layer.get_delta_weight(adapter).detach() for path, layer in layers(model) if adapter in layer.r}


def worst(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The largest difference relative to the largest number; infinite where names differ."""
    if set(left) != set(right):
        return math.inf
    return max(
        float((left[name].double() - right[name].double()).abs().max() / left[name].double().abs().max())
        for name in left)  # fmt: skip


def same_files(left: Path, right: Path) -> bool:
    names = sorted(path.name for path in left.iterdir())
    return names == sorted(path.name for path in right.iterdir()) and all(
        (left / name).read_bytes() == (right / name).read_bytes() for name in names)  # fmt: skip


def pass_over_the_peers_own() -> None:
    """transformers 5.24 warns of a name that peft 0.21 still uses, whatever the adapter."""
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


def load_strictly(make: Callable[[], Any], folder: Path) -> Any:
    base = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pass_over_the_peers_own()
        return PeftModel.from_pretrained(base, folder)


def round_trips(work: Path) -> None:
    for name, (make, options) in KINDS.items():
        source, copy = work / "source", work / "copy"
        adapt(make, source, **options)
        run("convert", source, "--to", "peft", "-o", copy)
        passed = same_files(source, copy)
        Case.add(f"read and written again: {name}", "peft's files", "equal" if passed else "differs", passed)
        shutil.rmtree(source)
        shutil.rmtree(copy)


def made_folders(work: Path) -> None:
    """Configurations made from the pairs, modules by their whole paths: loaded by peft over the same base."""
    for name, (make, options) in KINDS.items():
        source, made, base = work / "source", work / "made", work / "base"
        make().save_pretrained(base)
        kind = type(make())
        model = adapt(lambda: kind.from_pretrained(base), source, **options)  # noqa: B023
        run("convert", source, "--to", "peft", "--whole-paths", "-o", made)
        label = f"made folder, under -W error: {name}"
        try:
            loaded = load_strictly(lambda: kind.from_pretrained(base), made)  # noqa: B023
            ids = torch.arange(12)[None] % 40
            both = {"logits": model(ids).logits.detach()}, {"logits": loaded(ids).logits.detach()}
            Case.number(label, "peft's logits", worst(*both), 0)
        except Warning as warning:
            Case.add(label, "peft", f"warns: {warning}"[:200], False)
        for folder in (source, made, base):
            shutil.rmtree(folder)


def through_a_bundle(work: Path) -> None:
    source, bundle, copy, base = work / "source", work / "model.crayon", work / "copy", work / "base"
    llama().save_pretrained(base)
    options = {"target_modules": ["q_proj", "v_proj"], "alpha_pattern": {"v_proj": 3}}
    adapt(llama, source, **options)
    (source / "README.md").unlink()
    subprocess.run(
        [CRAYON, "quantize", "--backbone", base, "--adapter", f"vl={source}", "-o", bundle, "--quiet"], check=True,
        capture_output=True)  # fmt: skip
    run("convert", f"{bundle}:vl", "--to", "peft", "-o", copy)
    passed = same_files(source, copy)
    Case.add("into a bundle and out again", "peft's files", "equal" if passed else "differs", passed)
    more = work / "more.crayon"
    run("convert", source, "--to", "bundle", "--base", bundle, "-o", more)
    run("convert", f"{more}:source", "--to", "peft", "-o", copy, "--overwrite")
    passed = same_files(source, copy)
    Case.add("beside it by --to bundle, and out again", "peft's files", "equal" if passed else "differs", passed)


def combinations(work: Path, kind: str = "") -> None:
    """`add_weighted_adapter` of two or three adapters; of one kind alone if it is given."""
    three = {"target_modules": ["q_proj", "v_proj", "down_proj"]}
    methods: list[tuple[str, dict]] = [
        ("cat", {}), ("linear", {}), ("ties", {"density": 0.4}), ("ties", {"density": 0.4, "majority_sign_method": "frequency"}),
        ("magnitude_prune", {"density": 0.3}), ("dare_linear", {"density": 0.6}), ("dare_ties", {"density": 0.6}),
        ("dare_ties", {"density": 0.5, "majority_sign_method": "frequency"}), ("ties", {"density": 1.0}),
    ]  # fmt: skip
    decomposing: list[tuple[str, dict]] = [
        ("svd", {}), ("svd", {"svd_rank": 2}), ("ties_svd", {"density": 0.4, "svd_rank": 6}),
        ("ties_svd", {"density": 0.5, "majority_sign_method": "frequency"}), ("magnitude_prune_svd", {"density": 0.3}),
        ("dare_linear_svd", {"density": 0.7}), ("dare_ties_svd", {"density": 0.6, "svd_rank": 3}),
    ]  # fmt: skip
    methods, decomposing = ([row for row in rows if kind in ("", row[0])] for rows in (methods, decomposing))
    setups = [
        ("two", llama, three, [0.7, 0.4]), ("with a negative weight", llama, three, [1.0, -0.5]),
        ("three", llama, {"target_modules": ["q_proj"]}, [0.5, 0.25, 2.0]),
        ("Conv1D", gpt2, {"target_modules": ["c_attn"], "fan_in_fan_out": True}, [0.3, 0.8]),
    ]  # fmt: skip
    for title, make, options, weights in setups:
        folders = [work / f"adapter{index}" for index in range(len(weights))]
        for index, folder in enumerate(folders):
            adapt(make, folder, **options, lora_alpha=4 + 3 * index)
        for method, arguments in methods:
            combined = work / "combined"
            extra = [f"--{key.replace('majority_sign_method', 'majority-sign')}={value}" for key, value in arguments.items()]
            run("combine", *(f"{folder}={weight}" for folder, weight in zip(folders, weights, strict=True)),
                "--method", method, *extra, "--seed", 7, "-o", combined, "--overwrite")  # fmt: skip
            expected = weighted(make, folders, weights, method, arguments)
            found = load_file(combined / "adapter_model.safetensors")
            label = ", ".join([method, title, *(f"{value}" for value in arguments.values())])
            Case.number(label, "add_weighted_adapter's A and B", factors_differ(expected, found), 0)
        for method, arguments in decomposing:
            combined = work / "combined"
            extra = [f"--{key.replace('majority_sign_method', 'majority-sign').replace('svd_rank', 'rank')}={value}"
                     for key, value in arguments.items()]  # fmt: skip
            run("combine", *(f"{folder}={weight}" for folder, weight in zip(folders, weights, strict=True)),
                "--method", method, *extra, "--seed", 7, "-o", combined, "--overwrite")  # fmt: skip
            expected = deltas(weighted(make, folders, weights, method, arguments), "combined")
            found = deltas(load_strictly(make, combined))
            label = ", ".join([method, title, *(f"{value}" for value in arguments.values())])
            whole = deltas(weighted(make, folders, weights, method, {**arguments, "svd_rank": 16}), "combined")
            value = cut_differ(expected, found, whole, arguments.get("svd_rank", 4))
            Case.number(label, "add_weighted_adapter's delta, by the gap", value, 1e-6)
        for folder in folders:
            shutil.rmtree(folder)


def cut_differ(left: dict, right: dict, whole: dict, rank: int) -> float:
    """The largest relative difference of truncated sums, each times the gap of the spectrum at the cut over its largest
    value: rounding turns the subspace that is kept by the inverse of that (Davis and Kahan), in peft as anywhere."""
    if set(left) != set(right):
        return math.inf
    largest = 0.0
    for name, delta in left.items():
        values = torch.cat([torch.linalg.svdvals(whole[name].double()), torch.zeros(1)])
        gap = float((values[rank - 1] - values[min(rank, len(values) - 1)]) / values[0])
        largest = max(largest, float((delta - right[name]).double().norm() / delta.double().norm()) * gap)
    return largest


def weighted(make: Callable[[], Any], folders: list[Path], weights: list[float], method: str, options: dict) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(make(), folders[0], adapter_name="0")
        for index, folder in enumerate(folders[1:], 1):
            model.load_adapter(folder, adapter_name=str(index))
        bernoulli = torch.bernoulli
        if method.startswith("dare"):
            halves = ["delta"] if method.endswith("svd") else ["a", "b"]
            torch.bernoulli = masks(model, options["density"], len(folders), halves)
        try:
            model.add_weighted_adapter(
                [str(index) for index in range(len(folders))], weights, "combined", combination_type=method, **options)
        finally:
            torch.bernoulli = bernoulli
    return model


def masks(model: Any, density: float, count: int, halves: list[str]) -> Callable:
    """Crayon's random masks in the order in which peft asks for them, in the place of torch's generator."""
    names = iter([f"{path}.{half}.{index}" for path, _ in layers(model) for half in halves for index in range(count)])

    def draw(input: torch.Tensor, **_: object) -> torch.Tensor:
        generator = SplitMix64.named(7, next(names))
        kept = [generator.uniform() < density for _ in range(input.numel())]
        return torch.tensor(kept, dtype=input.dtype).reshape(input.shape)

    return draw


def factors_differ(model: Any, found: dict[str, torch.Tensor]) -> float:
    worst = 0.0
    seen = 0
    for path, layer in layers(model):
        a, b = layer.lora_A["combined"].weight.data, layer.lora_B["combined"].weight.data
        ours_a = found[f"base_model.model.{path}.lora_A.weight"]
        ours_b = found[f"base_model.model.{path}.lora_B.weight"]
        rank = ours_a.shape[0]
        # peft pads a concatenation with zeros up to the sum of the adapters' ranks.
        if a[rank:].any() or b[:, rank:].any() or layer.scaling["combined"] != 1:
            return math.inf
        worst = max(worst, float((a[:rank] - ours_a).abs().max()), float((b[:, :rank] - ours_b).abs().max()))
        seen += 2
    return worst if seen == len(found) else math.inf


def comparisons(work: Path) -> None:
    for name in ("LoRA", "rank and alpha patterns", "Conv1D", "embedding and head"):
        make, options = KINDS[name]
        first, second = work / "first", work / "second"
        one, two = deltas(adapt(make, first, **options)), deltas(adapt(make, second, **options, use_rslora=True))
        report = json.loads(run("compare", first, second, "--json"))
        difference = 0.0
        for module in report["modules"]:
            a, b = one[module["path"]].double(), two[module["path"]].double()
            expected = {
                "first_norm": a.norm(), "second_norm": b.norm(), "cosine": (a * b).sum() / (a.norm() * b.norm()),
                "relative_difference": (a - b).norm() / a.norm()}  # fmt: skip
            for key, value in expected.items():
                difference = max(difference, abs(module["measures"][key] - float(value)) / max(1, float(value)))
        complete = {module["path"] for module in report["modules"]} == set(one)
        Case.number(f"compare: {name}", "deltas in torch", difference if complete else math.inf, 1e-6)
        shutil.rmtree(first)
        shutil.rmtree(second)


def turn(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's order of the rows of a query or key: neighbours are rotated, not halves."""
    size = weight.shape[0] // heads
    return weight.reshape(heads, 2, size // 2, -1).transpose(1, 2).reshape(weight.shape)


def ggufs(work: Path) -> None:
    parts = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
             "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}  # fmt: skip
    every = {"target_modules": list(parts)}
    cases = [
        ("Llama", llama, every, True), ("Qwen2", qwen2, every, False),
        ("alpha patterns folded in", llama, {**every, "alpha_pattern": {"q_proj": 11, "down_proj": 1}}, True),
        ("rslora and rank patterns", llama, {**every, "use_rslora": True, "rank_pattern": {"v_proj": 2, "up_proj": 7}}, True),
        ("embeddings and head", llama, {"target_modules": ["embed_tokens", "lm_head", "o_proj"]}, True),
    ]  # fmt: skip
    for name, make, options, turns in cases:
        source, base, path = work / "source", work / "base", work / "lora.gguf"
        make().save_pretrained(base)
        # peft keeps the base's own embeddings beside their pairs, and these are compared.
        model = adapt(lambda base=base: transformers.AutoModelForCausalLM.from_pretrained(base), source, **options)
        run("convert", source, "--to", "gguf", "--base", base, "-o", path, "--overwrite")
        expected = {}
        for module, delta in deltas(model).items():
            last = module.split(".")[-1]
            if last in parts:
                if turns and last in ("q_proj", "k_proj"):
                    delta = turn(delta, 4 if last == "q_proj" else 2)
                expected[f"blk.{module.split('.')[2]}.{parts[last]}.weight"] = delta
            else:
                expected["token_embd.weight" if last == "embed_tokens" else "output.weight"] = delta
        Case.number(f"GGUF: {name}", "peft's delta in llama.cpp's order", worst(expected, gguf_deltas(path)), 1e-6)
        shutil.rmtree(source)
        shutil.rmtree(base)
    fused(work)


def fused(work: Path) -> None:
    """InternLM2's one matrix for query, key and value, taken apart as llama.cpp does with the weight itself."""
    base = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "models" / "internlm2-plain"
    config = json.loads((base / "config.json").read_text())
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = config["hidden_size"]
    size = width // heads
    source, path = work / "source", work / "lora.gguf"
    source.mkdir()
    from safetensors.torch import save_file

    rows = (heads + 2 * groups) * size
    tensors, expected = {}, {}
    for layer in range(config["num_hidden_layers"]):
        a, b = torch.randn(4, width), torch.randn(rows, 4)
        key = f"base_model.model.model.layers.{layer}.attention.wqkv"
        tensors |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
        grouped = (b @ a * 1.5).reshape(groups, heads // groups + 2, size, width)
        expected[f"blk.{layer}.attn_q.weight"] = turn(grouped[:, :-2].reshape(-1, width), heads)
        expected[f"blk.{layer}.attn_k.weight"] = turn(grouped[:, -2].reshape(-1, width), groups)
        expected[f"blk.{layer}.attn_v.weight"] = grouped[:, -1].reshape(-1, width)
    save_file(tensors, source / "adapter_model.safetensors", metadata={"format": "pt"})
    (source / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 6, "target_modules": ["wqkv"]}))
    run("convert", source, "--to", "gguf", "--base", base, "-o", path, "--overwrite")
    Case.number("GGUF: InternLM2's fused matrix", "the weight taken apart", worst(expected, gguf_deltas(path)), 1e-6)
    shutil.rmtree(source)


def gguf_deltas(path: Path) -> dict[str, torch.Tensor]:
    """What llama.cpp adds to each weight: alpha over the rank of B's rows, times B A."""
    reader = gguf.GGUFReader(path)
    fields = {field.name: field.contents() for field in reader.fields.values()}
    if fields["general.type"] != "adapter" or fields["adapter.type"] != "lora":
        return {}
    tensors = {tensor.name: torch.tensor(np.array(tensor.data)) for tensor in reader.tensors}
    result = {}
    for name, b in tensors.items():
        if not name.endswith(".lora_b"):
            continue
        stem = name.removesuffix(".lora_b")
        a = tensors[f"{stem}.lora_a"]
        scale = fields["adapter.lora.alpha"] / b.shape[1]
        # The table's A has a row for each token.
        result[stem] = (a @ b.T if stem == "token_embd.weight" else b @ a) * scale
    return result


def hostile(_: Path) -> None:
    """Every sample that must be refused, and what peft does with it."""
    expectations = json.loads((HOSTILE / "adapters" / "expectations.json").read_text())["invalid"]
    base_folder = HOSTILE / "peft" / "base"
    for name, text in expectations.items():
        folder = HOSTILE / "adapters" / "invalid" / name
        message = run("list", folder, "--base", base_folder, fails=True)
        Case.add(f"hostile: {name}", f"peft {peft_says(base_folder, folder)}", "refused", text in message)


def peft_says(base: Path, folder: Path) -> str:
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pass_over_the_peers_own()
        try:
            PeftModel.from_pretrained(model, folder)
        except Exception as error:
            return f"raises {type(error).__name__}"
    return "warns" if caught else "is silent"


def restricted(work: Path) -> None:
    golden = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "models" / "golden" / "collavo-tiny"
    run("convert", golden, "--to", "peft", "-o", work / "sets")
    for name in ("image", "crayon"):
        try:
            PeftModel.from_pretrained(llama(), work / "sets" / name)
            Case.add(f"folder of the set {name}", "peft", "loads", False)
        except KeyError as error:
            Case.add(f"folder of the set {name}", f"peft raises KeyError {error}", "refused", True)


def rows(*groups: Callable[[Path], None], seed: int = 1) -> list[tuple[str, str, str, bool]]:
    """Name, against what, result and whether it passed, of each case of the groups, on one thread."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    first = len(Case.rows)
    for group in groups:
        with tempfile.TemporaryDirectory() as folder:
            group(Path(folder))
    return Case.rows[first:]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    groups = [round_trips, made_folders, through_a_bundle, combinations, comparisons, ggufs, restricted, hostile]
    found = rows(*(group for group in groups if arguments.only in group.__name__), seed=arguments.seed)
    widths = [max(len(row[column]) for row in found) for column in range(3)]
    for name, against, result, passed in found:
        print(f"{name:{widths[0]}}  {against:{widths[1]}}  {result:{widths[2]}}  {'' if passed else 'FAILED'}".rstrip())
    failed = sum(not row[3] for row in found)
    print(f"{len(found)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
