"""Load a bitsandbytes 4-bit checkpoint folder with transformers and hold its logits against a probe's.

    python transformers_loads.py DIR PROBE          # PROBE: any safetensors with `input_ids` and `logits`
    python transformers_loads.py DIR PROBE --record OUT         # no comparison: a probe with the logits of transformers
    python transformers_loads.py --self-test        # DIR saved by transformers itself, PROBE made by `model.py`

For a folder written by `crayon export --format bitsandbytes`: shows that transformers takes it as a 4-bit checkpoint
(its Linear4bit layers are counted and their packed bytes compared with the file's) and that both give the same logits.
It computes in float32 on the CPU, where bitsandbytes 0.50 multiplies with weights dequantized to float32 and not
rounded to the 16-bit type they came from. Exit code 0: within --tolerance, 1: not, 2: could not load.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from copy import copy
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from safetensors import safe_open

from model import Prompt
from probes import read_probe, relative_error, write_probe


def load_4bit(folder: Path) -> Any:
    """The model as transformers loads it; everything but the 4-bit weights in float32."""
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map="cpu", attn_implementation="eager", local_files_only=True
    ).eval()
    for parameter in model.parameters():
        # transformers keeps a 4-bit checkpoint's other tensors as they are stored
        if parameter.dtype in (torch.float16, torch.bfloat16):
            parameter.data = parameter.data.float()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # On processors with AVX512-BF16 bitsandbytes would repack the weight and multiply in bfloat16.
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype, module.compute_type_is_set = torch.float32, True
            if module.weight.quant_state.shape[1] % module.weight.quant_state.blocksize:
                module.forward = MethodType(forward_as_vector, module)
    return model


def forward_as_vector(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """The layer by a weight that was dequantized as a vector.

    With AVX-512 bitsandbytes 0.50.2 takes the wrong scales for a matrix whose rows are a multiple of 16 but not of
    the block size (a round trip of 92 x 48 numbers has a relative error of .40 instead of .09); as a vector it is right.
    """
    from bitsandbytes.functional import dequantize_4bit

    state = copy(layer.weight.quant_state)
    shape, state.shape, state.dtype = state.shape, torch.Size([state.shape.numel()]), torch.float32
    weight = dequantize_4bit(layer.weight.data, state).reshape(shape)
    return torch.nn.functional.linear(x.float(), weight, layer.bias)


def check_bytes(folder: Path, model: Any) -> int:
    """The number of Linear4bit layers; fails unless each holds the bytes of the file and none was quantized afresh."""
    from bitsandbytes.nn import Linear4bit

    stored = {}
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, "pt") as opened:
            stored |= {name: (file, name) for name in opened.keys()}
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, Linear4bit)]
    for name, module in layers:
        file, key = stored[f"{name}.weight"]
        with safe_open(file, "pt") as opened:
            in_file = opened.get_tensor(key)
        same = torch.equal(in_file.view(torch.uint8).flatten(), module.weight.data.view(torch.uint8).flatten())
        if not same:
            raise ValueError(f"{name}.weight: the loaded bytes are not the file's")
    packed = sum(1 for name in stored if ".quant_state.bitsandbytes__" in name)
    if packed != len(layers):
        raise ValueError(f"the file holds {packed} 4-bit weights, transformers made {len(layers)} 4-bit layers")
    return len(layers)


def run(model: Any, prompt: Prompt) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=prompt.input_ids[None], use_cache=False).logits[0].float()


def record(folder: Path, probe: Path, out: Path) -> int:
    """Writes what transformers makes of the probe's input, for `crayon verify --probe`."""
    try:
        model = load_4bit(folder)
        layers = check_bytes(folder, model)
        prompt, _ = read_probe(probe)
        if layers == 0:
            raise ValueError("no 4-bit layer")
    except Exception as error:  # any failure to load is this script's finding
        print(f"could not load: {error}", file=sys.stderr)
        return 2
    write_probe(out, prompt, logits=run(model, prompt))
    print(json.dumps({"four_bit_layers": layers, "positions": len(prompt.input_ids)}))
    return 0


def compare(folder: Path, probe: Path, tolerance: float) -> int:
    try:
        model = load_4bit(folder)
        layers = check_bytes(folder, model)
        prompt, expected = read_probe(probe)
    except Exception as error:  # any failure to load is this script's finding
        print(f"could not load: {error}", file=sys.stderr)
        return 2
    logits = run(model, prompt)
    error = relative_error(logits, expected["logits"])
    top1 = float((logits.argmax(-1) == expected["logits"].argmax(-1)).float().mean())
    passed = layers > 0 and error <= tolerance
    found = {"four_bit_layers": layers, "relative_error": error, "top1_agreement": top1}
    print(json.dumps(found | {"tolerance": tolerance, "passed": passed}))
    return 0 if passed else 1


def make_llama(folder: Path, intermediate: int, dtype: torch.dtype) -> None:
    """A small random Llama, saved by transformers."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    from fixtures_transformers import randomise

    config = LlamaConfig(
        vocab_size=83, hidden_size=64, intermediate_size=intermediate, num_attention_heads=4, num_key_value_heads=2,
        num_hidden_layers=2, max_position_embeddings=48, tie_word_embeddings=False,
    )  # fmt: skip
    fresh = AutoModelForCausalLM.from_config(config)
    randomise(fresh, 7, dtype)
    fresh.save_pretrained(folder)


def make(folder: Path) -> int:
    """A Llama whose rows are whole blocks, with a probe: bitsandbytes multiplies with it by its own code throughout."""
    from checkpoints import load
    from fixtures_base import random_prompt
    from model import forward

    make_llama(folder, 128, torch.bfloat16)
    prompt = random_prompt(7, 83, 19)
    write_probe(folder / "probe-1.safetensors", prompt, logits=forward(load(folder), prompt))
    return 0


def self_test(tolerance: float) -> int:
    """A Llama saved in 4-bit by transformers, against `model.py` on weights passed through NF4."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from checkpoints import load, with_nf4_backbone
    from fixtures_base import random_prompt
    from model import forward

    worst = 0
    for dtype in (torch.float32, torch.bfloat16):
        with tempfile.TemporaryDirectory() as made:
            plain, packed, probe = Path(made) / "plain", Path(made) / "packed", Path(made) / "probe.safetensors"
            make_llama(plain, 92, dtype)
            four_bit = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.float32,
            )
            AutoModelForCausalLM.from_pretrained(
                plain, dtype=dtype, quantization_config=four_bit, device_map="cpu"
            ).save_pretrained(packed)
            prompt = random_prompt(7, 83, 19)
            write_probe(probe, prompt, logits=forward(with_nf4_backbone(load(plain), dtype, rounded=False), prompt))
            print(dtype, end=" ", flush=True)
            worst = max(worst, compare(packed, probe, tolerance))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("probe", type=Path, nargs="?", metavar="PROBE")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest relative error (default %(default)s)")
    parser.add_argument("--record", type=Path, metavar="OUT", help="write the logits instead of comparing them")
    parser.add_argument("--make", type=Path, metavar="DIR", help="make a small Llama and a probe of it to try this on")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.self_test:
        return self_test(arguments.tolerance)
    if arguments.make is not None:
        return make(arguments.make)
    if arguments.folder is None or arguments.probe is None:
        parser.error("DIR and PROBE are needed")
    if arguments.record is not None:
        return record(arguments.folder, arguments.probe, arguments.record)
    return compare(arguments.folder, arguments.probe, arguments.tolerance)


if __name__ == "__main__":
    sys.exit(main())
