"""The norm layers of a model or of a state dict, seen in one way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bnlab.freezing import is_frozen
from bnlab.layers.kinds import BATCH_NORMS, INSTANCE_NORMS

STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"
OWN = ("weight", "bias", *STATISTICS, COUNTER)


def is_half(dtype: torch.dtype) -> bool:
    """Whether it has 16 bits or fewer, of which some are behind the point."""
    return dtype.is_floating_point and dtype.itemsize <= 2


@dataclass(frozen=True, eq=False)
class Norm:
    """A layer with running statistics, or one that should have them.

    Attributes:
        name: Of the layer in the model, or before its keys in the state dict.
        tensors: Its parameters and buffers, those that it has, by their own names.
        module: The layer; None in a state dict.
        also: Further names under which the model has it.
        frozen: Whether it is meant to keep its statistics while other layers train.
    """

    name: str
    tensors: Mapping[str, Tensor]
    module: nn.Module | None = None
    also: tuple[str, ...] = ()
    frozen: bool = False

    @property
    def tracked(self) -> bool:
        """Whether it has both running statistics, with values."""
        return self.readable and all(name in self.tensors for name in STATISTICS)

    @property
    def readable(self) -> bool:
        """Whether its tensors have values, a number for each channel."""
        return self.has_values and not self.misshapen and self.channels > 0

    @property
    def has_values(self) -> bool:
        """Whether its tensors have values: a lazy layer's, or one's on the meta device, do not."""
        return not any(is_lazy(tensor) or tensor.is_meta for tensor in self.tensors.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all but the counter, which is to be one number."""
        return {n: tuple(t.shape) for n, t in self.tensors.items() if n != COUNTER}

    @property
    def misshapen(self) -> bool:
        """Whether its tensors are not all of one dimension and one size."""
        shapes = set(self.shapes.values())
        return len(shapes) > 1 or any(len(shape) != 1 for shape in shapes)

    @property
    def channels(self) -> int:
        """How many values each of its tensors has."""
        return next((shape[0] for shape in self.shapes.values() if shape), 0)

    @property
    def counted(self) -> int | None:
        """How many batches it has counted; None where that is not known."""
        counter = self.tensors.get(COUNTER)
        if counter is None or self.is_instance or not self.tracked or counter.numel() != 1:
            return None
        return None if counter.is_floating_point() or counter < 0 else int(counter)

    @property
    def is_batch(self) -> bool:
        """Whether train mode normalises with the batch's statistics, as far as that is known."""
        return isinstance(self.module, BATCH_NORMS)

    @property
    def is_instance(self) -> bool:
        """Whether each sample is normalised by its own statistics in train mode."""
        return isinstance(self.module, INSTANCE_NORMS)

    @property
    def moves(self) -> bool:
        """Whether a forward pass in the present mode would move the statistics."""
        module: Any = self.module
        return (
            (self.is_batch or self.is_instance)
            and module.training
            and module.track_running_stats
            and all(name in self.tensors for name in STATISTICS)
        )

    @property
    def frozen_affine(self) -> tuple[str, ...]:
        """Which of weight and bias need no gradient."""
        own = {name: self.tensors.get(name) for name in ("weight", "bias")}
        return tuple(n for n, t in own.items() if t is not None and not t.requires_grad)

    @property
    def trains_affine(self) -> bool:
        """Whether weight or bias need a gradient."""
        own = (self.tensors.get(name) for name in ("weight", "bias"))
        return any(tensor is not None and tensor.requires_grad for tensor in own)

    @property
    def eps(self) -> float:
        """As the layer has it; torch's default in a state dict."""
        return float(getattr(self.module, "eps", 1e-5))

    @property
    def momentum(self) -> float | None:
        """As the layer has it; torch's default in a state dict. None counts all batches alike."""
        momentum = getattr(self.module, "momentum", 0.1)
        return None if momentum is None else float(momentum)

    def value(self, name: str) -> Tensor:
        """One of its tensors, exactly, where it can be computed with."""
        return self.tensors[name].detach().cpu().double()


def find_in_model(model: nn.Module) -> list[Norm]:
    """Return the model's layers that keep running statistics, or are built to.

    A layer is one of these by its class, torch's or ours or of a kind of those, or by having both
    buffers, such as a frozen norm of another library.
    """
    trains = model.training or any(p.requires_grad for p in model.parameters())
    names: dict[int, list[str]] = {}
    modules: dict[int, nn.Module] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        known = isinstance(module, (*BATCH_NORMS, *INSTANCE_NORMS))
        # Of one dimension: others keep running statistics of a whole tensor.
        foreign = [module._buffers.get(name) for name in STATISTICS]
        if known or all(each is not None and each.dim() == 1 for each in foreign):
            modules[id(module)] = module
            names.setdefault(id(module), []).append(name)
    norms = []
    for key, module in modules.items():
        own = {name: getattr(module, name, None) for name in OWN}
        tensors = {name: each for name, each in own.items() if isinstance(each, Tensor)}
        first, *others = names[key]
        norm = Norm(first, tensors, module, tuple(others))
        norms.append(replace(norm, frozen=_is_frozen(norm, trains)))
    return norms


def _is_frozen(norm: Norm, trains: bool) -> bool:
    module = norm.module
    if module is None or is_frozen(module) or not (norm.is_batch or norm.is_instance):
        # The last are other libraries' frozen norms, which always use what they keep.
        return module is not None
    # Where nothing trains, eval mode and no gradients are what answering takes.
    return trains and "weight" in norm.tensors and not (module.training or norm.trains_affine)


def find_in_state(state: Mapping[str, Any]) -> list[Norm]:
    """Return what a state dict shows to keep running statistics, or to have kept them."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        layer, _, name = key.rpartition(".")
        if isinstance(tensor, Tensor):
            layers.setdefault(layer, {})[name] = tensor
    return [
        Norm(layer, {name: own[name] for name in OWN if name in own})
        for layer, own in layers.items()
        if any(name in own for name in (*STATISTICS, COUNTER))
    ]


def find_doubtful(state: Mapping[str, Any]) -> list[str]:
    """Return the layers of a state dict that are layer norms, or batch norms without statistics."""
    vectors = [k for k, t in state.items() if isinstance(t, Tensor) and t.dim() == 1]
    layers = [key.removesuffix("weight") for key in vectors if key.rpartition(".")[2] == "weight"]
    kept = (*STATISTICS, COUNTER)
    return [
        layer.removesuffix(".")
        for layer in layers
        if f"{layer}bias" in vectors and not any(f"{layer}{name}" in state for name in kept)
    ]
