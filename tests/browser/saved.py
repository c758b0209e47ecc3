"""What a saved notebook shows of the explorers that it was saved with."""

from __future__ import annotations

import time

import nbformat
from playwright.sync_api import ElementHandle, Error, Page, expect

from tests.browser.explorer import is_blank, photograph
from tests.browser.lab import Lab

WIDGET = "application/vnd.jupyter.widget-view+json"
CELL = ".jp-Notebook .jp-Cell, main > .jp-Cell"
# A widget that found no model: its box holds a text without an element, covered by a picture.
COVERED = ".jp-OutputArea-output:not(:has(*))"
PICTURES = f".bnlab-sweep .picture, .jp-OutputArea-output img:visible, {COVERED}"


def missing(page: Page, server: Lab, name: str, patience: float = 60) -> list[str]:
    """Cells that saved an explorer, and whose place shows no picture within so many seconds."""
    deadline = time.monotonic() + patience
    while (problems := missing_now(page, server, name)) and time.monotonic() < deadline:
        page.wait_for_timeout(250)
    return problems


def missing_now(page: Page, server: Lab, name: str) -> list[str]:
    cells = page.query_selector_all(CELL)
    problems = []
    for at, cell in enumerate(nbformat.read(server.folder / name, as_version=4).cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            sweep, live = "bnlab-sweep" in data.get("text/html", ""), WIDGET in data
            if not (sweep or (live and "image/png" in data)):
                continue
            pictures = [
                found for c in cells[at : at + 1] for found in c.query_selector_all(PICTURES)
            ]
            if not any(shows_something(picture) for picture in pictures):
                problems.append(f"cell {at}: no picture")
    return problems


def shows_something(picture: ElementHandle) -> bool:
    try:
        return not is_blank(photograph(picture))
    except Error:
        # Another one has taken its place meanwhile.
        return False


def missing_when_loaded(page: Page, server: Lab, name: str) -> list[str]:
    """The same of a page with a kernel, in which a widget may still come until none is loading."""
    expect(page.get_by_text("Loading widget")).to_have_count(0)
    return missing(page, server, name)
