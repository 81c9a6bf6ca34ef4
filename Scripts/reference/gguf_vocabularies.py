"""Holds what GGUF has beside plain Llama tensors against llama.cpp and transformers: rotary frequencies, byte-level vocabularies, parts.

    CRAYON=.build/release/crayon python Scripts/reference/gguf_vocabularies.py --llama BUILD/bin --source SDIST

Arguments as for `gguf_against_llama.py`. Tiny random models are made, and for each:

- frequencies: `rope_freqs.weight` against that of llama.cpp's converter, byte for byte; llama.cpp's logits against transformers'; what
  crayon reads of either file;
- vocabularies: the tokenizers of `byte_level_fixture.py` and of `spaced_fixture.py`, exported by crayon, give llama.cpp the ids that the
  Python package gives; and the tokenizer.json that crayon makes of the GGUF file gives the Python package the same ids again;
- parts: what the converter splits (`--split-max-tensors`) is read as its whole file is.

Exits with 1 when something does not hold.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

import gguf_against_llama as base
from byte_level_fixture import MORE_CASES
from gguf_against_llama import Llama, crayon, report
from tokenizer_fixture import CASES, FIXTURES

SCALINGS = {
    "llama31": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    "llama32": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    "other": {"rope_type": "llama3", "factor": 3.0, "low_freq_factor": 1.5, "high_freq_factor": 6.0, "original_max_position_embeddings": 64},
}  # fmt: skip


def make(folder: Path, scaling: dict | None, seed: int) -> LlamaConfig:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=2048, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
        rope_parameters=(scaling or {"rope_type": "default"}) | {"rope_theta": 500000.0 if scaling else 10000.0},
    )  # fmt: skip
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(mean=0.0 if parameter.ndim == 2 else 1.0, std=0.08)
    model.save_pretrained(folder)
    return config


def frequencies(options: argparse.Namespace, llama: Llama, work: Path) -> None:
    ids = [1, *np.random.default_rng(5).integers(3, 1000, 200).tolist()]
    for name, scaling in SCALINGS.items():
        folder = work / name
        config = make(folder, scaling, 3)
        shutil.copy(FIXTURES / "plain.model", folder / "tokenizer.model")
        base.write_tokenizer_config(folder)
        ours, theirs = work / f"{name}.gguf", work / f"{name}-converter.gguf"
        bundle = work / f"{name}.crayon"
        crayon("quantize", folder, "-o", bundle, "--precision", "backbone=source", "-q")
        crayon("export", bundle, "--format", "gguf", "--type", "f32", "-o", ours, "-q")
        assert base.convert(options, folder, theirs, "f32")
        a, b = (base.reader_tensors(path)["rope_freqs.weight"].data for path in (ours, theirs))
        apart = float(np.abs(a / b - 1).max())
        report(f"{name} frequencies", apart < 1e-6, f"{len(a)}, at most {apart:.1e} from the converter's, relative")
        weights = load_file(folder / "model.safetensors")
        expected = base.transformers_logits(weights, config, ids)
        error = base.relative(llama.logits(ours, ids, 1024), expected)
        report(f"{name} logits", error < 1e-5, f"llama.cpp's relative error {error:.2e} against transformers over {len(ids)} positions")
        for kind, path in (("crayon's", ours), ("the converter's", theirs)):
            read = work / f"{name}-{kind[:3]}"
            crayon("convert", path, "-o", read, "-q")
            said = json.loads((read / "config.json").read_text())
            back = LlamaConfig.from_pretrained(read)
            error = base.relative(base.transformers_logits(load_file(read / "model.safetensors"), back, ids), expected)
            report(
                f"{name} read of {kind} file", error < 1e-5,
                f"as {said['rope_scaling']['rope_type']}, transformers' relative error {error:.2e}",
            )  # fmt: skip


def vocabularies(llama: Llama, work: Path) -> None:
    weights = work / "vocabulary"
    make(weights, None, 4)
    files = {name: FIXTURES / "bytelevel" / f"{name}.json" for name in ("gpt2", "llama3", "qwen2")}
    for name, file in files.items():
        folder = work / f"vocabulary-{name}"
        folder.mkdir()
        for part in ("config.json", "model.safetensors"):
            shutil.copy(weights / part, folder)
        shutil.copy(file, folder / "tokenizer.json")
        path, read = work / f"{name}.gguf", work / f"{name}-read"
        crayon("convert", folder, "-o", path, "-q")
        original = Tokenizer.from_file(str(file))
        added = [token.content for token in original.get_added_tokens_decoder().values()]
        texts = [text for text in CASES + MORE_CASES if not any(token in text for token in added) and "\0" not in text]
        # What llama.cpp does not do: composing; and it does not know the long s, nor all of Unicode 16.
        newer = [text for text in texts if any(unicodedata.category(c) == "Cn" or c in "\u017f\ufb06" for c in text)]
        texts = [text for text in texts if text not in newer and unicodedata.normalize("NFC", text) == text]
        expected = [original.encode(text, add_special_tokens=False).ids for text in texts]
        found = llama.tokens(path, texts)
        same = sum(a == b for a, b in zip(expected, found, strict=True))
        wrong = [text for text, a, b in zip(texts, expected, found, strict=True) if a != b]
        report(f"{name} llama.cpp's ids", not wrong, f"{same} of {len(texts)} texts as the Python package{f', not {wrong[:3]}' * bool(wrong)}")
        crayon("convert", path, "-o", read, "-q")
        again = Tokenizer.from_file(str(read / "tokenizer.json"))
        same = sum(again.encode(text, add_special_tokens=False).ids == a for text, a in zip(texts, expected, strict=True))
        report(f"{name} read", same == len(texts), f"{same} of {len(texts)} texts by the tokenizer.json that crayon makes of the file")


def spaced(llama: Llama, work: Path) -> None:
    """A SentencePiece model in a tokenizer.json, without its tokenizer.model."""
    folder, path = work / "spaced", work / "spaced.gguf"
    folder.mkdir()
    for part in ("config.json", "model.safetensors"):
        shutil.copy(work / "vocabulary" / part, folder)
    file = FIXTURES / "spaced/llama.json"
    shutil.copy(file, folder / "tokenizer.json")
    crayon("convert", folder, "-o", path, "-q")
    original = Tokenizer.from_file(str(file))
    texts = [text for text in CASES + MORE_CASES if "\0" not in text and not any(token in text for token in ("<s>", "</s>", "<unk>"))]
    expected = [original.encode(text, add_special_tokens=False).ids for text in texts]
    found = llama.tokens(path, texts)
    same = sum(a == b for a, b in zip(expected, found, strict=True))
    report("spaced llama.cpp's ids", same == len(texts), f"{same} of {len(texts)} texts as the Python package")


def parts(options: argparse.Namespace, work: Path) -> None:
    folder = work / "llama31"
    script = options.source / "vendor/llama.cpp/convert_hf_to_gguf.py"
    split = work / "split"
    split.mkdir()
    subprocess.run(
        [sys.executable, script, folder, "--outfile", split / "m.gguf", "--outtype", "q8_0", "--split-max-tensors", "4"],
        check=True, capture_output=True,
    )  # fmt: skip
    whole = work / "whole.gguf"
    assert base.convert(options, folder, whole, "q8_0")
    names = sorted(path.name for path in split.iterdir())
    for source, target in ((split, "a"), (whole, "b"), (split / names[0], "c")):
        crayon("convert", source, "-o", work / target, "-q")
    a, b, c = (load_file(work / target / "model.safetensors") for target in "abc")
    equal = a.keys() == b.keys() == c.keys() and all(torch.equal(a[name], b[name]) and torch.equal(a[name], c[name]) for name in a)
    same = all((work / "a" / name).read_bytes() == (work / "b" / name).read_bytes() for name in ("config.json", "tokenizer.model"))
    report("parts", equal and same and len(names) > 3, f"{len(names)} files, {len(a)} tensors, equal to the whole file's to the bit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    options = parser.parse_args()
    llama = Llama(options.llama, options.source)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        frequencies(options, llama, work)
        vocabularies(llama, work)
        spaced(llama, work)
        parts(options, work)
    print(f"{len(base.failures)} failures")
    sys.exit(1 if base.failures else 0)


if __name__ == "__main__":
    main()
