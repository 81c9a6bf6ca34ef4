"""Write the gradient fixtures of the models in Tests/Fixtures/models: `gradients/*.safetensors` and gradients.json.

    python gradient_fixtures.py [--golden FOLDER_WITH_grads-fp32.safetensors]

Each file holds `labels` I64 [positions], `loss` F32 [1] (mean cross-entropy) and, under its role, the F32 gradient of every
tensor that can learn: autograd through `model.py` in float64. The golden case's are the published code's own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from checkpoints import load, load_parts, load_peft, role, source_tensors, with_nf4_backbone
from gradients_against_torch import carried, gradients
from model import Model
from probes import read_probe
from random_models import write_json

MODELS = Path(__file__).resolve().parents[2] / "Tests/Fixtures/models"


@dataclass(frozen=True)
class Entry:
    case: str
    probe: str
    model: Model
    adapters: list[str] | None = None
    quantized: bool = False
    parts: Path | None = None

    @property
    def file(self) -> str:
        return (
            f"gradients/{self.case}-{self.probe.removeprefix('probe-')}{'-nf4' if self.quantized else ''}.safetensors"
        )

    def describe(self) -> dict[str, object]:
        described: dict[str, object] = {"case": self.case, "file": self.file, "nf4": self.quantized}
        described["probe"] = f"{self.case}/{self.probe}.safetensors"
        return described | ({"adapters": self.adapters} if self.adapters else {})

    def write(self) -> None:
        prompt, outputs = read_probe(MODELS / self.case / f"{self.probe}.safetensors")
        vocab = self.model.backbone.vocab
        labels = labels_for(prompt.input_ids, int(outputs["logits"].shape[0]), vocab)
        model = with_nf4_backbone(self.model, torch.bfloat16) if self.quantized else self.model
        loss, found = gradients(model, prompt, labels, torch.float64)
        ratios = carried(self.parts, self.model) if self.parts else {}
        tensors = {name: (tensor * ratios.get(name, 1.0)).float() for name, tensor in found.items()}
        (MODELS / self.file).parent.mkdir(exist_ok=True)
        save_file({"labels": labels, "loss": torch.tensor([loss]).float(), **tensors}, MODELS / self.file)


def labels_for(input_ids: torch.Tensor, positions: int, vocab: int) -> torch.Tensor:
    """Every token but each third, -100 at the patches of pictures."""
    pictures = int((input_ids == vocab).sum())
    patches = (positions - len(input_ids)) // max(pictures, 1) + 1
    labels: list[int] = []
    for index, token in enumerate(input_ids.tolist()):
        labels += [-100] * patches if token == vocab else [-100 if index % 3 == 1 else token]
    return torch.tensor(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, help="write the golden case's, too, from the published code's file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    grouped = load(MODELS / "collavo-grouped")
    both = ["object", "language"]
    parts = load_parts(MODELS / "parts", MODELS / "clip", both)
    lora = llama_with_adapter()
    entries = [
        Entry("collavo-grouped", "probe-two-images", grouped),
        Entry("collavo-grouped", "probe-image", grouped, quantized=True),
        Entry("parts", "probe-two-images-both", parts, both, parts=MODELS / "parts"),
        Entry("llama-lora", "probe-0", lora, ["style"], parts=MODELS / "llama-lora"),
    ]
    for entry in entries:
        entry.write()
    described = [entry.describe() for entry in entries]
    golden = "gradients/golden.safetensors"
    if arguments.golden:
        tensors = source_tensors(arguments.golden / "grads-fp32.safetensors")
        save_file({role(name) or name: tensor for name, tensor in tensors.items()}, MODELS / golden)
    probe = "golden/probe-fp32.safetensors"
    described.insert(0, {"case": "golden", "file": golden, "nf4": False, "probe": probe})
    write_json(MODELS / "gradients.json", {"gradients": described})


def llama_with_adapter() -> Model:
    """The Llama fixture with its one adapter."""
    model = load(MODELS / "llama")
    style, pairs = load_peft(MODELS / "llama-lora" / "style", "style")
    return Model(model.backbone, {**model.tensors, **pairs}, sets=(style,))


if __name__ == "__main__":
    main()
