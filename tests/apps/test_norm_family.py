"""The drawing of the family: every lit cell shares a statistic, and every other does not."""

from math import prod

import numpy as np
import pytest
import torch

from bnlab import functional
from bnlab.apps.norm_family import NORMS, NormFamily
from bnlab.plots.cells import Slices
from bnlab.plots.norm_family import HEIGHT, LEFT, PITCH, WIDTH


@pytest.fixture(scope="module")
def explorer() -> NormFamily:
    return NormFamily()


def written_out(sizes, picked, groups):
    """The picked cell's companions for each norm, as slices of a mask."""
    n, c, h, w = picked
    first = c - c % (sizes[1] // groups)
    group = slice(first, first + sizes[1] // groups)
    places = [
        (slice(None), c), (n, c), (n, group), (n,),
        (n, slice(None), h, w), (n, slice(None), h, w),
    ]  # fmt: skip
    masks = torch.zeros(len(places), *sizes, dtype=torch.bool)
    for mask, place in zip(masks, places, strict=True):
        mask[place] = True
    return masks.flatten(3)


def covered(patch, points):
    """Which points lie in one of the rectangles of a path."""
    corners = patch.get_path().vertices.reshape(-1, 5, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    inside = (points[:, None] > low) & (points[:, None] < high)
    assert inside.all(axis=2).sum(axis=1).max() <= 1, "two rectangles over one cell"
    return inside.all(axis=2).any(axis=1)


def centres(sizes, panel):
    n, c, h, w = sizes
    slices = Slices(n, c, h * w)
    cells = np.indices((n, c, h * w)).reshape(3, -1)
    x = LEFT + PITCH * panel + slices.size * (cells[2] + 0.5)
    y = np.array([slices.top(sample) for sample in cells[0]]) + slices.size * (cells[1] + 0.5)
    return np.stack([x, y], axis=1)


@pytest.mark.parametrize(
    ("sizes", "picked", "groups"),
    [
        ((3, 6, 2, 4), (1, 2, 0, 1), 3),
        ((4, 6, 3, 4), (3, 5, 2, 3), 2),
        ((1, 4, 3, 1), (0, 0, 1, 0), 4),
        ((2, 3, 1, 2), (1, 1, 0, 1), 1),
        ((1, 1, 1, 1), (0, 0, 0, 0), 1),
    ],
)
def test_what_is_lit_is_what_shares(explorer, sizes, picked, groups):
    names = ("samples", "channels", "height", "width", "n", "c", "groups")
    values = dict(zip(names, (*sizes, *picked[:2], groups), strict=True))
    result = explorer.show(place=picked[2] * sizes[3] + picked[3], **values)
    assert result.picked == picked
    expected = written_out(sizes, picked, groups)
    for at, (member, mask) in enumerate(zip(result.members, expected, strict=True)):
        assert torch.equal(member.shared, mask), member.norm
        points = centres(sizes, at)
        lit = covered(explorer.artists.lit, points)
        assert np.array_equal(lit, mask.flatten().numpy()), member.norm
        odd = covered(explorer.artists.odd, points) & ~lit
        assert np.array_equal(odd, (member.odd & ~mask).flatten().numpy()), member.norm
        count = int(mask.sum())
        product, sets = explorer.artists.counts[at].get_text().split("\n\n")
        assert product.split(" = ")[-1].removeprefix("= ") == str(count)
        factors = product.removeprefix("= ").split(" = ")[0].split("·")
        assert prod(map(int, factors)) == count
        assert int(sets.removeprefix("= ")) * count == prod(sizes)
    hatched = explorer.artists.hatch.get_path().vertices.reshape(-1, 2, 2)
    assert len(hatched) == expected.sum()


def test_what_shares_is_what_the_layers_of_torch_mix():
    sizes, picked, groups = (3, 6, 2, 4), (1, 2, 0, 1), 3
    torch.manual_seed(0)
    batch = torch.randn(sizes, dtype=torch.float64, requires_grad=True)
    ways = [
        lambda x: torch.nn.functional.batch_norm(x, None, None, training=True),
        torch.nn.functional.instance_norm,
        lambda x: torch.nn.functional.group_norm(x, groups),
        lambda x: torch.nn.functional.layer_norm(x, sizes[1:]),
        lambda x: torch.nn.functional.layer_norm(x.movedim(1, -1), sizes[1:2]).movedim(-1, 1),
        lambda x: torch.nn.functional.rms_norm(x.movedim(1, -1), sizes[1:2]).movedim(-1, 1),
    ]
    members = NormFamily(groups=groups).show().members
    for member, way in zip(members, ways, strict=True):
        (slope,) = torch.autograd.grad(way(batch)[picked], batch)
        assert torch.equal((slope != 0).flatten(2), member.shared), member.norm


def test_neighbouring_sets_have_two_greys(explorer):
    for member in explorer.show(samples=4, channels=6, height=3, width=4, groups=2).members:
        for dim in range(3):
            sets, odd = (each.transpose(0, dim) for each in (member.owner, member.odd))
            other = sets[1:] != sets[:-1]
            assert torch.equal(odd[1:][other], ~odd[:-1][other]), (member.norm, dim)


def test_the_picked_cell_is_marked_in_every_panel(explorer):
    explorer.show(samples=3, channels=6, height=2, width=4, n=2, c=4, place=6)
    marks = explorer.artists.picked.get_path().vertices.reshape(len(NORMS), 2, 5, 2)
    for at in range(len(NORMS)):
        expected = centres((3, 6, 2, 4), at).reshape(3, 6, 8, 2)[2, 4, 6]
        np.testing.assert_allclose(marks[at, 0, :4].mean(axis=0), expected, atol=0.1)
    assert explorer.artists.address.get_text() == "picked cell x[2, 4, 1, 2]"


def test_a_picked_cell_stays_inside_a_batch_that_shrinks(explorer):
    result = explorer.show(samples=1, channels=2, height=1, width=1, groups=1, n=3, c=5, place=11)
    assert result.picked == (0, 1, 0, 0)


def test_groups_that_do_not_divide_are_said_to_be_an_error(explorer):
    result = explorer.show(channels=4, groups=3)
    with pytest.raises(RuntimeError, match="divisible"):
        torch.nn.functional.group_norm(torch.zeros(3, 4, 2, 4), 3)
    with pytest.raises(RuntimeError):
        functional.group_norm(torch.zeros(3, 4, 2, 4), 3)
    assert [member.shared is None for member in result.members] == [False] * 2 + [True] + [
        False
    ] * 3
    assert explorer.artists.counts[2].get_text() == "✗ C/G = 4/3\n\n✗ an error"
    assert not covered(explorer.artists.lit, centres((3, 4, 2, 4), 2)).any()


def test_every_control_moves_the_picture_and_stays_within_it(explorer):
    for control in explorer.controls:
        seen = set()
        for value in control.values:
            explorer.control(control.name).value = value
            seen.add(explorer.moving.value)
            for patch in (explorer.artists.grid, explorer.artists.edges, explorer.artists.picked):
                vertices = patch.get_path().vertices
                assert (vertices >= 0).all()
                assert (vertices <= [WIDTH, HEIGHT]).all()
        explorer.reset()
        assert len(seen) > 1, control.name


def test_the_sentence_counts():
    explorer = NormFamily(groups=2)
    sentence = explorer.describe(explorer.show())
    for words in (
        "x[1, 2, 0, 1]",
        "BatchNorm over N, H, W = 3·2·4 = 24",
        "GroupNorm over C/G, H, W = 3·2·4 = 24",
    ):
        assert words in sentence
