"""What folding a trained network's batch norms changes: no answer, and the time to give it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab.folding import Plan, fold, plan


@dataclass(frozen=True, eq=False)
class FoldedModel:
    """A model with its norms and without, on the same batch.

    Attributes:
        model: The folded one.
        plan: Which norms were folded into what, and why others stay.
        gap: The largest difference of an output.
        largest: The largest output, to hold the gap against.
        changed: Samples whose highest output is another one.
        before: Median time of an answer in ms, with norms.
        after: The same, folded.
    """

    model: nn.Module
    plan: Plan
    gap: float
    largest: float
    changed: int
    before: float
    after: float

    @property
    def share(self) -> float:
        """Time that the folded model takes, as a share of the other's."""
        return self.after / self.before


@torch.no_grad()
def fold_and_measure(model: nn.Module, batch: Tensor, *, rounds: int = 50) -> FoldedModel:
    """Fold a model, and compare answers and times on one batch.

    Args:
        model: In eval mode; left as it is.
        batch: What is answered.
        rounds: Answers of each that are timed, in turns.

    Shape:
        - batch: :math:`(N, *)`, whatever `model` takes
        - its outputs: :math:`(N, classes)`

    Raises:
        ValueError: The model is not in eval mode, or `rounds` is below 1.

    Example:
        >>> from bnlab import models
        >>> found = fold_and_measure(models.mlp(64, nn.BatchNorm1d).eval(), torch.rand(16, 64))
        >>> found.gap < 1e-5, found.changed, found.plan.folded
        (True, 0, {'norm1': 'linear1', 'norm2': 'linear2'})
    """
    folded = fold(model)
    before, after = model(batch), folded(batch)
    times = answer_times({"before": model, "after": folded}, batch, rounds=rounds)
    return FoldedModel(
        model=folded,
        plan=plan(model),
        gap=(after - before).abs().max().item(),
        largest=before.abs().max().item(),
        changed=int((after.argmax(1) != before.argmax(1)).sum()),
        **times,
    )


@torch.no_grad()
def answer_times(
    models: Mapping[str, nn.Module], batch: Tensor, *, rounds: int = 50
) -> dict[str, float]:
    """Return each model's median time for one batch in ms; they take turns.

    Args:
        models: By name, in the mode in which they shall answer.
        batch: What is answered.
        rounds: Answers that count; three more go before.

    Shape:
        - batch: :math:`(N, *)`, whatever the models take

    Raises:
        ValueError: `rounds` is below 1.

    Example:
        >>> times = answer_times({"one layer": nn.Linear(3, 2)}, torch.rand(4, 3), rounds=5)
        >>> times["one layer"] > 0
        True
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}: time at least 1 answer")
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(3 + rounds):
        for name, model in models.items():
            start = time.perf_counter()
            model(batch)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: torch.tensor(each[3:]).median().item() for name, each in times.items()}
