"""The same experiment over settings and seeds: each run once, on both cores, and never again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnlab.training.cache import Cache, find_folder
from bnlab.training.fingerprint import Fingerprints
from bnlab.training.grid import SEED, check_takes, make_axes, points
from bnlab.training.lanes import work
from bnlab.training.plan import Training
from bnlab.training.results import Result
from bnlab.training.runs import Runs
from bnlab.training.tasks import perform, split


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

    Trainings whose models differ in nothing but their weights are done as one, several times as
    quickly, and come to the same to within rounding. All others are done one after another. If
    either takes more than a few seconds, other processes help.

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
        >>> from torch import nn
        >>> from bnlab import data, models
        >>> def build(norm: bool) -> nn.Module:
        ...     return models.mlp(64, nn.BatchNorm1d if norm else None)
        >>> run = Training(build, data.digits(flat=True), epochs=1)
        >>> runs = sweep(run, {"norm": [False, True]}, seeds=2, progress=False, cache=None)
        >>> runs.axes
        {'norm': (False, True), 'seed': (0, 1)}
        >>> runs["test_accuracy"].shape
        torch.Size([2, 2, 1])
    """
    axes = make_axes(grid, seeds)
    wanted = points(axes)
    # What decides a run, apart from its seed; a training also refuses here what it does not know.
    deciding = [
        run.given(settings) if isinstance(run, Training) else (run, settings)
        for settings in points({name: axes[name] for name in axes if name != SEED})
    ]
    if not isinstance(run, Training):
        check_takes(run, axes)
    kept = _cache(cache)
    prints = Fingerprints()
    keys = [
        "" if kept is None else prints.of(what, seed) for what in deciding for seed in axes[SEED]
    ]
    results = [kept.load(key) if kept is not None else None for key in keys]
    missing = [place for place, result in enumerate(results) if result is None]
    if missing:
        tasks = [
            [missing[place] for place in task]
            for task in split(run, [wanted[place] for place in missing])
        ]
        do = _Task(run, wanted, keys, kept)
        with _bar(len(wanted), len(wanted) - len(missing), progress) as advance:
            for task, done in work(do, tasks):
                for place, result in zip(task, done, strict=True):
                    results[place] = result
                advance(len(task))
    return Runs(axes, [result for result in results if result is not None], run, {})


@dataclass(frozen=True, eq=False)
class _Task:
    """Do the runs at some places; an object, since it travels to other processes."""

    run: Callable[..., Any]
    wanted: list[dict[str, Any]]
    keys: list[str]
    cache: Cache | None

    def __call__(self, places: list[int]) -> list[Result]:
        return perform(
            self.run,
            [self.wanted[place] for place in places],
            [self.keys[place] for place in places],
            self.cache,
        )


def _cache(cache: bool | str | Path | None) -> Cache | None:
    if cache is None or cache is False:
        return None
    return Cache(find_folder() if cache is True else Path(cache))


@contextmanager
def _bar(total: int, done: int, progress: bool) -> Iterator[Callable[[int], object]]:
    if not progress:
        yield lambda _: None
        return
    # Text, also in a notebook: a widget would leave nothing to see in a saved one.
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="run") as bar:
        yield bar.update
