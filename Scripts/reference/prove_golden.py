"""Hold `model.py` against the golden case, whose logits the published CoLLaVO code made.

python prove_golden.py FOLDER      # the folder with collavo-tiny/ and its probes
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from checkpoints import load, with_nf4_backbone
from model import forward
from probes import read_probe, relative_error

TOLERANCE = 1e-6
VISION_HEADS = 6  # the published config.json does not describe CLIP


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    torch.set_num_threads(1)
    full = load(folder / "collavo-tiny", vision_heads=VISION_HEADS)
    failed = False
    for name, model in (("probe-fp32", full), ("probe-nf4", with_nf4_backbone(full, torch.float32))):
        prompt, expected = read_probe(folder / f"{name}.safetensors")
        error = relative_error(forward(model, prompt), expected["logits"])
        failed |= not error < TOLERANCE
        print(f"{name}: relative error {error:.2e} (at most {TOLERANCE:.0e})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
