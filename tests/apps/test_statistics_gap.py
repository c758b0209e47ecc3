"""Finished runs, by the statistics they are answered with."""

import warnings

import pytest
import torch

from bnlab.apps.statistics_gap import StatisticsGap

RUNS = {
    2: torch.tensor([[0.3, 0.5, 0.6], [0.4, 0.6, 0.6]]),
    64: torch.tensor([[0.7, 0.4, 0.8], [0.8, 0.6, 0.8]]),
}


def test_dots_are_the_seeds_and_bars_their_means() -> None:
    explorer = StatisticsGap(RUNS)
    for size, accuracy in RUNS.items():
        explorer.show(batch_size=size)
        artists = explorer.artists
        for kind in range(3):
            column = accuracy[:, kind]
            assert artists.dots[kind].get_ydata().tolist() == column.tolist()
            assert artists.means[kind].get_ydata()[0] == pytest.approx(column.mean().item())
            assert artists.texts[kind].get_text() == f"{100 * column.mean().item():.1f} %"


def test_the_caption_gives_mean_and_spread() -> None:
    explorer = StatisticsGap(RUNS)
    sentence = explorer.describe(explorer.show(batch_size=64))
    assert "over 2 seeds" in sentence
    assert "moving average 50.0 ± 14.1 %" in sentence


def test_a_batch_size_without_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size cannot be 8"):
        StatisticsGap(RUNS, batch_size=8)


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = StatisticsGap(RUNS)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
