"""Sweeps: every state is computed once, and the page itself moves between them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from html import escape
from itertools import product
from typing import TypeVar

from bnlab.apps.controls import Value
from bnlab.apps.explorer import Explorer, data_uri
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
        self._find_what_moves()
        stills: dict[str, int] = {}
        pieces: dict[str, int] = {}
        still, states = "", []
        for values in self.states():
            sentence = self.describe(self.show(**values))
            if self.layers.settle() or not still:
                still = shorten_svg(self.layers.svg_still())
            drawn = map(shorten_svg, self.layers.svg_moving())
            moving = [pieces.setdefault(piece, len(pieces)) for piece in drawn]
            states.append([stills.setdefault(still, len(stills)), moving, sentence])
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

    def _find_what_moves(self) -> None:
        """Visit every state once, lest a still layer keep an artist that moves only later."""
        for values in self.states():
            self.show(**values)
            self.layers.settle()

    def html(self, picture: bytes, sentence: str) -> str:
        """The explorer as a piece of a page; where scripts are not run, a picture of its start."""
        data = json.dumps(self.data(), separators=(",", ":")).replace("</", "<\\/")
        return (
            f'<div class="bnlab-sweep"><img src="{data_uri(picture)}" alt="{escape(sentence)}">'
            f"<style>{asset('sweep.css')}</style>"
            f'<script type="application/json">{data}</script>'
            f"<script>{asset('sweep.js')}</script></div>"
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        sentence = self.describe(self.show())
        picture = self.layers.png()
        return {
            "text/html": self.html(picture, sentence),
            "image/png": base64.b64encode(picture).decode(),
            "text/plain": sentence,
        }
