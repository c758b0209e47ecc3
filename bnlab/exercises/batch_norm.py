"""The whole layer: arithmetic, gradients, modes, state, options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from bnlab.exercises import steps
from bnlab.exercises.asking import RIGHT, Exercise, Way, mistakes
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.judging import judge
from bnlab.exercises.layer import Layer
from bnlab.exercises.modes import unanswered
from bnlab.exercises.sessions import taken_dimensions
from bnlab.exercises.state_mistakes import MODES
from bnlab.exercises.verdict import Verdict
from bnlab.exercises.whole_layer import WholeLayer


def check_batch_norm(fn_or_class: Callable[..., Any]) -> Verdict:
    r"""Check a batch norm: what it computes, how it learns, what it keeps.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        fn_or_class: A module's class, with the arguments, attributes, buffers and state dict of
            `torch.nn.BatchNorm2d`; or a function with the arguments of
            `torch.nn.functional.batch_norm`, which changes the running statistics in place or
            returns them after the output.

    Shape:
        - inputs: :math:`(N, C)` or :math:`(N, C, *)`. A class that refuses some of them by a
          `ValueError`, as torch's do, is asked about the others.

    Example:
        >>> check_batch_norm(nn.BatchNorm2d)
        batch norm: ✓ passed
        >>> class Norm(nn.BatchNorm2d):
        ...     def __init__(self, num_features, eps=1e-5, momentum=0.1, *rest, **options):
        ...         super().__init__(num_features, eps, momentum and 1 - momentum, *rest, **options)
        >>> check_batch_norm(Norm).mistakes
        ('momentum-reversed',)

    The checklist is that of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    if unanswered(fn_or_class):
        return Verdict("batch norm", "not yet")
    build = fn_or_class
    if callable(fn_or_class) and not isinstance(fn_or_class, type | functools.partial | nn.Module):
        build = partial(_AroundFunction, function=fn_or_class)
    return judge(lambda: exercise(*taken_dimensions(build)), build)


class _AroundFunction(Layer):
    """A layer whose state is right, around a function that does the rest."""

    def __init__(self, *args: Any, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(*args, **options, way=RIGHT)
        self.function = function

    def forward(self, input: Tensor) -> Any:
        momentum, counter = self.momentum, self.num_batches_tracked
        if self.training and counter is not None:
            counter.add_(1)
            momentum = 1 / int(counter) if momentum is None else momentum
        training = self.training or self.running_mean is None
        result = self.function(
            input, self.running_mean, self.running_var, self.weight, self.bias, training,
            momentum, self.eps,
        )  # fmt: skip
        if isinstance(result, tuple | list) and len(result) == 3:
            result, self.running_mean, self.running_var = result
        return result


@functools.cache
def exercise(home: int = 4, also: tuple[int, ...] = (2, 3, 5)) -> Exercise:
    """Questions, solution and mistakes of the whole layer."""
    return Exercise(
        "batch norm",
        WholeLayer(home, also).whole(),
        lambda way: partial(Layer, way=way),
        mistakes(CATALOGUE, *MISTAKES),
        Way(steps.AXES),
    )


MISTAKES = (
    *steps.NORMALISING,
    *steps.AFFINE,
    *steps.AXES,
    *steps.DIMENSIONS,
    "input-changed",
    *steps.MOVING,
    "no-update",
    *steps.STORING,
    "samples-for-values",
    *(mistake.slug for mistake in MODES),
    "not-through-mean",
    "not-through-variance",
    "not-through-statistics",
    "statistics-not-in-buffers",
    "running-mean-not-in-buffers",
    "running-var-not-in-buffers",
    "statistics-not-saved",
    "statistics-not-moved",
    "statistics-trained",
    "affine-not-parameters",
    "counter-missing",
    "counter-not-counted",
    "cumulative-ignored",
    "affine-false-ignored",
    "tracking-false-ignored",
)
