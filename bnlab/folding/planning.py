"""Find the norms that can be folded, and say of the others why they cannot."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from bnlab.folding.arithmetic import fold_parameters
from bnlab.folding.kinds import LINEAR, NORMS, fits, pads
from bnlab.layers.kinds import BATCH_NORMS, keeps_statistics

if TYPE_CHECKING:
    from torch.fx import Node


@dataclass(frozen=True)
class Plan:
    """What `fold` does with each batch norm of a model, by dotted names.

    Attributes:
        folded: The layer that a norm is folded into.
        kept: Why another one stays.
        untraced: Modules whose forward pass could not be followed, and why. Of what is in them
            each module was followed by itself, as if it were only called as a whole.
    """

    folded: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    untraced: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        found = len(self.folded) + len(self.kept)
        lines = [f"{len(self.folded)} of {found} batch norms can be folded"]
        lines += [f"  {norm} into {layer}" for norm, layer in self.folded.items()]
        lines += [f"  {norm} stays: {reason}" for norm, reason in self.kept.items()]
        lines += [
            f"  {name} could not be traced ({why}): taken to call its parts only as a whole"
            for name, why in self.untraced.items()
        ]
        return "\n".join(lines)


def plan(model: nn.Module) -> Plan:
    """Find out what `fold` will do with each batch norm, and why; nothing is changed.

    Which layer hands its output to which is read off by `torch.fx`, which runs the forward pass on
    stand-ins for tensors. That needs no data, but fails where the way through the model depends on
    them: there the children of such a module are traced one by one.

    Args:
        model: In eval mode.

    Raises:
        ValueError: A module is in train mode.
        TypeError: `model` is not a module.

    Example:
        >>> from bnlab import models
        >>> plan(models.mlp(64, nn.BatchNorm1d, norm_last=True).eval())
        0 of 2 batch norms can be folded
          norm1 stays: its input comes from relu1, not from a linear layer or a convolution
          norm2 stays: its input comes from relu2, not from a linear layer or a convolution

    Reed et al., "torch.fx: Practical Program Capture and Transformation for Deep Learning in
    Python" (2022): https://arxiv.org/abs/2112.08429
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"folding needs a torch.nn.Module, got {model!r}: pass the model itself")
    training = [name or "model" for name, module in model.named_modules() if module.training]
    if training:
        more = f" and {len(training) - 5} more" if len(training) > 5 else ""
        raise ValueError(
            "folding is right in eval mode only, where the statistics stand still: call "
            f"model.eval(); in train mode are {', '.join(training[:5])}{more}"
        )
    # A forward pass may keep what it is given: in a copy that does no harm.
    return _Planner(copy.deepcopy(model)).plan()


class _Planner:
    def __init__(self, model: nn.Module) -> None:
        from bnlab.folding import tracing

        self.names = {module: name or "model" for name, module in model.named_modules()}
        parts, self.untraced = tracing.trace(model)
        self.calls = tracing.calls_of(parts)
        self.touched = tracing.touched(parts)
        self.module_of = {node: m for m, nodes in self.calls.items() for node in nodes}
        named = Counter(module for _, module in model.named_modules(remove_duplicate=False))
        self.twice = {module for module, names in named.items() if names > 1}

    def plan(self) -> Plan:
        found = Plan(untraced=self.untraced)
        for norm, name in self.names.items():
            if not isinstance(norm, BATCH_NORMS):
                continue
            into = self.into(norm)
            if isinstance(into, str):
                found.kept[name] = into
            else:
                found.folded[name] = self.names[into]
        return found

    def into(self, norm: nn.Module) -> nn.Module | str:
        """The layer to fold the norm into, or why there is none."""
        reason = self.own_reason(norm) or self.reason(norm)
        if reason:
            return reason
        calls = self.calls[norm]
        sources = {self.source(call) for call in calls}
        layers = {self.module_of.get(source) for source in sources if source is not None}
        layer = next(iter(layers), None)
        if len(layers) != 1 or not isinstance(layer, LINEAR):
            return self.no_layer(norm, sources)
        name = self.names[layer]
        if type(layer) not in LINEAR:
            if nn.utils.parametrize.is_parametrized(layer):
                return f"the weight of {name} is parametrised: remove the parametrisation first"
            return f"{name} is a {type(layer).__name__}, which may do more than its weight says"
        reason = self.reason(layer)
        if reason:
            return f"{name}: {reason}"
        others = {user for call in self.calls[layer] for user in call.users} - set(calls)
        if others or not all(call.users for call in self.calls[layer]):
            used = ", ".join(sorted(self.describe(user) for user in others)) or "nobody"
            return f"the output of {name} is also used by {used}, before the norm"
        if not fits(norm, layer):
            return f"it does not normalise the output of {name} channel for channel"
        if not all(tensor.isfinite().all() for tensor in fold_parameters(layer, norm)):
            return "its statistics are not finite, or a variance is negative or too small"
        return layer

    def own_reason(self, norm: Any) -> str:
        """What about the norm itself speaks against folding."""
        if type(norm) not in NORMS:
            return f"it is a {type(norm).__name__}, which may do more than a batch norm"
        if not keeps_statistics(norm):
            return "it keeps no running statistics: in eval mode, too, it takes the batch's"
        if norm not in self.calls:
            where = "what could be traced" if self.untraced else "the forward pass"
            return f"no call of it was found in {where}"
        return ""

    def reason(self, layer: nn.Module) -> str:
        """What speaks against folding, of a norm as of the layer before it."""
        if layer._forward_hooks or layer._forward_pre_hooks:
            return "hooks look at what goes in or comes out"
        if layer in self.touched:
            return "the forward pass also uses its tensors by themselves"
        if self.untraced and layer in self.twice:
            return "it has two names, and not all that calls it could be traced"
        return ""

    def source(self, call: Node) -> Any:
        return call.args[0] if call.args else call.kwargs.get("input")

    def no_layer(self, norm: nn.Module, sources: set[Any]) -> str:
        came = ", ".join(sorted(self.describe(source) for source in sources))
        reason = f"its input comes from {came}, not from a linear layer or a convolution"
        users = {self.module_of.get(user) for call in self.calls[norm] for user in call.users}
        padding = [self.names[user] for user in users if user is not None and pads(user)]
        if padding:
            reason += f"; {' and '.join(sorted(padding))} after it pads with zeros it must not move"
        return reason

    def describe(self, node: Any) -> str:
        if node in self.module_of:
            return self.names[self.module_of[node]]
        if getattr(node, "op", "") == "placeholder":
            return f"the input {node.target}"
        if getattr(node, "op", "") == "output":
            return "the model's output"
        target = getattr(node, "target", node)
        return str(getattr(target, "__name__", target))
