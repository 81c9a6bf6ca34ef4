"""Checkpoint folders -> `model.Model`: config.json read by hand, tensor names mapped to the canonical roles."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from model import Backbone, LowRankSet, Model, Rope, Tensors, Vision

# (pattern of the source's name, role); the first match names the tensor. Layer numbers go through as \1.
BACKBONE: list[tuple[str, str]] = [
    (r"model\.(?:tok_embeddings|embed_tokens)\.weight", "embeddings.tokens.weight"),
    (r"(?:output|lm_head)\.weight", "head.weight"),
    (r"model\.norm\.weight", "backbone.norm.weight"),
    (r"model\.layers\.(\d+)\.(?:attention_norm|input_layernorm)\.weight", r"backbone.layers.\1.attention_norm.weight"),
    (r"model\.layers\.(\d+)\.(?:ffn_norm|post_attention_layernorm)\.weight", r"backbone.layers.\1.mlp_norm.weight"),
    (r"model\.layers\.(\d+)\.self_attn\.([qkvo])_proj\.(weight|bias)", r"backbone.layers.\1.attention.\2.\3"),
    (r"model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\.(weight|bias)", r"backbone.layers.\1.mlp.\2.\3"),
]
VISION_LAYER = r".*vision_model\.encoder\.layers\.(\d+)"
VISION: list[tuple[str, str]] = [
    (r".*vision_model\.embeddings\.class_embedding", "vision.class_embedding"),
    (r".*vision_model\.embeddings\.(patch|position)_embedding\.weight", r"vision.\1_embedding.weight"),
    (r".*vision_model\.pre_layrnorm\.(weight|bias)", r"vision.pre_norm.\1"),
    (r".*vision_model\.post_layernorm\.(weight|bias)", r"vision.post_norm.\1"),
    (VISION_LAYER + r"\.self_attn\.([qkv])_proj\.(weight|bias)", r"vision.layers.\1.attention.\2.\3"),
    (VISION_LAYER + r"\.self_attn\.out_proj\.(weight|bias)", r"vision.layers.\1.attention.o.\2"),
    (VISION_LAYER + r"\.layer_norm([12])\.(weight|bias)", r"vision.layers.\1.norm\2.\3"),
    (VISION_LAYER + r"\.mlp\.fc([12])\.(weight|bias)", r"vision.layers.\1.mlp.fc\2.\3"),
]
CRAYON: list[tuple[str, str]] = [
    (r"vision_proj\.([02])\.(weight|bias)", r"projectors.image.\1.\2"),
    (r"vision_proj_for_seg\.([02])\.(weight|bias)", r"projectors.crayon.\1.\2"),
    (r"seg_prompt_embed\.weight", "crayon.semantic.weight"),
    (r"seg_num_embed\.weight", "crayon.numbering.weight"),
]
FUSED = {  # InternLM2's module names
    "attention.wqkv": "attention.qkv",
    "attention.wo": "attention.o",
    "feed_forward.w1": "mlp.gate",
    "feed_forward.w3": "mlp.up",
    "feed_forward.w2": "mlp.down",
}
PAIRS = {
    "Plora_A": ("image", "a"),
    "Plora_B": ("image", "b"),
    "Plora_seg_A": ("crayon", "a"),
    "Plora_seg_B": ("crayon", "b"),
}


def role(name: str) -> str | None:
    """The role of a source tensor, or None for one that the model does not use."""
    for pattern, into in BACKBONE + VISION + CRAYON:
        if found := re.fullmatch(pattern, name):
            return found.expand(into)
    fused = r"model\.layers\.(\d+)\.(attention\.w\w+|feed_forward\.w\d)\.(?:(Plora_\w+)\.)?(weight|bias)"
    found = re.fullmatch(fused, name)
    if found is None:
        return None
    layer, module, part, kind = found.groups()
    if part is None or part == "Plora_main":
        return f"backbone.layers.{layer}.{FUSED[module]}.{kind}"
    set_name, side = PAIRS[part]
    return f"adapters.{set_name}.layers.{layer}.{FUSED[module]}.{side}.{kind}"


def source_tensors(path: Path) -> Tensors:
    """All tensors of a safetensors file or of a checkpoint folder, under their source names and in their dtype."""
    tensors: Tensors = {}
    files = [path]
    if path.is_dir():  # probes may lie beside the weights
        index = path / "model.safetensors.index.json"
        named = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {"model.safetensors"}
        files = sorted(path / name for name in named)
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():
                tensors[name] = opened.get_tensor(name)
    return tensors


def roles(source: Tensors) -> Tensors:
    """Tensors by role, in float32."""
    return {r: tensor.float() for name, tensor in source.items() if (r := role(name)) is not None}


def rope(config: dict[str, Any]) -> Rope:
    """RoPE from `rope_theta` and `rope_scaling`, transformers 5's `rope_parameters`, or InternLM-7B's `rotary`."""
    if "rotary" in config:  # type "origin" or "dynamic", its factor `scaling_factor` 1 unless given
        rotary = config["rotary"]
        kind = {"origin": "none"}.get(rotary["type"], rotary["type"])
        factor = float(rotary.get("scaling_factor", 1.0))
        return Rope(float(rotary["base"]), kind, factor, config["max_position_embeddings"])
    parameters = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or parameters
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    return Rope(
        base=float(config.get("rope_theta", parameters.get("rope_theta", 10000.0))),
        kind={"default": "none"}.get(kind, kind),
        factor=float(scaling.get("factor", 1.0)),
        max_positions=config["max_position_embeddings"],
        low=float(scaling.get("low_freq_factor", 1.0)),
        high=float(scaling.get("high_freq_factor", 4.0)),
        original=scaling.get("original_max_position_embeddings", config["max_position_embeddings"]),
        factors=tuple(scaling.get("short_factor", ())),
    )


def backbone(config: dict[str, Any]) -> Backbone:
    heads = config["num_attention_heads"]
    sliding = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return Backbone(
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        mlp=config["intermediate_size"],
        vocab=config["vocab_size"],
        eps=config["rms_norm_eps"],
        rope=rope(config),
        sliding_window=sliding,
        # Qwen2 alone has this key, beside use_sliding_window
        first_windowed_layer=config.get("max_window_layers", 0) if "use_sliding_window" in config else 0,
    )


def vision(config: dict[str, Any]) -> Vision:
    """CLIP's own vision_config; keys that a file leaves out have CLIP's defaults."""
    return Vision(
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        mlp=config["intermediate_size"],
        patch=config["patch_size"],
        image_size=config["image_size"],
        eps=config.get("layer_norm_eps", 1e-5),
        activation=config.get("hidden_act", "quick_gelu"),
    )


def vision_from_tensors(tensors: Tensors, heads: int) -> Vision:
    """CLIP's sizes from its tensors, for a checkpoint that says nothing about it; the heads leave no trace there."""
    width, _, patch, _ = tensors["vision.patch_embedding.weight"].shape
    side = math.isqrt(tensors["vision.position_embedding.weight"].shape[0] - 1)
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("vision.layers."))
    return Vision(width, layers, heads, tensors["vision.layers.0.mlp.fc1.weight"].shape[0], patch, side * patch)


def low_rank_sets(names: Iterable[str], scale: float = 1.0) -> tuple[LowRankSet, ...]:
    """The published checkpoint's two sets, where it has them (alpha = rank, so scale 1)."""
    found = {name.split(".")[1] for name in names if name.startswith("adapters.")}
    both = (LowRankSet("image", scale), LowRankSet("crayon", scale, source="crayon"))
    return tuple(s for s in both if s.name in found)


def load(folder: Path, vision_heads: int | None = None) -> Model:
    """A whole checkpoint: the published CoLLaVO layout, or a backbone alone in any of the known layouts."""
    config = json.loads((folder / "config.json").read_text())
    tensors = roles(source_tensors(folder))
    tower = None
    if "vision_config" in config:
        tower = vision(config["vision_config"])
    elif vision_heads is not None:
        tower = vision_from_tensors(tensors, vision_heads)
    sets = low_rank_sets(tensors)
    entry = "low-rank" if any(s.source == "crayon" for s in sets) else "none"
    return Model(backbone(config), tensors, tower, sets, entry)


def load_clip(folder: Path) -> tuple[Vision, Tensors]:
    """The vision tower of a full CLIP checkpoint; the text tower is ignored."""
    config = json.loads((folder / "config.json").read_text())
    tensors = roles(source_tensors(folder))
    return vision(config["vision_config"]), {r: x for r, x in tensors.items() if r.startswith("vision.")}


def by_pattern(patterns: dict[str, Any], path: str, otherwise: int) -> Any:
    """PEFT's rank_pattern and alpha_pattern: the first key that is, as a regular expression, the path or its end."""
    return next((value for key, value in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", path)), otherwise)


def load_peft(folder: Path, name: str) -> tuple[LowRankSet, Tensors]:
    """A PEFT LoRA folder over a backbone as a low-rank set acting at all positions.

    The set has one scale, that of `r` and `lora_alpha`; where a pattern gives a module another one, b carries the ratio.
    """
    config = json.loads((folder / "adapter_config.json").read_text())

    def scale_of(rank: int, alpha: float) -> float:
        return alpha / math.sqrt(rank) if config["use_rslora"] else alpha / rank

    scale = scale_of(config["r"], config["lora_alpha"])
    tensors: Tensors = {}
    for key, tensor in source_tensors(folder / "adapter_model.safetensors").items():
        found = re.fullmatch(r"base_model\.model\.(model\.layers\..+)\.lora_([AB])\.weight", key)
        assert found is not None, key
        path, side = found.groups()
        main = role(f"{path}.weight")
        assert main is not None, key
        rank = by_pattern(config["rank_pattern"], path, config["r"])
        alpha = by_pattern(config["alpha_pattern"], path, config["lora_alpha"])
        assert tensor.shape[0 if side == "A" else 1] == rank, key
        at = main.removeprefix("backbone.").removesuffix(".weight")
        ratio = scale_of(rank, alpha) / scale if side == "B" else 1.0
        tensors[f"adapters.{name}.{at}.{side.lower()}.weight"] = tensor.float() * ratio
    return LowRankSet(name, scale, scope="all"), tensors


def load_parts(parts: Path, clip: Path, adapters: list[str], crayon_entry: str = "additive") -> Model:
    """Separate parts: `backbone/`, `crayon.safetensors` and the named PEFT folders in `parts`, and a CLIP folder."""
    language = load(parts / "backbone")
    tower, vision_tensors = load_clip(clip)
    loaded = [load_peft(parts / name, name) for name in adapters]
    tensors = {**language.tensors, **vision_tensors, **roles(source_tensors(parts / "crayon.safetensors"))}
    for _, pairs in loaded:
        tensors |= pairs
    return Model(language.backbone, tensors, tower, tuple(s for s, _ in loaded), crayon_entry)


def nf4_round_trip(weight: torch.Tensor, source: torch.dtype, rounded: bool = False) -> torch.Tensor:
    """A weight through bitsandbytes NF4, block 64, double quantization, and back.

    Kept in float32, as bitsandbytes 0.50 multiplies with it when the activations are float32; or `rounded` to the
    source's dtype, as its `dequantize_4bit` returns it.
    """
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # it would compile its fallback for odd rows once per shape
    import bitsandbytes.functional as bnb

    # Flat: 0.50.2 on a CPU dequantizes a matrix whose rows are a multiple of 16 but not of the block size as if a block
    # ended with its row (relative error up to 0.5); the codes and scales are the same either way.
    flat = weight.to(source).flatten().contiguous()
    codes, state = bnb.quantize_4bit(flat, blocksize=64, compress_statistics=True, quant_type="nf4")
    if not rounded:
        state.dtype = torch.float32
    return bnb.dequantize_4bit(codes, state).float().reshape(weight.shape)


def with_nf4_backbone(model: Model, source: torch.dtype, rounded: bool = False) -> Model:
    """The model with every main weight of the backbone's linear layers passed through NF4."""
    main = re.compile(r"backbone\.layers\.\d+\.(attention|mlp)\.\w+\.weight")
    chosen = {name: weight for name, weight in model.tensors.items() if main.fullmatch(name)}
    return model.with_tensors({name: nf4_round_trip(weight, source, rounded) for name, weight in chosen.items()})
