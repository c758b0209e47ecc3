"""Which layer stands right before a norm."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeGuard

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from bnlab.examination.norms import Norm

Pairs = dict[str, tuple[nn.Module, Norm]]


def has_idle_bias(layer: object, norm: Norm) -> bool:
    """Whether the layer adds to each of the norm's channels a number that the norm takes off."""
    return (
        isinstance(layer, (nn.Linear, _ConvNd))
        and isinstance(layer.bias, nn.Parameter)
        and not is_lazy(layer.bias)
        and (norm.is_batch or norm.is_instance)
        and layer.bias.numel() == getattr(norm.module, "num_features", None)
    )


def find_pairs(model: nn.Module, norms: list[Norm]) -> Pairs:
    """Return the layers with a bias that stand right before a norm in an `nn.Sequential`."""
    by_module = {id(norm.module): norm for norm in norms}
    pairs = {}
    inside: set[str] = set()
    for name, module in model.named_modules():
        if _is_chain(module) and name not in inside:
            steps = list(_steps(name, module, inside))
            for (before, layer), (_, after) in pairwise(steps):
                norm = by_module.get(id(after))
                if norm is not None and has_idle_bias(layer, norm):
                    pairs[before] = (layer, norm)
    return pairs


def _is_chain(module: nn.Module) -> TypeGuard[nn.Sequential]:
    # A subclass may do something else between its children.
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _steps(name: str, sequence: nn.Sequential, inside: set[str]) -> Iterator[tuple[str, nn.Module]]:
    """What a chain calls one after the other, chains within it unrolled; those are noted."""
    for own, child in sequence.named_children():
        path = f"{name}.{own}".lstrip(".")
        if _is_chain(child):
            inside.add(path)
            yield from _steps(path, child, inside)
        elif not isinstance(child, nn.Identity):
            yield path, child
