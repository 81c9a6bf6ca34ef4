"""Holds Crayon's way of preparing pictures and prompts for LLaVA against transformers, and writes the fixtures for it.

    python Scripts/reference/llava_processor.py

Needs torch, transformers, pillow and jinja2. Tests/Fixtures/llava/pictures.json has, for pictures of odd sizes that are drawn by
a formula, cut and padded (`do_pad`): the digest of the bytes that LlavaImageProcessor and CLIPImageProcessor resize to, and the
pixel values of some. prompts.json has what the chat template of llava-hf/llava-1.5-7b-hf makes of conversations.
Prints how far the two processors are from each other; a second run
writes the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from jinja2.ext import Extension
from PIL import Image
from transformers import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

OUT = Path(__file__).resolve().parents[2] / "Tests/Fixtures/llava"
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
SIZES = [(1, 1), (1, 2), (3, 1), (2, 5), (7, 7), (13, 12), (27, 28), (28, 28), (28, 29), (29, 57), (31, 17), (45, 31), (64, 63), (99, 100),
         (101, 33), (5, 119), (200, 3), (335, 337), (336, 336), (337, 335), (341, 512), (640, 427), (427, 640), (1023, 77)]  # fmt: skip
OTHER = {"mean": [0.5, 0.2, 0.9], "std": [0.25, 0.5, 1.0]}

# The published file's text.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def picture(width: int, height: int) -> np.ndarray:
    """[height, width, 3]; the tests draw the same."""
    y, x, channel = np.mgrid[0:height, 0:width, 0:3]
    values = x * x * 3 + y * 7 * (channel + 1) + x * y * (channel + 2)
    edge = (x // 5 + y // 3) % 2 * 97
    return ((values + edge) % 256).astype(np.uint8)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def processors(size: int, pad: bool, mean: list[float], std: list[float]) -> list[Any]:
    settings = {
        "size": {"shortest_edge": size}, "crop_size": {"height": size, "width": size}, "image_mean": mean, "image_std": std,
    }  # fmt: skip
    llava = LlavaImageProcessorPil(do_pad=pad, **settings)
    return [llava] if pad else [llava, CLIPImageProcessorPil(**settings)]


def pictures() -> list[dict[str, Any]]:
    cases = []
    difference, bytes_differ, compared = 0.0, 0, 0
    for width, height in SIZES:
        for pad in (False, True):
            for size in (28, 61) if max(width, height) < 400 else (56,):
                for mean, std in ((MEAN, STD), (OTHER["mean"], OTHER["std"])) if pad else ((MEAN, STD),):
                    source = Image.fromarray(picture(width, height))
                    resized, values = [], []
                    for processor in processors(size, pad, mean, std):
                        plain = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
                        resized.append(processor(images=source, **plain)["pixel_values"][0].astype(np.uint8))
                        values.append(processor(images=source, return_tensors="np")["pixel_values"][0].astype(np.float32))
                    for other, more in zip(resized[1:], values[1:], strict=True):
                        compared += 1
                        bytes_differ += int((other != resized[0]).any())
                        difference = max(difference, float(np.abs(more - values[0]).max()))
                    case = {
                        "width": width, "height": height, "size": size, "pads": pad, "mean": mean, "std": std,
                        "resized": digest(resized[0].transpose(1, 2, 0)),
                    }  # fmt: skip
                    if size == 28 and (width, height) in ((45, 31), (31, 17), (5, 119), (101, 33)):
                        case["values"] = base64.b64encode(np.ascontiguousarray(values[0]).tobytes()).decode()
                    cases.append(case)
    print(
        f"{len(cases)} pictures; of {compared} LlavaImageProcessor and CLIPImageProcessor differ in {bytes_differ}, pixel values by at "
        f"most {difference:.1e}"
    )
    return cases


class Generation(Extension):
    """transformers' tag around what a model learns; its text is its content."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def prompts() -> dict[str, Any]:
    environment = jinja2.Environment(extensions=[Generation], trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE)
    questions = ["What is in the picture?", "And on the left?", "Is there {a} red <circle>?", ""]
    answers = ["A horse.", "A house, (#1).", "Yes"]
    cases = []
    for turns in (1, 2, 3):
        for pictured in (True, False):
            messages: list[dict[str, Any]] = []
            for turn in range(turns):
                content: list[dict[str, str]] = [{"type": "image"}] if pictured and turn == 0 else []
                messages.append({"role": "user", "content": [*content, {"type": "text", "text": questions[turn]}]})
                if turn + 1 < turns:
                    messages.append({"role": "assistant", "content": [{"type": "text", "text": answers[turn]}]})
            text = template.render(messages=messages, add_generation_prompt=True)
            cases.append({"questions": questions[:turns], "answers": answers[: turns - 1], "pictured": pictured, "text": text})
    print(f"{len(cases)} conversations; the first: {cases[0]['text']!r}")
    return {"template": TEMPLATE, "cases": cases}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "pictures.json").write_text(json.dumps({"cases": pictures()}, indent=1) + "\n")
    (OUT / "prompts.json").write_text(json.dumps(prompts(), indent=1) + "\n")


if __name__ == "__main__":
    main()
