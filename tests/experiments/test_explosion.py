"""The gradient of an untrained network on its way back."""

import itertools
import math

import pytest
import torch
from torch import nn

from bnlab.data import Split, synthetic
from bnlab.experiments.explosion import NETWORKS, RELU_GROWTH, growth, send_back

SPLIT = Split(synthetic((256, 20)), torch.arange(256) % 3)


def by_hand(network: str, depth: int, width: int, batch_size: int, seed: int) -> torch.Tensor:
    """The same network written out, and the gradient at each layer's output."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [20] + [width] * depth + [10]
    weights = [
        torch.empty(outputs, inputs).normal_(std=(2 / inputs) ** 0.5, generator=draw).double()
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    rows = torch.randperm(256, generator=torch.Generator().manual_seed(seed))[:batch_size]
    hidden, seen = SPLIT.inputs[rows].double(), []
    for number, weight in enumerate(weights[:-1]):
        units = hidden @ weight.T
        if network != "no norm":
            spread = (units.var(0, correction=0) + 1e-5).sqrt()
            units = (units - units.mean(0)) / spread
        skip = hidden if network == "batch norm and skips" and number else 0
        hidden = units.relu() + skip
        seen.append(hidden.requires_grad_() if number == 0 else hidden)
    loss = nn.functional.cross_entropy(hidden @ weights[-1].T, SPLIT.targets[rows])
    return torch.stack([g.square().sum() for g in torch.autograd.grad(loss, seen)])


@pytest.mark.parametrize("network", NETWORKS)
def test_energy_is_that_of_the_network_written_out(network):
    returned = send_back(SPLIT, network=network, depth=6, width=16, batch_size=32, seed=3)
    energy = by_hand(network, 6, 16, 32, 3)
    torch.testing.assert_close(returned.energy, energy / energy[-1])
    assert returned.growth == pytest.approx(growth(energy))


def test_growth_is_exact_on_a_geometric_row_and_fits_a_noisy_one():
    row = 3 * 1.5 ** torch.arange(9, -1, -1, dtype=torch.float64)
    assert growth(row) == pytest.approx(1.5)
    assert growth(row.flip(0)) == pytest.approx(1 / 1.5)
    noisy = row * torch.exp(0.1 * synthetic((10,), std=1.0).double())
    slope = torch.linalg.lstsq(
        torch.stack([torch.arange(10.0).double(), torch.ones(10).double()], 1), noisy.log()[:, None]
    ).solution[0]
    assert growth(noisy) == pytest.approx(math.exp(-slope.item()))


def test_wide_networks_on_large_batches_grow_as_in_theory():
    factors = [
        send_back(SPLIT, depth=20, width=192, batch_size=192, seed=seed).growth for seed in range(3)
    ]
    assert sum(factors) / 3 == pytest.approx(RELU_GROWTH, abs=0.05)


def test_small_batches_grow_faster_and_networks_without_norm_do_not_grow():
    small = send_back(SPLIT, depth=20, width=128, batch_size=8).growth
    assert small > RELU_GROWTH + 0.1
    plain = send_back(SPLIT, network="no norm", depth=20, width=128, batch_size=128).growth
    assert plain == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "layer norm"}, "network is one of batch norm"),
        ({"depth": 1}, "at least 2 layers"),
        ({"batch_size": 257}, "from 2 to the split's 256"),
        ({"batch_size": 1}, "from 2 to"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        send_back(SPLIT, **settings)
