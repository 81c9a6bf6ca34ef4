"""Writes Tests/TrainingTests/Fixtures: what PyTorch, bitsandbytes and transformers make of gradients and schedules.

    python Scripts/reference/optimizer_fixture.py Tests/TrainingTests/Fixtures

`optimizer.safetensors`, for each case under its name:

    NAME.start [n], NAME.gradients [steps, n], NAME.rates [steps] (float64)
    NAME.values [steps, n]        the parameter after each step
    NAME.mkl_values [steps, n]    the same with the square roots that PyTorch takes from MKL
    NAME.m, NAME.v [n]            the moments at the end, or
    NAME.state1, NAME.absmax1, NAME.state2, NAME.absmax2

`NAME.values` are the library's own arithmetic except for one thing: square roots are correctly rounded. Those that PyTorch
takes from MKL are off by one unit in the last place for one number in six, differently on other machines.
`__metadata__` holds the cases' settings as JSON. `clipping.*` are gradients, their norm and what they were clipped to.

`schedules.json`: name -> learning rates of every update.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bitsandbytes as bnb
import numpy as np
import torch
from safetensors.torch import save_file
from torch.optim.lr_scheduler import CosineAnnealingLR
from transformers import optimization

CASES = {
    "torch": {"optimizer": "adamw", "count": 1003, "decay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "torch_plain": {"optimizer": "adamw", "count": 64, "decay": 0.0, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
    "small": {"optimizer": "adamw8bit", "count": 1003, "decay": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "blockwise": {"optimizer": "adamw8bit", "count": 4999, "decay": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8},
}
STEPS = 4


@contextmanager
def rounded_roots() -> Iterator[None]:
    mkl = torch.Tensor.sqrt
    torch.Tensor.sqrt = lambda self: torch.from_numpy(np.sqrt(self.numpy()))
    try:
        yield
    finally:
        torch.Tensor.sqrt = mkl


def optimizer(case: dict, parameter: torch.nn.Parameter) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if case["optimizer"] == "adamw" else bnb.optim.AdamW8bit
    betas = (case["beta1"], case["beta2"])
    return kind([parameter], lr=1e-3, betas=betas, eps=case["epsilon"], weight_decay=case["decay"])


def run(case: dict, start: np.ndarray, gradients: np.ndarray, rates: list[float]) -> tuple[np.ndarray, dict]:
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    adamw = optimizer(case, parameter)
    values = []
    for gradient, rate in zip(gradients, rates, strict=True):
        adamw.param_groups[0]["lr"] = rate
        parameter.grad = torch.from_numpy(gradient.copy())
        adamw.step()
        values.append(parameter.detach().numpy().copy())
    return np.stack(values), adamw.state[parameter]


def optimizers() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(11)
    tensors = {}
    for name, case in CASES.items():
        count = case["count"]
        start = rng.standard_normal(count, dtype=np.float32) * np.float32(0.05)
        size = 10.0 ** rng.uniform(-6, 0, (STEPS, count))
        gradients = (rng.standard_normal((STEPS, count)) * size).astype(np.float32)
        gradients[:, 5] = 0
        if count > 512:
            gradients[:3, 256:512] = 0  # a block of nothing
        rates = [1e-3 * (1 - 0.1 * step) for step in range(STEPS)]
        with rounded_roots():
            values, state = run(case, start, gradients, rates)
        mkl_values, _ = run(case, start, gradients, rates)
        kept = {
            "start": start,
            "gradients": gradients,
            "rates": np.array(rates),
            "values": values,
            "mkl_values": mkl_values,
        }
        if "exp_avg" in state:
            kept |= {"m": state["exp_avg"].numpy(), "v": state["exp_avg_sq"].numpy()}
        elif "absmax1" not in state:
            kept |= {"m": state["state1"].numpy(), "v": state["state2"].numpy()}
        else:
            kept |= {key: state[key].numpy() for key in ("state1", "absmax1", "state2", "absmax2")}
        tensors |= {f"{name}.{part}": torch.from_numpy(np.ascontiguousarray(array)) for part, array in kept.items()}
    return tensors


def clipping() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((7, 30), (300,), (1, 1))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    tensors = {f"clipping.gradient{i}": p.grad.clone() for i, p in enumerate(parameters)}
    tensors["clipping.norm"] = torch.nn.utils.clip_grad_norm_(parameters, 1.5).reshape(1)
    return tensors | {f"clipping.clipped{i}": p.grad.clone() for i, p in enumerate(parameters)}


def schedules() -> dict[str, list[float]]:
    def fresh(rate: float = 1e-4) -> torch.optim.Optimizer:
        return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)

    def rates(scheduler: torch.optim.lr_scheduler.LRScheduler, updates: int) -> list[float]:
        values = []
        for _ in range(updates):
            values.append(scheduler.get_last_lr()[0])
            scheduler.optimizer.step()
            scheduler.step()
        return values

    closed = []
    scheduler = CosineAnnealingLR(fresh(), T_max=40, eta_min=1e-6)
    for update in range(41):
        scheduler.last_epoch = update
        closed.append(scheduler._get_closed_form_lr()[0])
    return {
        "cosine_annealing": closed,
        "cosine_annealing_recursive": rates(CosineAnnealingLR(fresh(), T_max=40, eta_min=1e-6), 40),
        "cosine_min_lr_warmup": rates(
            optimization.get_cosine_with_min_lr_schedule_with_warmup(fresh(), 5, 40, min_lr=1e-6), 40
        ),
        "cosine_warmup": rates(optimization.get_cosine_schedule_with_warmup(fresh(), 5, 40), 40),
        "linear_warmup": rates(optimization.get_linear_schedule_with_warmup(fresh(), 4, 40), 40),
        "constant_warmup": rates(optimization.get_constant_schedule_with_warmup(fresh(), 7), 40),
    }


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tensors = optimizers() | clipping()
    save_file(tensors, folder / "optimizer.safetensors", metadata={"cases": json.dumps(CASES)})
    (folder / "schedules.json").write_text(json.dumps(schedules(), indent=1) + "\n")


if __name__ == "__main__":
    main()
