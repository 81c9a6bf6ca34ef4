"""Writes Tests/Fixtures/gguf: a tiny Llama and a tiny InternLM2 as checkpoints, and what llama.cpp's converter makes of them.

    python gguf_fixture.py --source SDIST FOLDER

SDIST is the unpacked source package of llama-cpp-python. The matrices in the GGUF files are Q8_0, so that a reader's rows can be told:
each row has a size of its own. A second run writes the same bytes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

TOKENIZER = Path(__file__).resolve().parents[2] / "Tests/TokenizationTests/Fixtures/plain.model"
HIDDEN, HEADS, KV, INNER, TOKENS = 32, 4, 2, 64, 1008


def config(family: str, tokens: int) -> dict:
    return {
        "architectures": ["InternLM2ForCausalLM" if family == "internlm2" else "LlamaForCausalLM"], "model_type": family,
        "vocab_size": tokens, "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": 1,
        "num_attention_heads": HEADS, "num_key_value_heads": KV, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
        "rope_theta": 30000.0, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": family == "llama",
    }  # fmt: skip


def tensors(family: str, tokens: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(11)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=random) * torch.linspace(0.02, 0.1, rows)[:, None]).half()

    def norm() -> torch.Tensor:
        return (1 + 0.2 * torch.randn(HIDDEN, generator=random)).half()

    size = HIDDEN // HEADS
    layer = "model.layers.0."
    if family == "internlm2":
        return {
            "model.tok_embeddings.weight": matrix(tokens, HIDDEN),
            layer + "attention.wqkv.weight": matrix((HEADS + 2 * KV) * size, HIDDEN),
            layer + "attention.wo.weight": matrix(HIDDEN, HIDDEN),
            layer + "feed_forward.w1.weight": matrix(INNER, HIDDEN),
            layer + "feed_forward.w3.weight": matrix(INNER, HIDDEN),
            layer + "feed_forward.w2.weight": matrix(HIDDEN, INNER),
            layer + "attention_norm.weight": norm(), layer + "ffn_norm.weight": norm(), "model.norm.weight": norm(),
            "output.weight": matrix(tokens, HIDDEN),
        }  # fmt: skip
    return {
        "model.embed_tokens.weight": matrix(tokens, HIDDEN),
        layer + "self_attn.q_proj.weight": matrix(HEADS * size, HIDDEN),
        layer + "self_attn.k_proj.weight": matrix(KV * size, HIDDEN),
        layer + "self_attn.v_proj.weight": matrix(KV * size, HIDDEN),
        layer + "self_attn.o_proj.weight": matrix(HIDDEN, HIDDEN),
        layer + "mlp.gate_proj.weight": matrix(INNER, HIDDEN), layer + "mlp.up_proj.weight": matrix(INNER, HIDDEN),
        layer + "mlp.down_proj.weight": matrix(HIDDEN, INNER),
        layer + "input_layernorm.weight": norm(), layer + "post_attention_layernorm.weight": norm(),
        "model.norm.weight": norm(),
    }  # fmt: skip


def token(text: str, special: bool) -> dict:
    return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": special}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    for family in ("llama", "internlm2"):
        tokens = TOKENS if family == "llama" else 1000
        folder = options.folder / family
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors(family, tokens), folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config(family, tokens), indent=1) + "\n")
        if family == "llama":
            added = {"1000": token("<marker>", False), "1001": token("<|end|>", True), "2": token("</s>", True)}
            settings = {"added_tokens_decoder": added, "bos_token": "<s>", "eos_token": "</s>", "chat_template": "{{ x }}"}
            (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
        with tempfile.TemporaryDirectory() as work:
            # The tokenizer lies with the tests of the tokenizer.
            copy = Path(work) / family
            shutil.copytree(folder, copy)
            shutil.copy(TOKENIZER, copy / "tokenizer.model")
            converter = options.source / "vendor/llama.cpp/convert_hf_to_gguf.py"
            target = options.folder / f"{family}-q8_0.gguf"
            subprocess.run([sys.executable, converter, copy, "--outfile", target, "--outtype", "q8_0"], check=True)


main()
