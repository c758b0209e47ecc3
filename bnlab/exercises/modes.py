"""Train mode and eval mode: whose statistics are used, and when they move."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial

from torch import nn

from bnlab.exercises import steps
from bnlab.exercises.asking import Exercise, mistakes
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.layer import Layer
from bnlab.exercises.sessions import Sessions, simplest_dimension
from bnlab.exercises.verdict import Verdict


def check_modes(cls: Callable[..., nn.Module]) -> Verdict:
    r"""Check that a layer does in train mode and in eval mode what belongs there.

    In train mode the batch's statistics normalise, and move the running ones; in eval mode the
    running ones normalise and stay:

    .. math::
        y = \frac{x - \mu_r}{\sqrt{\sigma_r^2 + \epsilon}}

    Args:
        cls: A module's class, built as `cls(num_features, eps=..., momentum=...)`, with
            `running_mean` and `running_var`. It may have gamma and beta, and need not.

    Shape:
        - inputs: :math:`(N, C)`, or if the layer does not take that the next of :math:`(N, C, L)`,
          :math:`(N, C, H, W)` and :math:`(N, C, D, H, W)` that it takes

    Example:
        >>> class Norm(nn.BatchNorm1d):
        ...     def forward(self, x):
        ...         return nn.functional.batch_norm(x, None, None, training=True, eps=self.eps)
        >>> check_modes(Norm).mistakes
        ('no-update', 'eval-uses-batch')

    Ioffe & Szegedy, "Batch Normalization" (2015), section 3.1: https://arxiv.org/abs/1502.03167
    """
    if unanswered(cls):
        return Verdict("modes", "not yet")
    return judge(lambda: exercise(simplest_dimension(cls)), cls)


def unanswered(cls: object) -> bool:
    """Whether a class has no forward pass of its own."""
    return isinstance(cls, type) and getattr(cls, "forward", None) in (None, nn.Module.forward)


@functools.cache
def exercise(home: int = 2) -> Exercise:
    """Questions, solution and mistakes of the two modes."""
    return Exercise(
        "modes",
        Sessions(home, also=()).modes(),
        lambda way: partial(Layer, way=way),
        mistakes(CATALOGUE, *MISTAKES),
    )


MISTAKES = (
    "mode-from-grad",
    "no-grad-means-eval",
    "no-update",
    "eval-uses-batch",
    "updates-in-eval",
    "eval-moves-first",
    "train-uses-updated-running",
    "train-uses-old-running",
    "input-detached",
    *steps.MOVING,
    *steps.STORING,
    *steps.NORMALISING,
    "input-changed",
)
