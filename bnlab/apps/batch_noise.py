"""One sample in many random batches: the noise that batch normalisation brings into training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.data import Dataset
from bnlab.experiments.batch_noise import lead, scores_in_batches
from bnlab.plots.batch_noise import NoiseArtists, draw_noise
from bnlab.training.tasks import one_thread

SIZES = (2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Leads:
    """Of each network, how far the right class leads: in batches of one size, and in eval mode.

    `spread` is that of the leads, for each network and batch size.
    """

    batch_size: int
    scores: Tensor
    alone: Tensor
    spread: Tensor


class BatchNoise(Sweep[Leads]):
    """How far the right class leads for one sample, over random batches of one size.

    Args:
        networks: trained classifiers with batch normalisation, in eval mode.
        data: the sample comes from the test split, its mates from the training split.
        index: which test sample.
        draws: batches of each size.
        **start: values to start from.
    """

    title = "One digit in ever new random batches"
    size = (10.4, 4.4)
    controls = (Slider("batch_size", "batch size", SIZES, 8),)

    def __init__(
        self,
        networks: Sequence[nn.Module],
        data: Dataset,
        index: int,
        *,
        draws: int = 80,
        **start: int,
    ) -> None:
        super().__init__(**start)
        sample, target = data.test.inputs[index], int(data.test.targets[index])
        mates = data.train.inputs
        with one_thread(), torch.no_grad():
            alone = torch.stack([network(sample[None])[0] for network in networks])
            scores = [
                torch.stack(
                    [scores_in_batches(n, sample, mates, size, draws=draws) for n in networks]
                )
                for size in SIZES
            ]
        self.alone = lead(alone, target)
        self.leads = lead(torch.stack(scores, 1), target)

    def compute(self, batch_size: int) -> Leads:
        here = self.leads[:, SIZES.index(batch_size)]
        return Leads(batch_size, here, self.alone, self.leads.std(-1))

    def draw(self, figure: Figure, result: Leads) -> NoiseArtists:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        limits = self.leads.min().item(), self.leads.max().item()
        label = "lead of the right class (logits)"
        return draw_noise((left, right), result, SIZES, label=label, limits=limits)

    def describe(self, result: Leads) -> str:
        spread = result.scores.std(1)
        wrong = (result.scores < 0).double().mean()
        return (
            f"Batches of {result.batch_size}: the lead of the right class scatters by "
            f"{spread.mean():.2f} ± {spread.std():.2f} (mean ± standard deviation over "
            f"{len(spread)} networks); {100 * wrong:.0f} % of the batches turn the answer wrong."
        )
