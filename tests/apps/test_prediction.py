"""Ask, measure, hold the one against the other."""

from typing import Any

import pytest

from bnlab.apps import still
from bnlab.apps.prediction import Prediction
from bnlab.apps.still import WIDGET_VIEW


@pytest.fixture
def guess() -> Prediction:
    return Prediction("Does the mean < 1 move?", ["yes", "no", "that depends"])


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(still, "display", lambda data, **_: bundles.append(data))
    return bundles


def test_nothing_is_picked_at_first(guess: Prediction) -> None:
    assert guess.picked is None
    text = guess.hold_against("yes", "it moved by 0.3").text
    assert text.startswith("Measured: yes (it moved by 0.3).")
    assert "not predicted yet" in text


def test_a_right_prediction(guess: Prediction) -> None:
    guess.radio.value = "yes"
    text = guess.hold_against("yes").text
    assert text == "✓ You predicted: yes. Measured: yes. As predicted."


def test_a_wrong_prediction_is_worth_a_look(guess: Prediction) -> None:
    guess.radio.value = "no"
    text = guess.hold_against("yes").text
    assert text.startswith("You predicted: no. Measured: yes. Not as predicted")


def test_the_verdict_follows_a_change_of_mind(guess: Prediction) -> None:
    verdict = guess.hold_against("yes")
    shown = [verdict.widget.value]
    for answer in guess.options:
        guess.radio.value = answer
        shown.append(verdict.widget.value)
        assert f"You predicted: {answer}." in shown[-1]
    assert len(set(shown)) == 4


def test_the_measured_answer_must_be_one_of_the_options(guess: Prediction) -> None:
    with pytest.raises(ValueError, match=r"measured 'maybe' is none of the options \['yes', 'no'"):
        guess.hold_against("maybe")


@pytest.mark.parametrize("options", [[], ["yes"], ["yes", "yes"]])
def test_a_question_needs_different_answers(options: list[str]) -> None:
    with pytest.raises(ValueError, match="needs two or more different options"):
        Prediction("Well?", options)


def test_question_and_answers_stand_beside_the_widget(
    guess: Prediction, displayed: list[dict[str, Any]]
) -> None:
    guess._ipython_display_()
    style, view = displayed
    assert view[WIDGET_VIEW]["model_id"] == guess.widget.model_id
    assert "mean &lt; 1" in view["text/html"]
    for option in guess.options:
        assert f"<li>{option}</li>" in view["text/html"]
        assert option in style["text/html"]


def test_the_verdict_stands_beside_its_widget(
    guess: Prediction, displayed: list[dict[str, Any]]
) -> None:
    verdict = guess.hold_against("no", "0 < 1")
    verdict._ipython_display_()
    assert "Measured: no (0 &lt; 1)." in displayed[1]["text/html"]
    assert 'role="status"' in verdict.widget.value
    assert displayed[1]["text/plain"] == verdict.text
