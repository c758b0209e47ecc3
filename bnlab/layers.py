"""Batch normalisation as modules: they own the state, `bnlab.functional` does the arithmetic."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bnlab import functional


class _BatchNorm(nn.Module):
    """Own the parameters and buffers of batch normalisation; a subclass names its dimensions."""

    # Version 1 had no num_batches_tracked; torch writes 2 into its state dicts, and so do we.
    _version = 2
    _dimensions: ClassVar[tuple[int, ...]]

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
        device: torch.device | str | int | None = None,
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

        def parameter(wanted: bool) -> nn.Parameter | None:
            if not wanted:
                return None
            return nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))

        self.register_parameter("weight", parameter(affine))
        self.register_parameter("bias", parameter(affine and bias))

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
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise: with the batch's statistics in train mode, the running ones in eval mode."""
        self._check_dimensions(input)
        tracking = self.training and self.track_running_stats
        if tracking and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        untracked = self.running_mean is None and self.running_var is None
        return functional.batch_norm(
            input,
            self.running_mean if tracking or not self.training else None,
            self.running_var if tracking or not self.training else None,
            self.weight,
            self.bias,
            self.training or untracked,
            self._update_weight(),
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def _update_weight(self) -> float:
        """Weight of the new batch; without a momentum 1/n, so that all n batches count alike."""
        if self.momentum is not None:
            return self.momentum
        if not self.training or self.num_batches_tracked is None:
            return 0.0
        return 1.0 / float(self.num_batches_tracked)

    def _check_dimensions(self, input: Tensor) -> None:
        if input.dim() not in self._dimensions:
            expected = " or ".join(f"{d}D" for d in self._dimensions)
            raise ValueError(
                f"expected {expected} input (got {input.dim()}D input): "
                f"{type(self).__name__} normalises dimension 1 of such a batch, "
                f"yours has shape {tuple(input.shape)}"
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


class BatchNorm1d(_BatchNorm):
    r"""Normalise each channel of a batch of vectors or sequences; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        num_features: :math:`C`, the number of channels.
        eps: :math:`\epsilon`, added to the variance.
        momentum: Weight of a new batch in the running statistics; None counts all batches alike.
        affine: Whether to learn :math:`\gamma` (`weight`) and :math:`\beta` (`bias`).
        track_running_stats: Whether to keep running statistics for eval mode. Without them the
            batch's own are used in both modes.
        device: Where to put parameters and buffers.
        dtype: The dtype of parameters and running statistics.
        bias: Whether to learn :math:`\beta`, where `affine`.

    Shape:
        - input and output: :math:`(N, C)` or :math:`(N, C, L)`

    Raises:
        ValueError: Input of another number of dimensions; in train mode, one value per channel.
        RuntimeError: Input with another number of channels.

    Example:
        >>> layer = BatchNorm1d(2)
        >>> layer(torch.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])
        >>> layer.running_mean
        tensor([0.2000, 2.0000])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    r"""Normalise each channel of a batch of images; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        num_features: :math:`C`; this and all other arguments as in `BatchNorm1d`.

    Shape:
        - input and output: :math:`(N, C, H, W)`

    Raises:
        ValueError: Input of another number of dimensions; in train mode, one value per channel.
        RuntimeError: Input with another number of channels.

    Example:
        >>> layer = BatchNorm2d(16)
        >>> layer
        BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        >>> layer(torch.randn(8, 16, 32, 32)).shape
        torch.Size([8, 16, 32, 32])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _dimensions = (4,)


class BatchNorm3d(_BatchNorm):
    r"""Normalise each channel of a batch of volumes or clips; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        num_features: :math:`C`; this and all other arguments as in `BatchNorm1d`.

    Shape:
        - input and output: :math:`(N, C, D, H, W)`

    Raises:
        ValueError: Input of another number of dimensions; in train mode, one value per channel.
        RuntimeError: Input with another number of channels.

    Example:
        >>> layer = BatchNorm3d(4)
        >>> layer(torch.randn(2, 4, 3, 8, 8)).shape
        torch.Size([2, 4, 3, 8, 8])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _dimensions = (5,)
