"""Thumbnails around a hole."""

import pytest
import torch

from bnlab.plots.batch_mates import COLUMNS, HOLE, ROWS, around


def occupied(count: int) -> torch.Tensor:
    sheet = around(torch.ones(count, 8, 8)).view(ROWS, 10, COLUMNS, 10)
    return sheet.amax((1, 3)) > 0


@pytest.mark.parametrize("count", [1, 7, 63])
def test_every_mate_has_a_place_of_its_own_outside_the_hole(count: int) -> None:
    places = occupied(count)
    assert places.sum() == count
    left, top = (COLUMNS - HOLE) // 2, (ROWS - HOLE) // 2
    assert not places[top : top + HOLE, left : left + HOLE].any()


def test_a_mate_is_shown_in_five_greys() -> None:
    sheet = around(torch.linspace(0, 1, 64).view(1, 8, 8))
    assert set(sheet.unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_more_mates_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match="64 mates and 63 places"):
        around(torch.ones(64, 8, 8))
