"""Gradients on their way back, drawn from finished runs."""

import math
import warnings

import numpy as np
import pytest
import torch

from bnlab.apps.explode_gradients import ExplodeGradients
from bnlab.training import sweep

DEPTHS, SEEDS = [5, 10], 3


def measure(network, depth, seed):
    """A growth that depends on everything, with a little noise."""
    factor = {"batch norm": 1.5, "no norm": 1.0}[network] + 0.01 * seed
    energy = factor ** torch.arange(depth - 1, -1, -1, dtype=torch.float64)
    return {"energy": energy, "growth": factor}


@pytest.fixture
def explorer():
    grid = {"network": ["batch norm", "no norm"], "depth": DEPTHS}
    return ExplodeGradients(sweep(measure, grid, seeds=SEEDS, progress=False, cache=None))


@pytest.mark.parametrize("network", ["batch norm", "no norm"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_seed_is_drawn_beside_the_theory(explorer, network, depth):
    explorer.show(depth=depth, network=network)
    x, y = explorer.artists.seeds.get_data()
    for seed in range(SEEDS):
        curve = slice(seed * (depth + 1), (seed + 1) * (depth + 1) - 1)
        assert x[curve].tolist() == list(range(1, depth + 1))
        np.testing.assert_allclose(y[curve], measure(network, depth, seed)["energy"])
    assert np.isnan(y[depth :: depth + 1]).all()
    layers, theory = explorer.artists.theory.get_data()
    assert theory[-1] == 1
    np.testing.assert_allclose(theory[:-1] / theory[1:], math.pi / (math.pi - 1))
    assert len(layers) == depth


def test_words_and_caption_give_mean_and_spread(explorer):
    sentence = explorer.describe(explorer.show(depth=5, network="batch norm"))
    assert explorer.artists.text.get_text() == "measured: × 1.510 ± 0.010 a layer"
    assert "5 ReLU layers, batch norm, 3 seeds" in sentence
    assert "1.510 ± 0.010 a layer" in sentence
    assert f"{1.51**4:.1e} times" in sentence


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
