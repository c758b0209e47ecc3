"""Instance normalisation as modules, with running statistics where they are asked for."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from bnlab import functional
from bnlab.layers.base import Device, RunningNorm


class _InstanceNorm(RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the sample's statistics; in eval mode by the running ones, if tracked."""
        self._check_dimensions(input)
        unbatched = input.dim() == len(self._shapes[0])
        self._check_channels(input, 0 if unbatched else 1)
        output = functional.instance_norm(
            input.unsqueeze(0) if unbatched else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return output.squeeze(0) if unbatched else output

    def _check_channels(self, input: Tensor, dim: int) -> None:
        channels = input.shape[dim]
        if channels == self.num_features:
            return
        if self.affine:
            raise ValueError(
                f"expected input's size at dim={dim} to match num_features ({self.num_features}), "
                f"but got: {channels}. Build the layer with num_features={channels}, or move the "
                f"channels of your {tuple(input.shape)} to dimension {dim}"
            )
        warnings.warn(
            f"input's size at dim={dim} does not match num_features. Nothing depends on it "
            f"without parameters: build the layer with num_features={channels} to silence this",
            stacklevel=3,
        )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # Before torch 0.4 every layer tracked; such files carry no version.
        if local_metadata.get("version") is None and not self.track_running_stats:
            names = [n for n in ("running_mean", "running_var") if f"{prefix}{n}" in state_dict]
            for name in names:
                del state_dict[f"{prefix}{name}"]
            if names:
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(names)} for "
                    f"{type(self).__name__} with track_running_stats=False: delete these keys "
                    "from the state dict, or build the layer with track_running_stats=True"
                )
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )


class InstanceNorm1d(_InstanceNorm):
    r"""Normalise each channel of each sequence over its positions; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma_C \frac{x - \mu_{NC}}{\sqrt{\sigma_{NC}^2 + \epsilon}} + \beta_C

    Args:
        num_features: :math:`C`, the number of channels.
        eps: :math:`\epsilon`, added to the variance.
        momentum: Weight of a new batch in the running statistics, if they are kept.
        affine: Whether to learn :math:`\gamma` (`weight`) and :math:`\beta` (`bias`).
        track_running_stats: Whether to keep running statistics, averaged over the samples, and
            use them in eval mode. Without them each sample's own are used in both modes.
        device: Where to put parameters and buffers.
        dtype: The dtype of parameters and running statistics.
        bias: Whether to learn :math:`\beta`, where `affine`.

    Shape:
        - input and output: :math:`(N, C, L)`, or :math:`(C, L)` for a single sample

    Raises:
        ValueError: Input of another number of dimensions; another number of channels, where
            `affine`; a single position, where the sample's own statistics are used.
        RuntimeError: Input with another number of channels than the running statistics.

    Without `affine` another number of channels is a warning, as in torch.

    Example:
        >>> layer = InstanceNorm1d(1)
        >>> layer(torch.tensor([[[1.0, 3.0]], [[10.0, 30.0]]])).flatten().round(decimals=3)
        tensor([-1.,  1., -1.,  1.])

    Ulyanov et al., "Instance Normalization" (2016): https://arxiv.org/abs/1607.08022
    """

    _shapes = ("CL", "NCL")


class InstanceNorm2d(_InstanceNorm):
    r"""Normalise each channel of each image over its pixels; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma_C \frac{x - \mu_{NC}}{\sqrt{\sigma_{NC}^2 + \epsilon}} + \beta_C

    Args:
        num_features: :math:`C`; this and all other arguments as in `InstanceNorm1d`.

    Shape:
        - input and output: :math:`(N, C, H, W)`, or :math:`(C, H, W)` for a single image

    Raises:
        ValueError: As in `InstanceNorm1d`.
        RuntimeError: As in `InstanceNorm1d`.

    Example:
        >>> layer = InstanceNorm2d(3, affine=True)
        >>> layer(torch.randn(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])
        >>> layer(torch.randn(3, 32, 32)).shape
        torch.Size([3, 32, 32])

    Ulyanov et al., "Instance Normalization" (2016): https://arxiv.org/abs/1607.08022
    """

    _shapes = ("CHW", "NCHW")


class InstanceNorm3d(_InstanceNorm):
    r"""Normalise each channel of each volume or clip; a drop-in for `torch.nn`'s.

    .. math::
        y = \gamma_C \frac{x - \mu_{NC}}{\sqrt{\sigma_{NC}^2 + \epsilon}} + \beta_C

    Args:
        num_features: :math:`C`; this and all other arguments as in `InstanceNorm1d`.

    Shape:
        - input and output: :math:`(N, C, D, H, W)`, or :math:`(C, D, H, W)` for a single volume

    Raises:
        ValueError: As in `InstanceNorm1d`.
        RuntimeError: As in `InstanceNorm1d`.

    Example:
        >>> layer = InstanceNorm3d(4)
        >>> layer(torch.randn(2, 4, 3, 8, 8)).shape
        torch.Size([2, 4, 3, 8, 8])

    Ulyanov et al., "Instance Normalization" (2016): https://arxiv.org/abs/1607.08022
    """

    _shapes = ("CDHW", "NCDHW")
