"""The whole layer, written out so that each of its steps can be taken wrongly."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises import steps
from bnlab.exercises.asking import BrokenError, UnclearError, Way

# With momentum=None, what they do depends on how they were written.
MOMENTUM = {slug for slug in steps.MOVING if slug.startswith("momentum-")}


class Layer(nn.Module):
    """Batch norm as `torch.nn` has it, for input of any number of dimensions, taken a given way.

    Args:
        num_features: Number of channels.
        eps: Added to the variance.
        momentum: Weight of a new batch; None counts all alike.
        affine: Whether to have gamma and beta.
        track_running_stats: Whether to keep running statistics.
        way: The steps that are taken wrongly.
    """

    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        way: Way,
    ) -> None:
        super().__init__()
        if not affine and "affine-false-ignored" in way:
            raise BrokenError
        if not track_running_stats and "tracking-false-ignored" in way:
            raise BrokenError
        if momentum is None and "cumulative-ignored" in way:
            raise BrokenError
        self.eps, self.momentum, self.way = eps, momentum, way
        self._batches = 0
        self.weight = self.bias = None
        if affine:
            self._own_affine(num_features)
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self._own_statistics(num_features)

    def _own_affine(self, size: int) -> None:
        weight, bias = torch.ones(size), torch.zeros(size)
        if "affine-not-parameters" in self.way:
            # Plain, not buffers: what a buffer would change elsewhere is not what is named.
            vars(self).update(weight=weight.requires_grad_(), bias=bias.requires_grad_())
        else:
            self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def _own_statistics(self, size: int) -> None:
        way = self.way
        for name, value in (
            ("running_mean", torch.zeros(size)),
            ("running_var", torch.ones(size)),
            ("num_batches_tracked", torch.tensor(0)),
        ):
            counter = name == "num_batches_tracked"
            plain = f"{name.replace('_', '-')}-not-in-buffers"
            delattr(self, name)
            if counter and "counter-missing" in way:
                setattr(self, name, None)
            elif not counter and way & {"statistics-not-in-buffers", plain}:
                setattr(self, name, value)
            elif not counter and "statistics-trained" in way:
                setattr(self, name, nn.Parameter(value))
            else:
                kept = counter or "statistics-not-saved" not in way
                self.register_buffer(name, value, persistent=kept)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        statistics = self.running_mean, self.running_var
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if "statistics-not-moved" in self.way and statistics[0] is not None:
            self.running_mean, self.running_var = statistics
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Normalise, and move the running statistics in train mode."""
        way = self.way
        x = input.detach() if "input-detached" in way else input
        training = self.training
        if "mode-from-grad" in way:
            training = torch.is_grad_enabled()
        if "no-grad-means-eval" in way:
            training = training and torch.is_grad_enabled()
        tracks = self.running_mean is not None
        old = (self.running_mean, self.running_var) if tracks else None
        dim = steps.axes(x, way)
        mean = x.mean(dim, keepdim=True)
        var = steps.variance(x, mean, dim, way)
        if "not-through-mean" in way or "not-through-statistics" in way:
            mean = mean.detach()
        if "not-through-variance" in way or "not-through-statistics" in way:
            var = var.detach()
        if "unbiased-normalising" in way:
            var = var * steps.unbiased(x, dim)
        if tracks and (training or way & {"updates-in-eval", "eval-moves-first"}):
            self._move(x)
        if tracks and not training and "eval-moves-first" in way:
            old = self.running_mean, self.running_var
        from_running = not training and "eval-uses-batch" not in way
        if training and "train-uses-updated-running" in way:
            old, from_running = (self.running_mean, self.running_var), True
        if training and "train-uses-old-running" in way:
            from_running = True
        if tracks and from_running and old is not None:
            mean, var = (t.view(1, -1, *[1] * (x.dim() - 2)) for t in old)
        y = steps.standardize(x, mean, var, self.eps, way)
        return steps.scale_and_shift(y, self.weight, self.bias, way)

    def _move(self, x: Tensor) -> None:
        way, counter = self.way, self.num_batches_tracked
        self._batches += 1
        if counter is not None and "no-update" in way:
            # Whether they are counted all the same is open.
            self.num_batches_tracked = counter * torch.nan
        elif counter is not None and "counter-not-counted" not in way:
            counter.add_(1)
        momentum = 1 / self._batches if self.momentum is None else self.momentum
        if self.momentum is None and way & MOMENTUM:
            raise UnclearError
        values = x.clone()  # For an in-place mistake is made once, where x is normalised.
        moved = steps.move_both(
            self.running_mean, self.running_var, values, momentum, self.eps, way
        )
        if way & steps.AXES.keys():
            # How many values were counted for the unbiased one is open.
            moved = moved[0], moved[1] * torch.nan
        for name, value in zip(("running_mean", "running_var"), moved, strict=True):
            if "statistics-trained" in way:
                getattr(self, name).data = value.detach()
            else:
                setattr(self, name, value)
