"""Which norm forgets a change of contrast and brightness: the pictures and the words below them."""

import numpy as np
import pytest
import torch
from torch import nn

from bnlab import data
from bnlab.apps.forget_changes import NORMS, ForgetChanges
from bnlab.plots.photographs import pixels


@pytest.fixture(scope="module")
def photographs():
    return data.photographs((16, 24))


@pytest.fixture
def explorer(photographs):
    return ForgetChanges(photographs, ("temple", "flower"))


def moved(explorer):
    """For each norm, whether the words say that the first and the second picture moved."""
    return [tuple(text.get_text()[0] == "≠" for text in texts) for texts in explorer.artists.words]


NO, FIRST, BOTH = (False, False), (True, False), (True, True)


@pytest.mark.parametrize(
    ("where", "contrast", "brightness", "expected"),
    [  # the input, BatchNorm, InstanceNorm, LayerNorm, LayerNorm and RMSNorm of tokens
        ("the temple", 0.5, 0.0, [FIRST, BOTH, NO, NO, NO, NO]),
        ("the temple", 1.0, 0.2, [FIRST, BOTH, NO, NO, NO, FIRST]),
        ("the temple's red", 2.0, 0.1, [FIRST, BOTH, NO, FIRST, FIRST, FIRST]),
        ("red in both", 2.0, 0.1, [BOTH, NO, NO, BOTH, BOTH, BOTH]),
        ("both", 2.0, 0.0, [BOTH, NO, NO, NO, NO, NO]),
        ("both", 0.5, -0.2, [BOTH, NO, NO, NO, NO, BOTH]),
        ("both", 1.0, 0.0, [NO] * 6),
    ],
)
def test_the_words_say_what_is_forgotten(explorer, where, contrast, brightness, expected):
    explorer.show(where=where, contrast=contrast, brightness=brightness)
    assert moved(explorer) == expected


def test_the_pictures_are_what_the_layers_of_torch_give(explorer, photographs):
    explorer.control("where").value = "the temple's red"
    explorer.control("contrast").value = 2.0
    explorer.control("brightness").value = -0.1
    batch = photographs.double()
    batch[0, 0] = 2.0 * batch[0, 0] - 0.1
    tokens = batch.movedim(1, -1)
    expected = [
        nn.functional.batch_norm(batch, None, None, training=True, eps=1e-12),
        nn.functional.instance_norm(batch, eps=1e-12),
        nn.functional.layer_norm(batch, batch.shape[1:], eps=1e-12),
        nn.functional.layer_norm(tokens, (3,), eps=1e-12).movedim(-1, 1),
        nn.functional.rms_norm(tokens, (3,), eps=1e-12).movedim(-1, 1),
    ]
    shown = explorer.artists.pictures
    for at in range(2):
        assert np.array_equal(shown[0][at].get_array(), pixels(batch[at]))
    for column, pictures in zip(shown[1:], expected, strict=True):
        for at in range(2):
            gap = np.abs(column[at].get_array().astype(int) - pixels(pictures[at] / 5 + 0.5))
            assert gap.max() <= 8, "one step of the rounding"
            assert (gap > 0).mean() < 0.01


def test_a_picture_that_has_not_moved_shows_the_still_one(explorer):
    explorer.show(where="the temple", contrast=0.5, brightness=0.0)
    covered = [[image.get_visible() for image in column] for column in explorer.artists.pictures]
    assert covered[:4] == [[True, False], [True, True], [False, False], [False, False]]
    for still, column in zip(explorer.artists.unchanged, explorer.artists.pictures, strict=True):
        for below, image in zip(still, column, strict=True):
            assert image.get_visible() != np.array_equal(below.get_array(), image.get_array())
            assert image.get_extent() == below.get_extent()


def test_how_far_it_moved_is_relative(explorer, photographs):
    result = explorer.show(where="both", contrast=2.0, brightness=0.0)
    np.testing.assert_allclose(result.changed.changed, [1.0, 1.0])
    before, after = (nn.functional.rms_norm(x.movedim(1, -1), (3,), eps=1e-12).movedim(-1, 1)
                     for x in (photographs.double(), photographs.double() + 0.2))  # fmt: skip
    expected = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    result = explorer.show(where="both", contrast=1.0, brightness=0.2)
    np.testing.assert_allclose(result.normed[-1].changed, expected)


def test_a_larger_epsilon_holds_grey_pixels_back(photographs):
    held = ForgetChanges(photographs, ("a", "b"), eps=1e-2).show(contrast=0.25, brightness=0.0)
    free = ForgetChanges(photographs, ("a", "b")).show(contrast=0.25, brightness=0.0)
    at = list(NORMS).index(("LayerNorm", "over C"))
    assert held.normed[at].changed[0] > 0.1
    assert free.normed[at].changed[0] < 1e-6


def test_every_end_of_every_control_draws(explorer):
    for control in explorer.controls:
        seen = set()
        for value in control.values:
            explorer.control(control.name).value = value
            seen.add(explorer.moving.value)
        explorer.reset()
        assert len(seen) == len(control.values)


def test_the_photographs_are_left_alone(photographs):
    before = photographs.clone()
    ForgetChanges(photographs, ("a", "b")).show(where="both", contrast=2.0)
    assert torch.equal(photographs, before)
