"""What is left of a gradient of three samples, in numbers and as arrows."""

import warnings

import pytest
import torch
from torch.nn.functional import batch_norm

from bnlab.apps.project_gradient import CONSTANT, INPUTS, THROUGH, ProjectGradient
from bnlab.plots.projection import on_page


@pytest.fixture(scope="module")
def explorer() -> ProjectGradient:
    return ProjectGradient()


def numbers(texts) -> list[float]:
    return [float(text.get_text().split()[0].replace("−", "-")) for text in texts]


@pytest.mark.parametrize("values", [(1.5, 0.75, 1.5), (-0.75, 1.5, -1.5), (0.0, -1.5, 0.0)])
def test_what_leaves_is_torchs_gradient(explorer, values) -> None:
    result = explorer.show(**dict(zip(("shift", "stretch", "rest"), values, strict=True)))
    x = torch.tensor(INPUTS, dtype=torch.float64)[:, None].requires_grad_()
    output = batch_norm(x, None, None, training=True, eps=1e-12)
    output.backward(result.samples[0][:, None])
    torch.testing.assert_close(result.samples[1], x.grad[:, 0], atol=1e-9, rtol=0)
    for column, samples in zip(explorer.artists.columns, result.samples, strict=True):
        assert numbers(column) == pytest.approx(samples.tolist(), abs=0.0051)


def test_the_parts_are_those_on_the_sliders(explorer) -> None:
    result = explorer.show(shift=0.75, stretch=-1.5, rest=1.5)
    arriving = result.samples[0]
    x = torch.tensor(INPUTS, dtype=torch.float64)
    centred = x - x.mean()
    assert (arriving.sum() / 3**0.5).item() == pytest.approx(0.75)
    assert (arriving @ centred / centred.norm()).item() == pytest.approx(-1.5)
    assert arriving.norm().item() == pytest.approx((0.75**2 + 1.5**2 + 1.5**2) ** 0.5)


def test_two_sliders_do_not_move_what_leaves(explorer) -> None:
    first = explorer.show(rest=1.5, shift=-1.5, stretch=0.0).samples[1]
    for shift in (0.0, 1.5):
        for stretch in (-1.5, 0.75):
            moved = explorer.show(rest=1.5, shift=shift, stretch=stretch).samples[1]
            torch.testing.assert_close(moved, first, atol=1e-12, rtol=0)
    assert (explorer.show(rest=-1.5).samples[1] - first).norm() > 1


def test_the_dot_products_vanish_only_with_the_whole_gradient(explorer) -> None:
    explorer.show(statistics=THROUGH)
    assert [text.get_text() for text in explorer.artists.dots] == ["0.00  ✓", "0.00  ✓"]
    result = explorer.show(statistics=CONSTANT)
    assert all("✗" in text.get_text() for text in explorer.artists.dots)
    one, along = numbers(explorer.artists.dots)
    x_hat = batch_norm(torch.tensor(INPUTS)[:, None], None, None, training=True)[:, 0].double()
    assert one == pytest.approx(result.samples[1].sum().item(), abs=0.0051)
    assert along == pytest.approx((result.samples[1] @ x_hat).item(), abs=0.0051)


def test_the_arrow_that_leaves_is_tangent_to_the_circle(explorer) -> None:
    result = explorer.show()
    start, end = explorer.artists.leaving._posA_posB
    assert start == pytest.approx(on_page(result.radius, 0, 0))
    assert end == pytest.approx(on_page(result.radius, result.leaving[1].item(), 0), abs=1e-9)
    explorer.show(rest=0.0)
    assert not explorer.artists.leaving.get_visible()


def test_every_arrow_stays_on_the_page(explorer) -> None:
    ax = explorer.figure.axes[0]
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for values in explorer.states():
        explorer.show(**values)
        for arrow in (explorer.artists.arriving, explorer.artists.leaving):
            x, y = arrow._posA_posB[1]
            assert left < x < right
            assert low < y < high


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = ProjectGradient()._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
