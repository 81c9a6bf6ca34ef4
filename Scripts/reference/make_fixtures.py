"""Write the model fixtures: tiny checkpoints, probes with their logits, and the index cases.json.

    python make_fixtures.py [--out Tests/Fixtures/models] [--golden FOLDER]

Seeded throughout: with the same torch, transformers, peft and bitsandbytes on the same kind of processor, a second run
writes the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from fixtures_base import Case
from fixtures_collavo import collavo_grouped, golden, internlm2_plain, llama_bias
from fixtures_llava import llava_fixtures
from fixtures_parts import llama_lora, parts
from fixtures_transformers import clip, language_fixtures
from random_models import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = Path(__file__).resolve().parents[2] / "Tests/Fixtures/models"
    parser.add_argument("--out", type=Path, default=models, help="(default: the repository's Tests/Fixtures/models)")
    parser.add_argument(
        "--golden", type=Path, default=models / "golden", help="the golden case (default: the repository's)"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    torch.set_num_threads(1)
    cases: list[Case] = [golden(out, arguments.golden)]
    cases += [make(out) for make in (collavo_grouped, internlm2_plain, llama_bias)]
    cases += language_fixtures(out)
    cases += [clip(out), parts(out), llama_lora(out)]
    cases += llava_fixtures(out)
    write_json(out / "cases.json", {"cases": [case.entry() for case in cases]})
    for case in cases:
        size = sum(file.stat().st_size for file in (out / case.name).rglob("*") if file.is_file())
        print(f"{case.name:24} {size / 1000:8.1f} kB  {len(case.probes)} probes")


if __name__ == "__main__":
    main()
