"""The two explorers of a recording show what was recorded."""

import numpy as np
import pytest
import torch
from torch import nn

from bnlab import data, models
from bnlab.apps.follow_unit import FollowUnit
from bnlab.apps.watch_activations import WatchActivations
from bnlab.recording import Recording, record
from bnlab.training import fit


@pytest.fixture(scope="module")
def runs() -> dict[str, Recording]:
    digits, recordings = data.digits(flat=True), {}
    for name, norm in {"without": None, "with": nn.BatchNorm1d}.items():
        model = models.deep_mlp(width=20, norm=norm)
        wanted = {"quantiles": (0.15, 0.5, 0.85), "bins": 30, "parts": ("input", "output")}
        with record(model, layers=nn.Sigmoid, every=4, **wanted) as recordings[name]:
            fit(model, digits, epochs=2, batch_size=60, progress=False)
    return recordings


def test_the_band_is_the_recorded_percentiles(runs):
    explorer = FollowUnit(runs, "activation3", units=(0, 7, 19))
    for unit in (0, 7, 19):
        explorer.show(unit=unit)
        for recording, median, band in zip(
            runs.values(), explorer.artists.medians, explorer.artists.bands, strict=True
        ):
            calls = recording.layers["activation3"]
            rows = np.array([call.input.quantiles[:, unit].tolist() for call in calls])
            np.testing.assert_array_equal(median.get_xdata(), [call.step for call in calls])
            np.testing.assert_allclose(median.get_ydata(), rows[:, 1])
            corners = band.get_paths()[0].vertices[: 2 * len(calls)]
            np.testing.assert_allclose(corners[: len(calls), 1], rows[:, 0], rtol=1e-6)
            np.testing.assert_allclose(corners[len(calls) :, 1], rows[::-1, 2], rtol=1e-6)


def test_no_unit_on_offer_leaves_the_page(runs):
    explorer = FollowUnit(runs, "activation3", units=tuple(range(20)))
    low, high = explorer.figure.axes[0].get_ylim()
    for values in explorer.states():
        for rows in explorer.show(**values).percentiles.values():
            assert low < rows.min()
            assert rows.max() < high


def test_long_recordings_are_drawn_with_fewer_points(runs):
    explorer = FollowUnit(runs, "activation3", units=(0,), points=5)
    steps = explorer.show().steps
    assert 5 <= len(steps) < 10
    assert steps[0] == 0


def test_runs_of_different_length_are_refused(runs):
    model = models.deep_mlp(width=20)
    with record(model, layers=nn.Sigmoid, quantiles=(0.15, 0.5, 0.85)) as short:
        model(torch.zeros(8, 64))
    with pytest.raises(ValueError, match="train them equally long"):
        FollowUnit({**runs, "short": short}, "activation3", units=(0,))


def test_histograms_are_the_recorded_ones(runs):
    explorer = WatchActivations(runs)
    for values in explorer.states():
        explorer.show(**values)
        for (name, calls), drawn, label in zip(
            runs[values["run"]].layers.items(),
            explorer.artists.steps,
            explorer.artists.labels,
            strict=True,
        ):
            output = next(call.output for call in calls if call.step == values["step"])
            share = drawn.get_data().values
            assert share.sum() == pytest.approx(100, abs=0.01), name
            middles = np.linspace(0.025, 0.975, 20)
            assert (share * middles).sum() / 100 == pytest.approx(
                output.mean.mean().item(), abs=0.03
            )
            assert label.get_text() == f"spread {output.std.mean().item():.3f}"


def test_the_first_and_the_last_recorded_step_are_on_offer(runs):
    steps = WatchActivations(runs).controls[0].values
    recorded = [call.step for call in runs["with"].layers["activation1"]]
    assert (steps[0], steps[-1]) == (recorded[0], recorded[-1])


def test_a_recording_without_histograms_is_refused_with_the_remedy():
    model = models.deep_mlp(width=20)
    with record(model, layers=nn.Sigmoid) as recording:
        model(torch.zeros(8, 64))
    with pytest.raises(ValueError, match="bins=40"):
        WatchActivations({"run": recording})


def test_the_sentences_carry_the_numbers(runs):
    follow, watch = FollowUnit(runs, "activation3", units=(7,)), WatchActivations(runs)
    width = follow.compute(unit=7).percentiles["without"][0]
    assert f"{width[2] - width[0]:.2f} wide at the start" in follow.describe(follow.show())
    spread = watch.compute(step=0, run="with").spread["activation2"]
    assert f"{spread:.3f}" in watch.describe(watch.show(run="with"))
