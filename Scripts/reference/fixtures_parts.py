"""Parts given separately: an InternLM2 backbone, a CLIP folder, a crayon file and two PEFT LoRA folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM

from checkpoints import FUSED, load, load_parts, load_peft, source_tensors
from fixtures_base import Case, add_probe, must_matter, random_prompt, without_bias
from fixtures_transformers import AGREE, peer_logits
from model import forward
from probes import relative_error
from random_models import Language, crayon_shapes, draw, draw_all, internlm2, save, write_json

ADAPTERS = {  # name: rank, alpha, rslora, modules
    "object": (4, 8, False, list(FUSED)),
    "language": (9, 6, True, ["attention.wqkv", "attention.wo", "feed_forward.w2"]),
}


class Tree(nn.Module):
    """The module tree of an InternLM2 backbone, linear layers only: all that PEFT needs to see."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, leaf = name.split(".")
            if leaf != "weight" or path[-1] not in ("wqkv", "wo", "w1", "w2", "w3"):
                continue
            at: nn.Module = self
            for part in path[:-1]:
                if not hasattr(at, part):
                    at.add_module(part, nn.Module())
                at = getattr(at, part)
            linear = nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
            linear.weight.data = tensor.float()
            at.add_module(path[-1], linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def save_adapter(tree: Any, folder: Path, seed: int) -> None:
    """A PEFT model's LoRA folder as PEFT saves it, its pairs drawn by name."""
    with torch.no_grad():
        for key, parameter in tree.named_parameters():
            if "lora_" in key:
                parameter.copy_(draw(key, tuple(parameter.shape), seed) * 0.7)
    shutil.rmtree(folder, ignore_errors=True)
    tree.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    described = json.loads((folder / "adapter_config.json").read_text())
    # PEFT keeps the modules as a set, in no order of its own; the base has no name outside this folder.
    described["target_modules"] = sorted(described["target_modules"])
    write_json(folder / "adapter_config.json", described | {"base_model_name_or_path": None})


def write_adapter(folder: Path, backbone: Path, name: str, seed: int) -> None:
    """A LoRA folder over an InternLM2 backbone; `load_peft` has to agree with PEFT's own delta."""
    rank, alpha, rslora, modules = ADAPTERS[name]
    config = LoraConfig(r=rank, lora_alpha=alpha, use_rslora=rslora, target_modules=modules, lora_dropout=0.05)
    tree = get_peft_model(Tree(source_tensors(backbone)), config)
    save_adapter(tree, folder, seed)
    the_set, pairs = load_peft(folder, name)
    found = 0
    for key, module in tree.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        _, _, _, _, layer, *path = key.split(".")
        at = f"adapters.{name}.layers.{layer}.{FUSED['.'.join(path)]}"
        ours = pairs[f"{at}.b.weight"] @ pairs[f"{at}.a.weight"] * the_set.scale
        torch.testing.assert_close(module.get_delta_weight("default"), ours, rtol=1e-6, atol=1e-6)
        found += 1
    assert 2 * found == len(pairs)


def parts(out: Path) -> Case:
    """Needs `clip/` to be there already."""
    folder = out / "parts"
    language = Language(
        hidden=48, layers=2, heads=6, kv_heads=3, mlp=76, vocab=69, bias=True, max_positions=256, rope_theta=2e4
    )
    save(folder / "backbone", *internlm2(language, torch.bfloat16, seed=41))
    width = json.loads((out / "clip" / "config.json").read_text())["vision_config"]["hidden_size"]
    save_file(draw_all(crayon_shapes(width, 48), 42, torch.float16), folder / "crayon.safetensors")
    for k, name in enumerate(ADAPTERS):
        write_adapter(folder / name, folder / "backbone", name, 43 + k)
    case = Case(
        name="parts",
        covers="InternLM2 backbone (bfloat16, fused bias), CLIP whose 4 x 4 grid is resized to 6 x 6, crayon file (float16), two "
        "PEFT LoRA sets acting at all positions: `object` alpha 8 rank 4 on all five linears, `language` rslora alpha 6 "
        "rank 9 (scale 2) on wqkv, wo and w2; crayon prompt added before every qkv",
        inputs={
            "backbone": "parts/backbone",
            "vision": "clip",
            "crayon": "parts/crayon.safetensors",
            "adapters": {name: f"parts/{name}" for name in ADAPTERS},
        },
        options={"image-size": 42, "crayon-entry": "additive"},
    )
    image = random_prompt(410, 69, 11, images=1, size=42, grid=6)
    text = random_prompt(411, 69, 20)
    two = random_prompt(412, 69, 9, images=2, size=42, grid=6)
    both = list(ADAPTERS)
    for file, prompt, active, covers in (
        ("image", image, [], "one image, no adapter"),
        ("image-object", image, both[:1], "one image, first set"),
        ("image-both", image, both, "one image, both sets"),
        ("text-both", text, both, "text only, both sets"),
        ("two-images-both", two, both, "two images, both sets"),
    ):
        logits = forward(load_parts(folder, out / "clip", active), prompt)
        add_probe(case, out, f"parts/probe-{file}.safetensors", prompt, logits, covers, adapters=active)
    model = load_parts(folder, out / "clip", both)
    for name in both:
        must_matter(f"the set {name}", model, model.with_sets([n for n in both if n != name]), text)
    must_matter("the crayon prompt", model, replace(model, crayon_entry="none"), image)
    must_matter("the biases", model, without_bias(model), text)
    return case


def llama_lora(out: Path) -> Case:
    """A LoRA folder over `llama/`, whose logits PEFT itself gives."""

    def base() -> Any:
        return AutoModelForCausalLM.from_pretrained(
            out / "llama", dtype=torch.float32, attn_implementation="eager"
        ).eval()

    case = Case(
        name="llama-lora",
        covers="the llama fixture with a PEFT LoRA folder over six of its seven linears: rank 5, alpha 7, rank_pattern and "
        "alpha_pattern with regular expressions; logits from PEFT",
        inputs={"backbone": "llama", "adapters": {"style": "llama-lora/style"}},
    )
    config = LoraConfig(
        r=5,
        lora_alpha=7,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
        rank_pattern={"down_proj": 3, r"model\.layers\.1\.self_attn\.[qk]_proj": 2},
        alpha_pattern={"o_proj": 11, r"layers\.0\.mlp\.gate_proj": 4},
        task_type="CAUSAL_LM",
    )
    save_adapter(get_peft_model(base(), config), out / "llama-lora" / "style", 51)
    peer = PeftModel.from_pretrained(base(), str(out / "llama-lora" / "style")).eval()
    the_set, pairs = load_peft(out / "llama-lora" / "style", "style")
    model = replace(load(out / "llama").with_tensors(pairs), sets=(the_set,))
    prompt = random_prompt(510, model.backbone.vocab, 23)
    logits = peer_logits(peer, prompt)
    error = relative_error(forward(model, prompt), logits)
    assert error < AGREE, f"llama-lora: model.py and PEFT differ by {error:.1e}"
    must_matter("the adapter", model, model.with_sets([]), prompt)
    add_probe(case, out, "llama-lora/probe-0.safetensors", prompt, logits, "23 positions", adapters=["style"])
    return case
