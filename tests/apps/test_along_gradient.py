"""Finished walks along the gradient: the lines are the runs."""

import warnings

import pytest
import torch

from bnlab.apps.along_gradient import AlongGradient
from bnlab.plots.along_gradient import LOWEST
from bnlab.training import Runs, sweep

SIZES, SHARES, NORMS = (0.1, 0.2), (0.01, 0.02, 0.05), ("without", "with")


def made_up(seed: int, norm: str) -> dict[str, object]:
    draw = torch.Generator().manual_seed(10 * NORMS.index(norm) + seed)
    return {
        "steps": torch.tensor([0, 12, 24]),
        "plain": {"loss": 0.1 + torch.rand(3, 3, generator=draw).double()},
        "relative": {"kept": (1 - 4 * torch.rand(3, 3, generator=draw)).double()},
    }


@pytest.fixture(scope="module")
def runs() -> Runs:
    return sweep(made_up, {"norm": NORMS}, seeds=2, progress=False, cache=None)


@pytest.mark.parametrize("norm", NORMS)
def test_every_seed_has_its_line_at_every_place(runs: Runs, norm: str) -> None:
    explorer = AlongGradient(runs, SIZES, SHARES)
    for place, step in enumerate((0, 12, 24)):
        explorer.show(step=step)
        for seed in range(2):
            run = made_up(seed, norm)
            loss, kept = (explorer.artists.loss[norm][seed], explorer.artists.kept[norm][seed])
            assert list(loss.get_ydata()) == run["plain"]["loss"][place].tolist()
            expected = run["relative"]["kept"][place].clamp_min(LOWEST)
            assert list(kept.get_ydata()) == [1.0, *expected.tolist()]


def test_the_caption_gives_the_share_that_is_kept(runs: Runs) -> None:
    explorer = AlongGradient(runs, SIZES, SHARES)
    result = explorer.show(step=12)
    for kept in result.kept.values():
        share = 100 * kept[:, 1].mean()
        words = f"{share:.0f} % is kept" if share >= 0 else "nothing is kept"
        assert f"for a step of 2 % of the weights {words}" in explorer.describe(result)


def test_every_state_draws_without_a_warning_in_a_small_page(runs: Runs) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = AlongGradient(runs, SIZES, SHARES)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
