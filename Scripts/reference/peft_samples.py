"""Writes Formats/samples/peft: LoRA folders that a reader must take, and others that it must refuse, over `base`.

    python3 Scripts/reference/peft_samples.py [FOLDER]

Needs nothing but Python; the forms are those that the peft package 0.21 writes. `expectations.json` says of each valid
folder the rank and the scale of the pair at each module, and of each invalid one a text that Crayon's error must contain.
A second run writes the same bytes.
"""

import json
import math
import shutil
import struct
import sys
from pathlib import Path

from safetensors_samples import SIZES, dump, file

WIDTH, INNER, ROWS = 4, 6, 8
MODULES = {
    "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (WIDTH // 2, WIDTH), "self_attn.v_proj": (WIDTH // 2, WIDTH),
    "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (INNER, WIDTH), "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}  # fmt: skip
ROLES = {
    "self_attn.q_proj": "attention.q", "self_attn.k_proj": "attention.k", "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.o", "mlp.gate_proj": "mlp.gate", "mlp.up_proj": "mlp.up", "mlp.down_proj": "mlp.down",
}  # fmt: skip
LAYERS = 2

Tensors = dict[str, tuple[str, list[int], bytes]]


def numbers(name: str, count: int, dtype: str = "F32") -> bytes:
    """Values that depend on the name: small multiples of 1/64, which every float type holds."""
    seed = sum(name.encode())
    values = [((seed + 7 * i) % 17 - 8) / 64 for i in range(count)]
    if dtype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{count}{ {'F64': 'd', 'F32': 'f', 'F16': 'e'}[dtype] }", *values)


def safetensors(tensors: Tensors) -> bytes:
    header: dict = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return file(dump(header), data)


def tensor(name: str, shape: list[int], dtype: str = "F32") -> tuple[str, list[int], bytes]:
    if dtype not in ("F64", "F32", "F16", "BF16"):
        return dtype, shape, bytes(math.prod(shape) * SIZES[dtype])
    return dtype, shape, numbers(name, math.prod(shape), dtype)


def base() -> dict[str, bytes]:
    tensors = {"model.embed_tokens.weight": tensor("embed", [ROWS, WIDTH])}
    for layer in range(LAYERS):
        for name, (out, inner) in MODULES.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = tensor(name, [out, inner])
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = tensor(norm, [WIDTH])
    tensors["model.norm.weight"] = tensor("norm", [WIDTH])
    config = {
        "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": ROWS, "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    return {"config.json": text(config), "model.safetensors": safetensors(tensors)}


def text(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def config(**changes: object) -> dict:
    """What peft writes, with changes; a change to `...` leaves the key out."""
    value = {
        "alpha_pattern": {}, "bias": "none", "exclude_modules": None, "fan_in_fan_out": False, "init_lora_weights": True,
        "layer_replication": None, "layers_to_transform": None, "lora_alpha": 8, "lora_bias": False, "lora_dropout": 0.1,
        "modules_to_save": None, "peft_type": "LORA", "r": 2, "rank_pattern": {}, "target_modules": ["q_proj", "v_proj"],
        "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    value.update(changes)
    return {key: item for key, item in value.items() if item is not ...}


def pair(path: str, rank: int = 2, dtype: str = "F32") -> Tensors:
    out, inner = MODULES[path.split(".", 3)[3]]
    prefix = f"base_model.model.{path}"
    return {
        f"{prefix}.lora_A.weight": tensor(path + "A", [rank, inner], dtype),
        f"{prefix}.lora_B.weight": tensor(path + "B", [out, rank], dtype),
    }


def paths(*names: str, layers: range = range(LAYERS)) -> list[str]:
    return [f"model.layers.{layer}.{name}" for layer in layers for name in MODULES if name.split(".")[1] in names]


def pairs(*names: str, dtype: str = "F32", layers: range = range(LAYERS)) -> Tensors:
    return {key: value for path in paths(*names, layers=layers) for key, value in pair(path, dtype=dtype).items()}


ALL = [name.split(".")[1] for name in MODULES]
Q0 = "base_model.model.model.layers.0.self_attn.q_proj"


def folder(value: dict | bytes, tensors: Tensors | bytes) -> dict[str, bytes]:
    return {
        "adapter_config.json": value if isinstance(value, bytes) else text(value),
        "adapter_model.safetensors": tensors if isinstance(tensors, bytes) else safetensors(tensors),
    }


def holds(ranks: dict[str, int], alpha: float | dict[str, float] = 8, stabilized: bool = False) -> dict:
    """The expected rank and scale of each pair, by `layers.N.<module>`."""
    result = {}
    for path, rank in ranks.items():
        _, _, layer, name = path.split(".", 3)
        own = alpha if isinstance(alpha, (int, float)) else alpha.get(path, 8)
        scale = own / math.sqrt(rank) if stabilized else own / rank
        result[f"layers.{layer}.{ROLES[name]}"] = {"rank": rank, "scale": scale}
    return result


def valid() -> dict[str, tuple[dict[str, bytes], dict]]:
    qv = dict.fromkeys(paths("q_proj", "v_proj"), 2)
    every = dict.fromkeys(paths(*ALL), 2)
    ranked = {path: 1 if path == "model.layers.1.self_attn.q_proj" else 3 if "v_proj" in path else 2 for path in qv}
    ranked_pairs = {key: value for path, rank in ranked.items() for key, value in pair(path, rank).items()}
    attention = dict.fromkeys(paths("q_proj", "k_proj", "v_proj", "o_proj"), 2)
    return {
        "plain": (folder(config(), pairs("q_proj", "v_proj")), holds(qv)),
        "bfloat16": (folder(config(), pairs("q_proj", "v_proj", dtype="BF16")), holds(qv)),
        "rank-stabilized": (folder(config(use_rslora=True), pairs("q_proj", "v_proj")), holds(qv, stabilized=True)),
        "alpha-a-fraction": (folder(config(lora_alpha=0.5), pairs("q_proj", "v_proj")), holds(qv, 0.5)),
        "rank-pattern": (
            folder(config(rank_pattern={"v_proj": 3, r"layers\.1\.self_attn\.q_proj": 1}), ranked_pairs), holds(ranked)),
        "alpha-pattern": (
            folder(config(alpha_pattern={"q_proj": 16}), pairs("q_proj", "v_proj")),
            holds(qv, {path: 16 for path in qv if "q_proj" in path})),
        "whole-paths": (
            folder(config(target_modules=paths("up_proj")), pairs("up_proj")), holds(dict.fromkeys(paths("up_proj"), 2))),
        "target-expression": (
            folder(config(target_modules=r".*\.self_attn\.(q|k|v|o)_proj"), pairs("q_proj", "k_proj", "v_proj", "o_proj")),
            holds(attention)),
        "all-linear": (folder(config(target_modules="all-linear"), pairs(*ALL)), holds(every)),
        "all-linear-but": (
            folder(
                config(target_modules="all-linear", exclude_modules=["gate_proj", "up_proj", "down_proj"]),
                pairs("q_proj", "k_proj", "v_proj", "o_proj")),
            holds(attention)),
        "keys-that-say-nothing": (
            folder(config(bias=..., use_dora=..., use_rslora=..., rank_pattern=None, modules_to_save=[], new_key={}),
                   pairs("q_proj", "v_proj")),
            holds(qv)),
    }  # fmt: skip


def invalid() -> dict[str, tuple[dict[str, bytes], str]]:
    good = pairs("q_proj", "v_proj")

    def said(**changes: object) -> dict[str, bytes]:
        return folder(config(**changes), good)

    def with_tensor(name: str, shape: list[int], dtype: str = "F32") -> dict[str, bytes]:
        return folder(config(), {**good, name: tensor(name, shape, dtype)})

    def without(name: str) -> dict[str, bytes]:
        return folder(config(), {key: value for key, value in good.items() if key != name})

    def key(name: str) -> str:
        return f"adapter_config.json: key '{name}'"

    nan = {**good, f"{Q0}.lora_A.weight": ("F32", [2, WIDTH], numbers("x", 7) + struct.pack("<f", math.nan))}
    infinite = {**good, f"{Q0}.lora_B.weight": ("F16", [WIDTH, 2], numbers("x", 7, "F16") + b"\x00\x7c")}
    return {
        "no-config": ({"adapter_model.safetensors": safetensors(good)}, "adapter_config.json: nothing"),
        "no-tensors": ({"adapter_config.json": text(config())}, "no file with tensors"),
        "pytorch-file": (
            {"adapter_config.json": text(config()), "adapter_model.bin": b"PK\x03\x04"}, "adapter_model.bin: zip end record"),
        "config-cut-short": (folder(text(config())[:100], good), "adapter_config.json: JSON at byte"),
        "config-is-a-list": (folder(b"[]", good), "adapter_config.json: an array of 0"),
        "tensors-cut-short": (folder(config(), safetensors(good)[:-3]), "adapter_model.safetensors: tensor '"),
        "prompt-tuning": (said(peft_type="PROMPT_TUNING"), key("peft_type")),
        "no-type": (said(peft_type=...), key("peft_type")),
        "no-rank": (said(r=...), key("r")),
        "rank-of-zero": (said(r=0), key("r") + ": 0"),
        "rank-negative": (said(r=-2), key("r") + ": -2"),
        "rank-a-text": (said(r="2"), key("r") + ": the string"),
        "rank-beyond-the-limit": (said(r=1 << 40), key("r")),
        "alpha-of-zero": (said(lora_alpha=0), key("lora_alpha")),
        "alpha-infinite": (folder(text(config()).replace(b'"lora_alpha": 8', b'"lora_alpha": 1e999'), good), key("lora_alpha")),
        "no-targets": (said(target_modules=None), key("target_modules")),
        "targets-of-numbers": (said(target_modules=[1]), key("target_modules[0]")),
        "target-expression-malformed": (said(target_modules="(q_proj"), key("target_modules")),
        "rank-pattern-malformed": (said(rank_pattern={"(q": 1}), key("rank_pattern.(q")),
        "rank-pattern-of-zero": (said(rank_pattern={"q_proj": 0}), key("rank_pattern.q_proj")),
        "alpha-pattern-negative": (said(alpha_pattern={"q_proj": -1}), "alpha_pattern.q_proj'"),
        "dora": (said(use_dora=True), key("use_dora")),
        "dora-tensors": (
            with_tensor(f"{Q0}.lora_magnitude_vector", [WIDTH]), f"tensor '{Q0}.lora_magnitude_vector': a magnitude of DoRA"),
        "bias-trained": (said(bias="lora_only"), key("bias")),
        "lora-bias": (said(lora_bias=True), key("lora_bias")),
        "lora-bias-tensor": (with_tensor(f"{Q0}.lora_B.bias", [WIDTH]), f"tensor '{Q0}.lora_B.bias': a bias of a pair"),
        "transposed-base": (said(fan_in_fan_out=True), key("fan_in_fan_out")),
        "whole-modules-saved": (said(modules_to_save=["lm_head"]), key("modules_to_save")),
        "whole-module-tensor": (
            with_tensor("base_model.model.lm_head.weight", [ROWS, WIDTH]), "tensor 'base_model.model.lm_head.weight': a full weight"),
        "layers-chosen": (said(layers_to_transform=[0]), key("layers_to_transform")),
        "layers-repeated": (said(layer_replication=[[0, 2], [1, 2]]), key("layer_replication")),
        "base-changed-on-loading": (said(init_lora_weights="pissa_niter_4"), key("init_lora_weights")),
        "embedding-pair": (
            with_tensor("base_model.model.model.embed_tokens.lora_embedding_A", [2, ROWS]),
            "tensor 'base_model.model.model.embed_tokens.lora_embedding_A': a pair on an embedding"),
        "adapter-name-in-a-key": (
            with_tensor(f"{Q0}.lora_A.default.weight", [2, WIDTH]), f"tensor '{Q0}.lora_A.default.weight': a key with"),
        "no-prefix": (with_tensor("model.layers.0.x.lora_A.weight", [2, WIDTH]), "tensor 'model.layers.0.x.lora_A.weight'"),
        "unknown-module": (
            with_tensor("base_model.model.model.layers.0.self_attn.r_proj.lora_A.weight", [2, WIDTH]),
            "r_proj.lora_A.weight': no module"),
        "layer-past-the-last": (
            with_tensor("base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight", [2, WIDTH]),
            "layers.7.self_attn.q_proj.lora_A.weight': layer 7; expected 0 to 1"),
        "pair-on-a-norm": (
            with_tensor("base_model.model.model.norm.lora_A.weight", [2, WIDTH]), "model.norm.lora_A.weight': a pair on"),
        "pair-off-target": (
            folder(config(), pairs("q_proj", "k_proj", "v_proj")), "k_proj.lora_A.weight': a pair at a module that is no target"),
        "half-of-a-pair": (without(f"{Q0}.lora_B.weight"), f"1 tensors missing: '{Q0}.lora_B.weight'"),
        "layer-without-its-pair": (
            folder(config(), pairs("q_proj", "v_proj", layers=range(1))), "layers.1.self_attn.q_proj.lora_A.weight'"),
        "one-layer-of-two": (
            folder(config(target_modules=["layers.1.mlp.up_proj"]), pairs("up_proj", layers=range(1, 2))),
            key("target_modules") + ": mlp.up of 1 of 2 layers, the first of them 1"),
        "targets-nothing": (folder(config(target_modules=["c_attn"]), {}), "no pair; expected 'target_modules' that name"),
        "rank-of-another": (said(r=4), f"tensor '{Q0}.lora_A.weight': shape [2, 4]; expected [4, 4]"),
        "pair-transposed": (
            folder(config(), {**good, f"{Q0}.lora_A.weight": tensor("x", [WIDTH, 2])}), f"tensor '{Q0}.lora_A.weight': shape [4, 2]"),
        "integers": (
            folder(config(), {**good, f"{Q0}.lora_A.weight": tensor("x", [2, WIDTH], "I8")}),
            f"tensor '{Q0}.lora_A.weight': elements of type I8"),
        "nan": (folder(config(), nan), f"tensor '{Q0}.lora_A.weight'"),
        "infinity": (folder(config(), infinite), f"tensor '{Q0}.lora_B.weight'"),
    }  # fmt: skip


def main() -> None:
    root = Path(__file__).resolve().parents[2] / "Formats" / "samples" / "peft"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    groups = {("base", ""): base()}
    for kind, cases in (("valid", valid()), ("invalid", invalid())):
        for name, (files, expected) in cases.items():
            groups[kind, name] = files
            expectations[kind][name] = expected
    for kind in ("base", "valid", "invalid"):
        shutil.rmtree(target / kind, ignore_errors=True)
    for (kind, name), files in groups.items():
        (target / kind / name).mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            (target / kind / name / path).write_bytes(content)
    (target / "expectations.json").write_text(json.dumps(expectations, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
