"""Writes Formats/samples/adapters: folders as peft writes them, and others that no reader should take.

    python3 Scripts/reference/adapter_samples.py [FOLDER]

`valid` is peft's own `save_pretrained` over two tiny random models, so a reader that writes the same again has its bytes;
`expectations.json` says what peft made of each: rank, scale and kind by module, and the tensors that are kept whole.
`invalid` lies over `samples/peft/base` and says a text that the error must contain. Needs peft 0.21, transformers and torch.
A second run writes the same bytes.
"""

import json
import math
import os
import re
import shutil
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

from peft_samples import Q0, ROWS, WIDTH, Tensors, config, folder, numbers, pair, pairs, paths, tensor

PYTHON_SEED = "0"


def llama(bias: bool = False) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            vocab_size=16, attention_bias=bias, tie_word_embeddings=False, max_position_embeddings=16))  # fmt: skip


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=16, n_positions=16))


def cases() -> dict[str, tuple]:
    """Name: model and LoraConfig arguments."""
    qv = ["q_proj", "v_proj"]
    return {
        "plain": (llama, {"target_modules": qv}),
        "bfloat16": (llama, {"target_modules": qv, "bfloat16": True}),
        "rank-stabilized": (llama, {"target_modules": qv, "use_rslora": True}),
        "patterns": (
            llama, {
                "target_modules": ["q_proj", "v_proj", "down_proj"],
                # In the order of the alphabet: peft sorts the keys when it saves, and would not read its own file otherwise.
                "rank_pattern": {"down_proj": 4, r"layers\.1\..*": 3, "v_proj": 1},
                "alpha_pattern": {"model.layers.0.self_attn.q_proj": 5, "q_proj": 7.5}}),
        "dora": (llama, {"target_modules": qv, "use_dora": True}),
        "dora-embedding": (llama, {"target_modules": ["embed_tokens"], "use_dora": True}),
        "pair-biases": (llama, {"target_modules": qv, "lora_bias": True}),
        "biases-of-pairs": (lambda: llama(True), {"target_modules": qv, "bias": "lora_only"}),
        "biases-all": (lambda: llama(True), {"target_modules": qv, "bias": "all"}),
        "modules-saved": (llama, {"target_modules": qv, "modules_to_save": ["lm_head", "embed_tokens", "model.norm"]}),
        "embedding-and-head": (llama, {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}),
        "one-layer": (llama, {"target_modules": qv, "layers_to_transform": [1], "layers_pattern": "layers"}),
        "one-layer-by-number": (llama, {"target_modules": qv, "layers_to_transform": 0}),
        "all-linear-but": (llama, {"target_modules": "all-linear", "exclude_modules": [*qv, "model.layers.0.mlp.up_proj"]}),
        "expression": (llama, {"target_modules": r".*\.(1)\.(self_attn|mlp)\.(q|up)_proj"}),
        "whole-paths": (llama, {"target_modules": ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj"]}),
        "conv1d": (gpt2, {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
        "conv1d-embedding": (gpt2, {"target_modules": ["wte", "attn.c_proj"], "fan_in_fan_out": True}),
        "no-task": (llama, {"target_modules": qv, "task_type": None}),
    }  # fmt: skip


def save(target: Path, name: str) -> dict:
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer
    from safetensors import safe_open

    make, arguments = cases()[name]
    torch.manual_seed(sum(name.encode()))
    as_bfloat16 = arguments.pop("bfloat16", False)
    model = make()
    # The name of the folder that a base was loaded from goes into the file.
    model.name_or_path = model.config._name_or_path = "tiny/base"
    model = get_peft_model(model, LoraConfig(**{"r": 2, "lora_alpha": 6, "task_type": "CAUSAL_LM", **arguments}))
    for key, value in model.named_parameters():
        if "lora_" in key:
            value.data.normal_()
            if as_bfloat16:
                value.data = value.data.to(torch.bfloat16)
    model.save_pretrained(target)
    if name != "plain":
        (target / "README.md").unlink()
    modules = {}
    for path, layer in model.base_model.model.named_modules():
        if isinstance(layer, LoraLayer):
            is_embedding = "default" in layer.lora_embedding_A
            modules[path] = {
                "rank": layer.r["default"], "scale": layer.scaling["default"],
                "kind": "embedding" if is_embedding else "linear", "shape": list(layer.get_delta_weight("default").shape),
                "dora": "default" in layer.lora_magnitude_vector,
                "bias": not is_embedding and layer.lora_B["default"].bias is not None,
            }  # fmt: skip
    with safe_open(str(target / "adapter_model.safetensors"), "pt") as file:
        whole = [key for key in file.keys() if "lora_" not in key]
    names = [key.removeprefix("base_model.model.").replace(".base_layer.", ".") for key in whole]
    return {"modules": modules, "whole": sorted(names)}


def invalid() -> dict[str, tuple[dict[str, bytes], str]]:
    good = pairs("q_proj", "v_proj")
    full = ("lm_head.weight", [ROWS, WIDTH])

    def said(**changes: object) -> dict[str, bytes]:
        return folder(config(**changes), good)

    def beside(tensors: Tensors, **changes: object) -> dict[str, bytes]:
        return folder(config(**changes), {**good, **tensors})

    def key(name: str) -> str:
        return f"adapter_config.json: key '{name}'"

    def item(name: str) -> str:
        return f"tensor 'base_model.model.{name}'"

    embedding = "model.embed_tokens.lora_embedding_"
    nan = {f"{Q0}.lora_A.weight": ("F32", [2, WIDTH], numbers("x", 7) + struct.pack("<f", math.nan))}
    negative = {f"{Q0}.lora_B.weight": ("BF16", [WIDTH, 2], numbers("x", 7, "BF16") + b"\x80\xff")}
    wide = {**good, f"{Q0}.lora_A.weight": tensor("x", [2, WIDTH + 1])}
    magnitudes = {
        f"base_model.model.{path}.lora_magnitude_vector": tensor("x", [WIDTH + 1]) for path in paths("q_proj")
    }
    return {
        "half-of-a-pair": (
            folder(config(), {name: value for name, value in good.items() if name != f"{Q0}.lora_B.weight"}),
            f"tensor '{Q0}.lora_B.weight': nothing; expected both halves"),
        "half-of-an-embedding": (
            beside({f"base_model.model.{embedding}A": tensor("e", [2, ROWS])}, target_modules=["q_proj", "v_proj", "embed_tokens"]),
            item(f"{embedding}B") + ": nothing"),
        "rank-of-another": (said(r=4), f"tensor '{Q0}.lora_A.weight': shape [2, 4]; expected [4, in] for rank 4"),
        "rank-by-pattern": (
            said(rank_pattern={r"layers\.1\.self_attn\.v_proj": 3}), "layers.1.self_attn.v_proj.lora_A.weight': shape [2, 4]"),
        "rank-of-zero": (said(r=0), key("r") + ": 0"),
        "rank-negative": (said(r=-2), key("r") + ": -2"),
        "rank-a-text": (said(r="2"), key("r") + ': the string "2"'),
        "alpha-negative": (said(lora_alpha=-8), key("lora_alpha") + ": -8"),
        "nan": (beside(nan), f"tensor '{Q0}.lora_A.weight': NaN or infinity at index 7"),
        "infinity-below": (beside(negative), f"tensor '{Q0}.lora_B.weight': NaN or infinity at index 7"),
        "integers": (
            beside({f"{Q0}.lora_A.weight": tensor("x", [2, WIDTH], "I8")}), f"tensor '{Q0}.lora_A.weight': elements of type I8"),
        "name-twice": (
            {**folder(config(), good), "adapter_model.safetensors": twice(folder(config(), good)["adapter_model.safetensors"])},
            "adapter_model.safetensors: header"),
        "bias-unannounced": (
            beside({f"{Q0}.lora_B.bias": tensor("x", [WIDTH])}),
            f"tensor '{Q0}.lora_B.bias': a tensor that adapter_config.json does not speak of; expected 'lora_bias'"),
        "bias-announced-and-absent": (said(lora_bias=True), f"tensor '{Q0}.lora_B.bias': nothing"),
        "magnitude-unannounced": (
            beside({f"{Q0}.lora_magnitude_vector": tensor("x", [WIDTH])}), f"tensor '{Q0}.lora_magnitude_vector': a tensor that"),
        "magnitude-of-another-width": (
            folder(config(use_dora=True, target_modules=["q_proj"]), {**pairs("q_proj"), **magnitudes}),
            f"tensor '{Q0}.lora_magnitude_vector': shape [5]; expected [4]"),
        "adapter-name-in-a-key": (
            beside({f"{Q0}.lora_A.default.weight": tensor("x", [2, WIDTH])}), f"tensor '{Q0}.lora_A.default.weight': a key with"),
        "stray-full-weight": (
            beside({f"{Q0}.weight": tensor("x", [WIDTH, WIDTH])}), f"tensor '{Q0}.weight': a full weight"),
        "stray-weight-beside-a-pair": (
            beside({f"{Q0}.base_layer.weight": tensor("x", [WIDTH, WIDTH])}), f"tensor '{Q0}.base_layer.weight': a full weight"),
        "trained-bias-unannounced": (
            beside({f"{Q0}.base_layer.bias": tensor("x", [WIDTH])}), f"tensor '{Q0}.base_layer.bias': a full weight"),
        "saved-module-beside-a-base-without": (
            beside({f"base_model.model.{full[0]}": tensor("x", full[1])}, modules_to_save=["lm_head"]),
            item(full[0]) + ": nothing named 'lm_head.weight' in the base"),
        "saved-module-of-another-size": (
            beside({"base_model.model.model.embed_tokens.weight": tensor("x", [ROWS + 1, WIDTH])}, modules_to_save=["embed_tokens"]),
            item("model.embed_tokens.weight") + ": shape [9, 4]; expected [8, 4]"),
        "no-prefix": (beside({"model.layers.0.x.lora_A.weight": tensor("x", [2, WIDTH])}), "tensor 'model.layers.0.x.lora_A.weight'"),
        "pair-off-target": (
            folder(config(), pairs("q_proj", "k_proj", "v_proj")), "k_proj.lora_A.weight': a pair at a module that is no target"),
        "pair-in-another-layer": (
            said(layers_to_transform=[1]), f"tensor '{Q0}.lora_A.weight': a pair at a module that is no target"),
        "unknown-type": (said(peft_type="LOHA"), key("peft_type") + ': the string "LOHA"'),
        "no-type": (said(peft_type=...), key("peft_type")),
        "no-alpha": (said(lora_alpha=...), key("lora_alpha") + ": nothing"),
        "pissa": (said(init_lora_weights="pissa_niter_4"), key("init_lora_weights")),
        "olora": (said(init_lora_weights="olora"), key("init_lora_weights")),
        "corda": (said(init_lora_weights="corda"), key("init_lora_weights")),
        "loftq": (said(init_lora_weights="loftq", loftq_config={"loftq_bits": 4}), key("init_lora_weights")),
        "parameters": (said(target_parameters=["experts.gate"]), key("target_parameters")),
        "convolution": (
            beside({f"{Q0}.lora_A.weight": tensor("x", [2, WIDTH, 1, 1])}), f"tensor '{Q0}.lora_A.weight': shape [2, 4, 1, 1]"),
        "no-tensors-in-the-file": (folder(config(), {}), "no tensors"),
        "another-width": (
            folder(config(base_model_name_or_path="other/model"), wide),
            "layers.0.self_attn.q_proj': a pair for a weight of [4, 5]; expected [4, 4], as the base"),
        "another-base-by-name": (folder(config(base_model_name_or_path="other/model"), wide), "it says 'other/model'"),
        "layer-past-the-last": (
            folder(config(), {**good, **{name.replace("layers.1", "layers.2"): value for name, value in good.items()}}),
            "module 'model.layers.2.self_attn.q_proj': layer 2; expected 0 to 1"),
        "layer-too-few": (
            folder(config(), pairs("q_proj", "v_proj", layers=range(1))),
            "module 'model.layers.1.self_attn.q_proj': no pair for it and 1 more"),
        "another-prefix": (
            folder(config(target_modules=["q_proj"]), {
                name.replace("model.layers", "language_model.model.layers", 1).replace("base_model.language_model.model.layers", "x"): value
                for name, value in pair("model.layers.0.self_attn.q_proj").items()}),
            "no such module in the base"),
        "restriction-unknown": (
            said(peft_type="CRAYON_LORA", crayon={"positions": "text", "input": "hidden"}), key("crayon.positions")),
        "restriction-with-names-of-peft": (
            said(peft_type="CRAYON_LORA", crayon={"positions": "image", "input": "hidden"}),
            f"tensor '{Q0}.lora_A.weight': a key with an adapter's name"),
    }  # fmt: skip


def twice(content: bytes) -> bytes:
    """The file with its first tensor's entry a second time in the header."""
    length = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + length].decode().rstrip()
    entry = f'"{Q0}.lora_A.weight":'
    start = header.index(entry)
    copy = header[start : header.index("}", start) + 1]
    longer = (header[:-1] + "," + copy + "}").encode()
    longer += b" " * (-len(longer) % 8)
    return struct.pack("<Q", len(longer)) + longer + content[8 + length :]


def main() -> None:
    if os.environ.get("PYTHONHASHSEED") != PYTHON_SEED:
        # peft writes sets in the order of their hashes.
        environment = {**os.environ, "PYTHONHASHSEED": PYTHON_SEED, "HF_HUB_OFFLINE": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    warnings.simplefilter("ignore")
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "adapters"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    for kind in expectations:
        shutil.rmtree(target / kind, ignore_errors=True)
    for name in cases():
        expectations["valid"][name] = save(target / "valid" / name, name)
    for name, (files, expected) in invalid().items():
        place = target / "invalid" / name
        place.mkdir(parents=True)
        for path, content in files.items():
            (place / path).write_bytes(content)
        expectations["invalid"][name] = expected
    # One line for each module.
    report = re.sub(r'\{\s+"rank"[^}]*\}', lambda match: " ".join(match[0].split()), json.dumps(expectations, indent=2))
    (target / "expectations.json").write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
