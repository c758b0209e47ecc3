"""Finished trainings side by side."""

import warnings

import pytest

from bnlab import data
from bnlab.apps.detach_statistics import DetachStatistics
from bnlab.experiments.detachment import Course, train_detached


@pytest.fixture(scope="module")
def runs() -> dict[tuple[float, str], Course]:
    digits = data.digits(flat=True)
    return {
        (lr, name): train_detached(digits, constant, lr=lr, epochs=1)
        for lr in (0.03, 0.3)
        for name, constant in {"none": [], "μ": ["mean"], "σ": ["var"]}.items()
    }


def test_the_lines_are_the_chosen_runs(runs) -> None:
    explorer = DetachStatistics(runs)
    for values in explorer.states():
        explorer.show(**values)
        lr, constant = values["lr"], values["constant"]
        for lines, course in (
            (explorer.artists.proper, runs[lr, "none"]),
            (explorer.artists.wrong, runs[lr, constant]),
        ):
            for line, quantity in zip(lines, ("loss", "bias", "weight"), strict=True):
                assert list(line.get_xdata()) == course.steps
                assert list(line.get_ydata()) == getattr(course, quantity)


def test_every_run_fits_the_axes(runs) -> None:
    explorer = DetachStatistics(runs)
    for ax, quantity in zip(explorer.figure.axes, ("loss", "bias", "weight"), strict=True):
        low, high = ax.get_ylim()
        for run in runs.values():
            assert low < min(getattr(run, quantity))
            assert max(getattr(run, quantity)) < high


def test_the_lines_differ_in_more_than_colour(runs) -> None:
    artists = DetachStatistics(runs).artists
    assert artists.proper[0].get_linestyle() != artists.wrong[0].get_linestyle()


def test_the_sentence_carries_both_ends(runs) -> None:
    explorer = DetachStatistics(runs, lr=0.3, constant="μ")
    sentence = explorer.describe(explorer.show())
    for run in (runs[0.3, "none"], runs[0.3, "μ"]):
        assert f"{run.loss[-1]:.3f}" in sentence
        assert f"{run.accuracy:.1%}" in sentence


@pytest.mark.parametrize("without", [(0.03, "none"), (0.3, "σ")])
def test_a_missing_run_is_named(runs, without) -> None:
    with pytest.raises(ValueError, match=f"{without[0]}.*{without[1]}"):
        DetachStatistics({key: run for key, run in runs.items() if key != without})


def test_every_state_draws_without_a_warning_in_a_small_page(runs) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = DetachStatistics(runs)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
