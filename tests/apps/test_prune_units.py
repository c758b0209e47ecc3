"""Accuracy against the share of units cut, drawn from finished runs."""

import warnings

import numpy as np
import pytest
import torch

from bnlab.apps.prune_units import PruneUnits
from bnlab.training import sweep

SHARES, SEEDS, PENALTIES = [0.0, 0.3, 0.7, 1.0], 3, [0.0, 0.01]


def measure(penalty, seed):
    """Numbers that tell every penalty, seed, order and share apart."""
    start = 0.9 - 10 * penalty - 0.01 * seed
    fall = torch.tensor([0.0, 0.1, 0.2, 0.3])
    return {
        "gamma": torch.linspace(0, 2 - 100 * penalty + 0.1 * seed, 7),
        "smallest": start - fall,
        "random": start - 2 * fall,
        "largest": start - 2.5 * fall,
    }


@pytest.fixture
def explorer():
    runs = sweep(measure, {"penalty": PENALTIES}, seeds=SEEDS, progress=False, cache=None)
    return PruneUnits(runs, SHARES)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("share", SHARES)
def test_gammas_curves_and_cursor_are_the_runs(explorer, penalty, share):
    explorer.show(penalty=penalty, share=share)
    artists, results = explorer.artists, [measure(penalty, seed) for seed in range(SEEDS)]
    drawn = artists.gammas.get_ydata().reshape(SEEDS, 8)[:, :7]
    np.testing.assert_allclose(drawn, torch.stack([r["gamma"] for r in results]), rtol=1e-6)
    assert artists.cursor.get_xdata() == [100 * share] * 2
    place = SHARES.index(share)
    for order, name in zip(artists.curves, ("smallest", "random", "largest"), strict=True):
        curves = 100 * torch.stack([r[name] for r in results])
        np.testing.assert_allclose(artists.curves[order].mean.get_ydata(), curves.mean(0))
        here = curves[:, place]
        words = f"{order}: {here.mean():.1f} ± {here.std():.1f} %"
        assert artists.words[order].get_text().endswith(words)


def test_the_caption_names_penalty_share_and_accuracies(explorer):
    sentence = explorer.describe(explorer.show(penalty=0.01, share=0.7))
    assert sentence.startswith("Penalty 0.01, |γ| from 0.0000 to 1.20; with 70%")
    assert "smallest first 59.0 ± 1.0 %" in sentence


def test_the_penalty_0_is_called_none(explorer):
    assert [explorer.controls[1].readout(value) for value in PENALTIES] == ["none", "0.01"]


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
