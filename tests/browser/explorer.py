"""What a reader does with an explorer: move its controls by keyboard and look at the picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page

UNNAMED = """(root) => [...root.querySelectorAll(".noUi-handle, input, [role=slider]")]
  .filter((e) => !(e.getAttribute("aria-label") || e.closest("label")?.textContent.trim()))
  .map((e) => `${e.tagName} ${e.className} has no accessible name`)"""
SILENT = """(root) => [...root.querySelectorAll("img:not([hidden]), [role=img]")]
  .filter((e) => !(e.getAttribute("alt") || e.getAttribute("aria-label")))
  .map((e) => `${e.tagName} ${e.className} says nothing to a screen reader`)"""


def grey_levels(png: bytes) -> np.ndarray:
    """The pixels of a PNG as grey levels."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)


def is_blank(png: bytes) -> bool:
    """Whether there is next to nothing to see: a picture with axes spreads far wider."""
    levels = grey_levels(png)
    return bool(min(levels.shape) < 60 or levels.std() < 8 or len(np.unique(levels)) < 8)


def alike(one: bytes, other: bytes) -> bool:
    """Whether a reader sees the same: what moves may be drawn by another layer than at first."""
    first, second = grey_levels(one), grey_levels(other)
    return first.shape == second.shape and bool(np.mean(np.abs(first - second) > 24) < 0.001)


def press_and_wait(place: Locator, key: str) -> None:
    """Press a key, and wait until the kernel and the page have done all that follows from it."""
    place.page.evaluate("bnlabTest.listen()")
    place.press(key)
    place.page.wait_for_function("bnlabTest.answered()")


class Explorer:
    """A sweep or a live explorer in a page."""

    def __init__(self, root: Locator) -> None:
        self.root, self.page = root, root.page
        self.live = "bnlab-live" in (root.get_attribute("class") or "")
        self.title = root.locator("b").first.inner_text()
        self.drawing = root.locator(".picture").first

    def __repr__(self) -> str:
        return f"{'live' if self.live else 'sweep'} “{self.title}”"

    @classmethod
    def all_in(cls, page: Page) -> list[Explorer]:
        """Every explorer of the page, from top to bottom."""
        return [cls(root) for root in page.locator(".bnlab-sweep, .bnlab-live:has(.picture)").all()]

    def picture(self) -> str:
        """What is shown now, as markup; of a naive explorer, as a PNG."""
        text: str = self.root.evaluate("(root) => bnlabTest.picture(root)")
        return text

    def controls(self) -> list[Control]:
        """Every slider and choice."""
        if self.live:
            names = {".noUi-handle": Slider, ".widget-toggle-buttons": Buttons}
        else:
            names = {"input[type=range]": Slider, "fieldset": Radios}
        return [
            kind(self, place)
            for selector, kind in names.items()
            for place in self.root.locator(selector).all()
        ]

    def press(self, place: Locator, key: str) -> bool:
        """Press a key and wait for the answer; say whether the picture changed."""
        self.root.evaluate("(root) => bnlabTest.remember(root)")
        if self.live:
            press_and_wait(place, key)
        else:
            place.press(key)
        changed: bool = self.root.evaluate("(root) => bnlabTest.differs(root)")
        return changed

    def reset(self) -> None:
        """Press the reset button."""
        self.press(self.root.get_by_role("button", name="Reset"), "Enter")

    def dead_controls(self) -> list[str]:
        """Controls that change nothing, wherever the other ones stand, and a reset that fails."""
        first, problems = self.drawing.screenshot(), []
        for control in self.controls():
            if not control.moves_the_picture():
                problems.append(f"{self}: {control.name} changes nothing")
            self.reset()
            if not alike(first, self.drawing.screenshot()):
                problems.append(f"{self}: reset after {control.name} shows another picture")
        return problems

    def unnamed(self) -> list[str]:
        """Handles without an accessible name, pictures without a text."""
        found = self.root.evaluate(UNNAMED) + self.root.evaluate(SILENT)
        return [f"{self}: {what}" for what in found]

    def blank(self) -> list[str]:
        """That there is nothing to see, if so."""
        return [f"{self}: blank"] if is_blank(self.drawing.screenshot()) else []


class Control:
    """A slider or a choice of an explorer, moved by keyboard."""

    def __init__(self, explorer: Explorer, place: Locator) -> None:
        self.explorer, self.place = explorer, place

    @property
    def name(self) -> str:
        """What a reader knows it by."""
        return self.place.get_attribute("aria-label") or self.place.inner_text().split("\n")[0]

    def keys(self) -> list[tuple[Locator, str]]:
        """Places and keys that visit other values."""
        raise NotImplementedError

    def moves_the_picture(self) -> bool:
        """Try to change the picture; if need be, with the other controls elsewhere.

        A momentum has no effect at step 0, say, so the steps are moved first.
        """
        if any(self.explorer.press(*key) for key in self.keys()):
            return True
        for other in self.explorer.controls():
            for key in other.keys()[:3]:
                self.explorer.press(*key)
                if any(self.explorer.press(*mine) for mine in self.keys()):
                    return True
        return False


class Slider(Control):
    """A handle on a track."""

    def keys(self) -> list[tuple[Locator, str]]:
        return [(self.place, key) for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "End")]


class Buttons(Control):
    """A row of buttons of which one is down."""

    @property
    def name(self) -> str:
        return self.place.locator("label, .widget-label").first.inner_text()

    def keys(self) -> list[tuple[Locator, str]]:
        buttons = self.place.locator("button:not(.mod-active)").all()
        return list(zip(buttons, ["Space", "Enter"] * len(buttons), strict=False))


class Radios(Control):
    """A group of round buttons of which one is chosen."""

    def keys(self) -> list[tuple[Locator, str]]:
        chosen = self.place.locator("input:checked")
        return [(chosen, "ArrowDown")] * (self.place.locator("input").count() - 1)


class Prediction:
    """A question with answers, and the verdicts further down that depend on it."""

    def __init__(self, root: Locator) -> None:
        self.root, self.page = root, root.page
        self.question = root.locator(".widget-html").first.inner_text()

    def verdicts(self) -> list[str]:
        """The text of every verdict in the page."""
        return self.page.locator(".bnlab-verdict").all_inner_texts()

    def problems(self) -> list[str]:
        """Answers that cannot be picked by keyboard, or that no verdict takes notice of."""
        radios = self.root.locator("input[type=radio]")
        for at, key in [(0, "Space"), *((at, "ArrowDown") for at in range(radios.count() - 1))]:
            before = self.verdicts()
            press_and_wait(radios.nth(at), key)
            picked = at if key == "Space" else at + 1
            if not radios.nth(picked).is_checked():
                return [f"“{self.question}”: {key} does not pick answer {picked + 1}"]
            if self.verdicts() == before:
                return [f"“{self.question}”: no verdict follows answer {picked + 1}"]
        return []
