"""Look into a model while it works: hooks that keep per-channel statistics and leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from bnlab.functional import moments

Part = Literal["input", "output", "gradient"]


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What a tensor looked like, channel by channel (dimension 1), over all its other dimensions.

    Attributes:
        mean: Of each channel, :math:`(C)`.
        std: Root of the biased variance, :math:`(C)`.
        minimum: Smallest value, :math:`(C)`.
        maximum: Largest value, :math:`(C)`.
        zeros: Share of values that are exactly 0, :math:`(C)`; 1 for a dead ReLU.
        count: Number of values in a channel.
        quantiles: One row for each quantile asked for, :math:`(Q, C)`, or None.
        histogram: How many values fall in each bin, :math:`(bins, C)`, or None.
        edges: Of the bins, the same for all channels, :math:`(bins + 1)`, or None.
    """

    mean: Tensor
    std: Tensor
    minimum: Tensor
    maximum: Tensor
    zeros: Tensor
    count: int
    quantiles: Tensor | None = None
    histogram: Tensor | None = None
    edges: Tensor | None = None

    def __repr__(self) -> str:
        mean, std = float(self.mean.mean()), float(self.std.mean())
        return (
            f"ChannelStatistics({len(self.mean)} channels of {self.count}: mean {mean:.3g}, "
            f"std {std:.3g}, zeros {float(self.zeros.mean()):.0%})"
        )


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """One call of one layer: what came in, what went out, and the gradient that came back to that.

    A part is None if it is no floating-point tensor with channels, was not asked for, or (the
    gradient) never came.
    """

    step: int
    layer: str
    kind: str
    input: ChannelStatistics | None = None
    output: ChannelStatistics | None = None
    gradient: ChannelStatistics | None = None


@dataclass(eq=False, repr=False)
class Recording:
    """What `record` saw.

    Attributes:
        layers: For each layer, by its dotted name, its calls in order.
        steps: Forward passes of the model so far, recorded or not.
        every: The distance of the recorded steps; doubles as the recording grows.
    """

    layers: dict[str, list[LayerStatistics]] = field(default_factory=dict)
    steps: int = 0
    every: int = 1

    def __repr__(self) -> str:
        rows = [f"Recording({len(self.layers)} layers, {self.steps} steps, every {self.every})"]
        for name, calls in self.layers.items():
            rows.append(f"  {name}: {len(calls)} calls" + (f", {calls[-1].kind}" if calls else ""))
        return "\n".join(rows)

    def series(self, layer: str, part: Part, statistic: str) -> tuple[list[int], Tensor]:
        """Return the steps a layer was recorded in, and one statistic at each, stacked.

        Args:
            layer: Dotted name.
            part: 'input', 'output' or 'gradient'.
            statistic: A tensor of `ChannelStatistics`, such as 'mean' or 'quantiles'.

        Shape:
            - output: :math:`(S, C)`, or :math:`(S, Q, C)` for quantiles; calls without the part
              are left out

        Raises:
            ValueError: No recorded call of the layer has that part or that statistic.

        Example:
            >>> model = nn.Sequential(nn.Linear(3, 2))
            >>> with record(model) as recording:
            ...     _ = model(torch.zeros(4, 3)), model(torch.ones(4, 3))
            >>> steps, means = recording.series("0", "input", "mean")
            >>> steps, means.tolist()
            ([0, 1], [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
        """
        calls = [(call.step, getattr(call, part)) for call in self.layers.get(layer, [])]
        found = [(step, getattr(s, statistic)) for step, s in calls if s is not None]
        if not found or found[0][1] is None:
            raise ValueError(
                f"no {part} {statistic} of layer {layer!r}: recorded are "
                f"{', '.join(name for name, calls in self.layers.items() if calls) or 'no layers'}"
                "; a gradient needs a backward pass inside `with record(...)`, quantiles and "
                "histograms need record(quantiles=...) and record(bins=...)"
            )
        return [step for step, _ in found], torch.stack([value for _, value in found])


@contextmanager
def record(
    model: nn.Module,
    *,
    layers: type[nn.Module] | tuple[type[nn.Module], ...] | Sequence[str] | None = None,
    every: int = 1,
    keep: int = 1000,
    quantiles: Sequence[float] = (),
    bins: int = 0,
    parts: Sequence[Part] = ("input", "output", "gradient"),
    training: bool | None = None,
) -> Iterator[Recording]:
    r"""Keep statistics of what flows through `model` inside the `with` block, by hooks.

    The model is not changed: outputs, gradients, running statistics and random numbers stay the
    same bit for bit, and the hooks are gone when the block ends, also by an exception. A *step* is
    one forward pass of `model` in the mode given by `training`; others are not recorded, so that
    around `training.fit` step :math:`i` is the one of `History.loss[i]`, and the evaluations in
    between are left out.

    Args:
        model: Its own forward pass must run, not only a part of it.
        layers: None for all modules without children, or a module type or several, or dotted names.
        every: Record each step that is a multiple of it.
        keep: At most so many steps are kept. Beyond it every second one is dropped and `every`
            doubles, so that the recording spans the whole training in bounded memory.
        quantiles: Shares between 0 and 1, for example `(0.15, 0.5, 0.85)`; takes a sort.
        bins: Number of histogram bins between the tensor's smallest and largest value.
        parts: Which of a layer's input, output and gradient (of the loss with respect to the
            output) to keep.
        training: Record passes in train mode (True) or eval mode (False); None is the mode the
            model has as the block begins.

    Shape:
        - a layer's tensors: :math:`(N, C)` or :math:`(N, C, *)`; statistics: :math:`(C)`

    Raises:
        ValueError: `layers` names or matches no module, or a number makes no sense.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> with record(model, layers=nn.ReLU) as recording:
        ...     model(torch.ones(4, 3)).sum().backward()
        >>> recording
        Recording(1 layers, 1 steps, every 1)
          1: 1 calls, ReLU
        >>> recording.layers["1"][0].gradient.mean
        tensor([1., 1.])

    After the hooks of Howard & Gugger, "fastai: A Layered API for Deep Learning" (2020):
    https://arxiv.org/abs/2002.04688
    """
    if every < 1 or keep < 1 or bins < 0 or any(not 0 <= q <= 1 for q in quantiles):
        raise ValueError(
            "every and keep are at least 1, bins at least 0 and quantiles between 0 and 1, but "
            f"they are {every}, {keep}, {bins} and {tuple(quantiles)}"
        )
    if not set(parts) <= set(get_args(Part)):
        raise ValueError(f"parts are 'input', 'output' and 'gradient', but here {tuple(parts)}")
    chosen = _choose(model, layers)
    recording = Recording({name: [] for name in chosen}, every=every)
    wanted = model.training if training is None else training
    recorder = _Recorder(recording, keep, wanted, set(parts), tuple(quantiles), bins)
    handles: list[Any] = []
    try:
        handles.append(model.register_forward_pre_hook(recorder.begin))
        for name, module in chosen.items():
            before, after = recorder.watch(name)
            handles.append(module.register_forward_pre_hook(before))
            handles.append(module.register_forward_hook(after))
        # Also after an exception: a later call of a single layer is no step of the model.
        handles.append(model.register_forward_hook(recorder.end, always_call=True))
        yield recording
    finally:
        recorder.close()
        for handle in handles:
            handle.remove()


def _choose(
    model: nn.Module, layers: type[nn.Module] | tuple[type[nn.Module], ...] | Sequence[str] | None
) -> dict[str, nn.Module]:
    # The model itself has the empty name, which would label nothing.
    modules = {name or type(model).__name__: module for name, module in model.named_modules()}
    if layers is None:
        return {n: m for n, m in modules.items() if next(m.children(), None) is None}
    if isinstance(layers, str):
        raise ValueError(f"layers is a list of names: write [{layers!r}]")
    wanted = (layers,) if isinstance(layers, type) else tuple(layers)
    kinds = tuple(layer for layer in wanted if isinstance(layer, type))
    unknown = [n for n in wanted if not isinstance(n, type) and n not in modules]
    chosen = {n: m for n, m in modules.items() if n in wanted or isinstance(m, kinds)}
    if unknown or not chosen:
        raise ValueError(f"layers={layers!r} is not in the model; it has {', '.join(modules)}")
    return chosen


class _Recorder:
    """The hooks' shared state while the block lasts."""

    def __init__(
        self,
        recording: Recording,
        keep: int,
        training: bool,
        parts: set[Part],
        quantiles: tuple[float, ...],
        bins: int,
    ) -> None:
        self.recording, self.keep, self.training, self.parts = recording, keep, training, parts
        self.quantiles, self.bins = quantiles, bins
        self.step: int | None = None
        self.kept = 0
        self.open = True
        self.waiting: dict[str, ChannelStatistics | None] = {}

    def begin(self, model: nn.Module, _: tuple[Any, ...]) -> None:
        self.step = None
        if model.training is not self.training:
            return
        recording, step = self.recording, self.recording.steps
        recording.steps += 1
        if step % recording.every == 0 and self.kept == self.keep:
            recording.every *= 2
            for calls in recording.layers.values():
                calls[:] = [call for call in calls if call.step % recording.every == 0]
            self.kept = -(-step // recording.every)
        if step % recording.every == 0:
            self.step = step
            self.kept += 1

    def end(self, _: nn.Module, __: tuple[Any, ...], ___: Any) -> None:
        self.step = None

    def close(self) -> None:
        self.open, self.step = False, None

    def watch(self, name: str) -> tuple[Callable[..., None], Callable[..., None]]:
        """Return the hooks of one layer."""

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            # Here, since an in-place layer overwrites its input.
            if self.step is not None and "input" in self.parts:
                self.waiting[name] = self.statistics(inputs[0] if inputs else None)

        def after(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
            if self.step is None:
                return
            seen = self.statistics(output) if "output" in self.parts else None
            kind = type(module).__name__
            call = LayerStatistics(self.step, name, kind, self.waiting.pop(name, None), seen)
            self.recording.layers[name].append(call)
            if "gradient" in self.parts and isinstance(output, Tensor) and output.requires_grad:
                self.await_gradient(output, call)

        return before, after

    def await_gradient(self, output: Tensor, call: LayerStatistics) -> None:
        # A tensor's hook and not the module's: those forbid in-place layers further on.
        def arrived(gradient: Tensor) -> None:
            handle.remove()
            calls = self.recording.layers[call.layer]
            # From the end, where it nearly always is; a thinned recording has it no more.
            for place in reversed(range(len(calls) if self.open else 0)):
                if calls[place] is call:
                    calls[place] = replace(call, gradient=self.statistics(gradient))
                    return

        handle = output.register_hook(arrived)

    @torch.no_grad()
    def statistics(self, tensor: Any) -> ChannelStatistics | None:
        if not isinstance(tensor, Tensor) or tensor.dim() < 2 or not tensor.is_floating_point():
            return None
        if tensor.numel() == 0:
            return None
        values = tensor.detach()
        others = [d for d in range(values.dim()) if d != 1]
        mean, var = (statistic.flatten() for statistic in moments(values, others))
        rows = values.movedim(1, 0).flatten(1) if self.quantiles or self.bins else values
        histogram, edges = _histogram(rows, self.bins) if self.bins else (None, None)
        return ChannelStatistics(
            mean=mean.cpu(),
            std=var.sqrt().cpu(),
            minimum=values.amin(others).cpu(),
            maximum=values.amax(others).cpu(),
            zeros=(values == 0).to(mean.dtype).mean(others).cpu(),
            count=values.numel() // values.shape[1],
            quantiles=_quantiles(rows, self.quantiles).cpu() if self.quantiles else None,
            histogram=histogram,
            edges=edges,
        )


def _quantiles(rows: Tensor, shares: tuple[float, ...]) -> Tensor:
    # torch.quantile does the same, but refuses tensors of more than 16 million values.
    ordered = rows.sort(dim=1).values.to(torch.promote_types(rows.dtype, torch.float32))
    place = torch.tensor(shares, dtype=torch.float64, device=rows.device) * (rows.shape[1] - 1)
    low, high = place.floor().long(), place.ceil().long()
    return torch.lerp(ordered[:, low], ordered[:, high], (place - low).to(ordered.dtype)).T


def _histogram(rows: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    finite = rows.isfinite()
    inside = rows[finite].to(torch.promote_types(rows.dtype, torch.float32))
    low, high = (float(inside.min()), float(inside.max())) if len(inside) else (0.0, 0.0)
    if low == high:
        # A constant tensor gets bins of some width, as in numpy.
        low, high = low - 0.5, high + 0.5
    bin_ = ((inside - low) * (bins / (high - low))).long().clamp(0, bins - 1)
    channel = torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)[finite]
    counts = torch.bincount(bin_ * len(rows) + channel, minlength=bins * len(rows))
    return counts.view(bins, -1).cpu(), torch.linspace(low, high, bins + 1)
