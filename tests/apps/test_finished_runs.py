"""Finished runs, drawn setting by setting."""

import math
import warnings

import pytest
import torch

from bnlab.apps.finished_runs import FinishedRuns
from bnlab.training import sweep

NORMS, RATES, SIZES, EPOCHS = ("without BN", "BN before"), (0.01, 0.1, 1.0), (4, 8), 3


def course(norm: str, lr: float, batch_size: int, seed: int) -> dict[str, object]:
    """Two seeds without BN stop at rate 1, in the first and in the last epoch."""
    draw = torch.Generator().manual_seed(hash((norm == "BN before", lr, batch_size, seed)) % 2**31)
    steps = EPOCHS * (24 // batch_size)
    loss = (0.1 + torch.rand(steps, generator=draw)).tolist()
    accuracy = torch.rand(EPOCHS, generator=draw).tolist()
    stopped = ""
    if norm == "without BN" and lr == 1.0 and seed < 2:
        end = 1 if seed == 0 else steps - 1
        loss = [*loss[:end], math.nan]
        accuracy = accuracy[: 1 if seed == 0 else EPOCHS]
        stopped = "the loss is nan"
    return {"loss": loss, "test_accuracy": accuracy, "stopped": stopped}


@pytest.fixture(scope="module")
def runs():
    grid = {"norm": NORMS, "batch_size": SIZES, "lr": RATES}
    return sweep(course, grid, seeds=4, progress=False, cache=None)


def of_seeds(norm, lr, batch_size):
    return [course(norm, lr, batch_size, seed) for seed in range(4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lr", RATES)
def test_losses_are_means_over_equal_parts(runs, size, lr) -> None:
    explorer = FinishedRuns(runs, points=3)
    explorer.show(batch_size=size, lr=lr)
    for norm in NORMS:
        part = 24 // size
        expected = torch.full((4, 3), math.nan, dtype=torch.float64)
        for seed, each in enumerate(of_seeds(norm, lr, size)):
            for place in range(3):
                values = each["loss"][place * part : (place + 1) * part]
                if len(values) == part:
                    expected[seed, place] = sum(values) / part
        drawn = torch.tensor(explorer.artists.seeds[norm].get_ydata()).view(4, 4)
        assert torch.allclose(drawn[:, :3], expected, equal_nan=True)
        mean = torch.tensor(explorer.artists.means[norm].get_ydata())
        assert torch.allclose(mean, expected.mean(0), equal_nan=True)
        assert list(explorer.artists.means[norm].get_xdata()) == [24, 48, 72]


def test_words_and_caption_tell_accuracy_and_stopped_runs(runs) -> None:
    explorer = FinishedRuns(runs)
    sentence = explorer.describe(explorer.show(batch_size=8, lr=1.0))
    for norm, tail in zip(NORMS, (" (2 stopped)", ""), strict=True):
        right = torch.tensor([each["test_accuracy"][-1] for each in of_seeds(norm, 1.0, 8)])
        ending = f"{norm}: {100 * right.mean():.1f} ± {100 * right.std():.1f} %{tail}"
        assert explorer.artists.words[norm].get_text()[2:] == ending
        assert ending.replace(":", "") in sentence
    assert sentence.startswith("At batch size 8, learning rate 1, test accuracy")


@pytest.mark.parametrize("along", ["lr", "batch_size"])
def test_the_right_picture_runs_along_an_axis(runs, along) -> None:
    explorer = FinishedRuns(runs, along=along)
    here = {"lr": 0.1, "batch_size": 4}
    explorer.show(**here)
    assert list(explorer.artists.cursor.get_xdata()) == [here[along]] * 2
    for norm in NORMS:
        expected = [
            sum(each["test_accuracy"][-1] for each in of_seeds(norm, **(here | {along: value}))) / 4
            for value in runs.axes[along]
        ]
        mean = explorer.artists.along[norm].mean
        assert list(mean.get_xdata()) == list(runs.axes[along])
        assert mean.get_ydata().tolist() == pytest.approx(expected)


def test_an_axis_that_is_not_there_is_named(runs) -> None:
    with pytest.raises(ValueError, match=r"no axis 'momentum'; there are \['norm', 'batch_size'"):
        FinishedRuns(runs, along="momentum")
    with pytest.raises(ValueError, match="no axis 'norm'"):
        FinishedRuns(runs.where(norm="BN before"))


def test_the_batch_size_is_the_trainings_own_or_asked_for(runs) -> None:
    explorer = FinishedRuns(runs.where(batch_size=4), points=3)
    assert explorer.show(lr=0.1).seen.tolist() == [24, 48, 72]
    with pytest.raises(ValueError, match="name batch_size in the grid"):
        FinishedRuns(sweep(only_rate, {"norm": NORMS, "lr": RATES}, 2, progress=False, cache=None))


def only_rate(norm: str, lr: float, seed: int) -> dict[str, object]:
    return course(norm, lr, 4, seed)


def test_every_state_draws_without_a_warning_in_a_small_page(runs) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = FinishedRuns(runs)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
