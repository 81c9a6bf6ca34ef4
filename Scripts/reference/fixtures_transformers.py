"""Fixtures made with transformers' own classes, which also give the expected values; `model.py` has to agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    CLIPConfig,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Qwen2Config,
)
from transformers.utils import logging

from checkpoints import load, load_clip, source_tensors
from fixtures_base import Case, add_greedy, add_probe, must_matter, random_prompt, without_bias, without_rope_scaling
from model import Backbone, Model, Prompt, clip_hidden_states, forward
from probes import relative_error
from random_models import draw, write_json

logging.disable_progress_bar()

AGREE = 2e-6  # relative, between two float32 implementations in the same torch
Change = Callable[[Model], Model]


@dataclass(frozen=True)
class Kin:
    """One Llama-style fixture."""

    name: str
    covers: str
    config: Any
    dtype: torch.dtype
    lengths: tuple[int, ...]
    seed: int
    old_config: bool = (
        False  # rewrite config.json with rope_theta, rope_scaling and torch_dtype, as before transformers 5
    )
    config_changes: dict[str, Any] = field(default_factory=dict)
    shard_size: str = "5GB"
    matters: dict[str, Change] = field(default_factory=dict)  # parts whose absence must show in the last probe
    greedy: tuple[int, ...] = ()  # numbers of the probes that get a greedy continuation


def randomise(model: torch.nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Fill a transformers model by name and cast it; tied parameters get one draw."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(draw(name, tuple(parameter.shape), seed))
    model.to(dtype)


def rewrite_config(path: Path, old: bool, changes: dict[str, Any]) -> None:
    config = json.loads(path.read_text())
    del config["transformers_version"]
    if old:
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
        config["torch_dtype"] = config.pop("dtype")
        config.pop("layer_types", None)
    write_json(path, config | changes)


def peer_logits(peer: Any, prompt: Prompt) -> torch.Tensor:
    with torch.no_grad():
        return peer(input_ids=prompt.input_ids[None], use_cache=False).logits[0]


def peer_greedy(load_peer: Callable[[], Any], prompt: Prompt, steps: int) -> list[int]:
    """Greedy tokens from transformers without a cache. Its dynamic RoPE only ever grows, as these lengths do."""
    peer, ids = load_peer(), prompt.input_ids
    for _ in range(steps):
        ids = torch.cat([ids, peer_logits(peer, Prompt(ids))[-1].argmax()[None]])
    return ids[len(prompt.input_ids) :].tolist()


def make(kin: Kin, out: Path) -> Case:
    folder = out / kin.name
    fresh = AutoModelForCausalLM.from_config(kin.config, attn_implementation="eager")
    randomise(fresh, kin.seed, kin.dtype)
    fresh.save_pretrained(folder, max_shard_size=kin.shard_size)
    (folder / "generation_config.json").unlink()
    rewrite_config(folder / "config.json", kin.old_config, kin.config_changes)

    def load_peer() -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    case = Case(name=kin.name, covers=kin.covers, inputs={"checkpoint": kin.name})
    model = load(folder)
    prompts: list[Prompt] = []
    for k, length in enumerate(kin.lengths):
        prompts.append(random_prompt(kin.seed * 10 + k, kin.config.vocab_size, length))
        logits = peer_logits(load_peer(), prompts[-1])  # a fresh one: its dynamic RoPE remembers the longest pass
        error = relative_error(forward(model, prompts[-1]), logits)
        assert error < AGREE, f"{kin.name}: model.py and transformers differ by {error:.1e}"
        add_probe(case, out, f"{kin.name}/probe-{k}.safetensors", prompts[-1], logits, f"{length} positions")
    for what, change in kin.matters.items():
        must_matter(f"{kin.name}: {what}", model, change(model), prompts[-1])
    if kin.greedy:
        named = {f"{kin.name}/probe-{k}.safetensors": prompts[k] for k in kin.greedy}
        runs = add_greedy(case, out, model, named)
        for tokens, prompt in zip(runs, named.values(), strict=True):
            assert tokens == peer_greedy(load_peer, prompt, len(tokens)), (
                f"{kin.name}: greedy differs from transformers"
            )
    return case


def without_window(model: Model) -> Model:
    return replace(model, backbone=replace(model.backbone, sliding_window=None))


def with_window_everywhere(model: Model) -> Model:
    return replace(model, backbone=replace(model.backbone, first_windowed_layer=0))


def language_fixtures(out: Path) -> list[Case]:
    common: dict[str, Any] = {"num_hidden_layers": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    kins = [
        Kin(
            name="llama",
            covers="LlamaForCausalLM, float16 in shards, grouped heads, untied, dynamic RoPE beyond 48 positions, "
            "config.json of transformers 5 (rope_parameters, dtype)",
            config=LlamaConfig(
                vocab_size=83, hidden_size=48, intermediate_size=92, num_attention_heads=6, num_key_value_heads=2,
                max_position_embeddings=48, rms_norm_eps=1e-5, tie_word_embeddings=False,
                rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}, **common,
            ),
            dtype=torch.float16, lengths=(13, 30, 61), seed=21, shard_size="40KB",
            matters={"RoPE scaling": without_rope_scaling}, greedy=(0, 1),
        ),
        Kin(
            name="llama-biases",
            covers="LlamaForCausalLM, float32, attention_bias and mlp_bias, tied head",
            config=LlamaConfig(
                vocab_size=67, hidden_size=40, intermediate_size=70, num_attention_heads=4, num_key_value_heads=4,
                max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
                rope_parameters={"rope_type": "default", "rope_theta": 500000.0}, **common,
            ),
            dtype=torch.float32, lengths=(1, 18), seed=22, matters={"biases": without_bias},
        ),
        Kin(
            name="vicuna-linear-rope",
            covers="LlamaForCausalLM as Vicuna 16k has it: bfloat16, all heads their own keys, linear RoPE by 2.5, older "
            "config.json (rope_scaling with `type`, torch_dtype)",
            config=LlamaConfig(
                vocab_size=79, hidden_size=48, intermediate_size=84, num_attention_heads=3, num_key_value_heads=3,
                max_position_embeddings=80, rms_norm_eps=1e-5, tie_word_embeddings=False,
                rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}, **common,
            ),
            dtype=torch.bfloat16, lengths=(9, 40), seed=23, old_config=True, matters={"RoPE scaling": without_rope_scaling},
        ),
        Kin(
            name="qwen2",
            covers="Qwen2ForCausalLM, bfloat16, biases on q, k and v only, tied head, RoPE base 1e6, a sliding_window that "
            "use_sliding_window switches off",
            config=Qwen2Config(
                vocab_size=91, hidden_size=56, intermediate_size=98, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False,
                rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, **common,
            ),
            dtype=torch.bfloat16, lengths=(7, 33), seed=24, matters={"biases": without_bias},
            config_changes={"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 2},
        ),
        Kin(
            name="qwen2-window",
            covers="Qwen2ForCausalLM, float16, 3 layers of which the first sees everything and the others (max_window_layers 1) "
            "have a sliding window of 6, untied, older config.json without layer_types",
            config=Qwen2Config(
                vocab_size=59, hidden_size=32, intermediate_size=50, num_attention_heads=4, num_key_value_heads=1,
                max_position_embeddings=128, rms_norm_eps=1e-6, tie_word_embeddings=False, use_sliding_window=True,
                sliding_window=6, max_window_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
                **(common | {"num_hidden_layers": 3}),
            ),
            dtype=torch.float16, lengths=(6, 27), seed=27, old_config=True,
            matters={"sliding window": without_window, "unwindowed first layer": with_window_everywhere},
        ),
        Kin(
            name="mistral",
            covers="MistralForCausalLM, bfloat16, head_dim 18 that is not hidden / heads, sliding_window 4096 longer than "
            "any probe, older config.json",
            config=MistralConfig(
                vocab_size=73, hidden_size=44, intermediate_size=90, num_attention_heads=4, num_key_value_heads=2, head_dim=18,
                max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False, sliding_window=4096,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **common,
            ),
            dtype=torch.bfloat16, lengths=(6, 37), seed=25, old_config=True,
        ),
        Kin(
            name="mistral-window",
            covers="MistralForCausalLM whose sliding_window 8 is shorter than its second probe: implement it or refuse it by name",
            config=MistralConfig(
                vocab_size=61, hidden_size=40, intermediate_size=68, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
                max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=False, sliding_window=8,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, **common,
            ),
            dtype=torch.float16, lengths=(8, 29), seed=26, matters={"sliding window": without_window},
        ),
        Kin(
            name="llama3-rope",
            covers="LlamaForCausalLM as Llama 3.1 has it: bfloat16, grouped heads, RoPE of type llama3 by 4 over 32 positions: "
            "of 12 wavelengths one stays, two are between both limits, nine are stretched",
            config=LlamaConfig(
                vocab_size=71, hidden_size=72, intermediate_size=82, num_attention_heads=3, num_key_value_heads=1,
                max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
                rope_parameters={
                    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 32, "rope_theta": 10000.0,
                },
                **common,
            ),
            dtype=torch.bfloat16, lengths=(11, 70), seed=31, matters={"RoPE scaling": without_rope_scaling}, greedy=(0,),
        ),
        Kin(
            name="longrope-equal",
            covers="LlamaForCausalLM, float16, RoPE of type longrope whose short and long factors are the same: what a GGUF "
            "file's own frequencies become as a checkpoint; older config.json",
            config=LlamaConfig(
                vocab_size=63, hidden_size=40, intermediate_size=66, num_attention_heads=4, num_key_value_heads=4,
                max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
                rope_parameters={
                    "rope_type": "longrope", "factor": 1.0, "attention_factor": 1.0, "original_max_position_embeddings": 64,
                    "short_factor": [1.0, 1.25, 2.5, 3.0, 7.5], "long_factor": [1.0, 1.25, 2.5, 3.0, 7.5], "rope_theta": 10000.0,
                },
                **common,
            ),
            dtype=torch.float16, lengths=(5, 33), seed=29, old_config=True, matters={"RoPE scaling": without_rope_scaling},
        ),
    ]  # fmt: skip
    return [make(kin, out) for kin in kins]


def clip(out: Path) -> Case:
    """A full CLIP checkpoint; expected last hidden states (class token first, no post layer norm) at three sizes."""
    folder = out / "clip"
    config = CLIPConfig(
        text_config={
            "vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
            "max_position_embeddings": 12, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        },
        vision_config={
            "hidden_size": 36, "intermediate_size": 70, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 28,
            "patch_size": 7, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        },
        projection_dim=20,
    )  # fmt: skip
    fresh = CLIPModel(config)
    randomise(fresh, 31, torch.float32)
    fresh.save_pretrained(folder)
    rewrite_config(folder / "config.json", False, {})
    peer = CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval().vision_model
    tower, tensors = load_clip(folder)
    nothing = Backbone(0, 0, 1, 1, 0, 0, 0, 0.0, load(out / "llama").backbone.rope)
    model = Model(nothing, tensors, tower)
    case = Case(
        name="clip",
        covers="full CLIP with text tower, float32, 3 heads of 12, native 4 x 4 grid; tensors pixel_values F32 [3, H, W] and "
        "last_hidden_state F32 [1 + patches, 36] without the post layer norm",
        inputs={"vision": "clip"},
    )
    for size, covers in (
        (28, "native size"),
        (42, "6 x 6 grid, positions enlarged"),
        (21, "3 x 3 grid, positions reduced"),
    ):
        rng = np.random.default_rng([31, size])
        pixels = torch.from_numpy(rng.standard_normal((3, size, size)).astype(np.float32))
        with torch.no_grad():
            hidden = peer(pixel_values=pixels[None], interpolate_pos_encoding=size != 28).last_hidden_state[0]
            error = relative_error(clip_hidden_states(model, pixels), hidden)
        assert error < AGREE, f"clip at {size}: model.py and transformers differ by {error:.1e}"
        file = f"clip/hidden-{size}.safetensors"
        save_file({"pixel_values": pixels, "last_hidden_state": hidden.contiguous()}, out / file)
        case.probes.append({"file": file, "covers": covers, "options": {"image-size": size}, "tolerance": 1e-5})
    return case


def as_llama(folder: Path) -> LlamaForCausalLM:
    """An InternLM checkpoint in transformers' Llama class: Llama with fused rows taken apart, to check `model.py` with."""
    c, source = load(folder).backbone, {name: x.float() for name, x in source_tensors(folder).items()}
    config = LlamaConfig(
        vocab_size=c.vocab, hidden_size=c.hidden, intermediate_size=c.mlp, num_hidden_layers=c.layers,
        num_attention_heads=c.heads, num_key_value_heads=c.kv_heads, max_position_embeddings=c.rope.max_positions,
        rms_norm_eps=c.eps, attention_bias=any(n.endswith(".bias") for n in source), tie_word_embeddings=False,
        rope_parameters={"rope_type": c.rope.kind, "factor": c.rope.factor, "rope_theta": c.rope.base},
    )  # fmt: skip
    renamed: dict[str, torch.Tensor] = {}
    plain = {"tok_embeddings": "embed_tokens", "attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
             "attention.wo": "self_attn.o_proj", "feed_forward.w1": "mlp.gate_proj", "feed_forward.w3": "mlp.up_proj",
             "feed_forward.w2": "mlp.down_proj", "output.weight": "lm_head.weight"}  # fmt: skip
    for name, x in source.items():
        if "wqkv" in name:
            per_group = x.reshape(c.kv_heads, c.heads // c.kv_heads + 2, c.head_dim, *x.shape[1:])
            for part, rows in (("q", per_group[:, :-2]), ("k", per_group[:, -2]), ("v", per_group[:, -1])):
                renamed[name.replace("attention.wqkv", f"self_attn.{part}_proj")] = rows.reshape(-1, *x.shape[1:])
            continue
        for old, new in plain.items():
            name = name.replace(old, new)
        renamed[name] = x
    peer = LlamaForCausalLM(config)
    peer.load_state_dict(renamed, strict=True)
    peer.config._attn_implementation = "eager"
    return peer.eval()
