"""The noise of random batches, drawn."""

import warnings

import pytest
import torch

import bnlab
from bnlab import models
from bnlab.apps.batch_noise import SIZES, BatchNoise
from bnlab.data import Dataset, Split
from bnlab.experiments.batch_noise import scores_in_batches

INDEX, DRAWS = 2, 12


@pytest.fixture(scope="module")
def data():
    draw = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 64, generator=draw) for n in (300, 5))
    return Dataset(
        Split(train, torch.zeros(300, dtype=torch.int64)),
        Split(test, torch.arange(5)),
        tuple("0123456789"),
    )


@pytest.fixture(scope="module")
def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [models.mlp(64, bnlab.BatchNorm1d).eval() for _ in range(3)]


@pytest.fixture(scope="module")
def explorer(networks, data):
    return BatchNoise(networks, data, INDEX, draws=DRAWS)


def leads(networks, data, size):
    """How far class 2, the sample's, is ahead in each batch: worked out the long way."""
    found = []
    for network in networks:
        rows = scores_in_batches(
            network, data.test.inputs[INDEX], data.train.inputs, size, draws=DRAWS
        )
        found.append(
            [row[2].item() - max(row[k].item() for k in range(10) if k != 2) for row in rows]
        )
    return torch.tensor(found)


@pytest.mark.parametrize("size", [2, 16, 256])
def test_strokes_words_and_cursor(explorer, networks, data, size) -> None:
    result = explorer.show(batch_size=size)
    expected = leads(networks, data, size)
    x = torch.tensor(explorer.artists.strokes.get_xdata()).view(3, DRAWS, 3)
    assert torch.allclose(x[..., 0], expected, atol=1e-6)
    assert torch.equal(x[..., 0], x[..., 1])
    assert x[..., 2].isnan().all()
    y = torch.tensor(explorer.artists.strokes.get_ydata()).view(3, DRAWS, 3)
    assert torch.equal(y[..., :2].mean(-1).round(), torch.arange(3.0)[:, None].expand(3, DRAWS))
    for text, row in zip(explorer.artists.words, expected, strict=True):
        assert text.get_text() == f"± {row.std():.2f}"
    assert list(explorer.artists.cursor.get_xdata()) == [size, size]
    assert f"scatters by {expected.std(1).mean():.2f} ±" in explorer.describe(result)
    assert f"{100 * (expected < 0).double().mean():.0f} % of the batches" in explorer.describe(
        result
    )


def test_diamonds_are_the_answers_of_eval_mode(explorer, networks, data) -> None:
    for x, network in zip(explorer.artists.alone.get_xdata(), networks, strict=True):
        with torch.no_grad():
            scores = network(data.test.inputs[INDEX, None])[0].tolist()
        assert x == pytest.approx(scores.pop(2) - max(scores))


def test_the_law_goes_through_the_largest_batches(explorer) -> None:
    (law,) = (line for line in explorer.figure.axes[1].lines if "sqrt" in line.get_label())
    heights = law.get_ydata()
    assert heights[-1] == pytest.approx(explorer.show().spread[:, -1].mean().item())
    assert heights[0] / heights[-1] == pytest.approx((SIZES[-1] / SIZES[0]) ** 0.5)


def test_every_state_draws_without_a_warning_in_a_small_page(networks, data) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = BatchNoise(networks, data, INDEX, draws=DRAWS)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
