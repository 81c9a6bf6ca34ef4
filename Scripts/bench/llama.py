"""llama.cpp's models of the same shapes, and its own benchmark."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open

TYPES = ["Q4_0", "IQ4_NL", "Q4_K_M"]
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OTHERS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def name(tensor: str) -> str:
    """llama.cpp's name of a tensor of Llama's layout."""
    stem = tensor.removesuffix(".weight")
    if stem in OTHERS:
        return f"{OTHERS[stem]}.weight"
    _, _, layer, module = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[module]}.weight"


def convert(folder: Path, target: Path) -> None:
    """A checkpoint of Llama's layout as GGUF in float16, with made-up tokens.

    Rows of queries and keys stay in the checkpoint's order, where llama.cpp wants them interleaved: the weights are random.
    """
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_name("random")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = special + [f"t{index}" for index in range(config["vocab_size"] - len(special))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(tokens) - len(kinds)))
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        for tensor in weights.keys():
            values = weights.get_tensor(tensor).float().numpy()
            writer.add_tensor(name(tensor), values if values.ndim == 1 else values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(tools: Path, source: Path, target: Path, kind: str, threads: int) -> None:
    done = subprocess.run(
        [tools / "llama-quantize", source, target, kind, str(threads)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])


def bench(
    tools: Path, model: Path, threads: int, repetitions: int, prompt: int, generate: int
) -> dict[str, list[float]]:
    """Tokens a second of each repetition, by test (`pp512`, `tg32`)."""
    words = [tools / "llama-bench", "-m", model, "-p", prompt, "-n", generate, "-r", repetitions, "-t", threads]
    done = subprocess.run([*map(str, words), "-o", "json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    results = {}
    for test in json.loads(done.stdout):
        key = f"pp{test['n_prompt']}" if test["n_prompt"] else f"tg{test['n_gen']}"
        results[key] = test["samples_ts"]
    return results


def version(tools: Path) -> str:
    """The build's own words, and the source package's where this repository's script built it."""
    done = subprocess.run([tools / "llama-bench", "--help"], capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "build" in line and "commit" in line]
    package = tools.parent / "version"
    return package.read_text().strip() if package.exists() else (lines[0] if lines else "llama.cpp")
