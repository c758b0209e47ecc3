"""The layer: plain batch normalisation, but for whose statistics it uses in train mode."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from bnlab import layers
from bnlab.distributed.moments import gather_moments
from bnlab.distributed.synchronized import Synchronized
from bnlab.functional import update_running
from bnlab.functional.checks import check_floating, check_per_channel
from bnlab.layers.base import Device
from bnlab.layers.batch import _BatchNorm

Model = TypeVar("Model", bound=nn.Module)


class SyncBatchNorm(_BatchNorm):
    r"""Normalise each channel over the batches of all processes, as if they were one batch.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta, \qquad
        \mu_C = \sum_p \frac{n_p}{n} \mu_{pC}, \qquad
        \sigma_C^2 = \sum_p \frac{n_p}{n} \big(\sigma_{pC}^2 + (\mu_{pC} - \mu_C)^2\big)

    In train mode each process :math:`p` gathers every other's :math:`n_p`, :math:`\mu_p` and
    :math:`\sigma_p^2`: one exchange of :math:`2C + 1` numbers. The backward pass sums two vectors
    over the processes, :math:`\sum_j g_j` and :math:`\sum_j g_j \hat x_j`: one exchange of
    :math:`2C`. So the outputs, the gradients of the inputs and the running statistics are those of
    one process with all samples, however these are shared out; a process may have none of them. It
    takes part all the same, forwards and backwards. The gradients of `weight` and `bias` are those
    of the process's own samples, for `torch.nn.parallel.DistributedDataParallel` to average, like
    those of any layer.

    In eval mode, with one process, or where `torch.distributed` is not initialised, it is plain
    batch normalisation and exchanges nothing. Input lies on a CPU (gloo) or on a GPU (NCCL); what
    is exchanged lies there, too. It can be differentiated once.

    Args:
        num_features: :math:`C`, the number of channels.
        eps: :math:`\epsilon`, added to the variance.
        momentum: Weight of a new batch in the running statistics; None counts all batches alike.
        affine: Whether to learn :math:`\gamma` (`weight`) and :math:`\beta` (`bias`).
        track_running_stats: Whether to keep running statistics for eval mode. Without them the
            batch's own are used in both modes; in eval mode those of the process alone.
        process_group: The processes to normalise over, this one among them; None for all.
        device: Where to put parameters and buffers.
        dtype: The dtype of parameters and running statistics.
        bias: Whether to learn :math:`\beta`, where `affine`.

    Shape:
        - input and output: :math:`(N, C)` or :math:`(N, C, *)`; :math:`N` may differ from process
          to process, and be 0

    Raises:
        ValueError: Input without channels; in train mode, on every process, one value per channel
            in all of them together; this process is not in `process_group`.
        RuntimeError: Another process ended, or did not take part within the group's timeout
            (`torch.distributed.init_process_group(timeout=...)`, by default half an hour; with
            NCCL it ends the process); input with another number of channels; a second derivative.

    Example:
        >>> import torch
        >>> layer = SyncBatchNorm(2)
        >>> layer(torch.tensor([[1.0, 10.0], [3.0, 30.0]])).detach().round(decimals=3)
        tensor([[-1., -1.],
                [ 1.,  1.]])

    Ioffe & Szegedy, "Batch Normalization" (2015): https://arxiv.org/abs/1502.03167; the constructor
    is that of https://pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: dist.ProcessGroup | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        state = (num_features, eps, momentum, affine, track_running_stats, device, dtype)
        super().__init__(*state, bias=bias)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(
        cls, module: Model, process_group: dist.ProcessGroup | None = None
    ) -> Model:
        """Turn every batch norm of `module`, torch's and ours, into this class; return `module`.

        As in `bnlab.convert`, a layer stays the object that it is, with its state, mode and hooks,
        also where it is used twice, and only its class changes; so `module` itself may be a norm.
        Subclasses, and lazy layers before their first batch, stay as they are.

        Args:
            module: Any module.
            process_group: The processes to normalise over; None for all.

        Shape:
            - no tensor is computed or copied

        Example:
            >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
            >>> type(SyncBatchNorm.convert_sync_batchnorm(model)[1])
            <class 'bnlab.distributed.layer.SyncBatchNorm'>
        """
        names = "BatchNorm1d", "BatchNorm2d", "BatchNorm3d"
        kinds = {getattr(library, name) for library in (nn, layers) for name in names}
        kinds |= {cls, SyncBatchNorm, nn.SyncBatchNorm}
        for layer in module.modules():
            if type(layer) in kinds:
                layer.__class__ = cls
                layer.process_group = process_group  # type: ignore[assignment]
        return module

    def __deepcopy__(self, memo: dict[int, Any]) -> SyncBatchNorm:
        # A group is of processes, not of this layer: a copy is of the same one.
        memo[id(self.process_group)] = self.process_group
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__setstate__(copy.deepcopy(self.__dict__, memo))  # type: ignore[no-untyped-call]
        return copied

    def _check_dimensions(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(
                f"expected at least 2D input (got {input.dim()}D input): SyncBatchNorm takes "
                f"(N, C) or (N, C, *), yours has shape {tuple(input.shape)}"
            )
        if input.shape[1] == 0:
            raise ValueError(
                "SyncBatchNorm number of input channels should be non-zero: "
                f"dimension 1 of your input {tuple(input.shape)} holds them"
            )

    def _normalize(
        self,
        input: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        use_batch: bool,
        momentum: float,
    ) -> Tensor:
        group = self._group() if self.training else None
        if group is None:
            return super()._normalize(input, mean, var, use_batch, momentum)
        check_floating("SyncBatchNorm", input)
        state = {"running_mean": mean, "running_var": var, "weight": self.weight, "bias": self.bias}
        check_per_channel(input, **state)
        joint = gather_moments(input, group)
        own = input.numel() // input.shape[1]
        # Who has two values knows that they are enough. Only the others have to look, which on a
        # GPU means to wait.
        everywhere = own if own > 1 else int(joint.size)
        if everywhere == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{input.shape} and no more in all processes together: use larger batches"
            )
        if mean is not None and var is not None and everywhere > 0:
            update_running(mean, joint.mean, momentum)
            update_running(var, joint.var * (joint.size / (joint.size - 1)), momentum)
        output: Tensor = Synchronized.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, joint, self.eps, group
        )
        return output

    def _group(self) -> dist.ProcessGroup | None:
        """The processes to exchange with, if there are others."""
        if not (dist.is_available() and dist.is_initialized()):
            return None
        group = self.process_group or dist.group.WORLD
        size = dist.get_world_size(group)
        if size < 1:
            raise ValueError(
                "this process is not in the process_group of its SyncBatchNorm: "
                "give each process a group that it belongs to"
            )
        return group if size > 1 else None
