"""What a network has learnt, carried between Keras and torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.keras_twin.library import load_keras
from bnlab.layers import BatchNorm1d


def carry_over(source: Any, target: Any, *, settings: bool = True) -> None:
    r"""Copy the weights and running statistics of `source` into `target`, from Keras or torch.

    Linear layers and batch norms are matched in their order, whatever their names. Keras stores a
    linear layer's weight as the transpose of torch's, and writes :math:`\gamma, \beta` for a
    norm's weight and bias. The momentum of one is what the other's leaves over:

    .. math::
        W_{torch} = W_{Keras}^\top, \qquad momentum_{torch} = 1 - momentum_{Keras}

    Activations have no state and are not looked at. Keras keeps no count of batches, so torch's
    `num_batches_tracked` stays as it is. Numbers are taken to the target's dtype and device.

    Args:
        source: A Keras or a torch model.
        target: The model to fill in place; it stays untouched if an error is raised.
        settings: Whether the norms of `target` also get eps and momentum, which neither library
            counts among the weights. Otherwise each keeps its own, and where eps differs,
            outputs do too.

    Shape:
        - each weight: the same in both, up to the transpose

    Raises:
        ModuleNotFoundError, RuntimeError: As `load_keras` raises them.
        TypeError: One of the two is no model, or has a layer with weights of another kind.
        ValueError: The models differ in their layers or in the shape of a weight, a Keras model
            has not been built yet, or torch's momentum is None, which Keras cannot say.

    Example:
        >>> from bnlab import models
        >>> from bnlab.keras_twin import keras_mlp
        >>> ours, theirs = models.mlp(64, BatchNorm1d).eval(), keras_mlp(64)
        >>> carry_over(ours, theirs)
        >>> x = torch.rand(5, 64)
        >>> torch.allclose(ours(x).softmax(1), theirs(x), atol=1e-5)
        True
        >>> theirs.get_layer("norm1").epsilon, theirs.get_layer("norm1").momentum
        (1e-05, 0.9)

    What each library stores is described at https://keras.io/api/layers/core_layers/dense/ and
    https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """
    keras = load_keras()
    sources, targets = _layers(source, keras), _layers(target, keras)
    _check(sources, targets)
    pairs = list(zip(sources, targets, strict=True))
    norms = [(giver, taker) for giver, taker in pairs if giver.kind == "batch norm" and settings]
    wanted = [giver.settings() for giver, _ in norms]
    for (_, taker), values in zip(norms, wanted, strict=True):
        taker.adopt(*values)
    with torch.no_grad():
        for giver, taker in pairs:
            for name, tensor in giver.state.items():
                taker.state[name].copy_(tensor)


@dataclass(frozen=True)
class _Layer:
    """A layer of either library in torch's words; the tensors share the layer's memory."""

    name: str
    kind: str
    layer: Any
    state: dict[str, Tensor]

    def settings(self) -> tuple[float, float]:
        """Eps and momentum, as torch counts it."""
        if not isinstance(self.layer, nn.BatchNorm1d | BatchNorm1d):
            return self.layer.epsilon, _rest(self.layer.momentum)
        if self.layer.momentum is None:
            raise ValueError(
                f"{self.name!r} has momentum=None, all batches alike, which Keras cannot say: give "
                "it a number, or carry over with settings=False"
            )
        return self.layer.eps, self.layer.momentum

    def adopt(self, eps: float, momentum: float) -> None:
        """Take eps and momentum, given as torch counts it."""
        if isinstance(self.layer, nn.BatchNorm1d | BatchNorm1d):
            self.layer.eps, self.layer.momentum = eps, momentum
        else:
            self.layer.epsilon, self.layer.momentum = eps, _rest(momentum)

    def __str__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in self.state.items())
        return f"{self.name!r}, a {self.kind} with {shapes}"


def _rest(momentum: float) -> float:
    # 1 - 0.99 would be 0.010000000000000009.
    return round(1 - momentum, 12)


def _layers(model: Any, keras: Any) -> list[_Layer]:
    """The layers with state; Keras is asked first, for on torch its models are modules too."""
    if isinstance(model, keras.Model):
        return [_of_keras(layer, keras) for layer in model.layers if _has_state(layer, keras)]
    if isinstance(model, nn.Module):
        states = [(name, module, _own_state(module)) for name, module in model.named_modules()]
        return [_of_torch(*each) for each in states if each[-1]]
    raise TypeError(
        f"carry_over needs two models, got {type(model).__name__}: pass a Keras model and a "
        "torch.nn.Module"
    )


def _own_state(module: nn.Module) -> dict[str, Tensor]:
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {name: tensor for name, tensor in tensors if name != "num_batches_tracked"}


def _of_torch(name: str, module: nn.Module, state: dict[str, Tensor]) -> _Layer:
    if isinstance(module, nn.Linear):
        return _Layer(name, "linear layer", module, state)
    if isinstance(module, nn.BatchNorm1d | BatchNorm1d):
        return _Layer(name, "batch norm", module, state)
    raise _unknown(name, module)


def _has_state(layer: Any, keras: Any) -> bool:
    known = isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization)
    if known and not layer.built:
        raise ValueError(
            f"Keras has not made the weights of {layer.name!r} yet: start the model with "
            "keras.Input((inputs,)), or call model.build((None, inputs))"
        )
    return known or bool(layer.weights)


def _of_keras(layer: Any, keras: Any) -> _Layer:
    if isinstance(layer, keras.layers.Dense):
        kind, named = "linear layer", {"weight": layer.kernel, "bias": layer.bias}
    elif isinstance(layer, keras.layers.BatchNormalization):
        kind, named = "batch norm", {"weight": layer.gamma, "bias": layer.beta}
        named |= {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    else:
        raise _unknown(layer.name, layer)
    state = {name: each.value for name, each in named.items() if each is not None}
    if len(state) != len(layer.weights):
        raise _unknown(layer.name, layer, " with further weights")
    if kind == "linear layer":
        state["weight"] = state["weight"].T
    return _Layer(layer.name, kind, layer, state)


def _unknown(name: str, layer: object, more: str = "") -> TypeError:
    return TypeError(
        f"{name!r} is a {type(layer).__name__}{more}: carry_over knows Linear and Dense, "
        "BatchNorm1d and BatchNormalization; copy other layers by hand"
    )


def _check(sources: list[_Layer], targets: list[_Layer]) -> None:
    for giver, taker in zip(sources, targets, strict=False):
        ours, theirs = ({n: t.shape for n, t in each.state.items()} for each in (giver, taker))
        if giver.kind != taker.kind or ours != theirs:
            norms = giver.kind == taker.kind == "batch norm"
            raise ValueError(
                f"the source has {giver}, and the target in its place {taker} (shapes in torch's "
                "layout): build both of the same layers, in the same order and size"
                + norms
                * ". What torch calls affine=False is center=False, scale=False in Keras"
            )
    if len(sources) != len(targets):
        alone = max(sources, targets, key=len)[min(len(sources), len(targets))]
        raise ValueError(
            f"the source has {len(sources)} layers with weights and the target {len(targets)}: "
            f"nothing answers to {alone}. Build both of the same layers"
        )
