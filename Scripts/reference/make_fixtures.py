"""Write the model fixtures: tiny checkpoints, probes with their logits, and the index cases.json.

    python make_fixtures.py --golden FOLDER --out Tests/Fixtures/models     # FOLDER: the golden case

Seeded throughout: with the same torch, transformers, peft and bitsandbytes on the same kind of processor, a second run
writes the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from fixtures_base import Case
from fixtures_collavo import collavo_grouped, golden, internlm2_plain, llama_bias
from fixtures_parts import parts
from fixtures_transformers import clip, language_fixtures
from random_models import write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[2] / "Tests/Fixtures/models")
    parser.add_argument("--golden", type=Path, required=True, help="folder with collavo-tiny/ and its probes")
    arguments = parser.parse_args()
    out: Path = arguments.out
    torch.set_num_threads(1)
    cases: list[Case] = [golden(out, arguments.golden)]
    cases += [make(out) for make in (collavo_grouped, internlm2_plain, llama_bias)]
    cases += language_fixtures(out)
    cases += [clip(out), parts(out)]
    write_json(out / "cases.json", {"cases": [case.entry() for case in cases]})
    for case in cases:
        size = sum(f.stat().st_size for f in (out / case.name).rglob("*") if f.is_file()) if (out / case.name).is_dir() else 0
        print(f"{case.name:24} {size / 1000:8.1f} kB  {len(case.probes)} probes")


if __name__ == "__main__":
    main()
