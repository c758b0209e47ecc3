"""Swap a model's `torch.nn` norm layers for ours and back; what they hold stays where it is."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from bnlab import layers

Model = TypeVar("Model", bound=nn.Module)


def convert(model: Model, to: str = "bnlab") -> Model:
    r"""Turn every norm layer of `torch.nn` in `model` into ours, or with `to="torch"` ours back.

    The model is changed in place and returned. A layer is its state, its class says what is
    computed with it, and the two libraries agree on the state. So each layer stays the object that
    it is, with its parameters, buffers, mode and hooks, and only its class changes: optimizers,
    handles of hooks, layers used twice and state dicts notice nothing. Code that asks for torch's
    classes by `isinstance` does.

    What `model.modules()` lists is converted, so a layer kept in a plain list is not. Subclasses,
    such as `torch.nn.SyncBatchNorm`, parametrised layers or your own, stay as they are: they do
    more than normalise. So do lazy layers, until a first batch has made them ordinary ones. In eval
    mode without gradients `torch.nn.TransformerEncoderLayer` hands the weights of its norm layers
    to a kernel of its own and calls neither ours nor torch's.

    Args:
        model: Any module, also a norm layer itself.
        to: `"bnlab"` or `"torch"`: whose layers the model shall have.

    Shape:
        - no tensor is computed or copied

    Raises:
        ValueError: `to` is another word.
        TypeError: `model` is not a module.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.LayerNorm(8))
        >>> [type(layer).__module__ for layer in convert(model)]
        ['torch.nn.modules.linear', 'bnlab.layers.batch', 'bnlab.layers.layer']
        >>> type(convert(model, to="torch")[1]) is nn.BatchNorm1d
        True

    In the manner of
    https://pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html#torch.nn.SyncBatchNorm.convert_sync_batchnorm
    """
    if to not in ("bnlab", "torch"):
        raise ValueError(f'to={to!r} is unknown: write to="bnlab" or to="torch"')
    if not isinstance(model, nn.Module):
        raise TypeError(f"convert needs a torch.nn.Module, got {model!r}: pass the model itself")
    twins = {getattr(nn, name): getattr(layers, name) for name in layers.__all__}
    if to == "torch":
        twins = {ours: theirs for theirs, ours in twins.items()}
    for module in model.modules():
        # The exact class only: to become another one, a subclass would lose what it adds.
        if type(module) in twins:
            module.__class__ = twins[type(module)]
    return model
