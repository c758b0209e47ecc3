"""The explorer of saving and loading: readings, error, caption, size of the page."""

import warnings

import pytest
import torch

import bnlab
from bnlab import data, models
from bnlab.apps.save_and_load import SaveAndLoad
from bnlab.data import Dataset, Split


@pytest.fixture(scope="module")
def explorer():
    digits = data.digits(flat=True)
    torch.manual_seed(0)
    model, fresh = (models.mlp(64, bnlab.BatchNorm1d) for _ in range(2))
    for batch in digits.train.inputs[:640].split(64):
        model(batch)
    asked = Split(digits.test.inputs[:90], digits.test.targets[:90])
    return SaveAndLoad(model.eval(), fresh, Dataset(digits.train, asked, digits.classes))


def test_readings_and_accuracies_are_the_networks(explorer):
    explorer.show(saved="parameters only", loaded="strict=False")
    targets = explorer.asked.targets
    rows = [targets.tolist().index(digit) for digit in range(10)]
    model = explorer.model
    lost = models.mlp(64, bnlab.BatchNorm1d)
    lost.load_state_dict(dict(model.named_parameters()), strict=False)
    for line, network in zip(explorer.artists.lines, (model, lost.eval(), lost), strict=True):
        read = network(explorer.asked.inputs).argmax(1)
        assert [int(text.get_text()) for text in line.readings] == read[rows].tolist()
        share = (read == targets).double().mean().item()
        assert line.share.get_text() == f"{100 * share:.1f} %"


def test_statistics_are_drawn_as_saved_as_loaded_and_as_left(explorer):
    explorer.show(mode="train", batches="one class at a time")
    saved, loaded, left = (line.get_ydata() for line in explorer.artists.statistics["var"])
    assert saved.tolist() == sorted(explorer.model.norm2.running_var.tolist())
    assert loaded.tolist() == saved.tolist() != left.tolist()
    explorer.show(saved="parameters only", loaded="strict=False")
    assert set(explorer.artists.statistics["var"][1].get_ydata()) == {1}


@pytest.mark.parametrize("loaded", ["strict=True", "bnlab.checkpoint"])
def test_a_refusal_shows_the_message(explorer, loaded):
    explorer.show(saved="from DataParallel", loaded=loaded)
    words = {"strict=True": "Unexpected key(s)", "bnlab.checkpoint": "strip_prefix=True"}[loaded]
    shown = explorer.artists.error.get_text().replace("\n", " ")
    assert words in shown
    assert "module." in shown


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({}, "Loaded, equal bit for bit; accuracy "),
        ({"saved": "parameters only", "loaded": "strict=False"}, "Loaded, largest gap of a logit "),
        ({"saved": "parameters only"}, "Refused. But 6 of 16 entries"),
        ({"saved": "parameters only", "loaded": "bnlab.checkpoint"}, "Refused. The network is as"),
        ({"mode": "train", "batches": "one digit at a time"}, "Loaded, no answer. "),
    ],
)
def test_the_caption_says_gap_and_cause(explorer, values, start):
    assert explorer.describe(explorer.show(**values)).startswith(start)


def test_train_mode_tells_what_it_left_behind(explorer):
    result = explorer.show(mode="train")
    sentence = explorer.describe(result)
    assert f"{100 * result.afterwards.accuracy:.1f} % in eval mode afterwards" in sentence


def test_nothing_reaches_beyond_its_axes(explorer):
    for values in explorer.states():
        explorer.show(**values)
        artists = explorer.artists
        if not artists.error.get_text():
            for lines in ([artists.points], *artists.statistics.values()):
                for line in lines:
                    low, high = line.axes.get_ylim()
                    heights = line.get_ydata()[~torch.tensor(line.get_ydata()).isnan()]
                    assert low <= min(heights)
                    assert max(heights) <= high


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
