"""A CoLLaVO-style vision-language model in the published checkpoint layout.

Every module is named so that ``state_dict()`` gives exactly the tensor names of the published
CoLLaVO checkpoint. The forward pass, for one picture per sequence:

    pixels    -> CLIP tower (last hidden state, class token dropped) -> vision_proj           [cells, hidden]
    two maps  -> seg_prompt_embed + seg_num_embed -> vision_proj_for_seg = the crayon prompt  [cells, hidden]
    token ids -> tok_embeddings, with the one ``<image>`` id replaced by the image's cells    [total, hidden]
    backbone  -> InternLM2 blocks; each linear layer has two low-rank pairs (PLoRA) that act on the image's cells only

        y        = main(x)
        y[image] += (B(A(x[image])) + seg_B(seg_A(crayon))) * alpha / rank

    The crayon term is left out in ``w2``, whose seg pair is carried but never used, as in the published code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SHARD_NAMES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@dataclass(frozen=True)
class VisionConfig:
    """The CLIP tower's sizes."""

    hidden: int = 96
    layers: int = 3
    heads: int = 3
    mlp: int = 384
    image_size: int = 112
    patch: int = 14
    eps: float = 1e-5

    @property
    def grid(self) -> int:
        return self.image_size // self.patch

    @property
    def cells(self) -> int:
        return self.grid * self.grid


@dataclass(frozen=True)
class Config:
    """All sizes of a model. The defaults are the sample's."""

    vocab: int = 512
    hidden: int = 192
    mlp: int = 384
    layers: int = 5
    heads: int = 6
    kv_heads: int = 3
    eps: float = 1e-5
    rope_theta: float = 10000.0
    max_positions: int = 512
    rank: int = 16
    alpha: int = 16
    semantic_rows: int = 17
    number_rows: int = 21
    crayon_hidden: int = 96
    vision: VisionConfig = VisionConfig()

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


# ------------------------------------------------------------------------------------------------ CLIP tower


class ClipAttention(nn.Module):
    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(c.hidden, c.hidden) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class ClipMLP(nn.Module):
    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(c.hidden, c.mlp)
        self.fc2 = nn.Linear(c.mlp, c.hidden)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))  # quick GELU


class ClipLayer(nn.Module):
    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(c.hidden, eps=c.eps)
        self.self_attn = ClipAttention(c)
        self.layer_norm2 = nn.LayerNorm(c.hidden, eps=c.eps)
        self.mlp = ClipMLP(c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class ClipEmbeddings(nn.Module):
    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(c.hidden))
        self.patch_embedding = nn.Conv2d(3, c.hidden, c.patch, c.patch, bias=False)
        self.position_embedding = nn.Embedding(c.cells + 1, c.hidden)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, -1)
        return torch.cat([first, patches], 1) + self.position_embedding.weight


class ClipEncoder(nn.Module):
    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(c) for _ in range(c.layers))


class ClipVisionModel(nn.Module):
    """``[batch, 3, size, size]`` -> ``[batch, cells, hidden]``; ``post_layernorm`` is carried but not applied."""

    def __init__(self, c: VisionConfig) -> None:
        super().__init__()
        self.embeddings = ClipEmbeddings(c)
        self.pre_layrnorm = nn.LayerNorm(c.hidden, eps=c.eps)  # the name is CLIP's own spelling
        self.encoder = ClipEncoder(c)
        self.post_layernorm = nn.LayerNorm(c.hidden, eps=c.eps)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.pre_layrnorm(self.embeddings(pixels))
        for layer in self.encoder.layers:
            x = layer(x)
        return x[:, 1:]


# -------------------------------------------------------------------------------------------------- backbone


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class PLoRALinear(nn.Module):
    """A linear layer with two low-rank pairs that act at image positions only."""

    def __init__(self, c: Config, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.scale = c.alpha / c.rank
        self.Plora_main = nn.Linear(fan_in, fan_out, bias=False)
        self.Plora_A = nn.Linear(fan_in, c.rank, bias=False)
        self.Plora_B = nn.Linear(c.rank, fan_out, bias=False)
        self.Plora_seg_A = nn.Linear(c.hidden if fan_in == c.hidden else fan_in, c.rank, bias=False)
        self.Plora_seg_B = nn.Linear(c.rank, fan_out, bias=False)

    def forward(self, x: Tensor, image: slice | None, crayon: Tensor | None = None) -> Tensor:
        y = self.Plora_main(x)
        if image is None:
            return y
        delta = self.Plora_B(self.Plora_A(x[:, image]))
        if crayon is not None:
            delta = delta + self.Plora_seg_B(self.Plora_seg_A(crayon))
        return torch.cat([y[:, : image.start], y[:, image] + self.scale * delta, y[:, image.stop :]], 1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding by halves; ``cos`` and ``sin`` are ``[batch, 1, tokens, head_dim / 2]``."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        self.wqkv = PLoRALinear(c, c.hidden, (c.heads + 2 * c.kv_heads) * c.head_dim)
        self.wo = PLoRALinear(c, c.hidden, c.hidden)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, image: slice | None,
                crayon: Tensor | None, cache: list[Tensor] | None) -> Tensor:
        c, per_group = self.c, self.c.heads // self.c.kv_heads
        # Rows of wqkv: for each KV head its query heads, then one key head, then one value head.
        qkv = self.wqkv(x, image, crayon).unflatten(-1, (c.kv_heads, per_group + 2, c.head_dim))
        q = rotate(qkv[:, :, :, :per_group].flatten(2, 3).transpose(1, 2), *rope)
        k = rotate(qkv[:, :, :, per_group].transpose(1, 2), *rope)
        v = qkv[:, :, :, per_group + 1].transpose(1, 2)
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        k, v = (t.repeat_interleave(per_group, 1) for t in (k, v))
        causal = mask is None and q.shape[2] > 1
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.wo(y.transpose(1, 2).flatten(2), image, crayon)


class FeedForward(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.w1 = PLoRALinear(c, c.hidden, c.mlp)
        self.w2 = PLoRALinear(c, c.mlp, c.hidden)
        self.w3 = PLoRALinear(c, c.hidden, c.mlp)

    def forward(self, x: Tensor, image: slice | None, crayon: Tensor | None) -> Tensor:
        return self.w2(F.silu(self.w1(x, image, crayon)) * self.w3(x, image, crayon), image)


class Block(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(c.hidden, c.eps)
        self.attention = Attention(c)
        self.ffn_norm = RMSNorm(c.hidden, c.eps)
        self.feed_forward = FeedForward(c)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None, image: slice | None,
                crayon: Tensor | None, cache: list[Tensor] | None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rope, mask, image, crayon, cache)
        return x + self.feed_forward(self.ffn_norm(x), image, crayon)


class Backbone(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(c.vocab + 1, c.hidden)  # the last row belongs to <image>
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = RMSNorm(c.hidden, c.eps)


class CoLLaVO(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.c = c
        v = c.vision
        self.model = Backbone(c)
        self.output = nn.Linear(c.hidden, c.vocab, bias=False)
        self.vit = nn.ModuleDict({"vision_tower": nn.ModuleDict({"vision_model": ClipVisionModel(v)})})
        self.vision_proj = nn.Sequential(nn.Linear(v.hidden, c.hidden), nn.GELU(), nn.Linear(c.hidden, c.hidden))
        self.vision_proj_for_seg = nn.Sequential(
            nn.Linear(c.crayon_hidden, c.hidden), nn.GELU(), nn.Linear(c.hidden, c.hidden))
        self.seg_prompt_embed = nn.Embedding(c.semantic_rows, c.crayon_hidden)
        self.seg_num_embed = nn.Embedding(c.number_rows, c.crayon_hidden)
        half = c.head_dim // 2
        inverse = 1.0 / c.rope_theta ** (torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("inverse_frequency", inverse, persistent=False)

    # ---- the parts

    def embed_image(self, pixels: Tensor) -> Tensor:
        return self.vision_proj(self.vit["vision_tower"]["vision_model"](pixels))

    def crayon_prompt(self, semantic: Tensor, numbering: Tensor) -> Tensor:
        """Two maps ``[batch, grid, grid]`` of table rows -> ``[batch, cells, hidden]``, cells in row-major order."""
        return self.vision_proj_for_seg(self.seg_prompt_embed(semantic.flatten(1)) + self.seg_num_embed(numbering.flatten(1)))

    def backbone(self, x: Tensor, positions: Tensor, mask: Tensor | None = None, image: slice | None = None,
                 crayon: Tensor | None = None, caches: list[list[Tensor]] | None = None) -> Tensor:
        """Normed hidden states of ``x`` ``[batch, tokens, hidden]`` at ``positions`` ``[batch or 1, tokens]``."""
        angle = positions[:, None, :, None].float() * self.inverse_frequency
        rope = (angle.cos(), angle.sin())
        for i, layer in enumerate(self.model.layers):
            x = layer(x, rope, mask, image, crayon, caches[i] if caches else None)
        return self.model.norm(x)

    # ---- one prompt

    def prefill(self, ids: Tensor, pixels: Tensor, semantic: Tensor, numbering: Tensor,
                caches: list[list[Tensor]] | None = None) -> Tensor:
        """Logits ``[total, vocab]`` of one prompt whose ids hold exactly one ``<image>`` (= vocab)."""
        at = int((ids == self.c.vocab).nonzero()[0, 0])
        cells = self.embed_image(pixels[None])
        words = self.model.tok_embeddings(ids)[None]
        x = torch.cat([words[:, :at], cells, words[:, at + 1 :]], 1)
        positions = torch.arange(x.shape[1], device=x.device)[None]
        crayon = self.crayon_prompt(semantic[None], numbering[None])
        return self.output(self.backbone(x, positions, image=slice(at, at + cells.shape[1]), crayon=crayon, caches=caches))[0]

    @torch.no_grad()
    def generate(self, ids: Tensor, pixels: Tensor, semantic: Tensor, numbering: Tensor, stop: int, limit: int = 200) -> list[int]:
        """Greedy decoding up to, and without, ``stop``."""
        caches: list[list[Tensor]] = [[] for _ in self.model.layers]
        logits = self.prefill(ids, pixels, semantic, numbering, caches)[-1]
        out: list[int] = []
        position = len(ids) - 1 + self.c.vision.cells
        while len(out) < limit and (token := int(logits.argmax())) != stop:
            out.append(token)
            x = self.model.tok_embeddings(torch.tensor([[token]]))
            logits = self.output(self.backbone(x, torch.tensor([[position]]), caches=caches))[0, -1]
            position += 1
        return out


def initialise(model: CoLLaVO, seed: int) -> None:
    """Fresh weights: scaled normal for matrices, ones and zeros for norms and biases."""
    generator = torch.Generator().manual_seed(seed)
    depth = math.sqrt(2 * model.c.layers)
    for name, p in model.named_parameters():
        if p.dim() < 2:
            if name.endswith("class_embedding"):
                p.data.normal_(0, 0.02, generator=generator)
            else:
                p.data.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        if name in ("seg_prompt_embed.weight", "seg_num_embed.weight"):
            std = 1.0
        elif "embed" in name and "patch" not in name:
            std = 0.05
        else:
            std = 1 / math.sqrt(p[0].numel())
        if name.endswith(("wo.Plora_main.weight", "w2.Plora_main.weight")):
            std /= depth
        p.data.normal_(0, std, generator=generator)
        if name.endswith("position_embedding.weight"):
            # Rows and columns as cosines, about as strong as the patches: from small random values it takes very long
            # to learn which column a cell is in.
            grid = model.c.vision.grid
            waves = torch.cos((torch.arange(grid)[:, None] + 0.5) * torch.arange(1, grid + 1) * (math.pi / grid))
            mix = torch.empty(2, grid, p.shape[1]).normal_(0, 0.25, generator=generator)
            p.data[1:] += ((waves @ mix[0])[:, None] + (waves @ mix[1])[None, :]).flatten(0, 1)


# ------------------------------------------------------------------------------------------------------- NF4


def nf4_round_trip(weight: Tensor) -> Tensor:
    """The weight after bitsandbytes NF4 (block 64, double quantization) and back, in float32."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight.detach().float().contiguous(), blocksize=64, compress_statistics=True, quant_type="nf4")
    return dequantize_4bit(packed, state).float().reshape(weight.shape)


@contextmanager
def nf4_main_weights(model: CoLLaVO) -> Iterator[None]:
    """Within the block every ``Plora_main`` weight is its NF4 round trip; afterwards the exact weights are back.

    A backward pass inside is the straight-through estimate: gradients at the 4-bit weights, for the exact ones.
    """
    mains = [p for n, p in model.named_parameters() if "Plora_main" in n]
    exact = [p.data for p in mains]
    try:
        for p in mains:
            p.data = nf4_round_trip(p.data)
        yield
    finally:
        for p, data in zip(mains, exact):
            p.data = data


# ----------------------------------------------------------------------------------------- checkpoint folder


def config_json(c: Config, dtype: str) -> dict:
    """``config.json`` as the published model writes it, plus a Hugging Face ``vision_config``."""
    v = c.vision
    return {
        "architectures": ["CoLLaVOModel"], "model_type": "internlm", "vocab_size": c.vocab, "hidden_size": c.hidden,
        "intermediate_size": c.mlp, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads, "hidden_act": "silu", "max_position_embeddings": c.max_positions,
        "rms_norm_eps": c.eps, "bias": False, "rope_theta": c.rope_theta, "rope_scaling": None, "bos_token_id": 1,
        "eos_token_id": 2, "pad_token_id": 2, "max_length": c.max_positions, "torch_dtype": dtype, "use_cache": True,
        "vision_config": {
            "model_type": "clip_vision_model", "hidden_size": v.hidden, "num_hidden_layers": v.layers,
            "num_attention_heads": v.heads, "intermediate_size": v.mlp, "image_size": v.image_size,
            "patch_size": v.patch, "hidden_act": "quick_gelu", "layer_norm_eps": v.eps},
    }


def save(model: CoLLaVO, folder: Path) -> int:
    """Writes bfloat16 safetensors in two shards, their index and ``config.json``; returns the bytes of all weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.detach().to(torch.bfloat16).contiguous() for n, t in model.state_dict().items()}
    total = sum(t.nbytes for t in tensors.values())
    shards: tuple[dict, dict] = ({}, {})
    filled = 0
    for name, tensor in tensors.items():
        shards[0 if filled < total / 2 else 1][name] = tensor
        filled += tensor.nbytes
    index: dict = {"metadata": {"total_size": total}, "weight_map": {}}
    for shard, file in zip(shards, SHARD_NAMES):
        save_file(shard, folder / file, metadata={"format": "pt"})
        (folder / file).chmod(0o644)
        index["weight_map"].update(dict.fromkeys(shard, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text(json.dumps(config_json(model.c, "bfloat16"), indent=1) + "\n")
    return total


def load(folder: Path) -> CoLLaVO:
    """Reads a checkpoint folder into float32; sizes that ``config.json`` lacks are taken from the tensors."""
    j = json.loads((folder / "config.json").read_text())
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(index["weight_map"].values())):
        tensors.update(load_file(folder / file))
    tower = "vit.vision_tower.vision_model."
    hidden, _, patch, _ = tensors[tower + "embeddings.patch_embedding.weight"].shape
    cells = len(tensors[tower + "embeddings.position_embedding.weight"]) - 1
    layers = 1 + max(int(n.split(".")[5]) for n in tensors if n.startswith(tower + "encoder"))
    heads = j.get("vision_config", {}).get("num_attention_heads", j["num_attention_heads"])
    vision = VisionConfig(hidden, layers, heads, len(tensors[tower + "encoder.layers.0.mlp.fc1.weight"]), math.isqrt(cells) * patch, patch)
    rank = len(tensors["model.layers.0.attention.wo.Plora_A.weight"])
    c = Config(
        vocab=j["vocab_size"], hidden=j["hidden_size"], mlp=j["intermediate_size"], layers=j["num_hidden_layers"],
        heads=j["num_attention_heads"], kv_heads=j["num_key_value_heads"], eps=j["rms_norm_eps"], rope_theta=float(j["rope_theta"]),
        max_positions=j["max_position_embeddings"], rank=rank, alpha=rank,
        semantic_rows=len(tensors["seg_prompt_embed.weight"]), number_rows=len(tensors["seg_num_embed.weight"]),
        crayon_hidden=tensors["seg_prompt_embed.weight"].shape[1], vision=vision)
    model = CoLLaVO(c)
    model.load_state_dict({n: t.float() for n, t in tensors.items()})
    return model.eval()
