"""What padding does to a sequence that has not changed."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from bnlab.apps.pad_sequences import KINDS, PadSequences
from bnlab.plots.padding import PADDING, sheet

EVERY, REAL, LAYER = KINDS


def sequence(steps: int, seed: int) -> torch.Tensor:
    return torch.rand(steps, 4, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def explorer() -> PadSequences:
    longest = sequence(12, 9)
    still = [sequence(5, 0), sequence(4, 1), sequence(6, 2)]
    return PadSequences(still, [longest[:steps] for steps in (3, 7, 12)], feature=2)


def by_torch(explorer: PadSequences, digits: int) -> dict[str, torch.Tensor]:
    """The marked feature of the first sequence, by torch's own layers in train mode."""
    members = [*explorer.sequences, explorer.growing[digits - 1]]
    batch = pad_sequence(members, batch_first=True)
    over_all = nn.BatchNorm1d(4, affine=False)(batch.mT).mT[0, :5, 2]
    over_real = nn.BatchNorm1d(4, affine=False)(torch.cat(members))[:5, 2]
    by_layer = nn.LayerNorm(4, elementwise_affine=False)(batch)[0, :5, 2]
    return {EVERY: over_all, REAL: over_real, LAYER: by_layer}


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_lines_are_what_torch_makes_of_the_same_batch(explorer, digits):
    explorer.show(digits=digits)
    for name, values in by_torch(explorer, digits).items():
        drawn = torch.as_tensor(explorer.artists.lines[name].get_ydata())
        assert torch.allclose(drawn, values, atol=1e-5), name


def test_padding_moves_bn_and_not_ln(explorer):
    moved = explorer.show(digits=3).moved
    assert moved[EVERY] > 0.1
    assert moved[REAL] > 0
    assert moved[LAYER] == 0
    assert explorer.artists.texts[LAYER].get_text() == "moved by up to 0.00"
    assert explorer.artists.texts[EVERY].get_text() == f"moved by up to {moved[EVERY]:.2f}"


def test_what_is_not_real_is_zero(explorer):
    batch, real = explorer.padded(3)
    assert real.sum(1).tolist() == [5, 4, 6, 12]
    assert (batch[~real] == 0).all()


def test_the_sheet_shows_ink_padding_and_nothing():
    batch = torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 1.0], [0.0, 0.0]]])
    real = torch.tensor([[True, True], [True, False]])
    page = sheet(batch, real, longest=4)
    assert page.shape == (5, 4, 3)
    assert page[0, 0].tolist() == [0, 0, 0]
    assert page[1, 0].tolist() == [1, 1, 1]
    assert torch.equal(page[3, 1], torch.tensor(PADDING))
    assert (page[:, 2:] == 1).all()
    assert (page[2] == 1).all()


def test_frame_and_row_lie_on_the_moving_sheet(explorer):
    explorer.show(digits=3)
    explorer.layers.settle()
    artists, moving = explorer.artists, explorer.layers.moving
    places = [moving.index(each) for each in (artists.sheet, artists.frame, artists.row)]
    assert places == sorted(places)
    assert artists.row.get_ydata() == [2, 2]


def test_the_caption_gives_the_share_of_padding(explorer):
    sentence = explorer.describe(explorer.show(digits=3))
    real = 5 + 4 + 6 + 12
    assert sentence.startswith(f"{100 * (48 - real) / 48:.0f} % of the batch is padding.")


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
