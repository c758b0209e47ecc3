"""All checks, one after the other."""

from __future__ import annotations

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
from bnlab.examination.norms import Norm, find_in_model, find_in_state, is_half

UNREADY = Finding(
    "no-values",
    "note",
    "",
    "Some of its tensors have no values yet: it is on the meta device, or has lazy layers. What "
    "rests on values was not looked at.",
    "Load a checkpoint, or let it see a first batch.",
)


def examine_model(
    model: nn.Module, batches: Iterable[Any] | None, accumulation: int
) -> Examination:
    """Return the findings about a model, worst first."""
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

    name = f"{type(model).__name__}, {say_count(len(norms), 'norm')} with running statistics"
    return Examination(name, worst_first(found()))


def _examine_flow(norms: list[Norm], flow: Flow, last: int | None) -> Iterator[Finding]:
    yield from batch_checks.find_failure(flow)
    yield from batch_checks.find_single_values(norms, flow, last)
    yield from batch_checks.find_infinite_answers(flow)
    yield from gap_checks.find_eval_far_from_train(norms, flow)
    yield from gap_checks.find_channels_astray(norms, flow)
    yield from batch_checks.find_unlike_places(norms, flow)
    yield from gap_checks.find_noisy_batches(flow)


def examine_state(name: str, state: Mapping[str, Any]) -> Examination:
    """Return the findings about a state dict, worst first.

    Raises:
        TypeError: There is no tensor in it.
    """
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
    mixed = any(t.is_floating_point() and not is_half(t.dtype) for t in tensors)
    for norm in norms:
        yield from state_checks.find_misshapen(norm)
        yield from state_checks.find_missing_statistics(norm)
        yield from value_checks.find_not_finite(norm)
        yield from value_checks.find_negative_variance(norm)
        yield from state_checks.find_never_updated(norm)
        yield from state_checks.find_young_statistics(norm)
        yield from value_checks.find_collapsed_variance(norm)
        yield from value_checks.find_dead_gamma(norm)
        yield from value_checks.find_half_statistics(norm, mixed)
        yield from state_checks.find_uncounted(norm)
