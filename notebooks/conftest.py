"""Compare a notebook's new outputs with its saved ones as a careful reader would.

Strict nbval compares text to the letter and pictures not at all. Here decimals may differ in their
last place, pictures are decoded and looked at, addresses and temporary paths are masked, and a
cell that was never run fails. It builds on nbval's classes, hence the pinned version.
"""

import base64
import io
import json
import re
from collections.abc import Generator, Iterable, Iterator
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile
from PIL import Image

RELATIVE = 1e-3  # a decimal may be off by this share of its value, or by one in its last place
ABSOLUTE = 2e-6  # and below this it is float32 rounding
MANY, STRAY = 500, 0.01  # of more numbers than a table has (a drawing), this share may be off more
BLOCK, GREYS = 16, 12.0  # no block of so many pixels may change by more of 255 grey levels

WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
# Whole numbers are text: a count that is off by one is wrong.
DECIMAL = re.compile(r" ?([-+]?(?<![\d.])(?:\d*\.\d+|\d+\.|\d+(?=e[-+]?\d))(?:e[-+]?\d+)?)")
MASKS = [
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "ADDRESS"),
    (re.compile(r"(?:/tmp|/private/var|/var/folders|[A-Z]:\\\S*\\Temp)[/\\][^\s'\"<>]+"), "TEMP"),
    (re.compile(r"[^\s'\"<>]*site-packages[/\\]"), "PACKAGES/"),
    (re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"), "ID"),
    (re.compile(r"\bbnlab-[0-9a-f]{6,}"), "bnlab-ID"),
    # matplotlib names a clipped region after its corners, with all their decimals.
    (re.compile(r"\bp[0-9a-f]{10}\b"), "CLIP"),
    (re.compile(r"[ \t]+"), " "),
]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Let our notebook take the place of nbval's."""
    return [
        Notebook.from_parent(parent, path=file_path) if isinstance(found, IPyNbFile) else found
        for found in (yield)
    ]


class Notebook(IPyNbFile):
    """A notebook whose cells compare in the way of this file."""

    def setup(self) -> None:
        # What one hands in is not to change what another shows.
        self.answers = TemporaryDirectory(prefix="bnlab-answers-")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("BNLAB_PROGRESS", str(Path(self.answers.name, "progress.json")))
            super().setup()

    def teardown(self) -> None:
        super().teardown()
        self.answers.cleanup()

    def collect(self) -> Iterator["Cell"]:
        for cell in super().collect():
            yield Cell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )


class Cell(IPyNbCell):
    """A code cell that must have been run, and must give what was saved."""

    def runtest(self) -> None:
        super().runtest()
        if self.cell.execution_count is None and self.cell.source.strip():
            self.raise_cell_error("The saved cell was never run: run the notebook and save it")
        raised = any(output.output_type == "error" for output in self.test_outputs)
        if self.options["check_exception"] and not raised:
            self.raise_cell_error("The cell is tagged raises-exception and raised nothing")

    def compare_outputs(self, test: list[Any], ref: list[Any], _: object = None) -> bool:
        new, saved = parts(test), parts(ref)
        found = [f"{name}: saved, and now missing" for name in saved.keys() - new.keys()]
        found += [f"{name}: new, and not saved" for name in new.keys() - saved.keys()]
        for name in saved.keys() & new.keys():
            if not name.endswith(WIDGET):  # its model's number is drawn anew
                found += [f"{name}: {each}" for each in differences(name, new[name], saved[name])]
        self.comparison_traceback = found
        return not found


def parts(outputs: Iterable[Any]) -> dict[str, str]:
    """Name everything a cell put out: `stdout`, `error`, `output 0 text/html`, ..."""
    found: dict[str, str] = {}
    for place, output in enumerate(o for o in outputs if o.output_type != "stream"):
        if output.output_type == "error":
            found["error"] = f"{output.ename}: {output.evalue}"
        else:
            for mime, data in output.data.items():
                text = data if isinstance(data, str) else json.dumps(data, sort_keys=True)
                found[f"{output.output_type} {place} {mime}"] = text
    # A stream's place among the other outputs depends on when it was flushed.
    return found | {o.name: o.text for o in outputs if o.output_type == "stream"}


def differences(name: str, new: str, saved: str) -> Iterator[str]:
    """Say in what a reader would see that two texts, or the pictures in them, differ."""
    if name.endswith("image/png"):
        yield from picture_differences(new, saved)
        return
    for one, other in zip(PICTURE.findall(new), PICTURE.findall(saved), strict=False):
        yield from picture_differences(one, other)
    new, saved = (PICTURE.sub("PICTURE", text) for text in (new, saved))
    for mask, name in MASKS:
        new, saved = mask.sub(name, new), mask.sub(name, saved)
    words, new_words = (DECIMAL.sub(" #", text).split() for text in (saved, new))
    if words != new_words:
        yield "the text changed:\n" + "\n".join(unified_diff(words, new_words, n=3, lineterm=""))
        return
    pairs = list(zip(DECIMAL.findall(saved), DECIMAL.findall(new), strict=True))
    off = [f"{old} -> {now}" for old, now in pairs if not close(old, now)]
    if len(off) > (STRAY * len(pairs) if len(pairs) > MANY else 0):
        yield f"{len(off)} of {len(pairs)} numbers changed: {', '.join(off[:10])}"


def close(old: str, new: str) -> bool:
    """Whether two decimals agree to their last printed place, or to the tolerances above."""
    mantissa, _, exponent = old.partition("e")
    # As text, since an element's id may read as a number beyond all floats.
    last_place = float(f"1e{int(exponent or 0) - len(mantissa.partition('.')[2])}")
    gap = abs(float(old) - float(new))
    return old == new or gap <= max(1.01 * last_place, RELATIVE * abs(float(old)), ABSOLUTE)


def picture_differences(new: str, saved: str) -> Iterator[str]:
    """Compare two base64 PNGs: size, something drawn, and what is drawn."""
    one, other = pixels(new), pixels(saved)
    if one.size != other.size:
        yield f"the picture was {other.size} and now is {one.size}"
    elif all(low == high for low, high in one.getextrema()):
        yield "the picture is blank"
    else:
        # Seen in blocks a line that moved by a pixel is still the same line; one that went is not.
        blocks = [np.asarray(each.reduce(BLOCK), dtype=float) for each in (one, other)]
        gap = np.sqrt(np.mean((blocks[0] - blocks[1]) ** 2, axis=-1)).max()
        if gap > GREYS:
            yield f"the picture changed: by {gap:.1f} grey levels somewhere, {GREYS} allowed"


def pixels(png: str) -> Image.Image:
    """Decode a base64 PNG onto white, as a notebook shows it."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
