"""Send batches through a model and leave no trace: what reached its norms, and what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.borrowing import same_random_numbers
from bnlab.distributed.moments import Moments, combine_moments, exact_moments
from bnlab.examination.inputs import take
from bnlab.examination.neighbours import Pairs, has_idle_bias
from bnlab.examination.norms import STATISTICS, Norm
from bnlab.examination.undisturbed import devices_of, undisturbed

KEPT = 4096
"""Values that are kept of an output for each sample."""


@dataclass(frozen=True, eq=False)
class Call:
    """What reached a norm in one call: its shape, and the moments of each channel."""

    shape: tuple[int, ...]
    moments: Moments

    @property
    def count(self) -> int:
        """Values in a channel."""
        return math.prod(self.shape) // self.shape[1]


@dataclass(eq=False)
class Flow:
    """What happened to some batches in a model.

    Attributes:
        sizes: Samples in each batch.
        calls: Of each norm, for each batch, as in train mode: each norm normalised with the batch.
        eval: Outputs in eval mode, as the model is.
        train: Outputs where each norm normalised with the batch; dropout is off.
        measured: Mean and variance of all that reached a norm, over all batches, by its name.
        recalibrated: Outputs in eval mode with all these in place of the running statistics.
        without: The same outputs with one layer's own statistics left in place, by its name.
        pairs: Layers with a bias whose output went straight into a norm.
        failure: The exception that ended it, if one did.
        failed_in: The norm, or the empty name, that was at work then.
    """

    sizes: list[int] = field(default_factory=list)
    calls: dict[str, list[list[Call]]] = field(default_factory=dict)
    eval: list[Tensor] = field(default_factory=list)
    train: list[Tensor] = field(default_factory=list)
    measured: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    recalibrated: list[Tensor] = field(default_factory=list)
    without: dict[str, list[Tensor]] = field(default_factory=dict)
    pairs: Pairs = field(default_factory=dict)
    failure: Exception | None = None
    failed_in: str = ""


def send(
    model: nn.Module,
    norms: list[Norm],
    batches: Iterable[Any],
    choose: Callable[[list[Norm], Flow], Iterable[str]],
) -> Flow:
    """Send the first batches through the model in eval mode, in train mode, and recalibrated.

    Args:
        model: Is as it was afterwards, whatever happens.
        norms: Of the model.
        batches: Tensors, or tuples that begin with one; no more are read than it takes.
        choose: Names the norms to leave as they are, one at a time, once all is measured.

    Raises:
        ValueError: There is no batch.
        TypeError: A batch is something else.
    """
    flow = Flow()
    with undisturbed(model, batches):
        inputs = take(batches, model)
        flow.sizes = [len(each) for each in inputs]
        passes = _Passes(model, norms, inputs, flow)
        try:
            passes.run()
            for name in choose(norms, flow):
                others = {other: s for other, s in flow.measured.items() if other != name}
                flow.without[name] = passes.answer(others)
        except Exception as failure:
            flow.failure, flow.failed_in = failure, passes.inside[-1] if passes.inside else ""
        finally:
            passes.close()
    return flow


def normalises_by_batch(norm: Norm) -> bool:
    """Whether it would use the batch in train mode: not where it has been frozen on purpose."""
    return norm.is_batch and norm.tracked and not norm.frozen


class _Passes:
    """One model and its inputs, again and again with other statistics."""

    def __init__(
        self, model: nn.Module, norms: list[Norm], inputs: list[Tensor], flow: Flow
    ) -> None:
        self.model, self.norms, self.inputs, self.flow = model, norms, inputs, flow
        self.own = {n.name: _statistics(n) for n in norms if normalises_by_batch(n)}
        self.training = False
        self.inside: list[str] = []
        self.produced: dict[int, tuple[Tensor, int, str, nn.Module]] = {}
        self.handles: list[Any] = []

    def run(self) -> None:
        """Fill in all of the flow but `without`."""
        self.handles += [m.register_forward_pre_hook(h, with_kwargs=True) for m, h in self.watch()]
        for norm in self.norms:
            if norm.module is not None:
                self.handles.append(norm.module.register_forward_hook(self.leave))
        for name, module in self.model.named_modules():
            if isinstance(getattr(module, "bias", None), nn.Parameter):
                self.handles.append(module.register_forward_hook(self.produce(name)))
        self.flow.eval = self.answer({})
        self.training = True
        self.flow.train = self.answer({})
        self.training = False
        for name, calls in self.flow.calls.items():
            if calls and name in self.own:
                self.flow.measured[name] = pool([call for each in calls for call in each])
        self.flow.recalibrated = self.answer(self.flow.measured)

    def answer(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Outputs in eval mode with these in place of a norm's own, or in train mode."""
        for name, own in self.own.items():
            self.put(name, statistics.get(name, own))
        for norm in self.norms:
            if norm.is_instance and norm.module is not None:
                norm.module.training = self.training and not norm.frozen
        outputs = []
        # Alike in every pass, for layers that draw numbers in eval mode too.
        with same_random_numbers(devices_of(self.model)):
            for values in self.inputs:
                if self.training:
                    for norm in self.norms:
                        self.flow.calls.setdefault(norm.name, []).append([])
                outputs.append(_thin(_first_tensor(self.model(values)).detach()))
                self.produced.clear()
        return outputs

    def put(self, name: str, statistics: tuple[Tensor, Tensor]) -> None:
        module = next(norm.module for norm in self.norms if norm.name == name)
        for own, value in zip(STATISTICS, statistics, strict=True):
            getattr(module, own).copy_(value)

    def watch(self) -> Iterator[tuple[nn.Module, Callable[..., None]]]:
        """A hook before each norm."""
        for norm in self.norms:

            def before(
                _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], norm: Norm = norm
            ) -> None:
                self.inside.append(norm.name)
                values = args[0] if args else next(iter(kwargs.values()), None)
                if not isinstance(values, Tensor) or values.dim() < 2 or values.numel() == 0:
                    return
                self.pair(values, norm)
                if self.training:
                    call = Call(tuple(values.shape), exact_moments(values))
                    self.flow.calls[norm.name][-1].append(call)
                    if norm.name in self.own:
                        # In eval mode with the batch's statistics: what train mode computes, but
                        # for one value a channel too, and for layers that refuse this device.
                        self.put(norm.name, call.moments[1:])

            if norm.module is not None:
                yield norm.module, before

    def leave(self, *_: object) -> None:
        self.inside.pop()

    def produce(self, name: str) -> Callable[..., None]:
        """A hook after a layer with a bias: remember what it made, until the next batch."""

        def after(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor):
                # The version tells whether something has changed it in place since.
                self.produced[id(output)] = (output, output._version, name, module)

        return after

    def pair(self, values: Tensor, norm: Norm) -> None:
        made = self.produced.get(id(values))
        if made is not None and made[0] is values and made[1] == values._version:
            _, _, name, layer = made
            wide = isinstance(layer, nn.Linear) and values.dim() > 2
            if has_idle_bias(layer, norm) and not wide:
                self.flow.pairs[name] = (layer, norm)

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def pool(calls: list[Call]) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of all values of several calls."""
    parts = [torch.stack(each) for each in zip(*(call.moments for call in calls), strict=True)]
    size, mean, var = combine_moments(*parts)
    return mean, var * (size / (size - 1).clamp(min=1))


def _statistics(norm: Norm) -> tuple[Tensor, Tensor]:
    mean, var = (norm.tensors[name].detach().clone() for name in STATISTICS)
    return mean, var


def _thin(output: Tensor) -> Tensor:
    """Some of many values of each sample, the same ones each time: pictures take much memory."""
    every = -(-output[:1].numel() // KEPT)
    if output.dim() < 3 or every < 2:
        return output
    return output.flatten(1)[:, ::every, None].clone()


def _first_tensor(output: Any) -> Tensor:
    """The first tensor of numbers in what a model returned, or an empty one."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else output.new_empty(0, dtype=torch.float32)
    inner = output.values() if isinstance(output, Mapping) else output
    if isinstance(inner, Iterable) and not isinstance(inner, str):
        found = (_first_tensor(each) for each in inner)
        return next((tensor for tensor in found if tensor.numel()), torch.empty(0))
    return torch.empty(0)
