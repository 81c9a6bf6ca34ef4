"""The model family in plain float32 PyTorch: functions over a dictionary of tensors.

Written from the formulas (paper, published configuration files, file formats), not from anyone's modules, and
sharing no code with the Swift runtime, so that the two can be held against each other. Nothing here is fast.

Tensor names are the canonical roles that `checkpoints.py` maps every layout to:

    embeddings.tokens.weight [rows, hidden]         head.weight [vocab, hidden] (absent when tied)
    backbone.norm.weight, backbone.layers.N.{attention_norm,mlp_norm}.weight
    backbone.layers.N.attention.{qkv | q, k, v},o.{weight,bias}
    backbone.layers.N.mlp.{gate,up,down}.{weight,bias}
    vision.{class_embedding, patch_embedding.weight, position_embedding.weight, pre_norm.{weight,bias}}
    vision.layers.N.{attention.{q,k,v,o}, norm1, norm2, mlp.fc1, mlp.fc2}.{weight,bias}
    projectors.{image,crayon}.{0,2}.{weight,bias}   crayon.{semantic,numbering}.weight
    adapters.SET.layers.N.{attention.qkv, attention.o, mlp.gate, ...}.{a,b}.weight     a [r, in], b [out, r]

Shapes are written without a batch axis: one prompt at a time, `n` positions after the images are spliced in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding. `kind` is "none", "linear", "dynamic" (dynamic NTK), "llama3" or "longrope".

    Of longrope: one list of factors for all lengths, attention as it is.
    """

    base: float = 10000.0
    kind: str = "none"
    factor: float = 1.0
    max_positions: int = 2048
    low: float = 1.0  # llama3: low_freq_factor, high_freq_factor, original_max_position_embeddings
    high: float = 4.0
    original: int = 8192
    factors: tuple[float, ...] = ()  # longrope


@dataclass(frozen=True)
class Backbone:
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocab: int
    eps: float
    rope: Rope
    sliding_window: int | None = None  # a query sees keys j with i - window < j <= i
    first_windowed_layer: int = 0  # layers before it see everything (Qwen2)


@dataclass(frozen=True)
class Vision:
    width: int
    layers: int
    heads: int
    mlp: int
    patch: int
    image_size: int  # side in pixels of the position grid that the checkpoint holds
    eps: float = 1e-5
    activation: str = "quick_gelu"


@dataclass(frozen=True)
class LowRankSet:
    name: str
    scale: float  # alpha / r, or alpha / sqrt(r) for rslora
    scope: str = "image"  # "image" or "all" positions
    source: str = "hidden"  # "hidden": the layer's own input; "crayon": the crayon prompt


@dataclass(frozen=True)
class Model:
    backbone: Backbone
    tensors: Tensors
    vision: Vision | None = None
    sets: tuple[LowRankSet, ...] = ()
    crayon_entry: str = "none"  # "none", "low-rank" (through sets with source "crayon") or "additive"

    def with_tensors(self, changed: Tensors) -> Model:
        """The same model with some tensors replaced."""
        return replace(self, tensors={**self.tensors, **changed})

    def with_sets(self, names: list[str]) -> Model:
        """The same model with only the named low-rank sets active."""
        return replace(self, sets=tuple(s for s in self.sets if s.name in names))


@dataclass(frozen=True)
class Prompt:
    """One prompt. `input_ids` holds the id `vocab` wherever an image stands."""

    input_ids: Tensor  # [n_ids] int64
    pixel_values: Tensor | None = None  # [3, H, W] or [images, 3, H, W], normalised
    semantic_map: Tensor | None = None  # [g, g] or [images, g, g], rows of the semantic table
    numbering_map: Tensor | None = None  # likewise, rows of the numbering table


@dataclass(frozen=True)
class Context:
    """What every layer of one forward pass needs."""

    cos: Tensor  # [n, head_dim]
    sin: Tensor  # [n, head_dim]
    masks: tuple[Tensor, ...]  # of each layer: [n, n], 0 where visible, -inf where not
    image: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))  # [n]
    crayon: Tensor | None = None  # [n image positions, hidden]


# ---- vision ---------------------------------------------------------------------------------------------------


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """Resize a CLIP position table [1 + g*g, width] to [1 + grid*grid, width]; the class position is kept.

    Bicubic with a = -0.75, align_corners false, no antialias, in float32. (CoLLaVO's own loader then rounds the
    patch positions to float16 once; that rounding is left out, as a float32 checkpoint of its own has no use for it.)
    """
    side = math.isqrt(table.shape[0] - 1)
    assert side * side == table.shape[0] - 1, "the position table is not a class row and a square grid"
    if side == grid:
        return table
    patches = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:1], patches[0].permute(1, 2, 0).reshape(grid * grid, -1)])


def clip_activation(x: Tensor, kind: str) -> Tensor:
    if kind == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    if kind == "gelu":
        return F.gelu(x)
    raise ValueError(f"no activation {kind!r}")


def clip_hidden_states(model: Model, pixels: Tensor) -> Tensor:
    """CLIP's last hidden state with the class token, [1 + patches, width], without the post layer norm."""
    v, t = model.vision, model.tensors
    assert v is not None
    x = F.conv2d(pixels[None], t["vision.patch_embedding.weight"], stride=v.patch)[0]  # [width, g, g]
    assert x.shape[1] == x.shape[2], "only square images"
    x = x.flatten(1).T
    positions = resize_positions(t["vision.position_embedding.weight"], math.isqrt(x.shape[0]))
    x = torch.cat([t["vision.class_embedding"].reshape(1, -1), x]) + positions

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (v.width,), t[f"{name}.weight"], t[f"{name}.bias"], v.eps)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ t[f"{name}.weight"].T + t[f"{name}.bias"]

    def heads(x: Tensor) -> Tensor:  # [n, width] -> [heads, n, head_dim]
        return x.reshape(x.shape[0], v.heads, v.width // v.heads).transpose(0, 1)

    x = norm(x, "vision.pre_norm")
    for n in range(v.layers):
        at = f"vision.layers.{n}"
        h = norm(x, f"{at}.norm1")
        q, k, w = (heads(linear(h, f"{at}.attention.{part}")) for part in "qkv")
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(v.width // v.heads), dim=-1)
        x = x + linear((weights @ w).transpose(0, 1).reshape(x.shape), f"{at}.attention.o")
        h = clip_activation(linear(norm(x, f"{at}.norm2"), f"{at}.mlp.fc1"), v.activation)
        x = x + linear(h, f"{at}.mlp.fc2")
    return x


def project(model: Model, x: Tensor, which: str) -> Tensor:
    """A projector: linear, exact GELU (erf), linear. `which` is "image" or "crayon"."""
    t, at = model.tensors, f"projectors.{which}"
    x = F.gelu(x @ t[f"{at}.0.weight"].T + t[f"{at}.0.bias"], approximate="none")
    return x @ t[f"{at}.2.weight"].T + t[f"{at}.2.bias"]


def crayon_prompt(model: Model, semantic: Tensor, numbering: Tensor) -> Tensor:
    """The crayon prompt of one image, [g*g, hidden], from its two maps [g, g]."""
    t = model.tensors
    rows = t["crayon.semantic.weight"][semantic.flatten()] + t["crayon.numbering.weight"][numbering.flatten()]
    return project(model, rows, "crayon")


# ---- backbone -------------------------------------------------------------------------------------------------


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def rope_tables(rope: Rope, head_dim: int, n: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [n, head_dim] for positions 0 ..< n of a sequence of n positions, float32 throughout.

    inv_freq[i] = 1 / base^(2i / head_dim);   angle[p, i] = p * inv_freq[i]
    linear:  p is divided by `factor`.
    dynamic: for n > max_positions, base is replaced by
             base * (factor * n / max_positions - (factor - 1)) ^ (head_dim / (head_dim - 2)),
             n being the length of the whole sequence in this pass; up to max_positions nothing changes.
    llama3:  a wavelength w = 2 pi / inv_freq above original / low has inv_freq / factor; one below original / high keeps its
             own; between, with s = (original / w - low) / (high - low), (1 - s) inv_freq / factor + s inv_freq.
    longrope: inv_freq[i] is divided by factors[i].
    Both halves of a head use the same angles (rotate-half, not interleaved pairs).
    """
    base = rope.base
    if rope.kind == "dynamic" and n > rope.max_positions:
        stretch = rope.factor * n / rope.max_positions - (rope.factor - 1)
        base = base * stretch ** (head_dim / (head_dim - 2))
    inv_freq = 1.0 / (base ** (torch.arange(0, head_dim, 2).float() / head_dim))
    if rope.kind == "llama3":
        wavelength = 2 * math.pi / inv_freq
        share = ((rope.original / wavelength - rope.low) / (rope.high - rope.low)).clamp(0, 1)
        inv_freq = (1 - share) * inv_freq / rope.factor + share * inv_freq
    if rope.kind == "longrope":
        inv_freq = inv_freq / torch.tensor(rope.factors)
    positions = torch.arange(n).float()
    if rope.kind == "linear":
        positions = positions / rope.factor
    angles = positions[:, None] * inv_freq[None]
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, context: Context) -> Tensor:
    """Apply RoPE to [heads, n, head_dim]."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * context.cos + turned * context.sin


def linear(model: Model, layer: int, module: str, x: Tensor, context: Context) -> Tensor:
    """A linear layer of a block with its low-rank pairs.

    y = x W^T + bias; for every set that has a pair here, at the positions of its scope,
    y += (input A^T B^T) * scale, where input is x or the crayon prompt. A crayon pair is left out in `mlp.down`:
    the published code does not hand the crayon prompt to it, although the checkpoint carries the pair.
    """
    t = model.tensors
    y = x @ t[f"backbone.layers.{layer}.{module}.weight"].T
    bias = t.get(f"backbone.layers.{layer}.{module}.bias")
    if bias is not None:
        y = y + bias
    for s in model.sets:
        at = f"adapters.{s.name}.layers.{layer}.{module}"
        if f"{at}.a.weight" not in t:
            continue
        a, b = t[f"{at}.a.weight"], t[f"{at}.b.weight"]
        if s.source == "crayon":
            assert s.scope == "image", "there is no crayon prompt outside the image positions"
            if context.crayon is not None and module != "mlp.down":
                y[context.image] += (context.crayon @ a.T @ b.T) * s.scale
        elif s.scope == "image":
            y[context.image] += (x[context.image] @ a.T @ b.T) * s.scale
        else:
            y = y + (x @ a.T @ b.T) * s.scale
    return y


def query_key_value(model: Model, layer: int, x: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [heads, n, d], keys and values [kv_heads, n, d], before RoPE.

    Fused rows (InternLM2) are grouped per KV head: heads/kv_heads query heads, one key head, one value head.
    """
    c, n = model.backbone, x.shape[0]
    d, group = c.head_dim, c.heads // c.kv_heads
    if f"backbone.layers.{layer}.attention.qkv.weight" in model.tensors:
        fused = linear(model, layer, "attention.qkv", x, context).reshape(n, c.kv_heads, group + 2, d)
        q = fused[:, :, :group].reshape(n, c.heads, d)
        k, v = fused[:, :, group], fused[:, :, group + 1]
    else:
        q = linear(model, layer, "attention.q", x, context).reshape(n, c.heads, d)
        k = linear(model, layer, "attention.k", x, context).reshape(n, c.kv_heads, d)
        v = linear(model, layer, "attention.v", x, context).reshape(n, c.kv_heads, d)
    return q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)


def attention(model: Model, layer: int, x: Tensor, context: Context) -> Tensor:
    """Causal self-attention of one block; `x` [n, hidden] is already normalised.

    Additive crayon entry: the crayon prompt is added to the normalised features of the image positions here, before
    the query, key and value projections (and so before their low-rank pairs); the residual stream does not get it.
    """
    c = model.backbone
    if model.crayon_entry == "additive" and context.crayon is not None:
        x = x.clone()
        x[context.image] += context.crayon
    q, k, v = query_key_value(model, layer, x, context)
    q, k = rotate(q, context), rotate(k, context)
    k, v = (w.repeat_interleave(c.heads // c.kv_heads, dim=0) for w in (k, v))
    weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(c.head_dim) + context.masks[layer], dim=-1)
    mixed = (weights @ v).transpose(0, 1).reshape(x.shape[0], c.heads * c.head_dim)
    return linear(model, layer, "attention.o", mixed, context)


def mlp(model: Model, layer: int, x: Tensor, context: Context) -> Tensor:
    """SwiGLU: down(silu(gate x) * up x)."""
    gate = linear(model, layer, "mlp.gate", x, context)
    up = linear(model, layer, "mlp.up", x, context)
    return linear(model, layer, "mlp.down", F.silu(gate) * up, context)


def block(model: Model, layer: int, x: Tensor, context: Context) -> Tensor:
    t, at, eps = model.tensors, f"backbone.layers.{layer}", model.backbone.eps
    x = x + attention(model, layer, rms_norm(x, t[f"{at}.attention_norm.weight"], eps), context)
    return x + mlp(model, layer, rms_norm(x, t[f"{at}.mlp_norm.weight"], eps), context)


# ---- the whole ------------------------------------------------------------------------------------------------


def causal_mask(n: int, window: int | None) -> Tensor:
    """[n, n]: 0 where query i may see key j (j <= i, and i - j < window if there is one), -inf elsewhere."""
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    visible = j <= i
    if window is not None:
        visible &= i - j < window
    return torch.zeros(n, n).masked_fill(~visible, float("-inf"))


def splice(model: Model, prompt: Prompt) -> tuple[Tensor, Tensor, Tensor | None]:
    """Embeddings [n, hidden], image positions [n] and the crayon prompt [image positions, hidden] of a prompt.

    Every placeholder is replaced by its own image's patch embeddings, in order of appearance. Without maps the
    crayon prompt is that of row 0 ("unknown") everywhere.
    """
    c, t = model.backbone, model.tensors
    images = (
        [] if prompt.pixel_values is None else list(prompt.pixel_values.reshape(-1, *prompt.pixel_values.shape[-3:]))
    )
    assert int((prompt.input_ids == c.vocab).sum()) == len(images), "placeholders and images differ in number"
    embedded, is_image, crayons = [], [], []
    for token in prompt.input_ids.tolist():
        if token != c.vocab:
            embedded.append(t["embeddings.tokens.weight"][token][None])
            is_image.append(torch.zeros(1, dtype=torch.bool))
            continue
        k = len(crayons)
        patches = project(model, clip_hidden_states(model, images[k])[1:], "image")
        side = math.isqrt(patches.shape[0])
        maps = [
            torch.zeros(side, side, dtype=torch.long) if m is None else m.reshape(-1, *m.shape[-2:])[k]
            for m in (prompt.semantic_map, prompt.numbering_map)
        ]
        assert all(m.shape == (side, side) for m in maps), "a crayon map is not of the patch grid's size"
        crayons.append(crayon_prompt(model, *maps))
        embedded.append(patches)
        is_image.append(torch.ones(side * side, dtype=torch.bool))
    return torch.cat(embedded), torch.cat(is_image), torch.cat(crayons) if crayons else None


def forward_embedded(model: Model, x: Tensor, image: Tensor, crayon: Tensor | None) -> Tensor:
    """Logits [n, vocab] of spliced embeddings [n, hidden]."""
    c, t = model.backbone, model.tensors
    cos, sin = rope_tables(c.rope, c.head_dim, x.shape[0])
    masks = tuple(
        causal_mask(x.shape[0], c.sliding_window if layer >= c.first_windowed_layer else None)
        for layer in range(c.layers)
    )
    context = Context(cos, sin, masks, image, crayon)
    for layer in range(c.layers):
        x = block(model, layer, x, context)
    x = rms_norm(x, t["backbone.norm.weight"], c.eps)
    return x @ t.get("head.weight", t["embeddings.tokens.weight"]).T


def logits(model: Model, prompt: Prompt) -> Tensor:
    """Logits [n, vocab] of a whole prompt, which autograd can follow back."""
    return forward_embedded(model, *splice(model, prompt))


@torch.no_grad()
def forward(model: Model, prompt: Prompt) -> Tensor:
    """Logits [n, vocab] of a whole prompt."""
    return logits(model, prompt)


@dataclass(frozen=True)
class Greedy:
    tokens: list[int]
    margin: float  # smallest lead of the best logit over the second, so that a tie cannot hide behind rounding


@torch.no_grad()
def greedy(model: Model, prompt: Prompt, steps: int) -> Greedy:
    """Greedy continuation without a cache: every step is a full pass over the prompt and all tokens so far.

    The images' low-rank sets and crayon prompt act at the image positions in every pass, which is what a cache
    keeps. With dynamic RoPE every pass uses its own length, so cached keys have to be stored unrotated to agree.
    """
    x, image, crayon = splice(model, prompt)
    tokens: list[int] = []
    margin = math.inf
    for _ in range(steps):
        top = torch.topk(forward_embedded(model, x, image, crayon)[-1], 2)
        margin = min(margin, float(top.values[0] - top.values[1]))
        tokens.append(int(top.indices[0]))
        x = torch.cat([x, model.tensors["embeddings.tokens.weight"][tokens[-1]][None]])
        image = torch.cat([image, torch.zeros(1, dtype=torch.bool)])
    return Greedy(tokens, margin)
