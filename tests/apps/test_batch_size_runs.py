"""Finished trainings, drawn batch size by batch size."""

import itertools
import warnings

import pytest
import torch

from bnlab.apps.batch_size_runs import BatchSizeRuns
from bnlab.training import Runs

SIZES, SEEDS = (2, 4), 3


def runs():
    """Six batches of 4, or twelve of 2, of two networks with two norms."""
    axes = {"network": ("flat", "deep"), "norm": ("BN", "GN"), "size": SIZES}
    axes["seed"] = tuple(range(SEEDS))
    draw = torch.Generator().manual_seed(0)
    results = [
        {
            "loss": 0.1 + torch.rand(24 // size, generator=draw),
            "test_accuracy": torch.tensor([0.0, torch.rand((), generator=draw)]),
        }
        for *_, size, _ in itertools.product(*axes.values())
    ]
    return Runs(axes, results, print, {})


def test_curves_are_window_means_of_each_seed() -> None:
    histories = runs()
    explorer = BatchSizeRuns(histories, window=8)
    for size in SIZES:
        explorer.show(batch_size=size)
        for network in ("flat", "deep"):
            for norm in ("BN", "GN"):
                loss = histories.where(network=network, norm=norm, size=size)["loss"]
                windows = torch.stack([part.mean(1) for part in loss.split(8 // size, dim=1)], 1)
                mean = explorer.artists.means[network, norm]
                assert mean.get_xdata() == [8, 16, 24]
                assert mean.get_ydata().tolist() == pytest.approx(windows.mean(0).tolist())
                drawn = torch.as_tensor(explorer.artists.seeds[network, norm].get_ydata())
                kept = drawn[drawn.isfinite()].view(SEEDS, 3)
                assert torch.allclose(kept, windows)


def test_words_and_caption_give_the_accuracy_at_the_end() -> None:
    histories = runs()
    explorer = BatchSizeRuns(histories, window=8)
    sentence = explorer.describe(explorer.show(batch_size=4))
    chosen = histories.where(network="deep", norm="GN", size=4)
    right = chosen["test_accuracy"][:, -1].mean().item()
    words = explorer.artists.texts["deep", "GN"].get_text()
    assert words == f"GN: {100 * right:.0f} % right at the end"
    assert f"({100 * right:.0f} % of the test digits right)" in sentence
    assert sentence.startswith("Batches of 4,")


def test_a_window_that_no_batch_size_divides_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a multiple of 4"):
        BatchSizeRuns(runs(), window=6)


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = BatchSizeRuns(runs(), window=8)._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
