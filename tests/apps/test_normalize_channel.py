"""One channel of feature maps: the picture shows what torch's layer gives."""

import numpy as np
import pytest
import torch
from torch import nn

from bnlab import data
from bnlab.apps.normalize_channel import NormalizeChannel


@pytest.fixture(scope="module")
def images():
    return data.digits().train.inputs[:64]


@pytest.fixture(scope="module")
def features(images):
    torch.manual_seed(0)
    return nn.Conv2d(1, 3, 3, padding=1)(images)


@pytest.fixture
def explorer(images, features):
    return NormalizeChannel(images, features)


def test_controls_move_the_map_and_the_histogram(explorer, features):
    explorer.control("channel").value = 2
    explorer.control("gamma").value = 1.5
    explorer.control("beta").value = -1.0
    explorer.control("eps").value = 0.1
    expected = nn.functional.batch_norm(
        features, None, None, torch.full((3,), 1.5), torch.full((3,), -1.0), True, eps=0.1
    )[:, 2].detach()
    before, after = explorer.artists.maps
    np.testing.assert_allclose(after.get_array(), expected[0], atol=1e-5)
    np.testing.assert_allclose(before.get_array(), features[0, 2].detach())
    heights = explorer.artists.histograms.steps[1].get_data().values
    edges = explorer.artists.histograms.steps[1].get_data().edges
    counts, _ = np.histogram(expected.numpy(), edges)
    np.testing.assert_allclose(heights, 100 * counts / expected.numel(), atol=0.1)
    assert f"mean {expected.mean():.2f}" in explorer.sentence


def test_a_scale_of_zero_leaves_the_shift(explorer):
    explorer.control("gamma").value = 0.0
    explorer.control("beta").value = 2.0
    assert (explorer.artists.maps[1].get_array() == 2).all()


def test_every_end_of_every_control_draws(explorer):
    seen = set()
    for control in explorer.controls:
        for value in (control.values[0], control.values[-1]):
            explorer.control(control.name).value = value
            seen.add(explorer.moving.value)
    assert len(seen) > 6


def test_the_input_is_left_alone(images, features):
    NormalizeChannel(images, features)
    assert features.requires_grad
