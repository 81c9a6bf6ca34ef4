"""Holds Crayon's GGUF files against llama.cpp, transformers and the gguf package.

    CRAYON=.build/release/crayon python Scripts/reference/gguf_against_llama.py --llama BUILD/bin --source SDIST [--keep FOLDER]

SDIST is the unpacked source package of llama-cpp-python (its bindings and llama.cpp's converter are used), BUILD llama.cpp built
with shared libraries, see `ggml.py`. Tiny random Llama and InternLM2 checkpoints are made, and for each:

- files: what `crayon export --format gguf` writes against llama.cpp's own `convert_hf_to_gguf.py` on the same checkpoint: tensors
  byte for byte, metadata key by key;
- blocks: the tensors of every quantized type against GGML's quantizers;
- logits: llama.cpp runs the files; transformers runs the same numbers in float32;
- tokens: llama.cpp's ids against those of the sentencepiece package;
- pictures: llama.cpp's embeddings of a picture, by the file of `--mmproj`, against transformers' CLIP and PyTorch's projector;
- reading: what llama-quantize and the converter wrote, through `crayon quantize` and `crayon export --format safetensors`, against
  the gguf package's numbers bit for bit, and the tokenizer that was made of the metadata.

Exits with 1 when something does not hold.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import torch
from ggml import GGML, TYPES
from gguf.quants import dequantize
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
CRAYON = os.environ.get("CRAYON", str(ROOT / ".build/release/crayon"))
TOKENIZER = ROOT / "Tests/TokenizationTests/Fixtures/plain.model"
SOURCE = "--precision backbone=source".split()
TEXTS = [
    "Hello, world", " leading and  double spaces ", "Der Hund läuft über die Straße.", "日本語のテキスト", "emoji 🐎🎠 and bytes \x07",
    "tabs\tand\nnewlines\n\n", "", "What is in the box [0.1, 0.2, 0.5, 0.6]?", "<s> is text, </s> too", "a<marker>b <|end|> c",
]  # fmt: skip
failures: list[str] = []


def report(name: str, holds: bool, figure: str) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {name}: {figure}", flush=True)
    if not holds:
        failures.append(name)


def crayon(*arguments: object) -> str:
    done = subprocess.run([CRAYON, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"crayon {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


# -- checkpoints


def make_llama(folder: Path, *, tied: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=256, intermediate_size=768, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=50000.0,
        tie_word_embeddings=tied, bos_token_id=1, eos_token_id=2, torch_dtype="float16",
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.08)
            else:
                parameter.normal_(mean=1.0, std=0.2)
            # Numbers that float16 and bfloat16 have.
            parameter.copy_(parameter.to(torch.bfloat16).float())
            assert name
    model.to(torch.float16).save_pretrained(folder)
    shutil.copy(TOKENIZER, folder / "tokenizer.model")
    write_tokenizer_config(folder)
    return {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}


def write_tokenizer_config(folder: Path) -> None:
    def token(text: str, special: bool) -> dict:
        return {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": special}

    config = {
        "add_bos_token": True, "added_tokens_decoder": {
            "0": token("<unk>", True), "1": token("<s>", True), "2": token("</s>", True),
            "1000": token("<marker>", False), "1001": token("<|end|>", True),
        },
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": "{{ messages[0]['content'] }}",
        "tokenizer_class": "LlamaTokenizer",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def make_internlm2(folder: Path, llama: dict[str, torch.Tensor]) -> None:
    """The same numbers, fused, with 1000 tokens."""
    folder.mkdir()
    kv, group, size = 4, 2, 32
    tensors = {}
    for name, tensor in llama.items():
        new = name.replace("self_attn.o_proj", "attention.wo").replace("mlp.gate_proj", "feed_forward.w1")
        new = new.replace("mlp.up_proj", "feed_forward.w3").replace("mlp.down_proj", "feed_forward.w2")
        new = new.replace("input_layernorm", "attention_norm").replace("post_attention_layernorm", "ffn_norm")
        new = new.replace("model.embed_tokens", "model.tok_embeddings").replace("lm_head", "output")
        if "self_attn.q_proj" in name:
            q = tensor.reshape(kv, group, size, -1)
            k = llama[name.replace("q_proj", "k_proj")].reshape(kv, 1, size, -1)
            v = llama[name.replace("q_proj", "v_proj")].reshape(kv, 1, size, -1)
            new = name.replace("self_attn.q_proj", "attention.wqkv")
            tensor = torch.cat([q, k, v], 1).reshape(-1, tensor.shape[1])
        elif "self_attn.k_proj" in name or "self_attn.v_proj" in name:
            continue
        if tensor.shape[0] == 1024:
            tensor = tensor[:1000]
        tensors[new] = tensor.to(torch.float16).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "vocab_size": 1000, "hidden_size": 256,
        "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": kv,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 50000.0, "hidden_act": "silu", "bias": False,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(TOKENIZER, folder / "tokenizer.model")


# -- llama.cpp


class Llama:
    def __init__(self, binaries: Path, source: Path) -> None:
        os.environ["LLAMA_CPP_LIB_PATH"] = os.environ["MTMD_CPP_LIB"] = str(binaries)
        # The bindings alone, without what the package imports beside them.
        package = types.ModuleType("llama_cpp")
        package.__path__ = [str(source / "llama_cpp")]
        sys.modules["llama_cpp"] = package
        import llama_cpp.llama_cpp as bindings

        self.api = bindings
        self.log = bindings.llama_log_callback(lambda *_: None)
        bindings.llama_log_set(self.log, ctypes.c_void_p(0))
        bindings.llama_backend_init()

    def open(self, path: Path, *, vocabulary_only: bool = False) -> ctypes.c_void_p:
        parameters = self.api.llama_model_default_params()
        parameters.vocab_only = vocabulary_only
        model = self.api.llama_model_load_from_file(str(path).encode(), parameters)
        assert model, f"llama.cpp does not take {path}"
        return model

    def logits(self, path: Path, ids: list[int], rows: int) -> np.ndarray:
        api, model = self.api, self.open(path)
        parameters = api.llama_context_default_params()
        parameters.n_ctx = 256
        parameters.n_batch = parameters.n_ubatch = 256
        parameters.type_k = parameters.type_v = 0
        parameters.flash_attn_type = 0
        parameters.n_threads = parameters.n_threads_batch = 2
        context = api.llama_init_from_model(model, parameters)
        batch = api.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index] = token
            batch.pos[index] = index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 1
        assert api.llama_decode(context, batch) == 0
        pointer = api.llama_get_logits(context)
        values = np.ctypeslib.as_array(pointer, shape=(len(ids), rows)).copy()
        api.llama_batch_free(batch)
        api.llama_free(context)
        api.llama_model_free(model)
        return values

    def tokens(self, path: Path, texts: list[str]) -> list[list[int]]:
        api, model = self.api, self.open(path, vocabulary_only=True)
        vocabulary = api.llama_model_get_vocab(model)
        lists = []
        for text in texts:
            raw = text.encode()
            buffer = (api.llama_token * 1000)()
            count = api.llama_tokenize(vocabulary, raw, len(raw), buffer, 1000, False, False)
            assert count >= 0
            lists.append(list(buffer[:count]))
        api.llama_model_free(model)
        return lists

    def picture(self, projector: Path, text: Path, pixels: np.ndarray, width: int) -> np.ndarray:
        """pixels [side, side, 3] of bytes -> [patches, width]"""
        import llama_cpp.mtmd_cpp as mtmd

        model = self.open(text)
        parameters = mtmd.mtmd_context_params_default()
        parameters.use_gpu = parameters.warmup = parameters.print_timings = False
        parameters.n_threads = 2
        parameters.flash_attn_type = 0
        context = mtmd.mtmd_init_from_file(str(projector).encode(), model, parameters)
        assert context, f"llama.cpp does not take {projector}"
        raw = np.ascontiguousarray(pixels, dtype=np.uint8)
        bitmap = mtmd.mtmd_bitmap_init(
            raw.shape[1], raw.shape[0], raw.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        )
        chunks = mtmd.mtmd_input_chunks_init()
        marker = mtmd.mtmd_default_marker()
        prompt = mtmd.mtmd_input_text(marker, len(marker), False, True)
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(prompt), bitmaps, 1) == 0
        for index in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, index)
            if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                assert mtmd.mtmd_encode_chunk(context, chunk) == 0
                count = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
                return np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), shape=(count, width)).copy()
        raise SystemExit("no picture among the chunks")


# -- numbers


def transformers_logits(tensors: dict[str, torch.Tensor], config: LlamaConfig, ids: list[int]) -> np.ndarray:
    model = LlamaForCausalLM(config).to(torch.float32).eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    if config.tie_word_embeddings:
        model.tie_weights()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def reader_tensors(path: Path) -> dict[str, gguf.gguf_reader.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def floats(tensor: gguf.gguf_reader.ReaderTensor) -> np.ndarray:
    values = dequantize(tensor.data, tensor.tensor_type)
    return np.asarray(values, dtype=np.float32).reshape([int(extent) for extent in tensor.shape[::-1]])


def turned_back(values: np.ndarray, heads: int) -> np.ndarray:
    rows = values.shape[0]
    return values.reshape(heads, rows // heads // 2, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


HF = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def as_llama(path: Path) -> dict[str, torch.Tensor]:
    """A GGUF's numbers, by the gguf package, as transformers' Llama has them."""
    result = {}
    for name, tensor in reader_tensors(path).items():
        parts = name.split(".")
        values = floats(tensor)
        if parts[-2] in ("attn_q", "attn_k"):
            values = turned_back(values, 8 if parts[-2] == "attn_q" else 4)
        prefix = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
        result[f"{prefix}{HF[parts[-2]]}.{parts[-1]}"] = torch.from_numpy(values.copy())
    return result


def fields(path: Path) -> dict[str, object]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items() if not key.startswith("GGUF.")}


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


# -- the cases


def files_agree(name: str, ours: Path, theirs: Path) -> None:
    mine, other = reader_tensors(ours), reader_tensors(theirs)
    same = mine.keys() == other.keys() and all(
        mine[key].tensor_type == other[key].tensor_type
        and list(mine[key].shape) == list(other[key].shape)
        and np.array_equal(mine[key].data, other[key].data)
        for key in mine
    )
    report(f"{name} tensors are the converter's", same, f"{len(mine)} tensors, byte for byte")
    a, b = fields(ours), fields(theirs)
    # What llama.cpp's converter has from a model card, or says in another way.
    free = {"general.name", "general.size_label", "general.sampling.temp", "general.sampling.top_p", "general.file_type"}
    differing = [key for key in b if key not in free and not key.startswith("general.") and a.get(key) != b[key]]
    more = sorted(key for key in a if key not in b and not key.startswith("general."))
    report(f"{name} metadata are the converter's", not differing, f"{len(b)} keys; differing {differing}; more {more}")


def convert(options: argparse.Namespace, folder: Path, output: Path, kind: str) -> bool:
    done = subprocess.run(
        [sys.executable, options.source / "vendor/llama.cpp/convert_hf_to_gguf.py", folder, "--outfile", output, "--outtype", kind],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        print(done.stderr[-2000:])
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    work = options.keep or Path(tempfile.mkdtemp(prefix="gguf-against-llama-"))
    work.mkdir(parents=True, exist_ok=True)
    ggml, llama = GGML(options.llama), Llama(options.llama, options.source)
    generator = np.random.default_rng(3)
    ids = [1] + generator.integers(3, 990, 60).tolist()

    weights = make_llama(work / "llama")
    make_internlm2(work / "internlm2", weights)
    make_llama(work / "tied", tied=True)
    for name in ("llama", "internlm2", "tied"):
        config = LlamaConfig.from_pretrained(work / ("tied" if name == "tied" else "llama"))
        if name == "internlm2":
            config.vocab_size = 1000
        rows = config.vocab_size
        bundle = work / f"{name}.crayon"
        crayon("quantize", work / name, "-o", bundle, *SOURCE, "-q")
        paths = {}
        for kind in ["f32", "f16", "bf16", *map(str.lower, TYPES)]:
            paths[kind] = work / f"{name}-{kind}.gguf"
            crayon("export", bundle, "--format", "gguf", "--type", kind, "-o", paths[kind], "--overwrite", "-q")
        for kind in ("f32", "f16", "bf16", "q8_0"):
            theirs = work / f"{name}-{kind}-converter.gguf"
            if convert(options, work / name, theirs, kind):
                files_agree(f"{name} {kind}", paths[kind], theirs)
            else:
                report(f"{name} {kind} converter", False, "did not run")

        plain = reader_tensors(paths["f32"])
        for kind in TYPES:
            made, count, equal = reader_tensors(paths[kind.lower()]), 0, True
            for key, tensor in made.items():
                if tensor.tensor_type.name in TYPES:
                    blocks = ggml.quantize(floats(plain[key]), tensor.tensor_type.name)
                    equal &= bool(np.array_equal(blocks, np.asarray(tensor.data).reshape(-1).view(np.uint8)))
                    count += 1
            report(f"{name} {kind} blocks are GGML's", equal, f"{count} matrices")

        # llama.cpp rounds what is multiplied with F16 and BF16 to sixteen bits, with quantized weights to eight: there the error
        # is held against that of llama-quantize's file.
        limits = {"f32": 1e-5, "f16": 2e-3, "bf16": 1e-2}
        for kind, path in paths.items():
            error = relative(llama.logits(path, ids, rows), transformers_logits(as_llama(path), config, ids))
            limit, figure = limits.get(kind), f"relative error {error:.2e} against transformers"
            if limit is None:
                theirs = quantized(options, work, name, kind)
                own = relative(llama.logits(theirs, ids, rows), transformers_logits(as_llama(theirs), config, ids))
                limit, figure = 1.1 * own, figure + f", {own:.2e} of llama-quantize's file"
            report(f"{name} {kind} logits", error < limit, figure)
        nf4 = work / f"{name}-nf4.crayon"
        crayon("quantize", work / name, "-o", nf4, "-q")
        crayon("export", nf4, "--format", "gguf", "--type", "f32", "-o", work / f"{name}-nf4.gguf", "--overwrite", "-q")
        error = relative(
            llama.logits(work / f"{name}-nf4.gguf", ids, rows),
            transformers_logits(as_llama(work / f"{name}-nf4.gguf"), config, ids),
        )
        report(f"{name} NF4 as f32 logits", error < 1e-5, f"relative error {error:.2e} against transformers")

        processor = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
        found = llama.tokens(paths["q8_0"], TEXTS)
        texts = [text for text in TEXTS if "<marker>" not in text]
        equal = [processor.encode(text) == got for text, got in zip(TEXTS, found, strict=True) if text in texts]
        report(f"{name} llama.cpp's token ids", all(equal), f"{sum(equal)} of {len(equal)} texts as sentencepiece")

        reading(options, work, name, processor)
    pictures(llama, work)
    print(f"{len(failures)} failures")
    if not options.keep:
        shutil.rmtree(work)
    sys.exit(1 if failures else 0)


def project(hidden: torch.Tensor, projector: dict[str, torch.Tensor]) -> torch.Tensor:
    first = torch.nn.functional.linear(hidden, projector["vision_proj.0.weight"], projector["vision_proj.0.bias"])
    # llama.cpp's GELU is the tanh approximation.
    first = torch.nn.functional.gelu(first, approximate="tanh")
    return torch.nn.functional.linear(first, projector["vision_proj.2.weight"], projector["vision_proj.2.bias"])


def pictures(llama: Llama, work: Path) -> None:
    torch.manual_seed(9)
    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, image_size=56, patch_size=14,
        hidden_act="quick_gelu", layer_norm_eps=1e-5, projection_dim=32,
    )  # fmt: skip
    clip = CLIPVisionModel(config).float().eval()
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    clip.save_pretrained(work / "clip")
    # transformers 5 leaves out what published files have before each name.
    names = {name.removeprefix("vision_model."): tensor for name, tensor in clip.state_dict().items()}
    save_file(
        {"vision_model." + name: tensor.contiguous() for name, tensor in names.items() if "position_ids" not in name},
        work / "clip/model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    bundle, folder = work / "picture.crayon", work / "picture"
    parts = ["--backbone", work / "llama", "--vision", work / "clip", "--image-size", 56]
    crayon("quantize", *parts, "-o", bundle, *SOURCE, "-q")
    crayon("export", bundle, "--format", "safetensors", "-o", folder, "--overwrite", "-q")
    projector = {name: tensor.float() for name, tensor in load_file(folder / "crayon/model.safetensors").items()}
    pixels = np.random.default_rng(1).integers(0, 256, (56, 56, 3), dtype=np.uint8)
    mean, deviation = (torch.tensor(values) for values in (
        [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))  # fmt: skip
    normal = ((torch.from_numpy(pixels).float() / 255 - mean) / deviation).permute(2, 0, 1)[None]
    with torch.no_grad():
        tower = getattr(clip, "vision_model", clip)
        right = tower(normal, output_hidden_states=True).hidden_states[-1][0, 1:]
        # llama.cpp puts the class embedding behind the patches, and leaves out the first row all the same.
        patches = tower.embeddings.patch_embedding(normal).flatten(2).transpose(1, 2)
        rows = torch.cat([patches, tower.embeddings.class_embedding[None, None]], 1)
        rows = tower.pre_layrnorm(rows + tower.embeddings.position_embedding.weight)
        expected = project(tower.encoder(inputs_embeds=rows).last_hidden_state[0, 1:], projector)
        right = project(right, projector)
    for kind, limit in (("f32", 1e-3), ("f16", 1e-2)):
        path = work / f"mmproj-{kind}.gguf"
        crayon("export", bundle, "--format", "gguf", "--mmproj", "--without-crayon", "--type", kind, "-o", path, "--overwrite", "-q")
        found = llama.picture(path, work / "llama-f32.gguf", pixels, 256)
        error = relative(found, expected.numpy())
        figure = f"relative error {error:.2e}; {relative(found, right.numpy()):.2e} with the class embedding in its place"
        report(f"mmproj {kind} embeddings", found.shape == expected.shape and error < limit, figure)


def quantized(options: argparse.Namespace, work: Path, name: str, kind: str) -> Path:
    """What llama-quantize makes of the converter's F32 file."""
    path = work / f"{name}-{kind}-quantize.gguf"
    if not path.exists():
        command = [options.llama / "llama-quantize", work / f"{name}-f32-converter.gguf", path, kind]
        subprocess.run(command, capture_output=True, check=True)
    return path


def reading(
    options: argparse.Namespace, work: Path, name: str, processor: sentencepiece.SentencePieceProcessor
) -> None:
    """Files by llama-quantize, read by Crayon."""
    kinds = ["f16", "bf16", *[kind.lower() for kind in TYPES], "q4_k_m", "q5_k_m"]
    for kind in kinds:
        path = quantized(options, work, name, kind)
        bundle, folder = work / f"{name}-{kind}-read.crayon", work / f"{name}-{kind}-read"
        crayon("quantize", path, "-o", bundle, *SOURCE, "-q")
        crayon("export", bundle, "--format", "safetensors", "-o", folder, "--overwrite", "-q")
        expected = as_llama(path)
        found = load_file(folder / "model.safetensors")
        if name == "internlm2":
            expected = fused(expected)
        equal = expected.keys() == found.keys() and all(
            torch.equal(found[key].float(), expected[key]) and found[key].shape == expected[key].shape for key in expected
        )
        used = sorted({tensor.tensor_type.name for tensor in reader_tensors(path).values()})
        report(f"{name} reads llama-quantize {kind}", equal, f"{len(found)} tensors of {', '.join(used)}, bit for bit")
        if kind == "q8_0":
            made = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
            same = [processor.encode(text) == made.encode(text) for text in TEXTS if "<marker>" not in text]
            same += [processor.id_to_piece(index) == made.id_to_piece(index) for index in range(3, 1000)]
            report(f"{name} tokenizer made of the metadata", all(same), f"{sum(same)} of {len(same)} texts and pieces")
            config = json.loads((folder / "tokenizer_config.json").read_text())
            added = {index: token["content"] for index, token in config.get("added_tokens_decoder", {}).items()}
            expected = {} if name == "internlm2" else {"0": "<unk>", "1": "<s>", "2": "</s>", "1000": "<marker>", "1001": "<|end|>"}
            right = added == expected and config["bos_token"] == "<s>" and config["eos_token"] == "</s>"
            report(f"{name} added and special tokens", right, f"{len(added)} added")


def fused(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    result = {}
    names = {"self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3",
             "mlp.down_proj": "feed_forward.w2", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
             "model.embed_tokens": "model.tok_embeddings", "lm_head": "output"}  # fmt: skip
    for name, tensor in tensors.items():
        new = name
        for old, other in names.items():
            new = new.replace(old, other)
        if "q_proj" in name:
            parts = [tensor, tensors[name.replace("q_proj", "k_proj")], tensors[name.replace("q_proj", "v_proj")]]
            groups = [part.reshape(4, -1, 32, part.shape[1]) for part in parts]
            new = name.replace("self_attn.q_proj", "attention.wqkv")
            tensor = torch.cat(groups, 1).reshape(-1, tensor.shape[1])
        elif "k_proj" in name or "v_proj" in name:
            continue
        result[new] = tensor
    return result


if __name__ == "__main__":
    main()
