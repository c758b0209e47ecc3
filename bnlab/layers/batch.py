"""Batch normalisation as modules: they own the state, `bnlab.functional` does the arithmetic."""

from __future__ import annotations

from torch import Tensor

from bnlab import functional
from bnlab.layers.base import RunningNorm


class _BatchNorm(RunningNorm):
    def forward(self, input: Tensor) -> Tensor:
        """Normalise: with the batch's statistics in train mode, the running ones in eval mode."""
        self._check_dimensions(input)
        mean, var = self.running_mean, self.running_var
        use_batch = self.training or (mean is None and var is None)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and not self.track_running_stats:
            mean = var = None
        elif self.training and (batches := self.num_batches_tracked) is not None:
            batches.add_(1)
            if self.momentum is None:
                # The share of the newest of n batches, so that all of them count alike.
                momentum = 1.0 / float(batches)
        return self._normalize(input, mean, var, use_batch, momentum)

    def _normalize(
        self,
        input: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        use_batch: bool,
        momentum: float,
    ) -> Tensor:
        return functional.batch_norm(
            input, mean, var, self.weight, self.bias, use_batch, momentum, self.eps
        )


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
        >>> import torch
        >>> layer = BatchNorm1d(2)
        >>> layer(torch.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])
        >>> layer.running_mean
        tensor([0.2000, 2.0000])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _shapes = ("NC", "NCL")


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
        >>> import torch
        >>> layer = BatchNorm2d(16)
        >>> layer
        BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        >>> layer(torch.randn(8, 16, 32, 32)).shape
        torch.Size([8, 16, 32, 32])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _shapes = ("NCHW",)


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
        >>> import torch
        >>> layer = BatchNorm3d(4)
        >>> layer(torch.randn(2, 4, 3, 8, 8)).shape
        torch.Size([2, 4, 3, 8, 8])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167
    """

    _shapes = ("NCDHW",)
