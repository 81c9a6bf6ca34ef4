"""Writes Formats/samples/plans: plans of training, each as it may be given and in full, and plans that are refused.

    python Scripts/reference/plan_samples.py

Written from `Formats/training-run.md` alone: the defaults are that page's.
"""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "Formats/samples/plans"

DEFAULTS = {
    "stage": None, "learns": None, "sets": [], "active_sets": None, "crayon": True, "rate": 1e-4, "final_rate": 1e-6,
    "schedule": "cosine", "warmup_updates": 0, "sequences": 16, "batch_size": 1, "epochs": 1.0, "max_length": None,
    "optimizer": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0, "decays_vectors": False,
    "clip_norm": 1.0, "dropout": 0.0, "recomputed_blocks": 1, "arithmetic": "int16", "seed": 0, "most_skipped": 5,
    "evaluate_every": None, "sample_every": None, "checkpoint_every": None, "kept_checkpoints": 2,
}  # fmt: skip
SHORT = {"stage": "short", "learns": [{"part": "crayon"}]}
SET = {"name": "object", "rank": 64, "alpha": 64.0, "rslora": False, "modules": None}


def full(given: dict, **resolved: object) -> dict:
    plan = DEFAULTS | given | resolved
    for one, other in (("warmup_ratio", "warmup_updates"), ("updates", "epochs")):
        if given.get(one) is not None:
            plan = {one if key == other else key: plan[one] if key == other else value
                    for key, value in plan.items() if key != one}  # fmt: skip
    return plan


def valid() -> dict[str, tuple[dict, dict]]:
    stage = {"stage": "image-cit", "learns": [{"part": "adapters:object"}], "sets": [{"name": "object"}]}
    rates = {"stage": "cpt", "rate": 1e-3, "final_rate": 0.0,
             "learns": [{"part": "crayon", "rate": 5e-3, "final_rate": 1e-5}, {"part": "projectors", "weight_decay": 0.1}]}  # fmt: skip
    numbers = {"stage": "numbers", "learns": [{"part": "adapters"}], "active_sets": ["a", "b"], "crayon": False,
               "schedule": "linear", "warmup_ratio": 0.03, "updates": 500, "sequences": 32, "batch_size": 4,
               "max_length": 2048, "optimizer": "adamw8bit", "clip_norm": None, "arithmetic": "float32", "seed": 7, "checkpoint_every": 100}  # fmt: skip
    low = {"stage": "low", "learns": [{"part": "crayon"}], "rate": 1e-8}
    sets = {"stage": "sets", "learns": [{"part": "adapters:a"}],
            "sets": [{"name": "a", "rank": 8, "rslora": True, "modules": ["attention.q", "mlp.down"]}]}  # fmt: skip
    return {
        "short": (SHORT, full(SHORT)),
        "image-cit": (stage, full(stage, sets=[SET])),
        "rates": (rates, full(rates)),
        "numbers": (numbers, full(numbers)),
        # The final rate is never above the rate.
        "low-rate": (low, full(low, final_rate=1e-8)),
        # Alpha is the rank where it is not given.
        "sets": (sets, full(sets, sets=[sets["sets"][0] | {"alpha": 8.0}])),
    }


def invalid() -> dict[str, tuple[object, str]]:
    def but(**members: object) -> dict:
        return SHORT | members

    return {
        "a-list": ([SHORT], "expected an object"),
        "no-stage": ({"learns": SHORT["learns"]}, "key 'stage'"),
        "stage-with-space": (but(stage="a b"), "key 'stage'"),
        "learns-nothing": (but(learns=[]), "key 'learns'"),
        "learns-the-head": (but(learns=[{"part": "head"}]), "key 'learns[0].part'"),
        "part-twice": (but(learns=SHORT["learns"] * 2), "key 'learns[1].part'"),
        "key-misspelt": (but(learning_rate=1e-4), "key 'learning_rate'"),
        "rate-as-text": (but(rate="high"), "key 'rate'"),
        "final-rate-above": (but(final_rate=1.0), "key 'final_rate'"),
        "unknown-schedule": (but(schedule="step"), "key 'schedule'"),
        "unknown-optimizer": (but(optimizer="sgd"), "key 'optimizer'"),
        "unknown-arithmetic": (but(arithmetic="bf16"), "key 'arithmetic'"),
        "two-warmups": (but(warmup_updates=1, warmup_ratio=0.1), "key 'warmup_updates'"),
        "two-lengths": (but(epochs=1, updates=1), "key 'epochs'"),
        "no-updates": (but(updates=0), "key 'updates'"),
        "sequences-not-divided": (but(sequences=7, batch_size=2), "key 'sequences'"),
        "batch-of-none": (but(batch_size=0), "key 'batch_size'"),
        "epsilon-zero": (but(epsilon=0.0), "key 'epsilon'"),
        "dropout-of-all": (but(dropout=1.0), "key 'dropout'"),
        "clipped-to-zero": (but(clip_norm=0.0), "key 'clip_norm'"),
        "set-twice": (but(sets=[{"name": "a"}, {"name": "a"}]), "key 'sets'"),
        "module-unknown": (but(sets=[{"name": "a", "modules": ["q"]}]), "key 'sets[0].modules'"),
        "keeps-no-checkpoint": (but(kept_checkpoints=0), "key 'kept_checkpoints'"),
    }


def write(name: str, value: object) -> None:
    path = FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    expectations: dict[str, dict] = {"valid": {}, "invalid": {}}
    for name, (given, complete) in valid().items():
        write(f"valid/{name}", given)
        expectations["valid"][name] = complete
    for name, (given, error) in invalid().items():
        write(f"invalid/{name}", given)
        expectations["invalid"][name] = error
    write("expectations", expectations)


if __name__ == "__main__":
    main()
