"""Keep batch norms as they are while the rest of a model goes on training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from bnlab.layers.kinds import BATCH_NORMS, INSTANCE_NORMS, keeps_statistics

Model = TypeVar("Model", bound=nn.Module)


@dataclass(eq=False)
class _Freeze:
    """What a frozen layer answers instead of its class, and what it was before."""

    layer: nn.Module
    training: bool
    requires_grad: dict[str, bool]

    def train(self, mode: bool = True) -> nn.Module:  # noqa: ARG002 - which is the point
        return self.layer

    def extra_repr(self) -> str:
        return f"{type(self.layer).extra_repr(self.layer)}, frozen"


def freeze(model: Model) -> Model:
    r"""Put every batch norm in eval mode for good, and take the gradient from its parameters.

    .. math::
        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta, \qquad
        \mu, \sigma^2, \gamma, \beta \text{ constant}

    `requires_grad=False` holds :math:`\gamma` and :math:`\beta`, but the running statistics follow
    every batch in train mode, and `eval()` lasts until the next `model.train()`. A frozen layer
    lets `train()` pass by, its own and that of any model around it; `print(model)` says *frozen*.
    Copies and pickles of the model stay frozen, and nothing is added to its state dict, so a state
    dict still loads into it. Freezing twice is freezing once.

    Frozen are batch norms (torch's, ours, `SyncBatchNorm`, subclasses) and those instance norms
    that keep running statistics. Others never ask the batch, in either mode. Gradients that wait in
    :math:`\gamma` and :math:`\beta` are dropped, or the optimizer's next step would still use them.
    What sets the flags itself, `model.requires_grad_()` or `layer.training = True`, is obeyed.

    Args:
        model: Any module, also a norm itself; changed in place and returned.

    Shape:
        - no tensor is computed or copied

    Raises:
        ValueError: A batch norm keeps no running statistics: in eval mode, too, it would take the
            batch's. The model is then left as it was.
        TypeError: `model` is not a module.

    Example:
        >>> model = freeze(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2, bias=False))).train()
        >>> model.training, model[1].training, model[1].weight.requires_grad
        (True, False, False)
        >>> model[1]  # doctest: +ELLIPSIS
        BatchNorm1d(2, eps=1e-05, ..., track_running_stats=True, frozen)

    As FrozenBN in the last epochs of training: Wu & Johnson, "Rethinking 'Batch' in BatchNorm"
    (2021), section 3.3: https://arxiv.org/abs/2105.07576
    """
    _check_module(model, "freeze")
    fresh = {
        name: layer
        for name, layer in model.named_modules()
        if _can_freeze(layer) and not is_frozen(layer)
    }
    moving = [name or "model" for name, layer in fresh.items() if not keeps_statistics(layer)]
    if moving:
        raise ValueError(
            f"{', '.join(moving)}: no running statistics, so eval mode takes the batch's and there "
            "is nothing to freeze: build with track_running_stats=True"
        )
    # All flags are read before any is set: two layers may share a parameter.
    freezes = [
        _Freeze(layer, layer.training, {n: p.requires_grad for n, p in _own(layer).items()})
        for layer in fresh.values()
    ]
    for each in freezes:
        for parameter in _own(each.layer).values():
            parameter.requires_grad = False
            parameter.grad = None
        each.layer.eval()
        vars(each.layer).update(train=each.train, extra_repr=each.extra_repr)
    return model


def unfreeze(model: Model) -> Model:
    """Undo `freeze`: gamma and beta learn again if they did, in the mode of the model around them.

    Args:
        model: Any module, also one of which nothing is frozen; changed in place and returned.

    Shape:
        - no tensor is computed or copied

    Raises:
        TypeError: `model` is not a module.

    Example:
        >>> model = freeze(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))).eval()
        >>> unfreeze(model)[1].training, model.train()[1].training, model[1].weight.requires_grad
        (False, True, True)

    A layer's mode becomes that of the module that holds it, since the model may have changed its
    own meanwhile. A norm that is itself the model gets the mode that it had before.
    """
    _check_module(model, "unfreeze")
    _release(model, None)
    for module in model.modules():
        for layer in module.children():
            _release(layer, module.training)
    return model


def is_frozen(layer: nn.Module) -> bool:
    """Tell whether `freeze` has reached this layer.

    Args:
        layer: One norm; a model is asked norm by norm.

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
        >>> [is_frozen(layer) for layer in freeze(model)]
        [True, False]
    """
    return _freeze_of(layer) is not None


def _freeze_of(layer: nn.Module) -> _Freeze | None:
    owner = getattr(vars(layer).get("train"), "__self__", None)
    return owner if isinstance(owner, _Freeze) else None


def _release(layer: nn.Module, training: bool | None) -> None:
    before = _freeze_of(layer)
    if before is None:
        return
    for name, parameter in _own(layer).items():
        parameter.requires_grad = before.requires_grad.get(name, True)
    for name in ("train", "extra_repr"):
        delattr(layer, name)
    layer.train(before.training if training is None else training)


def _can_freeze(layer: nn.Module) -> bool:
    return isinstance(layer, BATCH_NORMS) or (
        isinstance(layer, INSTANCE_NORMS) and keeps_statistics(layer)
    )


def _own(layer: nn.Module) -> dict[str, Tensor]:
    # Those of a parametrised weight lie one level deeper.
    return dict(layer.named_parameters())


def _check_module(model: object, function: str) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"{function} needs a torch.nn.Module, got {model!r}: pass the model itself")
