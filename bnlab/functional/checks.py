"""What every norm refuses: torch's error types, with a message that names the fix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_floating(function: str, input: Tensor) -> None:
    """Refuse integers, booleans and complex numbers."""
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{function} needs floating-point input, got {input.dtype}: pass input.float()"
        )


def check_channels(function: str, input: Tensor, error: type[Exception] = RuntimeError) -> None:
    """Refuse input without a dimension 1 to hold the channels."""
    if input.dim() < 2:
        raise error(
            f"{function} expected at least 2 dimensions, (N, C) or (N, C, *), "
            f"got {tuple(input.shape)}: add a batch dimension with input.unsqueeze(0)"
        )


def check_per_channel(input: Tensor, **tensors: Tensor | None) -> None:
    """Refuse a tensor that has not one value for each channel of `input`, or not its dtype."""
    expected = (input.shape[1],)
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.shape != expected:
            raise RuntimeError(
                f"{name} should contain {expected[0]} elements, not {tuple(tensor.shape)}: "
                f"dimension 1 of the input {tuple(input.shape)} holds the channels"
            )
        _check_dtype(input, name, tensor)


def check_running(
    running_mean: Tensor | None, running_var: Tensor | None, training: bool, instead: str
) -> None:
    """Refuse one running statistic without the other, and none where they are to be used."""
    if training and (running_mean is None) != (running_var is None):
        raise ValueError(
            "running_mean and running_var must either both be None or neither be None: "
            "pass the other one too"
        )
    if not training and (running_mean is None or running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise RuntimeError(
            f"{missing} must be defined in evaluation mode: "
            f"pass it, or {instead} to use the input's own statistics"
        )


def check_normalized_shape(
    function: str, input: Tensor, normalized_shape: Sequence[int], **tensors: Tensor | None
) -> None:
    """Refuse a shape that `input` does not end in, or a parameter that has not this shape."""
    if isinstance(normalized_shape, int):
        raise TypeError(
            f"{function}(): normalized_shape must be a tuple of ints, not int: "
            f"write ({normalized_shape},)"
        )
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, got (): "
            f"to normalise the last dimension pass {tuple(input.shape[-1:])}"
        )
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={shape}, expected input whose shape ends in it, "
            f"but got input of shape {tuple(input.shape)}: "
            f"pass normalized_shape={tuple(input.shape[-len(shape) :])}"
        )
    for name, tensor in tensors.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of "
                f"shape {tuple(tensor.shape)} and normalized_shape={shape}: every cell has its own"
            )
        if tensor is not None and function != "rms_norm":
            _check_dtype(input, name, tensor)


def check_groups(input: Tensor, num_groups: int) -> None:
    """Refuse groups that do not divide the channels, and groups of a single value."""
    check_channels("group_norm", input)
    channels = input.shape[1]
    if num_groups <= 0:
        raise RuntimeError(
            f"Expected num groups to be greater than 0, got {num_groups}: "
            "1 normalises all channels together"
        )
    if channels % num_groups:
        divisors = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {tuple(input.shape)} and num_groups={num_groups}: use one of {divisors}"
        )
    # One sample of one value a group is what torch refuses too; with more samples it answers 0.
    if input.numel() == num_groups:
        raise ValueError(
            "Expected more than 1 value per channel when training, "
            f"got input size {list(input.shape)}: use fewer groups"
        )


def _check_dtype(input: Tensor, name: str, tensor: Tensor) -> None:
    if tensor.dtype != input.dtype and (
        tensor.dtype != torch.promote_types(input.dtype, torch.float32)
    ):
        raise RuntimeError(
            f"{name} is {tensor.dtype} and input is {input.dtype}: "
            f"bring both to one dtype, with input.to({tensor.dtype}) or module.to({input.dtype})"
        )
