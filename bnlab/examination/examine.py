"""Examine a model, a state dict or a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bnlab.examination import batch_checks, gap_checks, mode_checks, state_checks, value_checks
from bnlab.examination.findings import Examination, Finding, say_count, worst_first
from bnlab.examination.flow import Flow, send
from bnlab.examination.gap_checks import suspects
from bnlab.examination.inputs import last_size
from bnlab.examination.neighbours import find_pairs
from bnlab.examination.norms import HALF, Norm, find_in_model, find_in_state

UNREADY = Finding(
    "no-values",
    "note",
    "",
    "Some of its tensors have no values yet: it is on the meta device, or has lazy layers. What "
    "rests on values was not looked at.",
    "Load a checkpoint, or let it see a first batch.",
)


def examine(
    subject: nn.Module | Mapping[str, Any] | str | os.PathLike[str],
    batches: Iterable[Any] | None = None,
    *,
    accumulation: int = 1,
) -> Examination:
    r"""Look for what is wrong with the norms of a model, a state dict or a checkpoint file.

    Batch, synchronised and instance norms are looked at, torch's and ours, and whatever else has
    the buffers `running_mean` and `running_var`. A model is left as it was: state, modes, hooks,
    gradients, and the generators of random numbers. Of a file nothing is executed.

    Args:
        subject: A model; or a state dict; or the path of anything that `bnlab.checkpoint.read`
            reads. A file knows neither momentum nor modes, and a batch norm that was saved
            without any statistics looks like a layer norm there.
        batches: What the model takes: an iterable of tensors or of tuples that begin with one,
            such as a loader. They are sent through it without gradients, and only so many are
            read as make 256 samples, at most 64; an iterator is moved on by these. Of a loader
            the size of the last batch is worked out, of a list it is looked up.
        accumulation: Over how many batches a training step gathers gradients.

    Raises:
        ValueError: `accumulation` is below 1, there is no batch, or there is no model for them.
        TypeError: The subject is something else, or a batch is neither tensor nor tuple.
        CheckpointError: The file cannot be read, is damaged, or would run code.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3))
        >>> for finding in examine(model).findings:
        ...     print(finding.severity, finding.kind, finding.place)
        error never-updated 1
    """
    if accumulation < 1:
        raise ValueError(
            f"accumulation is the number of batches in a step, at least 1, but is {accumulation}"
        )
    if isinstance(subject, nn.Module):
        return _examine_model(subject, batches, accumulation)
    if batches is not None:
        raise ValueError("batches need a model that takes them: load the state into one")
    if isinstance(subject, Mapping):
        return _examine_state("a state dict", subject)
    if isinstance(subject, (str, os.PathLike)):
        # Not above: it loads libraries that nothing else here needs.
        from bnlab.checkpoint import read

        return _examine_state(os.fspath(subject), read(subject))
    raise TypeError(
        f"examine takes a model, a state dict or the path of a file, not a {type(subject).__name__}"
    )


def _examine_model(
    model: nn.Module, batches: Iterable[Any] | None, accumulation: int
) -> Examination:
    norms = find_in_model(model)
    tensors = [*model.parameters(), *model.buffers()]
    trains = any(parameter.requires_grad for parameter in model.parameters())
    unready = any(is_lazy(tensor) or tensor.is_meta for tensor in tensors)
    flow = None if batches is None or unready else send(model, norms, batches, suspects)

    def found() -> Iterator[Finding]:
        if unready:
            yield UNREADY
        yield from _examine_tensors(norms, tensors)
        if flow is not None:
            yield from _examine_flow(norms, flow, last_size(batches))
        yield from state_checks.find_shared_statistics(norms, called=flow is not None)
        for norm in norms:
            yield from mode_checks.find_odd_momentum(norm)
            yield from mode_checks.find_frozen_affine(norm, trains)
        yield from mode_checks.find_train_mode(model, norms, torch.is_grad_enabled())
        yield from mode_checks.find_mixed_modes(model, norms)
        size = flow.sizes[0] if flow else None
        yield from mode_checks.find_accumulation(norms, accumulation, size)
        yield from mode_checks.find_idle_bias(
            find_pairs(model, norms) | ({} if flow is None else flow.pairs)
        )

    name = f"{type(model).__name__} with {say_count(len(norms), 'norm')} that keep statistics"
    return Examination(name, worst_first(found()))


def _examine_flow(norms: list[Norm], flow: Flow, last: int | None) -> Iterator[Finding]:
    yield from batch_checks.find_failure(flow)
    yield from batch_checks.find_single_values(norms, flow, last)
    yield from batch_checks.find_infinite_answers(flow)
    yield from gap_checks.find_eval_far_from_train(norms, flow)
    yield from batch_checks.find_unlike_places(norms, flow)
    yield from gap_checks.find_noisy_batches(flow)


def _examine_state(name: str, state: Mapping[str, Any]) -> Examination:
    tensors = [value for value in state.values() if isinstance(value, Tensor)]
    if state and not tensors:
        raise TypeError(
            f"the mapping holds no tensors, but {', '.join(map(str, list(state)[:4]))}: pass the "
            "state dict itself, as model.state_dict() returns it"
        )
    norms = find_in_state(state)
    found = [
        *_examine_tensors(norms, tensors),
        *state_checks.find_shared_statistics(norms),
        *state_checks.find_doubtful_norms(state),
    ]
    return Examination(name, worst_first(found))


def _examine_tensors(norms: list[Norm], tensors: list[Tensor]) -> Iterator[Finding]:
    mixed = any(t.is_floating_point() and t.dtype not in HALF for t in tensors)
    for norm in norms:
        yield from state_checks.find_missing_statistics(norm)
        yield from value_checks.find_not_finite(norm)
        yield from value_checks.find_negative_variance(norm)
        yield from state_checks.find_never_updated(norm)
        yield from state_checks.find_young_statistics(norm)
        yield from value_checks.find_collapsed_variance(norm)
        yield from value_checks.find_dead_gamma(norm)
        yield from value_checks.find_half_statistics(norm, mixed)
        yield from state_checks.find_uncounted(norm)
