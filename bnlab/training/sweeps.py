"""The same experiment over settings and seeds: each run once, on both cores, and never again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bnlab.training.cache import Cache, find_folder
from bnlab.training.fingerprint import Fingerprints
from bnlab.training.grid import SEED, check_takes, make_axes, points, say
from bnlab.training.plan import Training
from bnlab.training.results import Result, tidy
from bnlab.training.runs import Runs


def sweep(
    run: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]],
    seeds: int | Sequence[int] = 5,
    *,
    progress: bool = True,
    cache: bool | str | Path | None = True,
) -> Runs:
    """Call `run(seed=..., **settings)` for all settings and seeds, and return what it returned.

    Every finished run is on disk at once, under a key made of its code, all that this refers to,
    its settings, its seed and torch's version. A later sweep takes it from there, also after an
    interrupt or a crash, and also if it asks for more settings or seeds.

    Args:
        run: A `Training`, or any function with a parameter for each setting and one named `seed`,
            which returns a dataclass or a mapping of numbers, lists of numbers, tensors and text.
        grid: For each setting the values it takes: text, numbers, True, False, None, or tuples.
        seeds: How many, from 0 on, or which.
        progress: Whether a bar shows how many runs are finished.
        cache: True keeps runs in `$BNLAB_CACHE` or the user's folder for caches, a path there,
            None or False nowhere.

    Raises:
        ValueError: The grid is empty or has an empty axis, there is no seed, a value is not plain,
            or the run has no place for a setting.
        TypeError: A run depends on something whose content cannot be told, or returned something
            other than numbers and text.
        RuntimeError: A run failed; the message names its settings, the cause is the run's error.

    Example:
        >>> from bnlab import data, models
        >>> def build(norm: bool) -> torch.nn.Module:
        ...     return models.mlp(64, torch.nn.BatchNorm1d if norm else None)
        >>> run = Training(build, data.digits(flat=True), epochs=1)
        >>> runs = sweep(run, {"norm": [False, True]}, seeds=2, progress=False, cache=None)
        >>> runs.axes
        {'norm': (False, True), 'seed': (0, 1)}
        >>> runs["test_accuracy"].shape
        torch.Size([2, 2, 1])
    """
    axes = make_axes(grid, seeds)
    wanted = points(axes)
    if isinstance(run, Training):
        for point in points({name: values for name, values in axes.items() if name != SEED}):
            run.given(point)
    else:
        check_takes(run, axes)
    kept = _cache(cache)
    keys = _keys(run, wanted) if kept is not None else [""] * len(wanted)
    results = [kept.load(key) if kept is not None else None for key in keys]
    missing = [place for place, result in enumerate(results) if result is None]
    if missing:
        with _bar(len(wanted), len(wanted) - len(missing), progress) as bar:
            for place in missing:
                result = perform(run, wanted[place])
                if kept is not None:
                    kept.store(keys[place], result)
                results[place] = result
                bar()
    return Runs(axes, [result for result in results if result is not None], run, {})


def perform(run: Callable[..., Any], point: Mapping[str, Any]) -> Result:
    """Do one run, alike in every process: one thread, and torch's generator at the run's seed."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(point[SEED])
        try:
            return tidy(run(**point))
        except Exception as error:
            raise RuntimeError(
                f"the run {say(point)} failed: {type(error).__name__}: {error}"
            ) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread, and lose much where it has to wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keys(run: Callable[..., Any], wanted: list[dict[str, Any]]) -> list[str]:
    prints = Fingerprints()
    if isinstance(run, Training):
        return [
            prints.of(run.given({n: v for n, v in point.items() if n != SEED}), point[SEED])
            for point in wanted
        ]
    return [prints.of(run, point) for point in wanted]


def _cache(cache: bool | str | Path | None) -> Cache | None:
    if cache is None or cache is False:
        return None
    return Cache(find_folder() if cache is True else Path(cache))


@contextmanager
def _bar(total: int, done: int, progress: bool) -> Iterator[Callable[[], object]]:
    if not progress:
        yield lambda: None
        return
    # Text, also in a notebook: a widget would leave nothing to see in a saved one.
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="run") as bar:
        yield bar.update
