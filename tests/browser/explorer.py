"""What a reader does with an explorer: move its controls by keyboard and look at the picture."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from playwright.sync_api import ElementHandle, Page

UNNAMED = """(root) => [...root.querySelectorAll(".noUi-handle, input, [role=slider]")]
  .filter((e) => !(e.getAttribute("aria-label") || e.closest("label")?.textContent.trim()))
  .map((e) => `${e.tagName} ${e.className} has no accessible name`)"""
SILENT = """(root) => [...root.querySelectorAll("img:not([hidden]), [role=img]")]
  .filter((e) => !(e.getAttribute("alt") || e.getAttribute("aria-label")))
  .map((e) => `${e.tagName} ${e.className} says nothing to a screen reader`)"""


def grey_levels(png: bytes) -> np.ndarray:
    """The pixels of a PNG as grey levels."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=np.int16)


def is_blank(png: bytes) -> bool:
    """Whether there is next to nothing to see: a picture with axes spreads far wider."""
    levels = grey_levels(png)
    return bool(min(levels.shape) < 60 or levels.std() < 8 or len(np.unique(levels)) < 8)


def alike(one: bytes, other: bytes) -> bool:
    """Whether a reader sees the same: what moves may be drawn by another layer than at first."""
    first, second = grey_levels(one), grey_levels(other)
    return first.shape == second.shape and bool(np.mean(np.abs(first - second) > 24) < 0.001)


def photograph(place: ElementHandle) -> bytes:
    """A PNG of what a reader sees at a place."""
    # The caret stays: to hide it, each of the page's editors would be given a style and lose it.
    return place.screenshot(caret="initial")


def press_and_wait(page: Page, place: ElementHandle, key: str) -> None:
    """Press a key, and wait until the kernel and the page have done all that follows from it."""
    page.evaluate("bnlabTest.listen()")
    place.press(key)
    page.wait_for_function("bnlabTest.answered()")


# Elements and no locators, which search the whole page for their element each time they are used:
# a notebook's pictures are tens of thousands of elements.
class Explorer:
    """A sweep or a live explorer in a page."""

    def __init__(self, page: Page, root: ElementHandle) -> None:
        self.page, self.root = page, root
        self.live = "bnlab-live" in (root.get_attribute("class") or "")
        self.title = root.query_selector_all("b")[0].inner_text()
        self.drawing = root.query_selector_all(".picture")[0]

    def __repr__(self) -> str:
        return f"{'live' if self.live else 'sweep'} “{self.title}”"

    @classmethod
    def all_in(cls, page: Page) -> list[Explorer]:
        """Every explorer of the page, from top to bottom."""
        roots = page.query_selector_all(".bnlab-sweep, .bnlab-live:has(.picture)")
        return [cls(page, root) for root in roots]

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
            for place in self.root.query_selector_all(selector)
        ]

    def remember(self, moment: str) -> None:
        """Keep what is shown now, under a name."""
        self.root.evaluate("(root, moment) => bnlabTest.remember(root, moment)", moment)

    def differs_from(self, moment: str) -> bool:
        """Whether another picture is shown than at that moment."""
        changed: bool = self.root.evaluate(
            "(root, moment) => bnlabTest.differs(root, moment)", moment
        )
        return changed

    def press(self, place: ElementHandle, key: str) -> bool:
        """Press a key and wait for the answer; say whether the picture changed."""
        self.remember("before the key")
        if self.live:
            press_and_wait(self.page, place, key)
        else:
            place.press(key)
        return self.differs_from("before the key")

    def reset(self) -> None:
        """Press the reset button."""
        (button,) = self.root.query_selector_all("button:text-is('Reset')")
        self.press(button, "Enter")

    def dead_controls(self) -> list[str]:
        """Controls that change nothing, wherever the other ones stand, and a reset that fails."""
        self.remember("at first")
        first, problems = photograph(self.drawing), []
        for control in self.controls():
            if not control.moves_the_picture():
                problems.append(f"{self}: {control.name} changes nothing")
            self.reset()
            # The same markup is the same picture; another one may still look the same.
            if self.differs_from("at first") and not alike(first, photograph(self.drawing)):
                problems.append(f"{self}: reset after {control.name} shows another picture")
        return problems

    def unnamed(self) -> list[str]:
        """Handles without an accessible name, pictures without a text."""
        found = self.root.evaluate(UNNAMED) + self.root.evaluate(SILENT)
        return [f"{self}: {what}" for what in found]

    def blank(self) -> list[str]:
        """That there is nothing to see, if so."""
        return [f"{self}: blank"] if is_blank(photograph(self.drawing)) else []


class Control:
    """A slider or a choice of an explorer, moved by keyboard."""

    def __init__(self, explorer: Explorer, place: ElementHandle) -> None:
        self.explorer, self.place = explorer, place

    @property
    def name(self) -> str:
        """What a reader knows it by."""
        return self.place.get_attribute("aria-label") or self.place.inner_text().split("\n")[0]

    def keys(self) -> list[tuple[ElementHandle, str]]:
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

    def keys(self) -> list[tuple[ElementHandle, str]]:
        return [(self.place, key) for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "End")]


class Buttons(Control):
    """A row of buttons of which one is down."""

    @property
    def name(self) -> str:
        return self.place.query_selector_all("label, .widget-label")[0].inner_text()

    def keys(self) -> list[tuple[ElementHandle, str]]:
        buttons = self.place.query_selector_all("button:not(.mod-active)")
        return list(zip(buttons, ["Space", "Enter"] * len(buttons), strict=False))


class Radios(Control):
    """A group of round buttons of which one is chosen."""

    def keys(self) -> list[tuple[ElementHandle, str]]:
        inputs = self.place.query_selector_all("input")
        at = [each.is_checked() for each in inputs].index(True)
        # Each press moves on to the next one, and from the last one to the first.
        return [(each, "ArrowDown") for each in [*inputs[at:], *inputs[:at]][:-1]]


class Prediction:
    """A question with answers, and the verdicts further down that depend on it."""

    def __init__(self, page: Page, root: ElementHandle) -> None:
        self.page, self.root = page, root
        self.question = root.query_selector_all(".widget-html")[0].inner_text()

    def verdicts(self) -> list[str]:
        """The text of every verdict in the page."""
        texts: list[str] = self.page.evaluate("bnlabTest.verdicts()")
        return texts

    def problems(self) -> list[str]:
        """Answers that cannot be picked by keyboard, or that no verdict takes notice of."""
        radios = self.root.query_selector_all("input[type=radio]")
        before = self.verdicts()
        for at, radio in enumerate(radios):
            place, key = (radios[at - 1], "ArrowDown") if at else (radio, "Space")
            press_and_wait(self.page, place, key)
            if not radio.is_checked():
                return [f"“{self.question}”: {key} does not pick answer {at + 1}"]
            after = self.verdicts()
            if after == before:
                return [f"“{self.question}”: no verdict follows answer {at + 1}"]
            before = after
        return []
