"""One fixed sample, ever new batch-mates: what its logits do in train mode and in eval mode."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.data import Dataset
from bnlab.plots.batch_mates import BatchMatesArtists, draw_batch_mates


@dataclass(frozen=True)
class Company:
    """One sample, the rest of its batch, and the logits it gets; `*_all` over every draw."""

    sample: Tensor
    mates: Tensor
    classes: tuple[str, ...]
    draw: int
    train_all: Tensor
    eval_all: Tensor

    @property
    def train(self) -> Tensor:
        """The logits in train mode, for this draw."""
        return self.train_all[self.draw - 1]

    @property
    def eval(self) -> Tensor:
        """The logits in eval mode, for this draw."""
        return self.eval_all[self.draw - 1]

    @property
    def flipped(self) -> bool:
        """Whether the two modes read the sample differently."""
        return bool(self.train.argmax() != self.eval.argmax())


class BatchMates(Sweep[Company]):
    """The same digit in one batch after another, answered in train mode and in eval mode.

    Args:
        model: a trained classifier of flat, square pictures; it is copied, so that neither its
            mode nor its running statistics change.
        data: the sample comes from the test split, its mates from the training split.
        index: which test sample.
        **start: values to start from.
    """

    title = "One digit, ever new batch-mates"
    size = (9.4, 4.1)
    controls = (
        Slider("draw", "draw of batch-mates", list(range(1, 11)), 1),
        Slider("batch_size", "batch size", [2, 4, 8, 16, 64], 8),
        Choice("mates", "mates are", ["all digits", "only ones"], "all digits"),
    )

    def __init__(self, model: nn.Module, data: Dataset, index: int, **start: float | str) -> None:
        super().__init__(**start)
        self.train_model = deepcopy(model).train()
        self.eval_model = deepcopy(model).eval()
        self.dataset, self.index = data, index

    def mates(self, draw: int, batch_size: int, mates: str) -> Tensor:
        """The sample's company: one draw is one shuffle, of which larger batches take more."""
        inputs, targets = self.dataset.train.inputs, self.dataset.train.targets
        pool = inputs[targets == 1] if mates == "only ones" else inputs
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(int(draw)))
        return pool[order[: batch_size - 1]]

    @cached_property
    def answers(self) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
        """The sample's logits in train and eval mode, one row a draw, for each kind of batch."""
        draws, sizes, pools = (control.values for control in self.controls)
        sample = self.dataset.test.inputs[self.index, None]
        found = {}
        for size, pool in ((int(size), str(pool)) for size in sizes for pool in pools):
            batches = [torch.cat((sample, self.mates(int(d), size, pool))) for d in draws]
            with torch.no_grad():
                train, evaluated = (
                    torch.stack([model(batch)[0] for batch in batches])
                    for model in (self.train_model, self.eval_model)
                )
            found[size, pool] = train, evaluated
        return found

    def compute(self, draw: int, batch_size: int, mates: str) -> Company:
        return Company(
            picture(self.dataset.test.inputs[self.index]),
            picture(self.mates(draw, batch_size, mates)),
            self.dataset.classes,
            draw,
            *self.answers[batch_size, mates],
        )

    def draw(self, figure: Figure, result: Company) -> BatchMatesArtists:
        axes = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
        logits = torch.cat([rows for pair in self.answers.values() for rows in pair])
        limits = logits.min().item(), logits.max().item()
        return draw_batch_mates((axes[0], axes[1], axes[2]), result, limits=limits)

    def describe(self, result: Company) -> str:
        train, evaluated = (
            result.classes[int(logits.argmax())] for logits in (result.train, result.eval)
        )
        flips = (result.train_all.argmax(1) != result.eval_all.argmax(1)).sum().item()
        moved, still = (
            (rows.amax(0) - rows.amin(0)).max().item()
            for rows in (result.train_all, result.eval_all)
        )
        news = "the batch-mates have flipped the answer" if result.flipped else "they agree here"
        return (
            f"Train mode reads {train}, eval mode {evaluated}: {news}. Over all "
            f"{len(result.train_all)} draws train mode flips {flips} times and moves a logit by up "
            f"to {moved:.1f}; eval mode moves them by {still:g}."
        )


def picture(flat: Tensor) -> Tensor:
    """Flat pixels as a square."""
    side = isqrt(flat.shape[-1])
    return flat.view(*flat.shape[:-1], side, side)
