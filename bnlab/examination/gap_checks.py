"""How far eval mode is from train mode, and which layers' statistics make it so."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from bnlab.examination.findings import Finding, say_channels
from bnlab.examination.flow import Flow
from bnlab.examination.norms import STATISTICS, Norm
from bnlab.examination.value_checks import channels_of

FAR, WRONG = 0.4, 0.7
"""Gaps between eval mode and measured statistics that are a warning, and an error."""
NOISE = 2.0
"""The gap that chance makes of one sample; of n samples it is smaller by the root of n."""
TRIED = 8
"""Layers that are tried one by one; of many, those that look worst."""
ASTRAY = 2.0
"""So many standard deviations a single channel's mean may be off, of many samples."""
MAX = 1e9
"""Beyond it a gap is as good as infinite."""


def gap(outputs: list[Tensor], reference: list[Tensor]) -> float:
    r"""The difference of outputs, relative to how much the reference differs between samples.

    .. math::
        \sqrt{\frac{\sum (a - b)^2}{\sum (b - \bar{b})^2}}

    Infinite where an output is not finite; NaN where there is nothing to compare.

    Example:
        >>> gap([torch.tensor([[1.0], [3.0]])], [torch.tensor([[0.0], [2.0]])])
        1.0
    """
    ours, theirs = join(outputs), join(reference)
    if not theirs.numel():
        return math.nan
    if not bool(ours.isfinite().all() and theirs.isfinite().all()):
        return math.inf
    # A single sample differs from no other one.
    middle = theirs.mean(0) if len(theirs) > 1 else theirs.mean()
    spread = (theirs - middle).square().mean().sqrt()
    return float((ours - theirs).square().mean().sqrt() / spread.clamp(min=1e-12))


def is_far(flow: Flow) -> bool:
    """Whether measured statistics would change the answers by more than chance."""
    chance = NOISE / math.sqrt(sum(flow.sizes))
    return gap(flow.eval, flow.recalibrated) > math.hypot(FAR, chance)


def distances(norm: Norm, flow: Flow) -> tuple[Tensor, Tensor]:
    """How far each channel's running mean is off, in standard deviations, and the ratio of these.

    Both as in the batches that reached the norm.
    """
    mean, var = flow.measured[norm.name]
    own = [norm.value(name) for name in STATISTICS]
    std = (var + norm.eps).sqrt()
    return (own[0] - mean).abs() / std, (own[1] + norm.eps).sqrt() / std


def suspects(norms: list[Norm], flow: Flow) -> list[str]:
    """The layers to try, if eval mode is far from what measured statistics would answer."""
    if not is_far(flow):
        return []
    scores = {n.name: _score(*distances(n, flow)) for n in norms if n.name in flow.measured}
    return sorted(scores, key=lambda name: -scores[name])[:TRIED]


def find_eval_far_from_train(norms: list[Norm], flow: Flow) -> Iterator[Finding]:
    """Running statistics with which eval mode answers something else than train mode."""
    if flow.failure is not None or not is_far(flow):
        return
    whole = gap(flow.eval, flow.recalibrated)
    gaps = {name: gap(outputs, flow.recalibrated) for name, outputs in flow.without.items()}
    least = min(max(gaps.values(), default=0.0), MAX) / 2
    far = [norm for norm in norms if gaps.get(norm.name, 0.0) >= least]
    before, after = gap(flow.eval, flow.train), gap(flow.recalibrated, flow.train)
    changed = _changed(flow)
    for norm in sorted(far, key=lambda norm: -gaps[norm.name]):
        shift, ratio = (values.nan_to_num(math.inf) for values in distances(norm, flow))
        yield Finding(
            "eval-far-from-train",
            "error" if whole >= WRONG else "warning",
            norm.name,
            f"Eval mode answers these batches otherwise than train mode: {_say(before)} apart, "
            "where the answers' own spread is 1"
            + (f", and {100 * changed:.0f} % get another highest score" if changed else "")
            + f". This layer has a part in it: {_say_distances(shift, ratio)}.",
            f"Recalibrating would bring it to {_say(after)}: bnlab.recalibrate(model, batches), if "
            "these batches are like those it is meant for.",
            channels_of((shift > 1) | (ratio > 2) | (ratio < 0.5)),
            {
                "gap": before,
                "gap_recalibrated": after,
                "gap_of_this_layer": gaps[norm.name],
                "changed": changed,
                "mean_off": float(shift.max()),
                "smallest_ratio": float(ratio.min()),
                "largest_ratio": float(ratio.max()),
            },
        )


def find_channels_astray(norms: list[Norm], flow: Flow) -> Iterator[Finding]:
    """A few channels far off, of which the answers as a whole show little."""
    if flow.failure is not None or is_far(flow):
        return
    most = ASTRAY * (1 + 4 / math.sqrt(sum(flow.sizes)))
    for norm in norms:
        if norm.name not in flow.measured:
            continue
        shift, ratio = distances(norm, flow)
        # Where hardly anything varies, in the batches or in training, a mean says nothing.
        astray = (shift > most) & (ratio > 1 / 3) & (ratio < 3)
        if astray.any():
            changed = _changed(flow)
            off = float(shift[astray].max())
            yield Finding(
                "eval-far-from-train",
                "warning",
                norm.name,
                f"The running mean of {say_channels(channels_of(astray))} is off by up to "
                f"{_say(off)} standard deviations of what reaches it. The answers as a whole are "
                f"{_say(gap(flow.eval, flow.recalibrated))} from those of recalibrated statistics, "
                "where their own spread is 1"
                + (f"; {100 * changed:.0f} % get another highest score." if changed else "."),
                "bnlab.recalibrate(model, batches), if these batches are like those it is meant "
                "for.",
                channels_of(astray),
                {
                    "gap": gap(flow.eval, flow.train),
                    "gap_recalibrated": gap(flow.recalibrated, flow.train),
                    "changed": changed,
                    "mean_off": off,
                },
            )


def find_noisy_batches(flow: Flow) -> Iterator[Finding]:
    """Batches so small that train mode is far from eval mode whatever the running statistics."""
    if flow.failure is not None or not flow.measured or is_far(flow):
        return
    noise = gap(flow.recalibrated, flow.train)
    if noise > FAR:
        size = min(flow.sizes)
        yield Finding(
            "noisy-batches",
            "note",
            "",
            f"Train mode is {noise:.2g} from eval mode even with statistics measured on all these "
            f"batches (the answers' own spread is 1): batches of {size} are small, and each is "
            "normalised by its own chance. Recalibrating would not change that.",
            "Take larger batches, group norm, or bnlab.SyncBatchNorm on several processes.",
            evidence={"gap": noise, "batch": float(size)},
        )


def _score(shift: Tensor, ratio: Tensor) -> float:
    """One number for a layer; no channel counts for more than a few standard deviations."""
    both = shift.square() + ratio.log().square()
    return float(both.nan_to_num(9.0).clamp(max=9.0).mean().sqrt())


def join(outputs: list[Tensor]) -> Tensor:
    """All outputs as one matrix, a row for each sample where they are of one shape."""
    flat = [output.double().cpu() for output in outputs if output.numel()]
    if not flat:
        return torch.empty(0)
    same = all(each.dim() and each.shape[1:] == flat[0].shape[1:] for each in flat)
    return torch.cat(
        [each.flatten(1) if same and each.dim() > 1 else each.reshape(-1, 1) for each in flat]
    )


def _changed(flow: Flow) -> float:
    """The share of samples whose highest output would be another one; 0 without several."""
    if any(output.dim() != 2 for output in flow.eval):
        return 0.0
    now, then = join(flow.eval), join(flow.recalibrated)
    if now.dim() < 2 or now.shape[1] < 2:
        return 0.0
    return float((now.argmax(1) != then.argmax(1)).double().mean())


def _say_distances(shift: Tensor, ratio: Tensor) -> str:
    if not bool(shift.isfinite().all() and ratio.isfinite().all()):
        return "its running statistics are no numbers to answer with"
    low, high = float(ratio.min()), float(ratio.max())
    return (
        f"its running mean is off by up to {_say(float(shift.max()))} standard deviations of what "
        f"reaches it, and its running standard deviation is {_say(low)} to {_say(high)} times as "
        "large"
    )


def _say(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "infinitely far"
