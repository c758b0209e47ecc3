"""Examine a model, a state dict or a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.examination import mode_checks, state_checks, value_checks
from bnlab.examination.findings import Examination, Finding, say_count, worst_first
from bnlab.examination.neighbours import find_pairs
from bnlab.examination.norms import HALF, Norm, find_in_model, find_in_state


def examine(
    subject: nn.Module | Mapping[str, Any] | str | os.PathLike[str],
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
        accumulation: Over how many batches a training step gathers gradients.

    Raises:
        ValueError: `accumulation` is below 1.
        TypeError: The subject is something else.
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
        return _examine_model(subject, accumulation)
    if isinstance(subject, Mapping):
        return _examine_state("a state dict", subject)
    if isinstance(subject, (str, os.PathLike)):
        # Not above: it loads libraries that nothing else here needs.
        from bnlab.checkpoint import read

        return _examine_state(os.fspath(subject), read(subject))
    raise TypeError(
        f"examine takes a model, a state dict or the path of a file, not a {type(subject).__name__}"
    )


def _examine_model(model: nn.Module, accumulation: int) -> Examination:
    norms = find_in_model(model)
    tensors = [*model.parameters(), *model.buffers()]
    trains = any(parameter.requires_grad for parameter in model.parameters())

    def found() -> Iterator[Finding]:
        yield from _examine_tensors(norms, tensors)
        for norm in norms:
            yield from mode_checks.find_odd_momentum(norm)
            yield from mode_checks.find_frozen_affine(norm, trains)
        yield from mode_checks.find_train_mode(model, norms, torch.is_grad_enabled())
        yield from mode_checks.find_mixed_modes(model, norms)
        yield from mode_checks.find_accumulation(norms, accumulation, None)
        yield from mode_checks.find_idle_bias(find_pairs(model, norms))

    name = f"{type(model).__name__} with {say_count(len(norms), 'norm')} that keep statistics"
    return Examination(name, worst_first(found()))


def _examine_state(name: str, state: Mapping[str, Any]) -> Examination:
    tensors = [value for value in state.values() if isinstance(value, Tensor)]
    if state and not tensors:
        raise TypeError(
            f"the mapping holds no tensors, but {', '.join(map(str, list(state)[:4]))}: pass the "
            "state dict itself, as model.state_dict() returns it"
        )
    norms = find_in_state(state)
    found = [*_examine_tensors(norms, tensors), *state_checks.find_doubtful_norms(state)]
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
    yield from state_checks.find_shared_statistics(norms)
