"""From an arrow key to the painted picture in JupyterLab, for every explorer of every notebook.

Beside each explorer stands a naive version: the same computation and drawing under `interact`,
in the same page and kernel, measured in turns with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import numpy as np
from playwright.sync_api import BrowserContext, ElementHandle, Page

from tests.browser.explorer import Explorer, Slider
from tests.browser.lab import Lab, chromium, lab
from tests.browser.notebook import Notebook

HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
LIMITS = {"live": 65, "sweep": 20}  # milliseconds, p95
ROUND = 8  # steps before the other one's turn
PAUSE = 40  # milliseconds between steps
PATIENCE = 3000  # milliseconds for a picture
# JupyterLab as it comes draws no cell that is out of sight. The tests, which look at all cells,
# turn that off; here it counts, since every picture in a long page slows the next one down.
AS_IT_COMES = """() => {
  const notebook = jupyterapp.shell.currentWidget.content;
  notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: "contentVisibility"};
}"""


@dataclass
class Timing:
    """What one explorer, or its naive version, took."""

    times: list[float] = field(default_factory=list)
    still: int = 0
    blank: int = 0

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.times, percent)) if self.times else float("nan")


@dataclass
class Row:
    """A line of the table."""

    notebook: str
    explorer: Explorer
    ours: Timing
    naive: Timing
    last_shown: str

    @property
    def kind(self) -> str:
        return "live" if self.explorer.live else "sweep"

    @property
    def ratio(self) -> float:
        return self.ours.percentile(95) / self.naive.percentile(95)

    @property
    def passed(self) -> bool:
        fast = self.ours.percentile(95) <= LIMITS[self.kind] and self.ratio <= 0.25
        return fast and not self.ours.blank and self.last_shown != "no"


class Naive(Explorer):
    """The naive version, which has a live explorer's widgets."""

    def __init__(self, page: Page, root: ElementHandle) -> None:
        self.page, self.root, self.live = page, root, True


def with_naive_versions(source: Path, target: Path) -> int:
    """Copy a notebook with a naive version after each explorer; say how many there are."""
    notebook = nbformat.read(source, as_version=4)
    cells, count = [], 0
    for cell in notebook.cells:
        cells.append(cell)
        data = [output.get("data", {}) for output in cell.get("outputs", [])]
        if any(
            "bnlab-sweep" in d.get("text/html", "") or {WIDGET, "image/png"} <= d.keys()
            for d in data
        ):
            cells.append(nbformat.v4.new_code_cell("from naive import naive\nnaive(Out[max(Out)])"))
            count += 1
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells = cells
    nbformat.write(notebook, target)
    return count


class Walk:
    """Steps of one control, there and back, that each should change the picture."""

    def __init__(self, explorer: Explorer, at: int) -> None:
        self.control = explorer.controls()[at]
        self.place = 0
        self.back = False
        if isinstance(self.control, Slider):
            top = "(e) => Number(e.max || e.getAttribute('aria-valuemax'))"
            self.last = int(self.control.place.evaluate(top))
            self.control.place.press("Home")

    def __iter__(self) -> Iterator[tuple[ElementHandle, str]]:
        while True:
            if not isinstance(self.control, Slider):
                yield self.control.keys()[0]
                continue
            if self.place in (0, self.last):
                self.back = self.place == self.last
            self.place += -1 if self.back else 1
            yield self.control.place, "ArrowLeft" if self.back else "ArrowRight"


def measure(explorer: Explorer, steps: Iterator[tuple[ElementHandle, str]], timing: Timing) -> None:
    """Take one round of steps."""
    page = explorer.page
    explorer.root.evaluate("(root) => bnlabBench.watch(root)")
    for _ in range(ROUND):
        place, key = next(steps)
        place.focus()
        page.wait_for_timeout(PAUSE)
        explorer.root.evaluate(f"(root) => bnlabBench.arm(root, {PATIENCE})")
        page.keyboard.press(key)
        taken = page.evaluate("bnlabBench.result")
        if taken is None:
            timing.still += 1
        else:
            timing.times.append(taken)
    timing.blank += page.evaluate("(bnlabBench.watching = false, bnlabBench.blank)")


def last_value_shown(explorer: Explorer) -> str:
    """Drag a handle to and fro: is the picture the one of the value where it was let go?"""
    sliders = [control for control in explorer.controls() if isinstance(control, Slider)]
    if not sliders:
        return "-"
    explorer.reset()
    page, handle = explorer.page, sliders[0].place
    where = "(e) => e.value ?? e.getAttribute('aria-valuetext')"
    start = handle.evaluate(where)
    handle.scroll_into_view_if_needed()
    track = handle if not explorer.live else explorer.root.query_selector_all(".noUi-target")[0]
    box, knob = track.bounding_box(), handle.bounding_box()
    assert box is not None
    assert knob is not None
    height = knob["y"] + knob["height"] / 2
    if explorer.live:
        page.mouse.move(knob["x"] + knob["width"] / 2, height)
    else:
        page.mouse.move(box["x"] + 10, height)
    page.mouse.down()
    for share in [0.02, 0.98, 0.02]:
        page.mouse.move(box["x"] + share * box["width"], height, steps=12)
    for end in (0.85, 0.15):
        page.mouse.move(box["x"] + end * box["width"], height, steps=6)
        if handle.evaluate(where) != start:
            break
    page.mouse.up()
    page.wait_for_timeout(1500 if explorer.live else 200)
    shown, value = explorer.picture(), handle.evaluate(where)
    if value == start:
        return "no drag"
    # Leave the value and come back to it.
    there, back = ("Home", "End") if end > 0.5 else ("End", "Home")
    for key in (there, back):
        handle.press(key)
        page.wait_for_timeout(600 if explorer.live else 50)
    for _ in range(300):
        if handle.evaluate(where) == value:
            break
        explorer.press(handle, "ArrowLeft" if end > 0.5 else "ArrowRight")
    return "yes" if explorer.picture() == shown else "no"


def moving_control(explorer: Explorer) -> int:
    """The first control that changes the picture, sliders before choices."""
    for at, control in enumerate(explorer.controls()):
        moves = control.moves_the_picture()
        explorer.reset()
        if moves:
            return at
    raise RuntimeError(f"{explorer}: no control changes the picture")


def benchmark(notebook: Notebook, only: str, steps: int) -> Iterator[Row]:
    """Measure the open notebook's explorers in turns with their naive versions."""
    page = notebook.page
    explorers, naives = notebook.explorers(), page.query_selector_all(".naive")
    page.evaluate(AS_IT_COMES)
    for explorer, root in zip(explorers, naives, strict=True):
        if only not in f"{notebook.name} {explorer.title}".lower():
            continue
        rival, at = Naive(page, root), moving_control(explorer)
        ours, naive = Timing(), Timing()
        walks = iter(Walk(explorer, at)), iter(Walk(rival, at))
        page.wait_for_timeout(1000)
        for _ in range(max(1, steps // ROUND)):
            measure(explorer, walks[0], ours)
            measure(rival, walks[1], naive)
        row = Row(notebook.name, explorer, ours, naive, last_value_shown(explorer))
        explorer.reset()
        yield row


HEAD = (
    f"{'explorer':44}{'kind':>6}{'p50':>7}{'p95':>7}{'naive p50':>11}{'p95':>7}{'ratio':>7}"
    f"{'steps':>7}{'blank':>7}{'naive blank':>13}{'last shown':>12}"
)


def line(row: Row) -> str:
    """One row of the table."""
    ours, naive = row.ours, row.naive
    return (
        f"{row.explorer.title[:42]:44}{row.kind:>6}"
        f"{ours.percentile(50):7.0f}{ours.percentile(95):7.0f}"
        f"{naive.percentile(50):11.0f}{naive.percentile(95):7.0f}{row.ratio:7.2f}"
        f"{len(ours.times):7}{ours.blank:7}{naive.blank:13}{row.last_shown:>12}"
        f"{'' if row.passed else '   over'}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("notebooks", nargs="*", type=Path, help="else all of notebooks/")
    options.add_argument(
        "--only", default="", help="part of a notebook's name or an explorer's title"
    )
    options.add_argument("--steps", type=int, default=40, help="key presses for each explorer")
    chosen = options.parse_args()
    sources = chosen.notebooks or sorted((HERE.parent / "notebooks").glob("*.ipynb"))
    print(f"Milliseconds from key press to painted picture; load {os.getloadavg()[0]:.1f}")
    started = time.perf_counter()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder, private = Path(name, "notebooks"), Path(name, "jupyter")
        folder.mkdir()
        private.mkdir()
        shutil.copy(HERE / "naive.py", folder)
        with lab(folder, private) as server, chromium() as browser:
            for source in sources:
                rows += bench_notebook(browser, server, source, chosen.only.lower(), chosen.steps)
    missed = sum(not row.passed for row in rows)
    limits = ", ".join(f"p95 {limit} ms {kind}" for kind, limit in LIMITS.items())
    print(
        f"{len(rows)} explorers in {time.perf_counter() - started:.0f} s, {missed} of them over: "
        f"{limits}, a quarter of the naive p95, no blank frame, last value shown"
    )


def bench_notebook(
    browser: BrowserContext, server: Lab, source: Path, only: str, steps: int
) -> list[Row]:
    """Open, run and measure one notebook, if it has an explorer."""
    if not with_naive_versions(source, server.folder / source.name):
        return []
    rows = []
    with closing(Notebook(browser, server, source.name)) as notebook:
        notebook.run_all()
        if errors := notebook.run_errors():
            raise RuntimeError(f"{source.name}: {errors}")
        notebook.page.evaluate((HERE / "painted.js").read_text())
        print(f"\n{source.name}\n{HEAD}")
        for row in benchmark(notebook, only, steps):
            print(line(row), flush=True)
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
