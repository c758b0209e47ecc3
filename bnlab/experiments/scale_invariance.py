"""Weights whose size a norm takes out again: what scaling and weight decay do to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from bnlab.data import Dataset, Split
from bnlab.experiments.smoothness import loss_at
from bnlab.training.repeatable import build_exactly, fit_repeatably


@dataclass(frozen=True, eq=False)
class Rescaled:
    """What a network gives with some of its weights multiplied.

    Attributes:
        scale: By what.
        outputs: One row a sample, (N, classes).
        gradient: Of the loss with respect to these weights, as multiplied, all in one row.
    """

    scale: float
    outputs: Tensor
    gradient: Tensor


def rescale_weights(model: nn.Module, split: Split, names: Sequence[str], scale: float) -> Rescaled:
    r"""Multiply some weights by `scale`, and return the outputs and the gradient they then give.

    Where a batch norm follows, up to its :math:`\epsilon`,

    .. math::
        f(a w) = f(w), \qquad \nabla f(a w) = \frac{1}{a} \nabla f(w) \qquad (a > 0)

    Args:
        model: In the mode it is to be asked in. Nothing about it changes.
        split: The batch.
        names: Of the parameters to multiply.
        scale: The :math:`a` above.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: `names` holds a parameter that the model has not.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
        >>> split = Split(torch.randn(8, 2).double(), torch.zeros(8, dtype=torch.int64))
        >>> once, twice = (rescale_weights(model, split, ["0.weight"], a) for a in (1.0, 2.0))
        >>> torch.allclose(once.outputs, twice.outputs, atol=1e-3)
        True
        >>> torch.allclose(once.gradient / 2, twice.gradient, atol=1e-3)
        True

    van Laarhoven, "L2 Regularization versus Batch and Weight Normalization" (2017), section 2:
    https://arxiv.org/abs/1706.05350
    """
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    unknown = [name for name in names if name not in parameters]
    if unknown:
        raise ValueError(
            f"no parameter is called {unknown[0]!r}; there are {', '.join(parameters)}"
        )
    scaled = {name: scale * parameters[name] for name in names}
    _, gradient, outputs = loss_at(model, scaled, split)
    return Rescaled(scale, outputs, torch.cat([each.flatten() for each in gradient.values()]))


@dataclass(frozen=True, eq=False)
class Turning:
    r"""How a weight matrix grew and turned while its network trained.

    Attributes:
        loss: Of each step, :math:`(T)`.
        test_accuracy: After each epoch, :math:`(E)`.
        norm: :math:`\|W\|` before each step, :math:`(T)`.
        angle: Between the matrix before and after each step, as one long vector, in radians,
            :math:`(T)`.
    """

    loss: Tensor
    test_accuracy: Tensor
    norm: Tensor
    angle: Tensor


def watch_turning(
    build: Callable[[], nn.Module],
    data: Dataset,
    names: Sequence[str],
    *,
    weight_decay: float = 0.0,
    lr: float = 0.1,
    seed: int = 0,
    **settings: Any,
) -> Turning:
    r"""Train repeatably with weight decay on some weights, and watch the first of them turn.

    Plain SGD without momentum, so that each step is

    .. math::
        W \leftarrow (1 - \eta\lambda)\, W - \eta\, G

    Args:
        build: Makes the model, as for `fit_repeatably`.
        data: What to train and test on.
        names: Of the parameters that decay; all others do not.
        weight_decay: The :math:`\lambda`.
        lr: The :math:`\eta`.
        seed: Of weights and order of the samples.
        **settings: Further arguments of `fit_repeatably`.

    Shape:
        - inputs: :math:`(N, *)`, whatever the model takes

    Raises:
        ValueError: As `fit` raises it.

    Example:
        >>> from bnlab import data, models
        >>> seen = watch_turning(
        ...     lambda: models.mlp(64, nn.BatchNorm1d), data.digits(flat=True),
        ...     ["linear1.weight", "linear2.weight"], epochs=1, progress=False,
        ... )
        >>> bool((seen.norm.diff() > 0).all())  # without decay it can only grow
        True
    """
    model = build_exactly(build, seed)
    norms: list[Tensor] = []
    angles: list[Tensor] = []

    def optimizer(_: object) -> torch.optim.Optimizer:
        parameters = dict(model.named_parameters())
        decaying = [parameters.pop(name) for name in names]
        before = decaying[0].detach().clone()

        def look(*_: object) -> None:
            nonlocal before
            after = decaying[0].detach().clone()
            norms.append(before.norm())
            angles.append(_angle(before, after))
            before = after

        groups: list[dict[str, Any]] = [
            {"params": decaying, "weight_decay": weight_decay},
            {"params": list(parameters.values())},
        ]
        sgd = torch.optim.SGD(groups, lr=lr)
        sgd.register_step_post_hook(look)
        return sgd

    _, history = fit_repeatably(lambda: model, data, seed=seed, optimizer=optimizer, **settings)
    return Turning(
        loss=torch.tensor(history.loss),
        test_accuracy=torch.tensor(history.test_accuracy),
        norm=torch.stack(norms),
        angle=torch.stack(angles),
    )


def _angle(one: Tensor, other: Tensor) -> Tensor:
    return cosine_similarity(one.flatten(), other.flatten(), dim=0).clamp(-1, 1).arccos()
