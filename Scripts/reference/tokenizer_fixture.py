#!/usr/bin/env python3
"""Makes Tests/TokenizationTests/Fixtures: two small SentencePiece models and what the Python packages do with them.

Needs sentencepiece and transformers. `plain` is like Llama's (BPE, byte fallback, no normalisation, spaces kept);
`folding` is a unigram model that normalises (a part of NFKC, spaces folded). Ids and texts come from the sentencepiece
package; texts with added tokens go through transformers' slow SentencePiece tokenizer, legacy rule; the non-legacy rule
is the package's own with add_dummy_prefix turned off after the first segment.

    python3 Scripts/reference/tokenizer_fixture.py
"""

import contextlib
import io
import json
import pathlib
import random
import tempfile
import unicodedata

import sentencepiece

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests/TokenizationTests/Fixtures"

TEXT = """\
Is there a red circle in this image? Yes, there is one red circle and a small blue square beside it.
Provide multiple object names with their numbering index and the objects' bounding box coordinates in this image.
Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91], (#2 horse) [0.56, 0.41, 0.77, 0.99], (#1 person) [0.12, 0.20, 0.34, 0.56].
AI assistant should give helpful and detailed answers to user after fully understanding an image.
What is in the box [0.10, 0.20, 0.50, 0.60]? A bicycle leans on the wall of the house near the river.
Two horses and three people cross the old bridge while the boats below wait for the evening tide.
Zwei Pferde stehen auf der grünen Wiese, und über dem Haus fliegen große weiße Vögel nach Süden.
Können Sie bitte erklären, welche Gegenstände auf dem Bild zu sehen sind und wo sie sich befinden?
Où se trouve la bicyclette ? Elle est derrière l'église, près du fleuve, à côté d'une vieille fenêtre.
L'été dernier, les élèves ont dessiné un château, une forêt et un garçon qui mange une pêche.
El niño pequeño dibujó una montaña con un árbol y un pájaro azul sobre la casa de su señora.
На зелёном лугу стоят две лошади, а над домом летят большие белые птицы.
Что изображено на этой картинке? Здесь показан красный круг и маленький синий квадрат.
草の上に二頭の馬が立っています。家の上を白い鳥が飛んでいます。この画像には何がありますか。
图像中有一个红色的圆形和一个蓝色的正方形。请描述这张图片里的物体和它们的位置。
이 그림에는 빨간 원과 파란 사각형이 있습니다. 두 마리의 말이 풀밭에 서 있습니다.
في الصورة دائرة حمراء ومربع أزرق صغير بجانب البيت القديم.
ภาพนี้มีวงกลมสีแดงและสี่เหลี่ยมสีน้ำเงิน
def area(box):\n    return (box[2] - box[0]) * (box[3] - box[1])\n
""".replace("\\n", "\n")

CASES = [
    "", " ", "  ", "\t", "\n", "a", " a", "a ", "  a  b  ", "Is there a red circle in this image?",
    "(#1 horse) [0.06, 0.38, 0.27, 0.91], (#2 horse) [0.56, 0.41, 0.77, 0.99]", "\n\nUser: hi\n\nAssistant:",
    "tab\tbetween\t\tthem", "line\nbreak\r\nand return", "double  space   triple    four", "no\u00a0break\u00a0space",
    "zero\u200bwidth\u200cand\u200djoiner\ufeffmark", "ideographic\u3000space", "thin\u2009and\u202fnarrow",
    "\u2581underline\u2581 itself \u2581\u2581", "Die Vögel fliegen über große Häuser.", "Où est la fenêtre ? Là-bas…",
    "Cafe\u0301 and Café", "Большие белые птицы летят на юг.", "草の上に馬が立っています。", "图像中有红色的圆形。",
    "두 마리의 말이 서 있습니다.", "دائرة حمراء ومربع أزرق", "ภาพนี้มีวงกลมสีแดง", "हिन्दी में एक वाक्य", "Ελληνικά και עברית",
    "😀", "a😀b", "👩‍👩‍👧‍👦 family", "🏳️‍🌈 flag 🇩🇪🇯🇵", "👍🏽 tone", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛", "ﬁligature ½ ① ㎏ ｆｕｌｌ ｶﾀｶﾅ",
    "\x00nul\x00inside", "\x01\x02\x7f control", "\u2028line\u2029paragraph", "\U0010ffff last", "\ue000 private",
    "</s> and <s> and <unk> as text", "<0x0A> as text", "<image> as text", "x" * 200, "ab " * 60, "é" * 50,
    "1234567890 3.14159 1e-05 0x1F", "camelCaseAndSNAKE_CASE", "https://example.org/a?b=c&d=%20#e", "\"quotes\" 'single' “curly”",
]

ADDED = {"<image>": 1, "<stop>": 2, "[UNUSED_TOKEN_146]": 3, "[UNUSED_TOKEN_145]": 4, "<im": 5}

ADDED_CASES = [
    "<image>", "<image><image>", "before <image> after", "before<image>after", " <image> ", "\n<image>\n", "<imag", "<ima ge>",
    "<im", "<im<image>", "<<image>>", "a<im>b", "User: what?<stop>Assistant: this.<stop>", "é<image>ü 😀<stop>😀",
    " [UNUSED_TOKEN_146]user\nWhat is it?[UNUSED_TOKEN_145]\n[UNUSED_TOKEN_146]assistant\n", "<image>  two  <stop>  spaces  ",
    "AI assistant. <image> USER: The image includes (#1 horse) [0.06, 0.38, 0.27, 0.91]. What? ASSISTANT:",
]


def folding_rules():
    """A part of NFKC, and whitespace, as SentencePiece's rule file."""
    rules = {}
    sources = list(range(0xff01, 0xff5f)) + list(range(0xff71, 0xff9e)) + list(range(0xfb00, 0xfb05))
    for code in sources + [0xbc, 0xbd, 0xbe, 0x2460, 0x2461, 0x338f, 0x2026]:
        rules[chr(code)] = unicodedata.normalize("NFKC", chr(code))
    for base in "aeiounAEIOU":
        for mark in "\u0300\u0301\u0302\u0308\u0303":
            composed = unicodedata.normalize("NFKC", base + mark)
            if len(composed) == 1:
                rules[base + mark] = composed
    for space in "\t\n\r\u00a0\u2009\u202f\u3000":
        rules[space] = " "
    for nothing in "\u200b\ufeff":
        rules[nothing] = ""
    codes = lambda text: " ".join("%X" % ord(c) for c in text)
    return "".join(f"{codes(source)}\t{codes(target)}\n" for source, target in rules.items())


def train(name, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=model, byte_fallback=True, character_coverage=0.98,
        minloglevel=2, **options)
    (FIXTURES / f"{name}.model").write_bytes(model.getvalue())
    return model.getvalue()


def describe(model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = processor.get_piece_size()
    generator = random.Random(7)
    runs = []
    for _ in range(60):
        # Byte pieces often, so that whole, cut and impossible UTF-8 all come up.
        pool = range(3, 259) if generator.random() < 0.3 else range(size)
        runs.append([generator.choice(pool) for _ in range(generator.randrange(1, 12))])
    for text in ["é😀", "日本"]:
        ids = [processor.piece_to_id("<0x%02X>" % byte) for byte in text.encode()]
        runs += [ids[:end] for end in range(1, len(ids) + 1)] + [ids[1:], ids[:2] + [size - 1] + ids[2:]]
    cases = []
    for text in CASES:
        ids = processor.encode(text)
        cases.append({"text": text, "ids": ids, "decoded": processor.decode(ids)})
    return {
        "bos": processor.bos_id(), "eos": processor.eos_id(), "unk": processor.unk_id(), "size": size,
        "pieces": [processor.id_to_piece(i) for i in range(0, size, 13)],
        "cases": cases, "runs": [{"ids": ids, "decoded": processor.decode(ids)} for ids in runs],
    }


def with_added_tokens(model):
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    without_prefix = sentencepiece.SentencePieceProcessor(model_proto=model + b"\x1a\x02\x18\x00")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tokenizer.model"
        path.write_bytes(model)
        peer = SentencePieceBackend(vocab_file=str(path), legacy=True)
    size = processor.get_piece_size()
    peer.add_tokens(list(ADDED), special_tokens=True)
    cases = []
    for text in ADDED_CASES:
        legacy = peer(text, add_special_tokens=False)["input_ids"]
        first_segment = []
        for index, segment in enumerate(peer.tokens_trie.split(text)):
            if segment in ADDED:
                first_segment.append(size - 1 + ADDED[segment])
            elif segment:
                first_segment += (processor if index == 0 else without_prefix).encode(segment)
        cases.append({"text": text, "ids": legacy, "firstSegmentIDs": first_segment})
    return {"tokens": {text: size - 1 + offset for text, offset in ADDED.items()}, "cases": cases}


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    plain = train(
        "plain", vocab_size=1000, model_type="bpe", normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True)
    # The model keeps the rule file's name, so a name that is the same every time.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        pathlib.Path("rules.tsv").write_text(folding_rules())
        folding = train("folding", vocab_size=600, model_type="unigram", normalization_rule_tsv="rules.tsv")
    fixture = {"plain": describe(plain), "folding": describe(folding), "added": with_added_tokens(plain)}
    text = json.dumps(fixture, ensure_ascii=True, separators=(",", ":"))
    (FIXTURES / "tokenizer.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
