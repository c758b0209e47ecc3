"""Showing a widget so that its place is never empty, also where no kernel runs.

A saved notebook holds only the name of a widget. Beside it goes a picture (or text), which GitHub,
exported pages and untrusted notebooks show instead. A trusted notebook without a kernel still
tries the widget and prints "model not found" or, if it has no kernel at all, "Loading widget...";
a style sheet, put just before, replaces these messages, the only widget outputs without a child
element, by the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

import ipywidgets
from IPython.display import display

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def asset(name: str) -> str:
    """The text of a style sheet or script that lies beside this module."""
    return files("bnlab.apps").joinpath(name).read_text("utf-8")


def display_with_still(
    widget: ipywidgets.DOMWidget, *, style: str, alt: str, still: Mapping[str, str]
) -> None:
    """Display `widget`, and what stands in for it where it cannot live.

    Args:
        widget: the live widget.
        style: CSS declarations for the box that replaces "model not found".
        alt: what the stand-in says to a screen reader.
        still: the stand-in by MIME type, `image/png` (base64) or `text/html`.
    """
    widget.add_class("bnlab-live")
    name = "bnlab-" + sha256((style + alt).encode()).hexdigest()[:12]
    place = f".jp-OutputArea-child:has(#{name}) + .jp-OutputArea-child"
    missing = f"{place} .jp-OutputArea-output:not(:has(*))"
    rules = (
        f"{missing} {{ font-size: 0; }}\n"
        f"{missing}::before {{ display: block; font-size: 16px; {style} }}"
    )
    head = (
        f'<span id="{name}"></span><style>{asset("live.css")}{rules}</style>'
        f"<script>{asset('live.js')}</script>"
    )
    display({"text/html": head, "text/plain": ""}, raw=True)
    display({WIDGET_VIEW: view(widget), "text/plain": alt, **still}, raw=True)


def css_string(text: str) -> str:
    """`text` as a CSS string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\A ") + '"'


def view(widget: ipywidgets.DOMWidget) -> dict[str, object]:
    """The MIME data by which a front end finds the widget."""
    return {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
