"""Fixtures in the published CoLLaVO layout and in InternLM's own layouts, with logits from `model.py`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from checkpoints import load, source_tensors, with_nf4_backbone
from fixtures_base import (
    Case,
    add_greedy,
    add_probe,
    labels,
    must_matter,
    random_prompt,
    without_bias,
    without_rope_scaling,
)
from fixtures_transformers import AGREE, as_llama, peer_logits
from model import Prompt, forward
from probes import relative_error
from random_models import Clip, Language, internlm, internlm2, published, save


def copy_golden(source: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "collavo-tiny").mkdir(parents=True)
    loose = ("probe-fp32.safetensors", "probe-nf4.safetensors", "nf4-expected.safetensors", "dynamic_map_f32le.bin")
    for file in [source / name for name in loose] + sorted((source / "collavo-tiny").iterdir()):
        shutil.copyfile(file, folder / file.relative_to(source))


def golden(out: Path, source: Path) -> Case:
    """A copy of the case whose logits the published code made; nothing is copied if `source` is where it belongs."""
    if source.resolve() != (out / "golden").resolve():
        copy_golden(source, out / "golden")
    case = Case(
        name="golden",
        covers="the published code's own logits, codes and scales",
        inputs={"checkpoint": "golden/collavo-tiny"},
        options={"vision-heads": 6},
    )
    for name, backbone in (("probe-fp32", "source"), ("probe-nf4", "nf4")):
        tolerance = 1e-5 if backbone == "source" else 1e-4
        entry = {"file": f"golden/{name}.safetensors", "covers": "one image", "precision": {"backbone": backbone}}
        case.probes.append(entry | {"tolerance": tolerance})
    return case


def collavo_grouped(out: Path) -> Case:
    clip = Clip(width=30, layers=2, heads=5, mlp=52, patch=7, image_size=35)
    language = Language(
        hidden=60, layers=2, heads=6, kv_heads=2, mlp=106, vocab=89, max_positions=40, rope_theta=5000,
        rope_scaling={"type": "dynamic", "factor": 2.0}, eps=1e-6,
    )  # fmt: skip
    config, tensors = published(language, clip, rank=5, dtype=torch.bfloat16, seed=14)
    save(out / "collavo-grouped", config, tensors)
    model = load(out / "collavo-grouped")
    case = Case(
        name="collavo-grouped",
        covers="published layout, bfloat16, 6 query and 2 KV heads of 10, sizes that no vector width divides, "
        "5 CLIP heads of 6, dynamic RoPE beyond 40 positions, rank 5, vision_config in config.json",
        inputs={"checkpoint": "collavo-grouped"},
    )
    image = random_prompt(110, 89, 12, images=1, size=35, grid=5)
    prompts = {
        "image": (image, "one image, 36 positions"),
        "text": (random_prompt(111, 89, 8), "text only, 8 positions"),
        "two-images": (
            random_prompt(112, 89, 13, images=2, size=35, grid=5),
            "two images, 61 positions, dynamic RoPE acts",
        ),
        "long-text": (random_prompt(113, 89, 57), "text only, 57 positions, dynamic RoPE acts"),
        "no-maps": (replace(image, semantic_map=None, numbering_map=None), "an image without maps: row 0 everywhere"),
    }
    for name, (prompt, covers) in prompts.items():
        extra = {"labels": labels(prompt, 89, 25)} if name in ("image", "long-text") else {}
        add_probe(
            case, out, f"collavo-grouped/probe-{name}.safetensors", prompt, forward(model, prompt), covers, **extra
        )
    for part in ("image", "crayon"):
        must_matter(f"the {part} set", model, model.with_sets([s.name for s in model.sets if s.name != part]), image)
    for name in ("two-images", "long-text"):
        must_matter("RoPE scaling", model, without_rope_scaling(model), prompts[name][0])
    for rounded, file, dtype in ((False, "probe-nf4", "float32"), (True, "probe-nf4-rounded", "bfloat16")):
        logits = forward(with_nf4_backbone(model, torch.bfloat16, rounded), image)
        how = "returns from dequantize_4bit" if rounded else "multiplies with under float32 activations"
        covers = f"one image, 4-bit weights dequantized to {dtype}, which bitsandbytes {how}"
        add_probe(case, out, f"collavo-grouped/{file}.safetensors", image, logits, covers, "nf4", dequantized_to=dtype)
    names = {f"collavo-grouped/probe-{n}.safetensors": prompts[n][0] for n in ("image", "text", "two-images")}
    add_greedy(case, out, model, names)
    return case


def check_with_llama(folder: Path, prompt: Prompt, logits: torch.Tensor) -> None:
    """InternLM is Llama under other names: transformers' Llama, given the same weights, must say the same."""
    error = relative_error(logits, peer_logits(as_llama(folder), prompt))
    assert error < AGREE, f"{folder.name}: model.py and transformers' Llama differ by {error:.1e}"


def internlm2_plain(out: Path) -> Case:
    language = Language(
        hidden=48, layers=2, heads=4, kv_heads=2, mlp=100, vocab=77, max_positions=32, rope_theta=1e6,
        rope_scaling={"type": "dynamic", "factor": 3.0},
    )  # fmt: skip
    save(out / "internlm2-plain", *internlm2(language, torch.float32, seed=12), shards=3)
    model = load(out / "internlm2-plain")
    case = Case(
        name="internlm2-plain",
        covers="Hugging Face InternLM2, float32 in three shards, fused wqkv, 4 query and 2 KV heads, dynamic RoPE beyond 32",
        inputs={"checkpoint": "internlm2-plain"},
    )
    for k, length in enumerate((21, 32, 45)):
        prompt = random_prompt(120 + k, 77, length)
        covers = f"{length} positions" + (", dynamic RoPE acts" if length > 32 else "")
        logits = forward(model, prompt)
        check_with_llama(out / "internlm2-plain", prompt, logits)
        add_probe(case, out, f"internlm2-plain/probe-{k}.safetensors", prompt, logits, covers)
        if length == 21:
            logits = forward(with_nf4_backbone(model, torch.float32), prompt)
            add_probe(
                case,
                out,
                "internlm2-plain/probe-nf4.safetensors",
                prompt,
                logits,
                covers,
                "nf4",
                dequantized_to="float32",
            )
    must_matter("RoPE scaling", model, without_rope_scaling(model), prompt)
    return case


def llama_bias(out: Path) -> Case:
    language = Language(
        hidden=48, layers=2, heads=3, kv_heads=3, mlp=116, vocab=71, bias=True, max_positions=24,
        rope_scaling={"type": "dynamic"}, eps=1e-6,
    )  # fmt: skip
    save(out / "llama-bias", *internlm(language, torch.float16, seed=13))
    model = load(out / "llama-bias")
    case = Case(
        name="llama-bias",
        covers="InternLM-7B: Llama's names, float16, biases on q, k, v and o, RoPE under `rotary`: dynamic beyond 24 positions "
        "with factor 1 where `scaling_factor` is not given",
        inputs={"checkpoint": "llama-bias"},
    )
    for k, length in enumerate((5, 19, 41)):
        prompt = random_prompt(130 + k, 71, length)
        covers = f"{length} positions" + (", dynamic RoPE acts" if length > 24 else "")
        logits = forward(model, prompt)
        check_with_llama(out / "llama-bias", prompt, logits)
        add_probe(case, out, f"llama-bias/probe-{k}.safetensors", prompt, logits, covers)
    must_matter("RoPE scaling", model, without_rope_scaling(model), prompt)
    must_matter("the biases", model, without_bias(model), prompt)
    assert any(name.endswith("o_proj.bias") for name in source_tensors(out / "llama-bias"))
    return case
