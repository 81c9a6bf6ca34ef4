"""Prints one table of what is held of `crayon adapter`: case, against what, figure, held or not.

    CRAYON=.build/release/crayon python Scripts/reference/adapters_table.py [--only WORD]

Merges, combinations and round trips against PEFT, extraction against PyTorch and mergekit, the sets of published
checkpoints, and adapters that must be refused. Exit code 1 if one case did not hold. Needs what those scripts need;
without mergekit its rows are left out and that is said.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file

import adapters_against_peft as peft_cases
import extraction_against_mergekit as mergekit_cases
import extraction_against_torch as extraction_cases
import merges_against_peft as merge_cases
from adapter_samples import twice

CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
MODELS = Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "models"


class Row(NamedTuple):
    case: str
    against: str
    figure: str
    held: bool


# The name that the case has in merges_against_peft, and what is said of it here.
MERGES = {
    "fp32": "fp32 merge", "bf16": "bf16 merge", "NF4 of float32": "NF4 merge, plain, F32",
    "NF4 of float32, double": "NF4 merge, plain, F32, double", "NF4 of bfloat16": "NF4 merge, plain, BF16",
    "NF4 of bfloat16, double": "NF4 merge, plain, BF16, double", "rslora": "rslora",
    "patterns": "patterns: regex keys, first match", "DoRA, fp32": "DoRA, fp32 (4 ulp)", "DoRA, bf16": "DoRA, bf16",
    "embeddings and head": "embeddings and head", "embeddings, bf16": "embeddings, bf16",
    "fan_in_fan_out": "fan_in_fan_out", "lora_bias": "lora_bias merged",
}  # fmt: skip


def merges() -> Iterator[Row]:
    for name, wrong, total in merge_cases.rows(MERGES):
        yield Row(MERGES[name], "PEFT's merge_and_unload", f"{wrong} of {total} numbers differ", wrong == 0)


def sums() -> Iterator[Row]:
    for name, against, result, passed in peft_cases.rows(functools.partial(peft_cases.combinations, kind="cat")):
        yield Row(name, f"PEFT's {against.replace(chr(39) + 's', chr(44))}", result, passed)


def extraction() -> Iterator[Row]:
    loads = functools.partial(extraction_cases.peft_loads_with, embeddings="whole")
    functions = (extraction_cases.planted_rank, extraction_cases.thresholds, loads, extraction_cases.biases)
    for name, detail, holds in extraction_cases.rows(CRAYON, *functions):
        if "PEFT" in name:
            against = "PEFT's logits"
        else:
            against = "torch's full SVD" if name.startswith(("energy", "sv-ratio")) else "the planted deltas"
        yield Row(f"extraction: {name}", against, detail, holds)


def mergekit() -> Iterator[Row]:
    try:
        for row in mergekit_cases.rows(CRAYON):
            yield Row(f"extraction: {row[0]}", *row[1:])
    except mergekit_cases.Absent as error:
        print(f"mergekit not there: {error}")


def round_trips() -> Iterator[Row]:
    found = peft_cases.rows(peft_cases.round_trips)
    failed = [name for name, _, _, passed in found if not passed]
    figure = f"{len(failed)} of {len(found)} configurations differ {', '.join(failed)}".rstrip()
    yield Row("PEFT round trip", "the bytes of PEFT's files", figure, not failed)


def crayon(*words: object) -> tuple[int, str]:
    done = subprocess.run([CRAYON, "adapter", *map(str, words)], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


def refused(case: str, against: str, base: Path, adapter: object, out: Path, words: list[str]) -> Row:
    """A merge that must end with exit code 2, say each of the words, and write nothing."""
    code, message = crayon("merge", base, adapter, "-o", out)
    held = code == 2 and not out.exists() and all(word in message for word in words)
    return Row(case, against, f"exit {code}: {' … '.join(words)}" if held else f"exit {code}: {message}", held)


def published_sets() -> Iterator[Row]:
    for base in (MODELS / "golden" / "collavo-tiny", MODELS / "collavo-grouped"):
        stored: dict[str, torch.Tensor] = {}
        for path in base.glob("model*.safetensors"):
            stored |= load_file(path)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name, infix in (("image", "Plora_"), ("crayon", "Plora_seg_")):
                code, message = crayon("convert", f"{base}:{name}", "--to", "peft", "-o", folder / name)
                if code:
                    yield Row(f"PLoRA '{name}' of {base.name}", "the checkpoint's pairs", message, False)
                    continue
                found = load_file(folder / name / "adapter_model.safetensors")
                # The published code holds a pair with the crayon prompt as input in w2, but never applies it.
                expected = {
                    f"base_model.model.{key.replace(f'.{infix}', '.Plora_main.crayon_lora_')}": value
                    for key, value in stored.items()
                    if key.endswith((f".{infix}A.weight", f".{infix}B.weight"))
                    and not (name == "crayon" and ".feed_forward.w2." in key)
                }  # fmt: skip
                differ = [
                    key for key in expected.keys() | found.keys()
                    if key not in expected or key not in found or not torch.equal(expected[key], found[key])
                ]  # fmt: skip
                figure = f"{len(differ)} of {len(expected)} tensors differ{', w2 left out' * (name == 'crayon')}"
                yield Row(
                    f"PLoRA '{name}' of {base.name}", "the checkpoint's pairs", figure,
                    not differ and len(expected) > 0)  # fmt: skip
                reason = "act at image positions only" if name == "image" else "read the crayon prompt"
                for label, adapter in (("as stored", f"{base}:{name}"), ("as a folder", folder / name)):
                    case = f"PLoRA merge refused: '{name}' {label}"
                    yield refused(case, f"exit code 2 ({base.name})", base, adapter, folder / "out", [reason])


def small(hidden: int = 64, layers: int = 2) -> Any:
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=96, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=40, max_position_embeddings=32, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def hostile() -> Iterator[Row]:
    """What PEFT wrote with one thing changed, each merged into the base that it is for, or almost."""
    torch.manual_seed(3)
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    a, b = f"{key}A.weight", f"{key}B.weight"

    def spoiled(name: str, index: int, value: float) -> Callable[[dict], None]:
        return lambda tensors: tensors[name].view(-1)[index : index + 1].fill_(value)

    def narrow(tensors: dict) -> None:
        tensors[a] = tensors[a].to(torch.int8)

    same = small
    cases: list[tuple[str, Callable[[], Any], dict, Callable[[dict], Any] | None, list[str]]] = [
        ("A [8, 64] with r = 4", same, {"r": 4}, None, [a, "[8, 64]", "[4, "]),
        ("missing B", same, {}, lambda tensors: tensors.pop(b), [b, "nothing"]),
        ("NaN", same, {}, spoiled(a, 7, float("nan")), [a, "NaN or infinity at index 7"]),
        ("Inf", same, {}, spoiled(b, 9, float("inf")), [b, "NaN or infinity at index 9"]),
        ("adapter of a wider base", lambda: small(hidden=96), {}, None, ["q_proj", "[96, 96]", "[64, 64]"]),
        ("adapter with a layer more", lambda: small(layers=3), {}, None, ["layers.2", "0 to 1"]),
        ("adapter with a layer fewer", lambda: small(layers=1), {}, None, ["layers.1", "no pair"]),
        ("duplicate header keys", same, {}, None, ["adapter_model.safetensors", "header"]),
        ("int8 A", same, {}, narrow, [a, "I8"]),
        ("r = 0", same, {"r": 0}, None, ["adapter_config.json", "'r': 0"]),
        ("r = -8", same, {"r": -8}, None, ["adapter_config.json", "'r': -8"]),
        ("r = \"8\"", same, {"r": "8"}, None, ["adapter_config.json", "'r': the string \"8\""]),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base"
        small().save_pretrained(base)
        for index, (case, make, config, change, words) in enumerate(cases):
            folder = Path(temporary) / str(index)
            peft_cases.adapt(make, folder, r=8, target_modules=["q_proj", "v_proj"])
            settings, file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
            settings.write_text(json.dumps(json.loads(settings.read_text()) | config))
            if change:
                tensors = load_file(file)
                change(tensors)
                save_file(tensors, file, metadata={"format": "pt"})
            if case.startswith("duplicate"):
                file.write_bytes(twice(file.read_bytes()))
            against = f"PEFT {peft_cases.peft_says(base, folder)}"
            yield refused(f"hostile: {case}", against, base, folder, Path(temporary) / "out", words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of a group's name")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for group in (merges, sums, extraction, mergekit, round_trips, published_sets, hostile):
        if only in group.__name__:
            try:
                rows.extend(group())
            except Exception as error:
                rows.append(Row(group.__name__, "could not be run", f"{type(error).__name__}: {error}", False))
    titles = Row("case", "against", "figure", True)
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(3)]
    for row in [titles, *rows]:
        held = "held" if row is titles else "yes" if row.held else "NO"
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), held]))
    failed = sum(not row.held for row in rows)
    print(f"{len(rows)} cases, {failed} did not hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
