#!/usr/bin/env python3
"""Makes Tests/TokenizationTests/Fixtures/spaced: SentencePiece models in the form of tokenizer.json and what the Python package does
with them.

Needs tokenizers and sentencepiece. The vocabulary is that of plain.model with its merges, as transformers' LlamaConverter finds
them; each NAME.json has other parts around it, as a family of models has them. cases.json has texts with their ids, and ids with
their texts. Says how many texts get the ids of the sentencepiece package, too.

    python3 Scripts/reference/spaced_fixture.py
"""

from __future__ import annotations

import json
import random
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from byte_level_fixture import MORE_CASES, TOKEN_CASES
from tokenizer_fixture import ADDED_CASES, CASES, FIXTURES

OUT = FIXTURES / "spaced"
SPECIAL = ["<unk>", "<s>", "</s>"]


def vocabulary(processor: sentencepiece.SentencePieceProcessor) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Pieces, and every pair of pieces that makes one, by the score of what it makes, then by ids."""
    pieces = {processor.id_to_piece(id): id for id in range(processor.get_piece_size())}
    found = []
    for piece, id in pieces.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces:
                found.append((-processor.get_score(id), pieces[left], pieces[right], (left, right)))
    return pieces, [pair for *_, pair in sorted(found)]


def spaced(
    pieces: dict[str, int], merges: list[tuple[str, str]], *, strip: bool = True, bytes: bool = True, normalized: bool = False,
    **model: Any,
) -> Tokenizer:  # fmt: skip
    tokenizer = Tokenizer(
        models.BPE(**({"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": bytes} | model), vocab=pieces, merges=merges)
    )
    chain = [decoders.Replace("▁", " ")] + [decoders.ByteFallback()] * bytes + [decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(chain + [decoders.Strip(" ", 1, 0)] * strip)
    tokenizer.add_special_tokens([AddedToken(text, normalized=normalized, special=True) for text in SPECIAL])
    return tokenizer


def prepending(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def beginning(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )


def added(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens(["<image>", AddedToken("<left>", lstrip=True), AddedToken("<right>", rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False), AddedToken("word", single_word=True),
            AddedToken("<spaced token>"), AddedToken("▁under", normalized=False), AddedToken("<0x41>x", normalized=False),
        ]
    )  # fmt: skip


def make(processor: sentencepiece.SentencePieceProcessor) -> dict[str, Tokenizer]:
    pieces, merges = vocabulary(processor)
    llama = spaced(pieces, merges)
    prepending(llama)
    beginning(llama)
    # Early files look for special tokens in normalised text.
    early = spaced(pieces, merges, normalized=True)
    prepending(early)
    beginning(early)
    added(early)
    llava = spaced(pieces, merges)
    prepending(llava)
    beginning(llava)
    added(llava)
    first = spaced(pieces, merges)
    first.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    added(first)
    always = spaced(pieces, merges, ignore_merges=True)
    always.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    added(always)
    never = spaced(pieces, merges, strip=False)
    never.normalizer = normalizers.Replace(" ", "▁")
    # Bytes of two-byte characters are entries, others not.
    some = {text: id for text, id in pieces.items() if not (len(text) == 6 and text[:3] == "<0x" and text > "<0xD0>")}
    numbered = {text: index for index, text in enumerate(some)}
    partial = spaced(numbered, merges, fuse_unk=False)
    partial.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    fused = spaced(numbered, merges)
    fused.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True)
    dropping = spaced(numbered, merges, unk_token=None, bytes=False)
    return {
        "llama": llama, "early": early, "llava": llava, "first": first, "always-cut": always, "never": never, "partial": partial,
        "fused": fused, "dropping": dropping,
    }  # fmt: skip


def random_texts(count: int) -> list[str]:
    generator = random.Random(21)
    pool = [*" ▁'\n\r\t1a!.Zé日😀\u0301\u00a0\u3000½ß\x00", "  ", "▁▁", "\n\n", "word", "<s>", "</s>", "<unk>", "<mask>", "<image>", "<left>", "<right>",
            "the", " the", "ing", "▁under", "<0x41>", "<0x41>x", "<0x0A>", "Pferde", " the red circle", "hors", "<spaced token>", "12", "草の"]  # fmt: skip
    return ["".join(generator.choices(pool, k=generator.randrange(1, 24))) for _ in range(count)]


def random_runs(tokenizer: Tokenizer, count: int) -> list[list[int]]:
    generator = random.Random(22)
    everything = tokenizer.get_vocab()
    ids = sorted(everything.values())
    bytes_alone = sorted(id for text, id in everything.items() if len(text) == 6 and text.startswith("<0x"))
    high = [everything[text] for text in ("<0xE6>", "<0x97>", "<0xA5>", "<0xC3>", "<0xA9>", "<0x20>") if text in everything]
    runs = [[id] for id in ids[:3]]
    for _ in range(count):
        choice = generator.random()
        pool = bytes_alone if choice < 0.3 else high + ids[:6] if choice < 0.6 and high else ids
        runs.append([generator.choice(pool) for _ in range(generator.randrange(1, 12))])
    return runs


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / "plain.model"))
    texts = CASES + MORE_CASES + TOKEN_CASES + ADDED_CASES + random_texts(300)
    fixture: dict[str, Any] = {}
    for name, tokenizer in make(processor).items():
        text = tokenizer.to_str()
        if name in ("early", "first"):
            # The form of files before version 0.20.
            file = json.loads(text)
            file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
            text = json.dumps(file, ensure_ascii=False)
        tokenizer = Tokenizer.from_str(text)
        (OUT / f"{name}.json").write_text(text + "\n")
        cases = []
        for case in texts:
            ids = tokenizer.encode(case, add_special_tokens=False).ids
            cases.append({"text": case, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        runs = []
        for ids in random_runs(tokenizer, 200):
            kept, skipped = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
            runs.append({"ids": ids, "decoded": kept, "skipped": skipped})
        first = tokenizer.encode("a").ids
        begin = first[0] if len(first) > len(tokenizer.encode("a", add_special_tokens=False).ids) else None
        fixture[name] = {"begin": begin, "cases": cases, "runs": runs}
    plain = [case for case in fixture["llama"]["cases"] if not any(token in case["text"] for token in SPECIAL)]
    same = [case["text"] for case in plain if case["ids"] == processor.encode(case["text"])]
    print(f"llama: {len(same)} of {len(plain)} texts without special tokens have the ids of the sentencepiece package")
    (OUT / "cases.json").write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
