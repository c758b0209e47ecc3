"""Finished trainings, drawn batch size by batch size."""

import warnings

import pytest
import torch

from bnlab.apps.batch_size_runs import BatchSizeRuns
from bnlab.training import History

SIZES, SEEDS = (2, 4), 3


def runs():
    """Six batches of 4, or twelve of 2, of two networks with two norms."""
    found = {}
    for place, network in enumerate(("flat", "deep")):
        for norm in ("BN", "GN"):
            for size in SIZES:
                draw = torch.Generator().manual_seed(10 * place + size + (norm == "GN"))
                loss = 0.1 + torch.rand(SEEDS, 24 // size, generator=draw)
                right = torch.rand(SEEDS, generator=draw)
                found[network, norm, size] = [
                    History(loss=row.tolist(), test_accuracy=[0.0, end.item()])
                    for row, end in zip(loss, right, strict=True)
                ]
    return found


def test_curves_are_window_means_of_each_seed() -> None:
    histories = runs()
    explorer = BatchSizeRuns(histories, window=8)
    for size in SIZES:
        explorer.show(batch_size=size)
        for network in ("flat", "deep"):
            for norm in ("BN", "GN"):
                loss = torch.tensor([history.loss for history in histories[network, norm, size]])
                windows = torch.stack([part.mean(1) for part in loss.split(8 // size, dim=1)], 1)
                mean = explorer.artists.means[network, norm]
                assert mean.get_xdata() == [8, 16, 24]
                assert mean.get_ydata().tolist() == pytest.approx(windows.mean(0).tolist())
                drawn = torch.tensor(explorer.artists.seeds[network, norm].get_ydata())
                kept = drawn[drawn.isfinite()].view(SEEDS, 3)
                assert torch.allclose(kept, windows)


def test_words_and_caption_give_the_accuracy_at_the_end() -> None:
    histories = runs()
    explorer = BatchSizeRuns(histories, window=8)
    sentence = explorer.describe(explorer.show(batch_size=4))
    right = sum(h.test_accuracy[-1] for h in histories["deep", "GN", 4]) / SEEDS
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
