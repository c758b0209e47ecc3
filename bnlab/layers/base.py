"""What the layers own: a scale and a shift, and for some of them running statistics."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

Device = torch.device | str | int | None


class Norm(nn.Module):
    """Own the scale that starts at 1 and the shift that starts at 0, where they are wanted."""

    def _own(
        self, size: tuple[int, ...], device: Device, dtype: torch.dtype | None, **wanted: bool
    ) -> None:
        """Register a parameter, or None, under each name."""
        for name, want in wanted.items():
            values = torch.empty(size, device=device, dtype=dtype) if want else None
            self.register_parameter(name, None if values is None else nn.Parameter(values))

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        for name, fill in (("weight", nn.init.ones_), ("bias", nn.init.zeros_)):
            parameter = getattr(self, name, None)
            if parameter is not None:
                fill(parameter)


class RunningNorm(Norm):
    """Own the state of batch and instance normalisation; a subclass names its input's shapes."""

    # Version 1 had no num_batches_tracked; torch writes 2 into its state dicts, and so do we.
    _version = 2
    # A letter for each dimension, as in "NCHW".
    _shapes: ClassVar[tuple[str, ...]]

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._own((num_features,), device, dtype, weight=affine, bias=affine and bias)

        def buffer(*size: int, dtype: torch.dtype | None) -> Tensor | None:
            return torch.empty(size, device=device, dtype=dtype) if track_running_stats else None

        self.register_buffer("running_mean", buffer(num_features, dtype=dtype))
        self.register_buffer("running_var", buffer(num_features, dtype=dtype))
        self.register_buffer("num_batches_tracked", buffer(dtype=torch.long))
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget every batch: mean 0, variance 1, none counted."""
        if self.running_mean is not None:
            self.running_mean.zero_()
        if self.running_var is not None:
            self.running_var.fill_(1)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0, and forget every batch."""
        self.reset_running_stats()
        super().reset_parameters()

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _check_dimensions(self, input: Tensor) -> None:
        if input.dim() not in map(len, self._shapes):
            expected = " or ".join(f"{len(shape)}D" for shape in self._shapes)
            taken = " or ".join(f"({', '.join(shape)})" for shape in self._shapes)
            raise ValueError(
                f"expected {expected} input (got {input.dim()}D input): "
                f"{type(self).__name__} takes {taken}, yours has shape {tuple(input.shape)}"
            )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        *args: Any,
    ) -> None:
        key = f"{prefix}num_batches_tracked"
        version = local_metadata.get("version") or 1
        if version < 2 and self.track_running_stats and key not in state_dict:
            current = self.num_batches_tracked
            known = current is not None and not current.is_meta
            state_dict[key] = current if known else torch.tensor(0)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
