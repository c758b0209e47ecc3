"""The explorer's two curves are those of the network that its controls describe."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnlab import data
from bnlab.apps.send_signals import ACTIVATIONS, GAINS, NORMS, SendSignals


@pytest.fixture
def explorer() -> SendSignals:
    return SendSignals(depth=6)


def by_hand(explorer: SendSignals) -> tuple[list[float], list[float]]:
    """Walk through the explorer's network one layer at a time, with no hook."""
    signal, outputs = explorer.batch.inputs, []
    for module in explorer.network(**explorer.values):
        signal = module(signal)
        if isinstance(module, nn.Sigmoid | nn.Tanh | nn.ReLU):
            signal.retain_grad()
            outputs.append(signal)
    cross_entropy(signal, explorer.batch.targets).backward()
    spreads = [o.detach().numpy().std(axis=0) for o in outputs]
    return [float(np.sqrt((s**2).mean())) for s in spreads], [
        float(np.linalg.norm(o.grad.numpy())) for o in outputs
    ]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", NORMS)
def test_lines_show_spread_and_gradient(explorer, activation, norm):
    explorer.control("activation").value = activation
    explorer.control("norm").value = norm
    explorer.control("gain").value = 1.2
    for line, expected in zip(explorer.artists.lines, by_hand(explorer), strict=True):
        assert list(line.get_xdata()) == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-4)


def test_the_controls_decide_the_network(explorer):
    model = explorer.network(depth=4, gain=2.0, activation="tanh", norm="batch norm")
    kinds = [type(module).__name__ for module in model]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh"] * 4 + ["Linear"]
    weights = torch.cat([m.weight.flatten() for m in model if isinstance(m, nn.Linear)])
    assert weights.std().item() == pytest.approx(2.0 / 64**0.5, rel=0.02)


def test_moving_there_and_back_gives_the_same_picture(explorer):
    before = explorer.show(gain=0.5).gradient
    explorer.show(gain=4.0, depth=30, norm="batch norm")
    assert torch.equal(explorer.show(gain=0.5).gradient, before)


def test_what_leaves_the_scale_is_a_triangle_at_the_edge(explorer):
    explorer.show(depth=30, gain=4.0, activation="relu")
    result = explorer.compute(depth=30, gain=4.0, activation="relu", norm="none")
    above = explorer.artists.above[0].get_xdata()
    assert list(above) == [i + 1 for i, value in enumerate(result.spread) if value > 1e6]
    assert len(above) > 3
    assert len(explorer.artists.below[0].get_xdata()) == 0
    assert explorer.artists.lines[0].get_ydata().max() == 1e6


def test_batch_norm_keeps_the_spread_at_every_gain(explorer):
    spreads = [
        explorer.compute(depth=30, gain=gain, activation="tanh", norm="batch norm").spread
        for gain in GAINS
    ]
    torch.testing.assert_close(
        torch.stack(spreads), spreads[0].expand(len(GAINS), 30), rtol=0.01, atol=0
    )


def test_extremes_draw_without_warnings(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for depth in (1, 30):
            for gain in (GAINS[0], GAINS[-1]):
                for activation in ACTIVATIONS:
                    for norm in NORMS:
                        explorer.show(depth=depth, gain=gain, activation=activation, norm=norm)
                        assert explorer.layers.svg_moving()


def test_a_batch_of_the_readers_own(explorer):
    train = data.digits(flat=True).train
    own = SendSignals(data.Split(train.inputs[64:96], train.targets[64:96]), depth=6)
    assert not torch.equal(own.show().spread, explorer.show().spread)
    assert "vanished" in own.describe(own.show(depth=30))


def test_the_sentence_says_what_became_of_both(explorer):
    sentence = explorer.describe(explorer.show(depth=30, gain=1.0))
    assert "30 sigmoid layers, gain 1, no normalisation" in sentence
    assert sentence.count("vanished") == 2
    sentence = explorer.describe(explorer.show(depth=30, gain=1.0, norm="batch norm"))
    assert sentence.count("alive") == 2
