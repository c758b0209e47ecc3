"""What the numbers in a norm show: NaN, impossible variances, channels that are silent."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bnlab.examination.findings import Finding
from bnlab.examination.norms import COUNTER, STATISTICS, Norm, is_half
from bnlab.examination.state_checks import MEASURE

COLLAPSED = 1e-6
"""A variance below this share of its layer's median is none."""
DEAD = 1e-4
"""A gamma of at most this size is none."""


def find_not_finite(norm: Norm) -> Iterator[Finding]:
    """NaN or infinity in anything that a norm computes with."""
    for name, tensor in norm.tensors.items():
        if name == COUNTER or not tensor.is_floating_point() or not norm.readable:
            continue
        bad = ~norm.value(name).isfinite()
        if not bad.any():
            continue
        nan = int(norm.value(name).isnan().sum())
        infinite = int(bad.sum()) - nan
        kinds = [kind for kind, count in (("NaN", nan), ("infinite", infinite)) if count]
        if name in STATISTICS:
            effect = (
                ", and stays so, since each update keeps a part of the old value. Eval mode "
                "answers from it; train mode does not, so that training shows nothing."
            )
            remedy = f"Find the batch that brought it; then {MEASURE}."
        else:
            effect = ": every answer is made of it, in both modes."
            remedy = "Load a checkpoint from before, and train on with a smaller learning rate."
        yield Finding(
            "not-finite",
            "error",
            norm.name,
            f"{name} is {' or '.join(kinds)} in {int(bad.sum())} of {len(bad)} channels{effect}",
            remedy,
            channels_of(bad),
            {"nan": float(nan), "infinite": float(infinite)},
        )


def find_negative_variance(norm: Norm) -> Iterator[Finding]:
    """A running variance below 0, of which eval mode takes the root."""
    if not norm.tracked:
        return
    var = norm.value("running_var")
    negative = var < 0
    if not negative.any():
        return
    lowest = var[negative].min().item()
    nan = int((var + norm.eps < 0).sum())
    yield Finding(
        "negative-variance",
        "error",
        norm.name,
        f"The running variance is negative in {int(negative.sum())} of {len(var)} channels, the "
        f"lowest {lowest:.2g}: no data have such a variance"
        + (", and eval mode takes its root and answers NaN." if nan else "."),
        "Look for what wrote it: a wrong update, quantising, an average of models. "
        f"Then {MEASURE}.",
        channels_of(negative),
        {"lowest": lowest, "channels": float(negative.sum())},
    )


def find_collapsed_variance(norm: Norm) -> Iterator[Finding]:
    """A running variance of nearly nothing, which blows up whatever differs from the mean."""
    if not norm.tracked:
        return
    mean, var = (norm.value(name) for name in STATISTICS)
    usual = var.median().item()
    collapsed = (var >= 0) & ((var < norm.eps) | (var < COLLAPSED * usual))
    if not collapsed.any():
        return
    dead = _dead(norm)
    # A unit that ended at 0, as after a ReLU, takes its mean along, and its variance faster.
    silent = dead | (mean.square() <= norm.eps)
    likely = bool((collapsed & ~silent).any()) or bool(collapsed.all())
    gain = (collapsed / (var.clamp(min=0) + norm.eps).sqrt()).max().item()
    shown = collapsed & ~silent if bool((collapsed & ~silent).any()) else collapsed
    yield Finding(
        "collapsed-variance",
        "warning" if likely else "note",
        norm.name,
        f"The running variance is nearly 0 in {int(shown.sum())} of {len(var)} channels "
        f"(the layer's median is {usual:.2g}): whatever differs from the running mean there is "
        f"multiplied by up to {gain:.0f}."
        + ("" if likely else " The channels seem to be constant, so that nothing differs."),
        f"See what reaches the layer there. If it does vary, {MEASURE}." if likely else "",
        channels_of(shown),
        {"smallest": var[shown].min().item(), "median": usual, "largest_gain": gain},
    )


def find_dead_gamma(norm: Norm) -> Iterator[Finding]:
    """A gamma of nearly nothing, with which a channel says the same to everything."""
    if "weight" not in norm.tensors or not norm.readable:
        return
    dead = _dead(norm)
    if not dead.any():
        return
    count = int(dead.sum())
    most = 2 * count > len(dead)
    yield Finding(
        "dead-gamma",
        "warning" if most else "note",
        norm.name,
        f"gamma (weight) is nearly 0 in {count} of {len(dead)} channels: whatever comes in, "
        "beta (bias) goes out.",
        "Where it was not meant (a start at 0, a penalty, pruning), set weight to 1 and train on."
        if most
        else "",
        channels_of(dead),
        {"dead": float(count), "channels": float(len(dead))},
    )


def find_half_statistics(norm: Norm, mixed: bool) -> Iterator[Finding]:
    """Statistics in 16 bits; `mixed` is whether the model has wider numbers elsewhere."""
    dtypes = [norm.tensors[name].dtype for name in STATISTICS if name in norm.tensors]
    half = next(filter(is_half, dtypes), None)
    if half is None:
        return
    limit, dtype = torch.finfo(half), str(half).removeprefix("torch.")
    yield Finding(
        "half-precision-statistics",
        "warning" if mixed or norm.moves else "note",
        norm.name,
        f"The running statistics are {dtype}: "
        + (
            f"variances above {limit.max:.0f} become infinite"
            if half is torch.float16
            else f"two numbers closer than {100 * limit.eps:.1g} % are one"
        )
        + ", and small updates are lost.",
        "Keep them in float32: use autocast in place of model.half(), or take norms back by "
        ".float() and recalibrate."
        if mixed or norm.moves
        else "Good enough to answer with; do not go on training.",
        evidence={"resolution": limit.eps, "largest": limit.max},
    )


def channels_of(mask: Tensor) -> tuple[int, ...]:
    """The channels where it is true."""
    return tuple(mask.nonzero().flatten().tolist())


def _dead(norm: Norm) -> Tensor:
    if "weight" not in norm.tensors:
        return torch.zeros(len(norm.tensors["running_var"]), dtype=torch.bool)
    return norm.value("weight").abs() <= DEAD
