"""Trainings with noise behind batch norm: every arm at its place."""

import warnings

import pytest
import torch

from bnlab.apps.noisy_runs import NoisyRuns
from bnlab.training import Runs, sweep

ARMS = [("without BN", 0), ("BN", 0), ("jumps", 1), ("jumps", 2), ("wanders", 1), ("wanders", 2)]


def made_up(seed: int, arm: tuple[str, int]) -> dict[str, object]:
    draw = torch.Generator().manual_seed(100 * ARMS.index(arm) + seed)
    return {
        "test_accuracy": torch.rand(4, generator=draw).double(),
        "percentiles": torch.rand(30, 3, generator=draw).sort().values.double(),
        "shift": torch.rand(1, generator=draw).item(),
        "travel": 1 + torch.rand(1, generator=draw).item(),
    }


@pytest.fixture(scope="module")
def runs() -> Runs:
    return sweep(made_up, {"arm": ARMS}, seeds=3, progress=False, cache=None)


def test_lines_are_the_means_over_the_seeds(runs: Runs) -> None:
    explorer = NoisyRuns(runs)
    explorer.show(kind="wanders", strength=2)
    arms = {"without BN": ARMS[0], "BN": ARMS[1], "BN + noise": ("wanders", 2)}
    for name, arm in arms.items():
        expected = torch.stack([made_up(seed, arm)["test_accuracy"] for seed in range(3)]).mean(0)
        drawn = explorer.artists.lines[name].mean.get_ydata()
        assert list(drawn) == pytest.approx(expected.tolist())


def test_dots_are_the_moves_of_every_seed(runs: Runs) -> None:
    explorer = NoisyRuns(runs)
    explorer.show(kind="jumps", strength=2)
    for measure in ("shift", "travel"):
        expected = [made_up(seed, ("jumps", 2))[measure] for seed in range(3)]
        dots = explorer.artists.dots[measure]["BN + noise"]
        assert list(dots.get_xdata()) == pytest.approx(expected)


def test_without_strength_the_noisy_network_is_the_one_with_batch_norm(runs: Runs) -> None:
    result = NoisyRuns(runs).show(kind="wanders", strength=0)
    assert torch.equal(result.accuracy["BN + noise"], result.accuracy["BN"])


def test_the_band_is_the_unit_of_the_first_run(runs: Runs) -> None:
    explorer = NoisyRuns(runs)
    explorer.show(kind="jumps", strength=1)
    median = explorer.artists.drift.medians[1].get_ydata()
    assert list(median) == pytest.approx(made_up(0, ("jumps", 1))["percentiles"][:, 1].tolist())


def test_the_caption_names_noise_and_numbers(runs: Runs) -> None:
    explorer = NoisyRuns(runs)
    result = explorer.show(kind="wanders", strength=1)
    after_one = 100 * result.accuracy["BN + noise"][:, 0].mean()
    assert f"strength 1 that wanders: {after_one:.0f} % after one" in explorer.describe(result)


def test_runs_without_the_plain_networks_are_refused() -> None:
    some = sweep(made_up, {"arm": ARMS[1:]}, seeds=2, progress=False, cache=None)
    with pytest.raises(ValueError, match=r"no run has arm=.'without BN', 0."):
        NoisyRuns(some)


def test_every_state_draws_without_a_warning_in_a_small_page(runs: Runs) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = NoisyRuns(runs)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
