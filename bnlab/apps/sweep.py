"""Sweeps: every state is computed once, and the page itself moves between them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from html import escape
from itertools import product
from typing import TypeVar

from bnlab.apps.controls import Value
from bnlab.apps.explorer import Explorer
from bnlab.apps.still import asset
from bnlab.plots.layers import shorten_svg

Result = TypeVar("Result")


class Sweep(Explorer[Result]):
    """An explorer with few states, which works without a kernel too: in exported pages, offline.

    Every drawn piece is stored once, for as many states as share it.
    """

    def states(self) -> Iterator[dict[str, Value]]:
        """Every combination of control values, the last control running fastest."""
        names = [control.name for control in self.controls]
        for values in product(*(control.values for control in self.controls)):
            yield dict(zip(names, values, strict=True))

    def data(self) -> dict[str, object]:
        """All that the page needs, ready for JSON."""
        results = self._visit_every_state()
        stills: dict[str, int] = {}
        pieces: dict[str, int] = {}
        still, states = "", []
        for result in results:
            self.artists.update(result)
            if self.layers.settle() or not still:
                still = shorten_svg(self.layers.svg_still())
            drawn = map(shorten_svg, self.layers.svg_pieces())
            moving = [pieces.setdefault(piece, len(pieces)) for piece in drawn]
            states.append([stills.setdefault(still, len(stills)), moving, self.describe(result)])
        controls = [
            {
                "label": control.label,
                "kind": control.kind,
                "texts": [control.readout(value) for value in control.values],
                "start": list(control.values).index(self.start[control.name]),
            }
            for control in self.controls
        ]
        return {
            "title": self.title,
            "viewBox": self.layers.view_box,
            "controls": controls,
            "stills": list(stills),
            "pieces": list(pieces),
            "states": states,
        }

    def _visit_every_state(self) -> list[Result]:
        """Compute them all, and show each, lest a still layer keep what moves only later."""
        results = []
        for values in self.states():
            results.append(self.show(**values))
            self.layers.settle()
        return results

    def html(self, picture: str, sentence: str) -> str:
        """The explorer as a piece of a page; where scripts are not run, a picture of its start."""
        data = json.dumps(self.data(), separators=(",", ":")).replace("</", "<\\/")
        return (
            '<div class="bnlab-sweep">'
            f'<img src="data:image/png;base64,{picture}" alt="{escape(sentence)}">'
            f"<style>{asset('sweep.css')}</style>"
            f'<script type="application/json">{data}</script>'
            f"<script>{asset('sweep.js')}</script></div>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        sentence = self.describe(self.show())
        picture = base64.b64encode(self.layers.png()).decode()
        return {
            "text/html": self.html(picture, sentence),
            "image/png": picture,
            "text/plain": sentence,
        }
