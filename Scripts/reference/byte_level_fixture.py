#!/usr/bin/env python3
"""Makes Tests/TokenizationTests/Fixtures/bytelevel: small byte-level BPE tokenizers and what the Python package does with them.

Needs tokenizers. Each NAME.json is a tokenizer.json as a family of models has it, trained on a few lines; cases.json
has texts with their ids, ids with their texts, and the letters, numbers and spaces of Unicode as the package's regular
expressions know them.

    python3 Scripts/reference/byte_level_fixture.py
"""

from __future__ import annotations

import json
import random
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_fixture import ADDED_CASES, CASES, FIXTURES, TEXT

OUT = FIXTURES / "bytelevel"
NEWER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = NEWER.replace("NUMBERS", r"\p{N}{1,3}")
QWEN2 = NEWER.replace("NUMBERS", r"\p{N}")

MORE_CASES = [
    "it's IT'S it'ſ I'M you'll YOU'LL we've WE'Ve he'd they're THEY'RE don't DON'T 's 'x ''s", "'", "''", "a'", "'ﬆ 'K",
    "1", "12", "123", "1234", "12345 678901", "٣٤٥٦ १२३४ Ⅻ ½ ² ①②③④", "a1b2c3", "  12", "\t12", "x\n12",
    " \n", "\n ", " \n ", "\r\n\r\n", "a\r\n\r\n  b", "a  \n\n  b", "a \t\n \t b", "...\n\n!?\n", " ...\r\n x", "a   ", "   a", "a\u00a0\u00a0b",
    "\u00a0\u2003x", "\u2028\u2029x", "a\u0085b", "\u3000\n\u3000 a", "\ttab first", "!tab", "\tTab\t\tTab", "_under_score", "#hash#tag", "(paren)", "\"quote",
    "e\u0301 = é, A\u030a = Å = Å, ガ = か\u3099 = が, 각 = 각", "\u0344 \u0958 \u2126 \u212b", "q\u0323\u0307 q\u0307\u0323",
    "\u0301", " \u0301x", "a\u0301\u0301\u0301", "१२ हिन्दी", "ﷺ ﬁ ①", "𐍈𝟘🈚", "\U00031350 \U0002ebf0 \U0001e4d0 \U00010d40",
    "a" * 300, "ab" * 150, "😀" * 40, "the the the", "x" * 30 + " " * 30 + "y", "\n" * 20 + "z", "日" * 60,
]

TOKEN_CASES = ADDED_CASES + [
    "<|begin|>Hi<|end|>", "a <mask> b", "a\u2003\n<mask>\t\u00a0b", "<mask><mask>  <mask>", "word wordy sword word.", "word", "_word_ word1 éword word\u0301",
    "caf\u00e9 cafe\u0301 CAFÉ", "a<left>b", "a  <left>  b", "a  <right>  b", "<right>  <left>", "<right> \n<left> <right>x", "<spaced token>", "<spaced  token>",
    "<|end|><|end|>\n<|end|>", "\u1e9b\u0323<|end|>\u1e9b\u0323", "<mask", "<mas<mask>k>",
]


def train(size: int, pattern: str, alphabet: bool = True, **model: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [model["unk_token"]] if "unk_token" in model else []
    letters: dict[str, Any] = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()} if alphabet else {"limit_alphabet": 40}
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False, **letters)
    tokenizer.train_from_iterator(TEXT.splitlines(keepends=True) * 2, trainer)
    return tokenizer


def added(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>", "<image>", AddedToken("<left>", lstrip=True), AddedToken("<right>", rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("word", single_word=True),
            AddedToken("cafe\u0301"),
            AddedToken("<spaced token>"),
            AddedToken("\u1e9b\u0323", normalized=True),
        ]
    )


def make() -> dict[str, Tokenizer]:
    gpt2 = train(500, LLAMA3)
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    gpt2.post_processor = processors.ByteLevel(trim_offsets=False)
    prefix = Tokenizer.from_str(gpt2.to_str())
    prefix.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    added(prefix)
    llama3 = Tokenizer.from_str(shortcut(train(600, LLAMA3, ignore_merges=True)))
    added(llama3)
    begin = llama3.token_to_id("<|begin|>")
    llama3.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B:1", special_tokens=[("<|begin|>", begin)]),
        ]
    )
    qwen2 = train(600, QWEN2)
    qwen2.normalizer = normalizers.NFC()
    qwen2.post_processor = processors.ByteLevel(trim_offsets=False)
    added(qwen2)
    unknown = train(150, QWEN2, alphabet=False, unk_token="<unk>", fuse_unk=True)
    single = train(150, QWEN2, alphabet=False, unk_token="<unk>")
    dropping = train(150, QWEN2, alphabet=False)
    return {
        "gpt2": gpt2, "gpt2-prefix": prefix, "llama3": llama3, "qwen2": qwen2, "unknown": unknown, "unknown-single": single, "dropping": dropping,
    }  # fmt: skip


def shortcut(tokenizer: Tokenizer) -> str:
    """The file with a few words as entries that no merge makes: what ignore_merges is about."""
    file = json.loads(tokenizer.to_str())
    vocabulary = file["model"]["vocab"]
    for word in ["Ġbicycle", "Ġzebra", "qqq", "ĊĊ"]:
        vocabulary.setdefault(word, len(vocabulary))
    return json.dumps(file, ensure_ascii=False)


def random_texts(count: int) -> list[str]:
    generator = random.Random(11)
    pool = [*" '\n\r\t1a!.Zé日😀\u0301\u00a0\u3000½٣ſ", "'s", "'LL", "  ", "\n\n", "word", "<|end|>", "<mask>", "<image>", "the", "ing", "12", "\u212b", "\r\n"]
    return ["".join(generator.choices(pool, k=generator.randrange(1, 24))) for _ in range(count)]


def random_runs(tokenizer: Tokenizer, count: int) -> list[list[int]]:
    generator = random.Random(12)
    vocabulary = tokenizer.get_vocab()
    ids = sorted(vocabulary.values())
    bytes_alone = sorted(id for text, id in vocabulary.items() if len(text) == 1)
    runs = []
    for _ in range(count):
        pool = bytes_alone if generator.random() < 0.5 else ids
        runs.append([generator.choice(pool) for _ in range(generator.randrange(1, 12))])
    return runs


def ranges(pattern: str) -> list[list[int]]:
    """The code points that an expression of one character matches, as first and last of each range."""
    every = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=False)
    matched: list[int] = []
    for start in range(0, len(every), 4096):
        codes = every[start : start + 4096]
        rest: set[int] = set()
        for _, (first, end) in split.pre_tokenize_str("".join(map(chr, codes))):
            rest.update(range(first, end))
        matched += [code for index, code in enumerate(codes) if index not in rest]
    result: list[list[int]] = []
    for code in matched:
        if result and result[-1][1] == code - 1:
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    fixture: dict[str, Any] = {"letters": ranges(r"\p{L}"), "numbers": ranges(r"\p{N}"), "spaces": ranges(r"\s"), "tokenizers": {}}
    for name, tokenizer in make().items():
        text = tokenizer.to_str()
        if name.startswith("gpt2") or name == "unknown":
            # The form of files before version 0.20.
            file = json.loads(text)
            file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
            text = json.dumps(file, ensure_ascii=False)
        tokenizer = Tokenizer.from_str(text)
        (OUT / f"{name}.json").write_text(text + "\n")
        cases = []
        for case in CASES + MORE_CASES + TOKEN_CASES + random_texts(200):
            ids = tokenizer.encode(case, add_special_tokens=False).ids
            cases.append({"text": case, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
        runs = []
        for ids in random_runs(tokenizer, 150):
            kept, skipped = (tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True))
            runs.append({"ids": ids, "decoded": kept, "skipped": skipped})
        first = tokenizer.encode("a").ids
        begin = first[0] if len(first) > len(tokenizer.encode("a", add_special_tokens=False).ids) else None
        fixture["tokenizers"][name] = {"begin": begin, "cases": cases, "runs": runs}
    (OUT / "cases.json").write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
