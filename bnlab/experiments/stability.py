"""How steady the inputs of a layer are while the network trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.data import Dataset
from bnlab.training import fit_repeatably

PERCENTILES = (0.15, 0.5, 0.85)


@dataclass(frozen=True, eq=False)
class WatchedTraining:
    r"""A training, and what came into one of its layers at each step.

    Attributes:
        loss: Of each step, :math:`(T)`.
        train_accuracy: After each epoch, in eval mode, :math:`(E)`.
        test_accuracy: The same on the test split, :math:`(E)`.
        percentiles: 15th, 50th and 85th of one unit's input on each step's batch, :math:`(T, 3)`.
        shift: How far the mean of a unit moves from one step to the next, in its own standard
            deviations; root mean square over units and steps.
        stretch: By what share its standard deviation changes meanwhile, likewise.
        travel: The distance between the largest and the smallest mean of a unit, smoothed over
            `SMOOTH` steps, in the same measure: what is left once jumps to and fro cancel.
    """

    loss: Tensor
    train_accuracy: Tensor
    test_accuracy: Tensor
    percentiles: Tensor
    shift: float
    stretch: float
    travel: float


SMOOTH = 10
"""Steps over which `WatchedTraining.travel` averages."""


def watch_training(
    build: Callable[[], nn.Module],
    data: Dataset,
    layer: str,
    *,
    unit: int = 0,
    seed: int = 0,
    **settings: Any,
) -> WatchedTraining:
    r"""Train repeatably and record how the inputs of `layer` are distributed, step by step.

    With :math:`\mu_{tc}, \sigma_{tc}` the moments of unit :math:`c` on the batch of step :math:`t`,

    .. math::
        \text{shift} = \sqrt{\operatorname{mean}_{t,c}
        \frac{(\mu_{t+1,c} - \mu_{tc})^2}{\operatorname{mean}_t \sigma_{tc}^2}}

    Args:
        build: Makes the model, as for `fit_repeatably`.
        data: What to train and test on.
        layer: Dotted name of the layer whose input is watched.
        unit: Whose percentiles are kept.
        seed: Of weights, order of the samples and all that is drawn in training.
        **settings: Further arguments of `fit_repeatably`.

    Shape:
        - the layer's input: :math:`(N, C)` or :math:`(N, C, *)`

    Raises:
        ValueError: There is no such layer, or training fails as it does in `fit`.

    Example:
        >>> from bnlab import data, models
        >>> seen = watch_training(
        ...     lambda: models.mlp(64, nn.BatchNorm1d), data.digits(flat=True), "relu2",
        ...     epochs=1, progress=False,
        ... )
        >>> seen.percentiles.shape, seen.shift < 0.1 < seen.travel + 0.1
        (torch.Size([21, 3]), True)
    """
    wanted = {"layers": [layer], "parts": ["input"], "quantiles": PERCENTILES, "keep": 10**6}
    _, history = fit_repeatably(build, data, seed=seed, record=wanted, **settings)
    recording = history.recording
    assert recording is not None
    mean, std, quantiles = (
        recording.series(layer, "input", statistic)[1] for statistic in ("mean", "std", "quantiles")
    )
    size = std.square().mean(0).sqrt()
    smooth = mean.unfold(0, min(SMOOTH, len(mean)), 1).mean(-1)
    return WatchedTraining(
        loss=torch.tensor(history.loss),
        train_accuracy=torch.tensor(history.train_accuracy),
        test_accuracy=torch.tensor(history.test_accuracy),
        percentiles=quantiles[:, :, unit],
        shift=_root_mean_square(mean.diff(dim=0) / size),
        stretch=_root_mean_square(std.diff(dim=0) / size),
        travel=_root_mean_square((smooth.amax(0) - smooth.amin(0)) / size),
    )


def _root_mean_square(values: Tensor) -> float:
    # A unit that never varies has no measure of its own.
    return values[values.isfinite()].square().mean().sqrt().item()
