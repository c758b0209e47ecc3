"""Named groups of seeds side by side."""

import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.groups import draw_groups

GROUPS = {"all": torch.tensor([98.0, 97.0, 99.0]), "some": torch.tensor([60.0, 70.0, 80.0])}


def test_dots_are_the_seeds_and_words_their_mean():
    ax = Figure().subplots()
    dots = draw_groups(ax, GROUPS)
    for place, (line, values) in enumerate(zip(dots, GROUPS.values(), strict=True)):
        assert line.get_ydata().tolist() == values.tolist()
        assert abs(line.get_xdata() - place).max() < 0.25
    assert [text.get_text() for text in ax.texts] == ["98.0", "70.0"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["all", "some"]
    assert len({line.get_marker() for line in dots}) == 2


def test_more_groups_than_signs_are_refused():
    with pytest.raises(ValueError, match="7 groups are more than the 6"):
        draw_groups(Figure().subplots(), {str(n): torch.zeros(2) for n in range(7)})
