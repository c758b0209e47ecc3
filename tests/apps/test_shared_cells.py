"""Which cells share a statistic: every lit cell, its number and its place in memory."""

from itertools import product

import numpy as np
import pytest
import torch

from bnlab.apps.shared_cells import SharedCells
from bnlab.plots.shared_cells import LINE, MEMORY, tensor_corners

SHAPES = {"(N, C)": 3, "(N, C, L)": 18, "(N, C, H, W)": 36, "(N, C, D, H, W)": 36}


@pytest.fixture(scope="module")
def explorer() -> SharedCells:
    return SharedCells()


def corners(patch):
    """The top left corner of every rectangle of a path."""
    path = patch.get_path()
    return path.vertices[path.codes == path.MOVETO]


@pytest.mark.parametrize("memory", ["channels first", "channels last"])
@pytest.mark.parametrize("channel", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_lit_cells_are_the_channel_in_all_samples(explorer, shape, channel, memory):
    result = explorer.show(shape=shape, channel=channel, memory=memory)
    expected = torch.zeros_like(result.shared)
    expected[:, channel] = True
    assert torch.equal(result.shared, expected)
    everywhere, _ = tensor_corners(tuple(result.values.shape))
    np.testing.assert_allclose(
        corners(explorer.artists.lit), everywhere[expected.flatten().numpy()]
    )
    assert len(corners(explorer.artists.cells)) == result.values.numel()

    written = [text for text in explorer.artists.digits if text.get_visible()]
    assert len(written) == SHAPES[shape]
    numbers = [float(text.get_text()) for text in written]
    assert np.mean(numbers) == pytest.approx(result.mean, abs=1e-6)
    assert np.var(numbers) == pytest.approx(result.var, rel=1e-5)
    assert f"= {SHAPES[shape]} cells" in explorer.artists.count.get_text()
    assert f"mean {np.mean(numbers):.2f}" in explorer.artists.statistics.get_text()


@pytest.mark.parametrize(
    ("shape", "memory_format"),
    [("(N, C, H, W)", torch.channels_last), ("(N, C, D, H, W)", torch.channels_last_3d)],
)
def test_addresses_are_those_of_torch(explorer, shape, memory_format):
    for memory, chosen in (("channels first", torch.contiguous_format),
                           ("channels last", memory_format)):  # fmt: skip
        result = explorer.show(shape=shape, memory=memory)
        laid_out = result.values.to(memory_format=chosen)
        stored = laid_out.as_strided((laid_out.numel(),), (1,))
        assert torch.equal(stored[result.address], result.values)


def test_memory_shows_each_number_where_it_lies(explorer):
    result = explorer.show(shape="(N, C, H, W)", memory="channels last", channel=2)
    addresses = result.address[result.shared].numpy()
    assert list(np.diff(np.sort(addresses))[:5]) == [4] * 5
    drawn = corners(explorer.artists.memory_lit)
    np.testing.assert_allclose(drawn[:, 1], MEMORY + LINE * (addresses // 48))
    assert result.runs == 36
    assert explorer.show(shape="(N, C, H, W)", memory="channels first").runs == 3


def test_every_state_stays_within_the_picture(explorer):
    width, height = 619, 404
    for values in explorer.states():
        explorer.show(**values)
        for patch in (explorer.artists.cells, explorer.artists.memory):
            low, high = patch.get_path().vertices.min(axis=0), patch.get_path().vertices.max(axis=0)
            assert (low >= 0).all()
            assert (high <= [width, height]).all()


def test_cells_do_not_overlap():
    for shape in ((3, 4), (3, 4, 6), (3, 4, 3, 4), (3, 4, 2, 2, 3)):
        places, size = tensor_corners(shape)
        for one, other in product(places[:24], repeat=2):
            apart = np.abs(one - other)
            assert (apart == 0).all() or apart.max() > size - 1e-6


def test_the_page_is_light(explorer):
    bundle = explorer._repr_mimebundle_()
    assert len(bundle["text/html"]) < 300_000
    assert "36 of 144 cells" in bundle["text/plain"]
    assert "rotate(" not in bundle["text/html"]
