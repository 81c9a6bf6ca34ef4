"""LLaVA-1.5 fixtures: transformers' own class makes them and gives the expected logits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from fixtures_base import AUDIBLE, Case, add_probe
from fixtures_transformers import randomise
from model import Prompt
from probes import relative_error
from random_models import write_json
from tokenizer_fixture import TEXT


@dataclass(frozen=True)
class Kin:
    """One LLaVA fixture."""

    name: str
    covers: str
    text: dict[str, Any]
    dtype: torch.dtype
    seed: int
    module_names: bool  # the modules' names of transformers 5, else those that published files have
    image_token: int
    text_config_keys: tuple[str, ...] = ()  # kept in config.json; all where empty
    has_tokenizer: bool = False


VISION: dict[str, Any] = {
    "hidden_size": 36, "intermediate_size": 70, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 28, "patch_size": 7,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
PATCHES = 16


def published_name(name: str) -> str:
    """The name in `llava-hf/llava-1.5-7b-hf`'s files."""
    if name.startswith("lm_head"):
        return f"language_model.{name}"
    name = name.removeprefix("model.")
    if name.startswith("language_model."):
        return name.replace("language_model.", "language_model.model.", 1)
    return name if ".vision_model." in name else name.replace("vision_tower.", "vision_tower.vision_model.", 1)


def write_tokenizer(path: Path, image_token: int) -> None:
    """A byte-level tokenizer with `<image>` behind its vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=image_token, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(["<image>"])
    assert tokenizer.token_to_id("<image>") == image_token
    path.write_text(tokenizer.to_str() + "\n")


def prompt(kin: Kin, number: int, length: int, images: int) -> Prompt:
    generator = np.random.default_rng([kin.seed, number])
    ids = generator.integers(3, kin.image_token, length)
    ids[0] = 1
    ids[[1 + k * (length - 2) // max(images, 1) for k in range(images)]] = kin.image_token
    pixels = torch.from_numpy(generator.standard_normal((images, 3, 28, 28)).astype(np.float32)) if images else None
    return Prompt(torch.from_numpy(ids), pixels)


def logits(peer: Any, prompt: Prompt, image_token: int) -> torch.Tensor:
    ids: list[int] = []
    for token in prompt.input_ids.tolist():
        ids += [token] * (PATCHES if token == image_token else 1)
    with torch.no_grad():
        return peer(input_ids=torch.tensor([ids]), pixel_values=prompt.pixel_values, use_cache=False).logits[0]


def make(kin: Kin, out: Path) -> Case:
    folder = out / kin.name
    folder.mkdir(parents=True, exist_ok=True)
    config = LlavaConfig(
        text_config=LlamaConfig(**kin.text), vision_config=CLIPVisionConfig(**VISION), image_token_index=kin.image_token,
        image_seq_length=PATCHES, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip
    peer = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    randomise(peer, kin.seed, kin.dtype)
    state = {name: tensor.contiguous() for name, tensor in peer.state_dict().items() if "position_ids" not in name}
    renamed = state if kin.module_names else {published_name(name): tensor for name, tensor in state.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    description = json.loads(config.to_json_string(use_diff=False))
    description.pop("transformers_version", None)
    if kin.text_config_keys:
        description["text_config"] = {key: description["text_config"][key] for key in kin.text_config_keys}
    write_json(folder / "config.json", description)
    if kin.has_tokenizer:
        write_tokenizer(folder / "tokenizer.json", kin.image_token)
    # Loaded again: a cast of the whole model would round the angles of its rotary positions too.
    peer = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    case = Case(name=kin.name, covers=kin.covers, inputs={"checkpoint": kin.name})
    for number, (length, images) in enumerate([(9, 1), (14, 2), (11, 0)]):
        asked = prompt(kin, number, length, images)
        expected = logits(peer, asked, kin.image_token)
        if images:
            # The last layer of the tower must make a difference, so that leaving it in would show.
            peer.config.vision_feature_layer = -1
            change = relative_error(logits(peer, asked, kin.image_token), expected)
            peer.config.vision_feature_layer = -2
            assert change > AUDIBLE, f"{kin.name}: the last layer changes the logits by {change:.1e} only"
        add_probe(
            case, out, f"{kin.name}/probe-{number}.safetensors", asked, expected, f"{length} ids, {images} pictures", tolerance=5e-6
        )
    return case


def llava_fixtures(out: Path) -> list[Case]:
    common: dict[str, Any] = {
        "vocab_size": 96, "hidden_size": 48, "intermediate_size": 92, "num_hidden_layers": 2, "num_attention_heads": 6,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None, "rms_norm_eps": 1e-5, "max_position_embeddings": 128,
        "tie_word_embeddings": False,
    }  # fmt: skip
    kins = [
        Kin(
            name="llava",
            covers="LlavaForConditionalGeneration, float16, the names and the short text_config of the published files, "
            "features of the layer before the last",
            text=common, dtype=torch.float16, seed=41, module_names=False, image_token=90,
            text_config_keys=(
                "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "max_position_embeddings", "rms_norm_eps",
            ),
        ),
        Kin(
            name="llava-modules",
            covers="LlavaForConditionalGeneration, float32, the names of transformers 5's modules, grouped heads, a byte-level tokenizer",
            text=common | {"num_key_value_heads": 2, "vocab_size": 320}, dtype=torch.float32, seed=42, module_names=True,
            image_token=310, has_tokenizer=True,
        ),
    ]  # fmt: skip
    return [make(kin, out) for kin in kins]
