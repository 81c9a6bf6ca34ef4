"""GPTQ's and AWQ's layouts as their packers write them, from the published descriptions; for samples and comparisons.

Codes and zeros are `[in, out]` and `[groups, out]`, scales float16 `[groups, out]`.
"""

import numpy as np
import torch

Array = np.ndarray
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def words(values: Array) -> Array:
    """Eight 4-bit numbers of the last axis, lowest bits first, as an int32."""
    total = np.zeros(values.shape[:-1], np.uint32)
    for position in range(8):
        total |= values[..., position].astype(np.uint32) << np.uint32(4 * position)
    return total.view(np.int32)


def pack_gptq(
    name: str, codes: Array, zeros: Array, scales: Array, order: Array, version: int = 1
) -> dict[str, torch.Tensor]:
    inputs, out = codes.shape
    stored = (zeros - 1) & 15 if version == 1 else zeros
    return {
        f"{name}.qweight": torch.from_numpy(words(codes.reshape(inputs // 8, 8, out).transpose(0, 2, 1)).copy()),
        f"{name}.qzeros": torch.from_numpy(words(stored.reshape(len(zeros), out // 8, 8)).copy()),
        f"{name}.scales": torch.from_numpy(scales), f"{name}.g_idx": torch.from_numpy(order.astype(np.int32)),
    }  # fmt: skip


def gptq_dequantized(codes: Array, zeros: Array, scales: Array, order: Array) -> torch.Tensor:
    # float16 times a small integer, rounded once, as torch multiplies halves.
    values = torch.from_numpy(scales[order]) * torch.from_numpy((codes - zeros[order]).astype(np.float16))
    return values.T.contiguous()


def pack_awq(name: str, codes: Array, zeros: Array, scales: Array) -> dict[str, torch.Tensor]:
    inputs, out = codes.shape
    return {
        f"{name}.qweight": torch.from_numpy(words(codes.reshape(inputs, out // 8, 8)[..., AWQ_ORDER]).copy()),
        f"{name}.qzeros": torch.from_numpy(words(zeros.reshape(len(zeros), out // 8, 8)[..., AWQ_ORDER]).copy()),
        f"{name}.scales": torch.from_numpy(scales),
    }  # fmt: skip


def awq_dequantized(codes: Array, zeros: Array, scales: Array) -> torch.Tensor:
    return gptq_dequantized(codes, zeros, scales, np.arange(len(codes)) // (len(codes) // len(scales)))
