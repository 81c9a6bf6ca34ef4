"""Random checkpoints: every tensor drawn by name from a seeded numpy generator, so that no torch build changes them."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from model import Tensors

Shapes = dict[str, tuple[int, ...]]
Config = dict[str, Any]


def draw(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """One tensor in float32. Its generator depends on the seed and the name only, not on what was drawn before.

    The spreads keep every part of the model audible in the logits: attention that is neither flat nor one-hot,
    biases and low-rank pairs of the size of what they are added to.
    """
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    if name.endswith("bias"):
        values *= 0.3
    elif re.search(r"norm\d?\.weight$|layernorm\.weight$|layrnorm\.weight$", name):
        values = 1 + 0.2 * values
    elif re.search(r"embed|seg_", name) and "patch_embedding" not in name and "Plora" not in name:
        values *= 1.0
    else:
        values *= 1.3 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 1.0)
    return torch.from_numpy(values.astype(np.float32))


def draw_all(shapes: Shapes, seed: int, dtype: torch.dtype) -> Tensors:
    return {name: draw(name, shape, seed).to(dtype) for name, shape in shapes.items()}


def save(folder: Path, config: Config, tensors: Tensors, shards: int = 1) -> None:
    """A checkpoint folder: config.json and one safetensors file, or shards with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    where: dict[str, str] = {}
    for k in range(shards):
        file = f"model-{k + 1:05}-of-{shards:05}.safetensors"
        chosen = names[k * len(names) // shards : (k + 1) * len(names) // shards]
        save_file({n: tensors[n] for n in chosen}, folder / file, metadata={"format": "pt"})
        where |= {n: file for n in chosen}
    total = sum(x.numel() * x.element_size() for x in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Clip:
    """Sizes of a CLIP vision tower."""

    width: int
    layers: int
    heads: int
    mlp: int
    patch: int
    image_size: int
    activation: str = "quick_gelu"

    def config(self) -> Config:
        return {
            "model_type": "clip_vision_model",
            "hidden_size": self.width,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_channels": 3,
            "image_size": self.image_size,
            "patch_size": self.patch,
            "hidden_act": self.activation,
            "layer_norm_eps": 1e-05,
        }

    def shapes(self, prefix: str) -> Shapes:
        w, at = self.width, f"{prefix}vision_model"
        shapes: Shapes = {
            f"{at}.embeddings.class_embedding": (w,),
            f"{at}.embeddings.patch_embedding.weight": (w, 3, self.patch, self.patch),
            f"{at}.embeddings.position_embedding.weight": (1 + (self.image_size // self.patch) ** 2, w),
        }
        for norm in ("pre_layrnorm", "post_layernorm"):
            shapes |= {f"{at}.{norm}.weight": (w,), f"{at}.{norm}.bias": (w,)}
        for n in range(self.layers):
            layer = f"{at}.encoder.layers.{n}"
            for norm in ("layer_norm1", "layer_norm2"):
                shapes |= {f"{layer}.{norm}.weight": (w,), f"{layer}.{norm}.bias": (w,)}
            for part in "qkv":
                shapes |= linear(f"{layer}.self_attn.{part}_proj", w, w, True)
            shapes |= linear(f"{layer}.self_attn.out_proj", w, w, True)
            shapes |= linear(f"{layer}.mlp.fc1", w, self.mlp, True) | linear(f"{layer}.mlp.fc2", self.mlp, w, True)
        return shapes


def linear(name: str, inputs: int, outputs: int, bias: bool) -> Shapes:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


@dataclass(frozen=True)
class Language:
    """Sizes of a backbone."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocab: int
    bias: bool = False
    max_positions: int = 512
    rope_theta: float = 10000
    rope_scaling: Config | None = None
    eps: float = 1e-05

    def config(self, model_type: str, architecture: str, dtype: torch.dtype) -> Config:
        """config.json with the keys of the InternLM files."""
        return {
            "architectures": [architecture],
            "model_type": model_type,
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.eps,
            "bias": self.bias,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "tie_word_embeddings": False,
            "torch_dtype": str(dtype).removeprefix("torch."),
        }

    def fused_shapes(self, rank: int | None, embedding_rows: int) -> Shapes:
        """InternLM2's names; with `rank`, the published CoLLaVO names (Plora_main and two pairs beside it)."""
        d = self.hidden // self.heads
        modules = {
            "attention.wqkv": (self.hidden, (self.heads + 2 * self.kv_heads) * d, self.bias),
            "attention.wo": (self.hidden, self.hidden, self.bias),
            "feed_forward.w1": (self.hidden, self.mlp, False),
            "feed_forward.w2": (self.mlp, self.hidden, False),
            "feed_forward.w3": (self.hidden, self.mlp, False),
        }
        shapes: Shapes = {"model.tok_embeddings.weight": (embedding_rows, self.hidden)}
        for n in range(self.layers):
            at = f"model.layers.{n}"
            shapes |= {f"{at}.attention_norm.weight": (self.hidden,), f"{at}.ffn_norm.weight": (self.hidden,)}
            for module, (inputs, outputs, bias) in modules.items():
                if rank is None:
                    shapes |= linear(f"{at}.{module}", inputs, outputs, bias)
                    continue
                shapes |= linear(f"{at}.{module}.Plora_main", inputs, outputs, bias)
                # The published code builds the crayon pair with the layer's own input width, so w2's has `mlp` inputs
                # although the crayon prompt never reaches it.
                for pair in ("Plora", "Plora_seg"):
                    shapes |= {f"{at}.{module}.{pair}_A.weight": (rank, inputs)}
                    shapes |= {f"{at}.{module}.{pair}_B.weight": (outputs, rank)}
        return shapes | {"model.norm.weight": (self.hidden,), "output.weight": (self.vocab, self.hidden)}

    def separate_shapes(self) -> Shapes:
        """Llama's names, with InternLM-7B's biases on q, k, v and o."""
        h, d = self.hidden, self.hidden // self.heads
        shapes: Shapes = {"model.embed_tokens.weight": (self.vocab, h)}
        for n in range(self.layers):
            at = f"model.layers.{n}"
            shapes |= {f"{at}.input_layernorm.weight": (h,), f"{at}.post_attention_layernorm.weight": (h,)}
            for part, outputs in (("q", h), ("k", self.kv_heads * d), ("v", self.kv_heads * d), ("o", h)):
                shapes |= linear(f"{at}.self_attn.{part}_proj", h, outputs, self.bias)
            shapes |= linear(f"{at}.mlp.gate_proj", h, self.mlp, False) | linear(
                f"{at}.mlp.up_proj", h, self.mlp, False
            )
            shapes |= linear(f"{at}.mlp.down_proj", self.mlp, h, False)
        return shapes | {"model.norm.weight": (h,), "lm_head.weight": (self.vocab, h)}


def crayon_shapes(width: int, hidden: int) -> Shapes:
    """The two crayon tables and the two projectors."""
    shapes: Shapes = {"seg_prompt_embed.weight": (134, width), "seg_num_embed.weight": (21, width)}
    for projector in ("vision_proj", "vision_proj_for_seg"):
        shapes |= linear(f"{projector}.0", width, hidden, True) | linear(f"{projector}.2", hidden, hidden, True)
    return shapes


def published(language: Language, clip: Clip, rank: int, dtype: torch.dtype, seed: int) -> tuple[Config, Tensors]:
    """A checkpoint in the published CoLLaVO layout; `vision_config` is added to what the published file has."""
    shapes = language.fused_shapes(rank, language.vocab + 1)
    shapes |= clip.shapes("vit.vision_tower.") | crayon_shapes(clip.width, language.hidden)
    config = language.config("internlm", "CoLLaVOModel", dtype) | {"vision_config": clip.config()}
    return config, draw_all(shapes, seed, dtype)


def internlm2(language: Language, dtype: torch.dtype, seed: int) -> tuple[Config, Tensors]:
    """Hugging Face InternLM2: fused wqkv, no low-rank pairs."""
    config = language.config("internlm2", "InternLM2ForCausalLM", dtype)
    return config, draw_all(language.fused_shapes(None, language.vocab), seed, dtype)


def internlm(language: Language, dtype: torch.dtype, seed: int) -> tuple[Config, Tensors]:
    """InternLM-7B: Llama's names, biases on q, k, v and o, no grouped heads, RoPE described under `rotary`."""
    config = language.config("internlm", "InternLMForCausalLM", dtype)
    del config["num_key_value_heads"], config["rope_scaling"]
    config["rotary"] = {"base": config.pop("rope_theta"), "type": (language.rope_scaling or {"type": "origin"})["type"]}
    return config, draw_all(language.separate_shapes(), seed, dtype)
