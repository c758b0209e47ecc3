"""The notebooks' conftest catches every planted defect and lets every clean cell pass.

Each cell is really run, by nbval, against outputs planted as if they had been saved.
"""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"

DRAW = """
import base64, io
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

def png(curve, size=(3, 2), axes=True):
    figure = Figure(figsize=size, dpi=100)
    if axes:
        figure.subplots().plot([0, 1, 2, 3], curve)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()

def show(data):
    display(data, raw=True)

def embed(data):
    display(HTML(f'<img src="data:image/png;base64,{data}">'))
"""


class Planted(NamedTuple):
    """A cell, what was saved under it, its tags, and whether it was run when saved."""

    source: str
    saved: Sequence[nbformat.NotebookNode] = ()
    tags: tuple[str, ...] = ()
    run: bool = True


def out(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return new_output("stream", name=name, text=text)


def shown(**data: object) -> nbformat.NotebookNode:
    return new_output("display_data", data={mime.replace("__", "/"): v for mime, v in data.items()})


def result(text: str, **more: object) -> nbformat.NotebookNode:
    return new_output("execute_result", data={"text/plain": text, **more}, execution_count=1)


def error(name: str, message: str) -> nbformat.NotebookNode:
    return new_output("error", ename=name, evalue=message, traceback=[])


def widget(**more: object) -> nbformat.NotebookNode:
    view = {"model_id": "0" * 32, "version_major": 2, "version_minor": 0}
    return new_output("display_data", data={WIDGET: view, **more})


def png(curve: Sequence[float], size: tuple[float, float] = (3, 2), axes: bool = True) -> str:
    figure = Figure(figsize=size, dpi=100)
    if axes:
        figure.subplots().plot([0, 1, 2, 3], curve)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode()


RISING, FALLING = [0.0, 1.0, 2.0, 3.0], [3.0, 2.0, 1.0, 0.0]
RISEN = png(RISING)  # drawn once: both workers import this file
SHOW = "show({'image/png': base64.b64encode(png(%s)).decode(), 'text/plain': ''})"
VIEW = f"show({{'{WIDGET}': {{'model_id': 'f' * 32}}, 'text/plain': 'Live'%s}})"
EMBED = "embed(base64.b64encode(png(%s)).decode())"
HTML_OBJECT = "<IPython.core.display.HTML object>"


def picture(data: str, plain: str = "") -> nbformat.NotebookNode:
    return shown(image__png=data, text__plain=plain)


def html(text: str) -> nbformat.NotebookNode:
    return shown(text__html=text, text__plain=HTML_OBJECT)


def embedded(data: str) -> nbformat.NotebookNode:
    return html(f'<img src="data:image/png;base64,{data}">')


CLEAN = {
    "nothing printed": Planted("x = 1"),
    "same text": Planted("print('mean 0')", [out("mean 0\n")]),
    "answers of its own": Planted(
        "import os; print(os.environ['BNLAB_PROGRESS'].split(os.sep)[-2][:14])",
        [out("bnlab-answers-\n")],
    ),
    "last decimal": Planted("print(0.1235)", [out("0.1234\n")]),
    "rounding noise": Planted("print(4.8e-07)", [out("9.5e-07\n")]),
    "sign of zero": Planted("print('[-0.00, 1.00]')", [out("[ 0.00, 1.00]\n")]),
    "relative": Planted("print(1234.50)", [out("1234.90\n")]),
    "address": Planted("object()", [result("<object at 0x7f0123456789>")]),
    "temporary path": Planted(
        "import tempfile; print(tempfile.mkdtemp())", [out("/tmp/tmpabc_12de\n")]
    ),
    "progress bar": Planted(
        "from tqdm import tqdm\nfor _ in tqdm(range(3)): pass",
        [out("100%|##########| 3/3 [00:00<00:00, 9.99it/s]", "stderr")],
        ("nbval-ignore-output",),
    ),
    "widget alone": Planted(VIEW % "", [widget(**{"text/plain": "Live"})]),
    "real widget": Planted(
        "import ipywidgets\nipywidgets.IntSlider(3)",
        [
            new_output(
                "execute_result",
                data={WIDGET: {"model_id": "a"}, "text/plain": "IntSlider(value=3)"},
                execution_count=1,
            )
        ],
    ),
    "widget with picture": Planted(
        VIEW % f", 'image/png': base64.b64encode(png({RISING})).decode()",
        [widget(**{"text/plain": "Live", "image/png": RISEN})],
    ),
    "picture": Planted(SHOW % RISING, [picture(RISEN)]),
    "picture a hair off": Planted(SHOW % RISING, [picture(png([0.0, 1.01, 2.0, 3.0]))]),
    "picture in html": Planted(EMBED % RISING, [embedded(RISEN)]),
    "table": Planted(
        "display(HTML('<td>0.512</td><td>3</td>'))", [html("<td>0.511</td><td>3</td>")]
    ),
    "element id": Planted(
        "display(HTML('<b id=\"bnlab-1a2b3c\">x</b>'))", [html('<b id="bnlab-9f8e7d">x</b>')]
    ),
    "clipped region": Planted(
        "display(HTML('<g clip-path=\"url(#pa12e57a4e1)\">x</g>'))",
        [html('<g clip-path="url(#pd3d7181868)">x</g>')],
    ),
    "element id like a huge number": Planted(
        "display(HTML('<b id=\"p5e395c\">x</b>'))", [html('<b id="p5e395c">x</b>')]
    ),
    "expected error": Planted(
        "raise ValueError('more than 1 value per channel')",
        [error("ValueError", "more than 1 value per channel")],
        ("raises-exception",),
    ),
    "error, output ignored": Planted("1 / 0", [], ("raises-exception", "nbval-ignore-output")),
    "split stream": Planted(
        "import sys\nprint('a'); sys.stdout.flush(); print('b')", [out("a\n"), out("b\n")]
    ),
    "warning, saved": Planted(
        "import warnings\nwarnings.warn('mind this')",
        [
            out(
                "/tmp/ipykernel_1/2.py:2: UserWarning: mind this\n  warnings.warn('mind this')\n",
                "stderr",
            )
        ],
    ),
    "a drawing's stray number": Planted(
        "display(HTML(' '.join(f'{n + 0.25:.2f}' for n in range(600))))",
        [html(" ".join(f"{n + 0.25 + 5 * (n == 300):.2f}" for n in range(600)))],
    ),
}

DEFECTS = {
    "wrong number": Planted("print(0.125)", [out("0.135\n")]),
    "wrong whole number": Planted("print(1001)", [out("1000\n")]),
    "wrong sign": Planted("print(-0.5)", [out("0.5\n")]),
    "wrong exponent": Planted("print(1e-3)", [out("1e-5\n")]),
    "changed text": Planted("print('mean')", [out("variance\n")]),
    "changed truth": Planted("print(False)", [out("True\n")]),
    "missing text": Planted("x = 1", [out("1\n")]),
    "extra text": Planted("print(1)", []),
    "extra picture": Planted(SHOW % RISING + "\n" + SHOW % RISING, [picture(RISEN)]),
    "missing picture": Planted("x = 1", [picture(RISEN)]),
    "blank picture": Planted(SHOW % f"{RISING}, axes=False", [picture(RISEN)]),
    "both pictures blank": Planted(
        SHOW % f"{RISING}, axes=False", [picture(png(RISING, axes=False))]
    ),
    "other size": Planted(SHOW % f"{RISING}, size=(3, 3)", [picture(RISEN)]),
    "wrong picture": Planted(SHOW % FALLING, [picture(RISEN)]),
    "wrong picture in html": Planted(EMBED % FALLING, [embedded(RISEN)]),
    "wrong picture beside a widget": Planted(
        VIEW % f", 'image/png': base64.b64encode(png({FALLING})).decode()",
        [widget(**{"text/plain": "Live", "image/png": RISEN})],
    ),
    "picture beside a widget gone": Planted(
        VIEW % "", [widget(**{"text/plain": "Live", "image/png": RISEN})]
    ),
    "widget gone": Planted("show({'text/plain': 'Live'})", [widget(**{"text/plain": "Live"})]),
    "changed number in html": Planted("display(HTML('<td>0.51</td>'))", [html("<td>0.61</td>")]),
    "changed drawing": Planted(
        "display(HTML(' '.join(f'{n + 0.25:.2f}' for n in range(600))))",
        [html(" ".join(f"{n + 5.25:.2f}" for n in range(600)))],
    ),
    "never run": Planted("x = 1", run=False),
    "exception": Planted("1 / 0", [error("ZeroDivisionError", "division by zero")]),
    "expected error missing": Planted("x = 1", [error("ValueError", "no")], ("raises-exception",)),
    "expected error missing, output ignored": Planted(
        "x = 1", [], ("raises-exception", "nbval-ignore-output")
    ),
    "other error": Planted(
        "raise ValueError('b')", [error("ValueError", "a")], ("raises-exception",)
    ),
    "new warning": Planted("import warnings\nwarnings.warn('mind this')"),
}

Verdicts = dict[str, str]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Verdicts]:
    """Run one notebook of clean cells and one of defects, in one pytest of their own."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, planted in ("clean", CLEAN), ("defects", DEFECTS):
        cells = [new_code_cell(DRAW, execution_count=1)]
        for place, cell in enumerate(planted.values(), start=2):
            cells.append(
                new_code_cell(
                    cell.source,
                    outputs=list(cell.saved),
                    metadata={"tags": list(cell.tags)},
                    execution_count=place if cell.run else None,
                )
            )
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-v", "-rN"]
    ran = subprocess.run(
        [*command, "--color=no", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    found = re.findall(r"(\w+)::ipynb::Cell (\d+) (\w+)", ran.stdout)
    of = {
        "clean": dict(enumerate(CLEAN, start=1)),
        "defects": dict(enumerate(DEFECTS, start=1)),
    }
    results: dict[str, Verdicts] = {"clean": {}, "defects": {}}
    for notebook, place, verdict in found:
        results[notebook][of[notebook].get(int(place), "imports")] = verdict
    assert len(found) == len(CLEAN) + len(DEFECTS) + 2, ran.stdout + ran.stderr
    results["report"] = {"text": ran.stdout}
    return results.__getitem__


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_cell_passes(verdicts: Callable[[str], Verdicts], name: str) -> None:
    assert verdicts("clean")[name] == "PASSED", verdicts("report")["text"]


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_fails(verdicts: Callable[[str], Verdicts], name: str) -> None:
    assert verdicts("defects")[name] == "FAILED"


def test_the_cells_around_the_defects_pass(verdicts: Callable[[str], Verdicts]) -> None:
    assert verdicts("defects")["imports"] == verdicts("clean")["imports"] == "PASSED"
