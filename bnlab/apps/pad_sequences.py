"""One sequence in a padded batch whose longest member grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize
from bnlab.plots.padding import PaddedArtists, draw_padded

KINDS = ("BN, every cell", "BN, real cells only", "LN")


@dataclass(frozen=True)
class Padded:
    """A batch (N, L, C), which steps are real (N, L), and one feature of the first sequence.

    `values` holds that feature's normalised values, (steps,) by kind of normalisation;
    `everywhere` the same for every batch on offer, (batches, steps); `moved` by how much any
    feature has moved since the first of them.
    """

    batch: Tensor
    real: Tensor
    feature: int
    values: dict[str, Tensor]
    everywhere: dict[str, Tensor]
    moved: dict[str, float]


class PadSequences(Sweep[Padded]):
    """Three ways to normalise the same sequence while another one of its batch grows.

    Args:
        sequences: those that stay, each (steps, features) with values from 0 to 1; the first is
            the one that is looked at.
        growing: the last member of the batch, from short to long.
        feature: which feature of the first sequence is drawn.
        **start: values to start from.

    After Ba, Kiros & Hinton, "Layer Normalization" (2016): https://arxiv.org/abs/1607.06450
    """

    title = "One number, and a neighbour that grows"
    size = (10.6, 4.2)

    def __init__(
        self,
        sequences: Sequence[Tensor],
        growing: Sequence[Tensor],
        *,
        feature: int = 3,
        **start: int,
    ) -> None:
        self.sequences, self.growing, self.feature = list(sequences), list(growing), feature
        sizes = list(range(1, len(growing) + 1))
        self.controls = (Slider("digits", "digits in the last number", sizes, 1),)
        super().__init__(**start)

    def padded(self, digits: int) -> tuple[Tensor, Tensor]:
        """The batch, and which of its steps are real."""
        members = [*self.sequences, self.growing[digits - 1]]
        batch = pad_sequence(members, batch_first=True)
        lengths = torch.tensor([len(member) for member in members])
        return batch, torch.arange(batch.shape[1]) < lengths[:, None]

    def normalized(self, digits: int) -> dict[str, Tensor]:
        """The first sequence, (steps, features), by kind of normalisation."""
        batch, real = self.padded(digits)
        first = batch[0, real[0]]
        every_mean, every_var = moments(batch, (0, 1))
        outputs = (
            normalize(first, every_mean[0], every_var[0]),
            normalize(first, *moments(batch[real], 0)),
            normalize(first, *moments(first, 1)),
        )
        return dict(zip(KINDS, outputs, strict=True))

    @cached_property
    def answers(self) -> dict[str, Tensor]:
        """The first sequence in every batch on offer, (batches, steps, features), by kind."""
        found = [self.normalized(digits + 1) for digits in range(len(self.growing))]
        return {kind: torch.stack([each[kind] for each in found]) for kind in KINDS}

    def compute(self, digits: int) -> Padded:
        batch, real = self.padded(digits)
        now = {kind: rows[digits - 1] for kind, rows in self.answers.items()}
        return Padded(
            batch,
            real,
            self.feature,
            {kind: rows[:, self.feature] for kind, rows in now.items()},
            {kind: rows[..., self.feature] for kind, rows in self.answers.items()},
            {kind: (now[kind] - rows[0]).abs().max().item() for kind, rows in self.answers.items()},
        )

    def draw(self, figure: Figure, result: Padded) -> PaddedArtists:
        longest = max(len(member) for member in (*self.sequences, *self.growing))
        axes = figure.subplots(1, 1 + len(KINDS), width_ratios=(1.15, 1, 1, 1))
        return draw_padded(list(axes), result, longest=longest)

    def describe(self, result: Padded) -> str:
        share = 100 * (~result.real).float().mean().item()
        moved = ", ".join(f"{kind} {shift:.2f}" for kind, shift in result.moved.items())
        return (
            f"{share:.0f} % of the batch is padding. The framed number has not changed; its "
            f"normalised values have moved by up to: {moved}."
        )
