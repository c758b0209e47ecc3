"""What one process does at a time: a single run, or a stack of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from bnlab.training.cache import Cache
from bnlab.training.grid import SEED, say
from bnlab.training.plan import Training
from bnlab.training.results import Result, tidy
from bnlab.training.stack import Descent, architecture, fit_stack

Point = Mapping[str, Any]
SMALLEST, LARGEST = 8, 16
"""A smaller stack gains less from being one; a larger one keeps nobody else busy."""


def split(run: Callable[..., Any], wanted: Sequence[Point]) -> list[list[int]]:
    """Return the places of runs that are best done together, in as many tasks as is useful."""
    groups: dict[Hashable, list[int]] = {}
    kinds: dict[Hashable, Hashable] = {}
    for place, point in enumerate(wanted):
        groups.setdefault(_kind(run, point, kinds) or ("alone", place), []).append(place)
    tasks: list[list[int]] = []
    for places in groups.values():
        parts = max(math.ceil(len(places) / LARGEST), min(4, len(places) // SMALLEST), 1)
        size = math.ceil(len(places) / parts)
        tasks += [places[start : start + size] for start in range(0, len(places), size)]
    # Long ones first, so that no process ends with one while the others have nothing to do.
    return sorted(tasks, key=len, reverse=True)


def perform(
    run: Callable[..., Any], wanted: Sequence[Point], keys: Sequence[str], cache: Cache | None
) -> list[Result]:
    """Do the runs of a task, and keep each as soon as it is finished.

    Raises:
        RuntimeError: A run failed; the message names its settings, the cause is the run's error.
    """
    with one_thread():
        results = _together(run, wanted) if len(wanted) > 1 else None
        if results is not None:
            for key, result in zip(keys, results, strict=True):
                _keep(cache, key, result)
            return results
        results = []
        for point, key in zip(wanted, keys, strict=True):
            results.append(_alone(run, point))
            _keep(cache, key, results[-1])
        return results


def given(run: Training, point: Point) -> Training:
    """The training with the settings of a point in their places."""
    return run.given({name: value for name, value in point.items() if name != SEED})


@contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread, and lose much where it has to wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep(cache: Cache | None, key: str, result: Result) -> None:
    if cache is not None:
        cache.store(key, result)


def _alone(run: Callable[..., Any], point: Point) -> Result:
    """Alike in every process: torch's generator stands at the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(point[SEED])
        try:
            return tidy(run(**point))
        except Exception as error:
            raise RuntimeError(
                f"the run {say(point)} failed: {type(error).__name__}: {error}"
            ) from error


def _together(run: Callable[..., Any], wanted: Sequence[Point]) -> list[Result] | None:
    """The runs as a stack; None if they cannot be one, so that each is to be done alone."""
    if not isinstance(run, Training):
        return None
    try:
        trainings = [given(run, point) for point in wanted]
        models = [t.model(p[SEED]) for t, p in zip(trainings, wanted, strict=True)]
        if len({architecture(model) for model in models}) > 1:
            return None
        descents = [
            Descent(p[SEED], t.lr, t.momentum, t.weight_decay)
            for t, p in zip(trainings, wanted, strict=True)
        ]
        first = trainings[0]
        with warnings.catch_warnings():
            # Some operations are not batched but repeated, which is slower and as correct.
            warnings.filterwarnings("ignore", message="There is a performance drop")
            histories = fit_stack(
                models,
                first.data,
                descents,
                epochs=first.epochs,
                batch_size=first.batch_size,
                keep=first.keep,
                repeatable=first.repeatable,
            )
    except Exception:
        # Random layers, control flow that looks at values, or an error, which the run itself says
        # better: whatever it is, one after another gives the same results.
        return None
    return [tidy(history) for history in histories]


def _kind(run: Callable[..., Any], point: Point, known: dict[Hashable, Hashable]) -> Hashable:
    """What the runs of one stack share; None for a run that has to be alone."""
    if not isinstance(run, Training) or run.optimizer is not None or run.schedule is not None:
        return None
    training = given(run, point)
    settings = say(training.build.keywords) if isinstance(training.build, partial) else ""
    if settings not in known:
        try:
            known[settings] = architecture(training.model(point[SEED]))
        except Exception:
            known[settings] = None
    if known[settings] is None:
        return None
    return training.epochs, training.batch_size, known[settings]
