"""What batches show on their way through a model, beside how far eval mode is from train mode."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bnlab.examination.findings import Finding
from bnlab.examination.flow import Flow, pool
from bnlab.examination.gap_checks import join
from bnlab.examination.norms import Norm
from bnlab.examination.state_checks import MEASURE

UNLIKE = 0.5
"""How far two places of one norm may differ, in standard deviations."""


def find_failure(flow: Flow) -> Iterator[Finding]:
    """A batch that the model does not take."""
    if flow.failure is not None:
        said = str(flow.failure).splitlines() or [""]
        yield Finding(
            "forward-fails",
            "error",
            flow.failed_in,
            f"The model raises {type(flow.failure).__name__} on these batches: {said[0]}",
            "Pass batches that it takes, of its shape and dtype, or mend the layer.",
        )


def find_infinite_answers(flow: Flow) -> Iterator[Finding]:
    """Answers that are NaN or infinite."""
    if flow.failure is None and flow.eval and not bool(join(flow.eval).isfinite().all()):
        train = bool(join(flow.train).isfinite().all())
        yield Finding(
            "answers-not-finite",
            "error",
            "",
            "In eval mode answers are NaN or infinite, "
            + ("in train mode not: " if train else "in train mode too: ")
            + ("running statistics are to blame." if train else "look at input and weights."),
            f"See what is said of them; {MEASURE}." if train else "",
            evidence={"share": float((~join(flow.eval).isfinite()).double().mean())},
        )


def find_single_values(norms: list[Norm], flow: Flow, last: int | None) -> Iterator[Finding]:
    """Batches, seen or to come, that give a norm one value per channel."""
    sizes = {*flow.sizes, *([] if last is None else [last])}
    alone: list[Norm] = []
    for norm in norms:
        calls = [call for each in flow.calls.get(norm.name, []) for call in each]
        values = min((call.count // call.shape[0] for call in calls), default=0)
        if norm.frozen or values != 1:
            continue
        if norm.is_instance or 1 in sizes:
            alone.append(norm)
        elif norm.is_batch and any(len(call.shape) > 2 for call in calls):
            yield Finding(
                "one-pixel-map",
                "note",
                norm.name,
                "Only one pixel of each sample reaches it: its statistics are of as many values as "
                "a batch has samples, and a batch of one would be an error in train mode.",
                evidence={"values": float(min(call.count for call in calls))},
            )
    if alone:
        first, *others = alone
        when = (
            "each of its samples"
            if first.is_instance
            else "a batch of one sample"
            if 1 in flow.sizes
            else "the last batch, which will be one sample,"
        )
        yield Finding(
            "one-value-per-channel",
            "error" if first.module is not None and first.module.training else "warning",
            first.name,
            f"{when[0].upper()}{when[1:]} gives this layer one value per channel: that has no "
            "variance, and train mode ends with an error."
            + (f" The same holds for {len(others)} more." if others else ""),
            "Take instance norm away there, or larger pictures."
            if first.is_instance
            else "Build the DataLoader with drop_last=True, or with another batch size.",
            evidence={"samples": 1.0, "norms": float(len(alone))},
        )
    elif 1 in sizes and any(norm.is_batch and not norm.frozen for norm in norms):
        yield Finding(
            "one-sample-batch",
            "note",
            "",
            "A batch is a single sample: its statistics are that sample's own.",
            "Build the DataLoader with drop_last=True.",
            evidence={"samples": 1.0},
        )


def find_unlike_places(norms: list[Norm], flow: Flow) -> Iterator[Finding]:
    """A norm called several times in one forward pass."""
    for norm in norms:
        calls = [each for each in flow.calls.get(norm.name, []) if each]
        places = min(map(len, calls), default=0)
        if norm.frozen or not norm.tracked or places < 2:
            continue
        means, variances = zip(*(pool([c[at] for c in calls]) for at in range(places)), strict=True)
        unlike = _unlike(torch.stack(means), torch.stack(variances), norm.eps)
        names = f" ({', '.join((norm.name, *norm.also))})" if norm.also else ""
        far = unlike > UNLIKE
        yield Finding(
            "shared-norm",
            "warning" if far else "note",
            norm.name,
            f"It is called {places} times in one forward pass{names}. What reaches it differs by "
            f"{unlike:.2g} standard deviations: "
            + (
                "the running statistics are a mixture, and eval mode fits no place."
                if far
                else "little, so that one set of running statistics does for all."
            ),
            "Give each place a norm of its own. Weights before and after may stay shared."
            if far
            else "",
            evidence={"places": float(places), "unlike": unlike},
        )


def _unlike(means: Tensor, variances: Tensor, eps: float) -> float:
    """How far apart the places of a norm are, over its channels."""
    std = (variances.mean(0) + eps).sqrt()
    shift = (means - means.mean(0)).abs().amax(0) * 2 / std
    ratio = ((variances + eps).log() / 2).std(0)
    return float((shift.square() + ratio.square()).clamp(max=100).mean().sqrt())
