"""Fold batch norms into the layers before them: one multiplication less for every value."""

from __future__ import annotations

import copy
import warnings
from typing import Any, TypeVar

from torch import nn

from bnlab.folding.arithmetic import fold_parameters
from bnlab.folding.kinds import Folded, dimensions_of
from bnlab.folding.planning import Plan, plan

__all__ = ["Folded", "Plan", "fold", "plan"]

Model = TypeVar("Model", bound=nn.Module)


def fold(model: Model, *, strict: bool = False) -> Model:
    r"""Return a copy of `model` in which the layer before each batch norm does the norm's work.

    In eval mode a batch norm is a scale and a shift, the same for every batch. After a layer
    :math:`Wx + b` they are part of one:

    .. math::
        \gamma \frac{(Wx + b) - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W'x + b', \qquad
        W' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} W, \qquad
        b' = \beta + \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} (b - \mu)

    `nn.Linear`, convolutions and transposed convolutions of 1 to 3 dimensions take a norm in. Where
    the norm was stands `Folded`, which passes its input on; everything else, `forward` and names
    included, is the model's own. The state dict lacks the norm's entries and has a bias for every
    layer that took one in. The copy is for inference: in training its norms would be missing.

    A norm is folded only where that is right whatever comes in. The others stay, among them norms
    after an activation or before their convolution, of a layer whose output is used elsewhere too,
    without running statistics, of parametrised weights. `bnlab.folding.plan(model)` lists all of
    them with the reason. Where the way through a module depends on the data, only what is inside
    its children can be followed; a warning then says what is taken for granted.

    Args:
        model: In eval mode; left as it is.
        strict: Whether a norm that would stay is an error.

    Shape:
        - inputs and outputs of the model: as before

    Raises:
        ValueError: A module is in train mode; with `strict`, a norm cannot be folded.
        TypeError: `model` is not a module.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU()).eval()
        >>> fold(model)
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
          (1): Folded(into='0')
          (2): ReLU()
        )
        >>> batch = torch.randn(4, 3)
        >>> torch.allclose(fold(model)(batch), model(batch), atol=1e-6)
        True

    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
    Only Inference" (2018), section 3.2: https://arxiv.org/abs/1712.05877
    """
    found = plan(model)
    if strict and found.kept:
        reasons = "; ".join(f"{name} stays, since {reason}" for name, reason in found.kept.items())
        raise ValueError(f"{reasons}. fold(model, strict=False) folds the others")
    if found.untraced and found.folded:
        warnings.warn(
            f"torch.fx could not follow the forward pass of {', '.join(found.untraced)}. It is "
            "taken to call its parts only as a whole: hold the folded model's answers against the "
            "model's own; bnlab.folding.plan(model) says more",
            stacklevel=2,
        )
    folded = copy.deepcopy(model)
    for norm, layer in found.folded.items():
        _fold_into(folded.get_submodule(layer), folded.get_submodule(norm), layer)
    return folded


def _fold_into(layer: Any, norm: Any, name: str) -> None:
    learns = layer.weight.requires_grad
    layer.weight, layer.bias = (
        nn.Parameter(values, requires_grad=learns) for values in fold_parameters(layer, norm)
    )
    # The same object in another class: wherever else the model keeps it, it is this one. A forward
    # pass may still ask for its `num_features`.
    settings = {k: v for k, v in vars(norm).items() if not (k.startswith("_") or callable(v))}
    vars(norm).clear()
    norm.__class__ = Folded
    norm.__init__(name, dimensions_of(layer))
    vars(norm).update(settings)
