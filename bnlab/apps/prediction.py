"""Ask first, measure afterwards, then hold the one against the other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import ipywidgets

from bnlab.apps.still import css_string, display_with_still


class Prediction:
    """A question with a few answers, of which the reader picks one before the experiment.

    Args:
        question: one sentence.
        options: the answers on offer, at least two, all different.

    Raises:
        ValueError: fewer than two options, or two alike.

    Example:
        >>> guess = Prediction("Does the mean move?", ["yes", "no"])
        >>> guess.radio.value = "no"
        >>> guess.hold_against("yes", "it moved by 0.3").text
        'You predicted: no. Measured: yes (it moved by 0.3). Not as predicted: worth a second look.'
    """

    def __init__(self, question: str, options: Sequence[str]) -> None:
        if len(options) < 2 or len(set(options)) < len(options):
            raise ValueError(f"a prediction needs two or more different options, not {options!r}")
        self.question, self.options = question, list(options)
        self.radio = ipywidgets.RadioButtons(
            options=self.options, value=None, layout={"width": "max-content"}
        )
        self.radio.add_class("bnlab-prediction")
        asked = ipywidgets.HTML(f"<b>Predict.</b> {escape(question)}")
        self.widget = ipywidgets.VBox([asked, self.radio])

    @property
    def picked(self) -> str | None:
        """The reader's answer, or None as long as there is none."""
        answer: str | None = self.radio.value
        return answer

    def hold_against(self, measured: str, detail: str = "") -> Verdict:
        """What was predicted beside what was measured, kept up to date if the reader picks later.

        Args:
            measured: the option that the experiment bore out, as computed from its result.
            detail: the numbers behind it.

        Raises:
            ValueError: `measured` is none of the options.
        """
        if measured not in self.options:
            raise ValueError(f"measured {measured!r} is none of the options {self.options}")
        return Verdict(self, measured, detail)

    def _ipython_display_(self) -> None:
        items = "".join(f"<li>{escape(option)}</li>" for option in self.options)
        lines = [f"Predict. {self.question}", *(f"○ {option}" for option in self.options)]
        html = f'<p><b>Predict.</b> {escape(self.question)}</p><ul type="circle">{items}</ul>'
        _show(self.widget, lines, html)


class Verdict:
    """A prediction beside the measurement."""

    def __init__(self, prediction: Prediction, measured: str, detail: str) -> None:
        self.prediction, self.measured, self.detail = prediction, measured, detail
        self.widget = ipywidgets.HTML()
        prediction.radio.observe(self._update, "value")
        self._update()

    @property
    def text(self) -> str:
        """The verdict as one line of text."""
        picked = self.prediction.picked
        numbers = f" ({self.detail})" if self.detail else ""
        measured = f"Measured: {self.measured}{numbers}."
        if picked is None:
            return f"{measured} You have not predicted yet: pick an answer above."
        if picked == self.measured:
            return f"✓ You predicted: {picked}. {measured} As predicted."
        return f"You predicted: {picked}. {measured} Not as predicted: worth a second look."

    def _update(self, _: object = None) -> None:
        self.widget.value = f'<div class="bnlab-verdict" role="status">{escape(self.text)}</div>'

    def _ipython_display_(self) -> None:
        _show(self.widget, [self.text], f"<p>{escape(self.text)}</p>")


def _show(widget: ipywidgets.DOMWidget, lines: list[str], html: str) -> None:
    style = f"content: {css_string(chr(10).join(lines))}; white-space: pre-wrap;"
    display_with_still(widget, style=style, alt=lines[0], still={"text/html": html})
