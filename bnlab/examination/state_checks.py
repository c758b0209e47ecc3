"""Which statistics are there and where they come from, in a model as in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bnlab.examination.findings import Finding, say_count
from bnlab.examination.norms import COUNTER, STATISTICS, Norm, find_doubtful

START = {"running_mean": 0.0, "running_var": 1.0}
MEASURE = "bnlab.recalibrate(model, batches) measures them anew"
STILL_START = 0.1
"""The share of the start values in the running statistics from which they are too young."""


def find_missing_statistics(norm: Norm) -> Iterator[Finding]:
    """A layer that has a part of what it should keep."""
    lacks = [name for name in STATISTICS if name not in norm.tensors]
    module: Any = norm.module
    if not lacks:
        return
    if module is not None and not module.track_running_stats:
        if norm.is_batch:
            yield Finding(
                "no-running-statistics",
                "note",
                norm.name,
                "It keeps no running statistics: in eval mode, too, a sample's answer depends on "
                "the rest of its batch.",
                "Where that is not meant, build it with track_running_stats=True.",
            )
        return
    what = " and ".join(lacks)
    if norm.module is not None and len(lacks) == 2:
        message = (
            "It is built to keep running statistics and has none, so eval mode "
            "answers from the batch too."
        )
        remedy = "Build the layer anew, load its weights, and let it see batches in train mode."
    else:
        message = (
            f"It has no {what}, but other parts of a batch norm. Loaded with "
            "strict=False, a new layer's would stay: mean 0, variance 1."
        )
        remedy = (
            "Save model.state_dict() and not the parameters alone. If it is too late, load it with "
            f"strict=False; {MEASURE}."
        )
    yield Finding("missing-statistics", "error", norm.name, message, remedy)


def find_misshapen(norm: Norm) -> Iterator[Finding]:
    """Tensors that do not belong to one number of channels."""
    if norm.has_values and norm.misshapen:
        shapes = ", ".join(f"{name} {shape}" for name, shape in norm.shapes.items())
        yield Finding(
            "misshapen",
            "error",
            norm.name,
            f"Its tensors are not of one number of channels: {shapes}. No norm can use them; of "
            "this layer nothing else was looked at.",
            "Save the model again, or mend what wrote the file.",
        )


def find_never_updated(norm: Norm) -> Iterator[Finding]:
    """Statistics exactly as a new layer has them."""
    if not norm.tracked:
        return
    new = _still_new(norm)
    if not new:
        return
    evidence = {} if norm.counted is None else {COUNTER: float(norm.counted)}
    seen = f" after {say_count(norm.counted, 'batch').replace('hs', 'hes')}" if norm.counted else ""
    if len(new) == 2:
        what = "running mean is still 0 and its running variance 1"
    else:
        what = f"{new[0].replace('_', ' ')} is still {START[new[0]]:g}"
    yield Finding(
        "never-updated",
        "error",
        norm.name,
        f"The {what} in every channel{seen}, as in a new layer: eval mode does not normalise "
        "with what the data are like.",
        f"Let the model see batches in train mode before it answers; {MEASURE}.",
        evidence=evidence,
    )


def find_uncounted(norm: Norm) -> Iterator[Finding]:
    """A counter at 0 beside statistics that did move."""
    if norm.counted == 0 and not _still_new(norm):
        matters = norm.module is not None and norm.momentum is None and norm.moves
        yield Finding(
            "counter-zero",
            "warning" if matters else "note",
            norm.name,
            "It has counted no batch, but its statistics are not those of a new layer: they were "
            "loaded without the counter, or set by hand. "
            + (
                "With momentum=None the next batch in train mode replaces them altogether."
                if matters
                else "Only a layer with momentum=None computes with it."
            ),
            "Load the counter too." if matters else "",
            evidence={COUNTER: 0.0},
        )


def find_young_statistics(norm: Norm) -> Iterator[Finding]:
    r"""Statistics in which the start values still count: :math:`(1 - momentum)^n`."""
    momentum = norm.momentum
    if not norm.counted or momentum is None or not 0 < momentum < 1:
        return
    share = (1 - momentum) ** norm.counted
    # As long as it holds a share of the 1 that it began with, no variance can be smaller.
    began_with_one = bool((norm.value("running_var") >= share * (1 - 1e-3)).all())
    if share < STILL_START or _still_new(norm) or not began_with_one:
        return
    known = norm.module is not None
    yield Finding(
        "too-few-updates",
        "warning" if known else "note",
        norm.name,
        f"After {norm.counted} updates with momentum {momentum:g}"
        f"{'' if known else ', if it was the default,'} the mean 0 and the variance 1 that it "
        f"began with still make {100 * share:.0f} % of the running statistics, unless they have "
        "been recalibrated.",
        f"Train on, take a larger momentum or None; or {MEASURE}.",
        evidence={COUNTER: float(norm.counted), "momentum": momentum, "share_of_start": share},
    )


def find_shared_statistics(norms: list[Norm], called: bool = False) -> Iterator[Finding]:
    """Several layers, by name, with one and the same running mean.

    `called` is whether a forward pass has shown how often each module is called.
    """
    places: dict[object, list[str]] = {}
    for norm in norms:
        tensor = norm.tensors.get("running_mean")
        if tensor is not None and norm.tracked and tensor.numel():
            key = tensor.device, tensor.data_ptr()
            places.setdefault(key, []).append(norm.name)
            places[key] += [] if called else norm.also
    for first, *others in places.values():
        if others:
            yield Finding(
                "shared-norm",
                "warning",
                first,
                f"One layer, or one set of running statistics, is in several places: "
                f"{' and '.join((first, *others))}. What reaches them is mixed, and eval mode fits "
                "neither.",
                "Give each place a norm of its own. Weights before and after may stay shared.",
                evidence={"places": 1.0 + len(others)},
            )


def find_doubtful_norms(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Layers of a state dict that may be batch norms without statistics."""
    names = find_doubtful(state)
    if names:
        some = ", ".join(name or "the model itself" for name in names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield Finding(
            "norm-or-not",
            "note",
            "",
            f"{some}{more}: a weight and a bias of one dimension and no running statistics. Layer "
            "and group norms look like that, but so do batch norms whose statistics were not "
            "saved.",
            "To know, load the file into the model with bnlab.checkpoint.load.",
            evidence={"layers": float(len(names))},
        )


def _still_new(norm: Norm) -> list[str]:
    """Which of its running statistics are exactly those of a new layer."""
    return [name for name in STATISTICS if bool((norm.value(name) == START[name]).all())]
