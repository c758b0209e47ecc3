"""The explorer of planted defects: every state is the case of its controls, and says it."""

import warnings

import pytest

from bnlab import data
from bnlab.apps.examine_network import ExamineNetwork
from bnlab.experiments.planted_defects import plant, planted_defects, train_healthy
from bnlab.training import accuracy

DEFECTS = ("statistics never updated", "negative variance", "idle bias", "last batch of one")
DIGITS = data.digits(flat=True)


@pytest.fixture(scope="module")
def model():
    return train_healthy(DIGITS, epochs=2)


@pytest.fixture(scope="module")
def explorer(model):
    layers = ("norm1", "norm3")
    return ExamineNetwork(planted_defects(model, DIGITS, defects=DEFECTS, layers=layers))


@pytest.mark.parametrize("layer", ["norm1", "norm3"])
def test_the_bar_of_eval_mode_is_the_broken_networks_accuracy(explorer, model, layer):
    explorer.show(defect="statistics never updated", layer=layer)
    broken = plant(model, "statistics never updated", layer, DIGITS).subject
    right = accuracy(broken, DIGITS.test)
    assert explorer.artists.bars["answers"].get_width() == pytest.approx(right)
    assert explorer.artists.shares["answers"].get_text() == f"{100 * right:.1f} %"
    assert right < accuracy(model, DIGITS.test)


def test_the_report_is_what_examine_says(explorer, model):
    explorer.show(defect="negative variance", layer="norm3")
    found = plant(model, "negative variance", "norm3", DIGITS).examine().findings[0]
    assert explorer.artists.heads[0].get_text() == "error: negative-variance in norm3"
    shown = " ".join(line.get_text() for line in explorer.artists.lines[1:7])
    assert shown.startswith(found.message)


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({"defect": "nothing"}, "The healthy network: nothing found. It reads 9"),
        ({"defect": "idle bias", "layer": "norm1"}, "Idle bias, planted in norm1: note idle-bias"),
        ({"defect": "last batch of one"}, "Last batch of one, planted in the whole network: error"),
    ],
)
def test_the_caption_says_defect_finding_and_cost(explorer, values, start):
    result = explorer.show(**values)
    sentence = explorer.describe(result)
    assert sentence.startswith(start)
    assert f"{100 * result.answers:.1f} % in eval mode" in sentence


def test_a_defect_of_the_whole_network_is_the_same_in_every_layer(explorer):
    cases = [explorer.show(defect="last batch of one", layer=each) for each in ("norm1", "norm3")]
    assert cases[0] is cases[1]
    assert "not possible in eval mode an epoch later" in explorer.describe(cases[0])


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
