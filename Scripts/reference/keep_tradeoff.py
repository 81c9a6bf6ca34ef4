#!/usr/bin/env python3
"""Prints what keeping a small change in a 4-bit weight costs, and what no NF4 tensor can do better than.

    python keep_tradeoff.py                      1024 x 1024, rank 16, changes of 0.2 % to 10 %
    python keep_tradeoff.py --rows 2048 --columns 4096 --ratios 0.01

W is a Gaussian weight after bitsandbytes NF4 (blocks of 64, double quantization); D a change of low rank whose factors
are Gaussian, or heavy-tailed (Student's t with 3 degrees of freedom, rows scaled log-normally by 0.7). Columns, all norms
Frobenius:

    keeps        <Q - W, D> / |D|^2
    error        |Q - (W + D)| / |D|, and over plain requantization's
    of W         the same error over |W|; NF4 itself is 9.2 % from the 16-bit weight
    moved        elements whose value changed
    inside       |U^T (Q - W - D) V| / |D|, U and V being the spaces of D's columns and rows
    reads        |(Q - W) x - D x| / |D x| for x in V; `any x` for x in all directions
    rows         5 %, 50 % and 95 % of the retentions of single rows

and by line:

    plain        dequantize, add, quantize: what peers do
    one t        levels nearest to W + t D under W's scales, one t for all: the exact optimum for its retention
    rows         a t for each row, as Crayon's KeepingRounder chooses it (independent of it: torch, whole tensors)
    bound        no NF4 tensor with these blocks, whatever its scales, that keeps as much has a smaller error

The bound: for every E = Q - W

    |E - D|^2 = |E - t D|^2 + 2 (t - 1) <E, D> + (1 - t^2) |D|^2

so that all Q that keep at least r have |E - D|^2 >= min |Q' - W - t D|^2 + (2 (t - 1) r + 1 - t^2) |D|^2 for every t >= 1.
The minimum over all codes and all real scales is taken exactly, block by block: as a scale falls from infinity the codes
change at 15 points for each element, and between two of them the error is a parabola.

Needs torch, numpy and bitsandbytes. It takes about half an hour; --no-bound leaves out what takes long.
"""

import argparse
import os

os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")

import numpy as np
import torch
from bitsandbytes import functional as bnb
from torch import Tensor

NF4 = torch.tensor(bnb.get_4bit_type("nf4", device="cpu").tolist())
THRESHOLDS = (NF4[:-1] + NF4[1:]) / 2
BLOCK = 64


class Case:
    """A quantized weight and a change of it."""

    def __init__(self, rows: int, columns: int, rank: int, ratio: float, kind: str, seed: int) -> None:
        make = torch.Generator().manual_seed(seed)
        self.last = 1.0
        self.packed, self.state = self.quantize(torch.randn(rows, columns, generator=make) * 0.02)
        self.weight = bnb.dequantize_4bit(self.packed, self.state)
        nested = self.state.state2
        codes = self.state.absmax.long()
        scale = nested.code[codes] * nested.absmax.repeat_interleave(256)[: len(codes)]
        self.scale = (scale + self.state.offset).repeat_interleave(BLOCK).reshape(rows, columns)
        assert torch.equal(self.nearest(self.weight), self.weight)

        def factor(count: int) -> Tensor:
            normal = torch.randn(count, rank, generator=make)
            if kind == "gaussian":
                return normal
            chi = torch.randn(count, rank, 3, generator=make).pow(2).mean(-1).sqrt()
            return normal / chi * torch.exp(0.7 * torch.randn(count, 1, generator=make))

        delta = factor(rows) @ factor(columns).T
        self.delta = delta * (ratio * self.weight.norm() / delta.norm())
        u, _, v = torch.linalg.svd(self.delta, full_matrices=False)
        self.u, self.v = u[:, :rank], v[:rank].T
        self.inputs = torch.randn(columns, 128, generator=make), self.v @ torch.randn(rank, 128, generator=make)

    @staticmethod
    def quantize(weight: Tensor) -> tuple[Tensor, bnb.QuantState]:
        return bnb.quantize_4bit(weight, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")

    def nearest(self, target: Tensor) -> Tensor:
        return NF4[torch.bucketize(target / self.scale, THRESHOLDS)] * self.scale

    def plain(self) -> Tensor:
        return bnb.dequantize_4bit(*self.quantize(self.weight + self.delta))

    def retention(self, merged: Tensor) -> float:
        return (((merged - self.weight) * self.delta).sum() / self.delta.pow(2).sum()).item()

    def one(self, wanted: float) -> Tensor:
        low, high = 1.0, 1000.0
        if self.retention(self.nearest(self.weight + self.delta)) >= wanted:
            high = 1.0
        while high / low > 1.0005:
            middle = (low * high) ** 0.5
            enough = self.retention(self.nearest(self.weight + middle * self.delta)) >= wanted
            low, high = (low, middle) if enough else (middle, high)
        self.last = high
        return self.nearest(self.weight + high * self.delta)

    def rows(self, emphasis: float) -> Tensor:
        """Each row at the t where t = 1 + emphasis (1 - retention), on the better side of a jump."""
        squared = self.delta.pow(2).sum(1, keepdim=True)
        low = torch.ones(len(squared), 1)
        high = torch.full_like(low, 1 + emphasis)

        def at(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            merged = self.nearest(self.weight + t * self.delta)
            change = merged - self.weight
            kept = (change * self.delta).sum(1, keepdim=True) / squared
            cost = change.pow(2).sum(1, keepdim=True) / squared - 2 * kept + emphasis * (1 - kept).pow(2)
            return merged, kept, cost

        for _ in range(14):
            middle = (low * high).sqrt()
            below = middle - 1 < emphasis * (1 - at(middle)[1])
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        (first, _, a), (second, _, b) = at(low), at(high)
        return torch.where(a <= b, first, second)

    def rows_keeping(self, wanted: float) -> Tensor:
        low, high = 0.01, 1010.0
        while high / low > 1.05:
            middle = (low * high) ** 0.5
            low, high = (low, middle) if self.retention(self.rows(middle)) >= wanted else (middle, high)
        return self.rows(high)

    def bound(self, wanted: float) -> float:
        """A lower bound of |E - D| / |D| over all codes and scales."""
        weight = self.weight.reshape(-1, BLOCK).double().numpy()
        delta = self.delta.reshape(-1, BLOCK).double().numpy()
        squared, best = (delta**2).sum(), 0.0
        # Any t gives a bound; the best is a little below that of the rounding that leaves the scales alone.
        for share in (0.92, 0.96, 1.0):
            t = max(1.0, share * self.last)
            runs = range(0, len(weight), 1024)
            distance = sum(any_scale(weight[i : i + 1024] + t * delta[i : i + 1024]) for i in runs)
            best = max(best, distance / squared + 2 * (t - 1) * wanted + 1 - t * t)
        return best**0.5


def any_scale(target: np.ndarray) -> float:
    """The least squared distance of blocks from any 16 levels times any real number, over all blocks."""
    levels = NF4.double().numpy()
    thresholds = (levels[:-1] + levels[1:]) / 2
    found = []
    for sign in (1, -1):
        y = (sign * target)[:, :, None]
        up = np.where(y > 0, y / thresholds[7:], 0.0)
        down = np.where(y < 0, y / thresholds[:7], 0.0)
        scale = np.concatenate([up, down], 2).reshape(len(target), -1)
        order = np.argsort(-scale, 1)
        scale = np.take_along_axis(scale, order, 1)

        def running(rise: np.ndarray, fall: np.ndarray, order: np.ndarray = order) -> np.ndarray:
            steps = np.concatenate([rise, fall], 2).reshape(len(target), -1)
            return np.cumsum(np.take_along_axis(steps, order, 1), 1)

        square_up, square_down = levels[8:] ** 2 - levels[7:-1] ** 2, levels[:7] ** 2 - levels[1:8] ** 2
        squares = running(np.broadcast_to(square_up, up.shape), np.broadcast_to(square_down, down.shape))
        products = running((levels[8:] - levels[7:-1]) * y, (levels[:7] - levels[1:8]) * y)
        least = np.concatenate([scale[:, 1:], np.zeros((len(target), 1))], 1)
        best = np.clip(products / np.maximum(squares, 1e-300), least, scale)
        value = np.where(scale > 0, best * best * squares - 2 * best * products, np.inf)
        found.append(value.min(1))
    return float(np.minimum(*found).sum() + (target**2).sum())


def line(name: str, case: Case, merged: Tensor, plain: float) -> float:
    change = merged - case.weight
    error, norm = change - case.delta, case.delta.norm()
    ratio = (error.norm() / norm).item()
    inside = ((case.u.T @ error @ case.v).norm() / norm).item()
    outputs = [((error @ x).norm() / (case.delta @ x).norm()).item() for x in case.inputs]
    kept = (change * case.delta).sum(1) / case.delta.pow(2).sum(1)
    spread = " ".join(f"{q:5.2f}" for q in torch.quantile(kept, torch.tensor([0.05, 0.5, 0.95])).tolist())
    of_weight = (error.norm() / case.weight.norm()).item()
    moved = (change != 0).float().mean().item()
    print(f"  {name:14} {100 * case.retention(merged):6.1f} % {ratio:7.3f} {ratio / (plain or ratio):6.2f} x "
          f"{100 * of_weight:6.2f} % {100 * moved:6.2f} % "
          f"{inside:7.3f} {outputs[1]:7.3f} {outputs[0]:7.2f}   {spread}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.002, 0.005, 0.01, 0.02, 0.05, 0.1])
    parser.add_argument("--kinds", nargs="+", default=["gaussian", "heavy-tailed"])
    parser.add_argument("--no-bound", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for kind in args.kinds:
        for ratio in args.ratios:
            case = Case(args.rows, args.columns, args.rank, ratio, kind, args.seed)
            print(f"{kind}, {100 * ratio:g} % of |W|")
            print(f"  {'':14} {'keeps':>8} {'error':>7} {'plain':>8} {'of W':>8} {'moved':>8} {'inside':>7} "
                  f"{'reads':>7} {'any x':>7}   rows")
            plain = line("plain", case, case.plain(), 0)
            for wanted in (0.8, 0.95):
                line("one t", case, case.one(wanted), plain)
                line("rows", case, case.rows_keeping(wanted), plain)
                if args.no_bound:
                    continue
                bound = case.bound(wanted)
                print(f"  {'bound':14} {100 * wanted:6.1f} % {bound:7.3f} {bound / plain:6.2f} x", flush=True)


if __name__ == "__main__":
    main()
