"""Times one training step against PyTorch + PEFT + bitsandbytes, in one run on one machine.

    CRAYON=.build/release/crayon python Scripts/bench/training.py [--layers 4] [--length 512] [--steps 3]

QLoRA of rank 64 on every linear layer of a backbone of InternLM2-7B's shape with few layers: NF4 with double quantization,
one sequence, every token a target, gradient checkpointing, AdamW with 32-bit states. PyTorch computes in float32, the
faster of what this kind of processor offers (`--dtype bfloat16` shows the other). Steps are timed alternately, each in a
process that has made one before; the table has medians, and the most memory that a process held (of Crayon also without
the pages of the mapped bundle, which the system may take back at will). The losses are printed so that one can see that
both compute the same.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CRAYON = os.environ.get("CRAYON", ".build/release/crayon")
RANK = 64
HIDDEN, HEADS, GROUPS, INNER = 4096, 32, 8, 14336


def config(layers: int, vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "vocab_size": vocabulary,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def make(folder: Path, layers: int, vocabulary: int) -> None:
    """A random checkpoint in bfloat16, in Llama's layout."""
    torch.manual_seed(1)
    shapes = {"model.embed_tokens": (vocabulary, HIDDEN), "lm_head": (vocabulary, HIDDEN)}
    keys = HIDDEN // HEADS * GROUPS
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{n}_proj": (rows, HIDDEN) for n, rows in zip("qkv", (HIDDEN, keys, keys))}
        shapes |= {f"{at}.self_attn.o_proj": (HIDDEN, HIDDEN), f"{at}.mlp.down_proj": (HIDDEN, INNER)}
        shapes |= {f"{at}.mlp.{n}_proj": (INNER, HIDDEN) for n in ("gate", "up")}
    tensors = {f"{name}.weight": torch.randn(shape).mul_(0.02).bfloat16() for name, shape in shapes.items()}
    for layer in range(layers):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = torch.ones(HIDDEN).bfloat16()
    tensors["model.norm.weight"] = torch.ones(HIDDEN).bfloat16()
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(layers, vocabulary)))


def peer(folder: Path, tokens: list[int], steps: int, threads: int, dtype: str, pipe) -> None:  # noqa: ANN001
    """Steps of PyTorch, timed one by one on request, in a process of its own so that its memory is its own."""
    torch.set_num_threads(threads)
    import bitsandbytes
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import LlamaConfig, LlamaForCausalLM

    kind = getattr(torch, dtype)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**json.loads((folder / "config.json").read_text())))
    torch.set_default_dtype(torch.float32)
    weights = load_file(folder / "model.safetensors")
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "layers." in name:
            linear = bitsandbytes.nn.Linear4bit(
                module.in_features, module.out_features, bias=False, compute_dtype=kind, quant_type="nf4"
            )
            weight = weights.pop(f"{name}.weight")
            linear.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, linear.to("cpu"))
    model.load_state_dict(weights, strict=False, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    model.is_loaded_in_4bit = True
    model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets, task_type="CAUSAL_LM"))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
    ids = torch.tensor([tokens])
    for _ in range(steps):
        pipe.recv()
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        pipe.send((time.perf_counter() - start, loss.item(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
