"""Every notebook keeps the conventions of CONTRIBUTING.md, and each rule catches a bad one."""

import ast
import inspect
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import bnlab
from tests.exercise_cells import is_check, is_exercise

PACKAGE = Path(inspect.getfile(bnlab)).parent
NOTEBOOKS = sorted((PACKAGE.parent / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
VERBS = {
    "start", "watch", "build", "derive", "train", "compare", "question", "save", "use", "find",
}  # fmt: skip
LEARN, END = ("do", "learn", "need"), ("on your own", "in practice", "further reading")

Rule = Callable[[NotebookNode], Iterator[str]]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def markdown(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code(notebook) for output in cell.outputs]


def lines(cell: NotebookNode) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


def tree(cell: NotebookNode) -> ast.Module:
    """The cell's Python, without magics."""
    source = "\n".join(line for line in cell.source.splitlines() if line[:1] not in ("%", "!"))
    return ast.parse(source)


def definitions(notebook: NotebookNode) -> list[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes; methods do not count."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node for cell in code(notebook) for node in tree(cell).body if isinstance(node, kinds)]


@cache
def package_names() -> set[str]:
    kinds = (ast.FunctionDef, ast.ClassDef)
    sources = (path.read_text() for path in PACKAGE.rglob("*.py"))
    return {
        node.name for text in sources for node in ast.parse(text).body if isinstance(node, kinds)
    }


def run_in_order(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"saved with the execution counts {counts}: restart, run all, save"


def outputs_saved(notebook: NotebookNode) -> Iterator[str]:
    if not outputs(notebook):
        yield "saved without outputs"
    for cell in code(notebook):
        last = tree(cell).body[-1:]
        prints = re.search(r"^print\(|^display\(", cell.source, re.MULTILINE)
        if prints and not cell.outputs and last:
            yield f"a cell that prints has no saved output: {cell.source!r:.80}"


def cells_short(notebook: NotebookNode) -> Iterator[str]:
    sizes = [lines(cell) for cell in code(notebook)]
    if sizes and statistics.median(sizes) > 5:
        yield f"the median code cell has {statistics.median(sizes)} lines, more than 5"
    if max(sizes, default=0) > 15:
        yield f"a code cell has {max(sizes)} lines, more than 15"


def no_class(notebook: NotebookNode) -> Iterator[str]:
    for cell in code(notebook):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.ClassDef) and not is_exercise(cell):
                yield f"class {node.name} belongs in the package"


def exercises_checked(notebook: NotebookNode) -> Iterator[str]:
    cells = code(notebook)
    for place, cell in enumerate(cells):
        if is_exercise(cell) and not any(map(is_check, cells[place + 1 : place + 4])):
            yield f"nothing checks the exercise {cell.source!r:.60}"
        if is_check(cell):
            key = cell.metadata.nbgrader.grade_id
            if f'hand_in("{key}", ' not in cell.source:
                yield f"the check of {key} hands in something else: {cell.source!r}"
            if not any(map(is_exercise, cells[max(place - 3, 0) : place])):
                yield f"the check of {key} has no exercise before it"


def no_copy_of_the_package(notebook: NotebookNode) -> Iterator[str]:
    for name in sorted({node.name for node in definitions(notebook)} & package_names()):
        yield f"{name} is in the package: import it"


def words_beside_code(notebook: NotebookNode) -> Iterator[str]:
    ratio = len(markdown(notebook)) / max(len(code(notebook)), 1)
    if not 0.8 <= ratio <= 1.8:
        yield f"{ratio:.2f} Markdown cells to a code cell, not 0.8 to 1.8"


def title_is_a_verb(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0]
    title = re.match(r"# (?:\d+\W+)?(\w+)", first.source)
    if first.cell_type != "markdown" or not title or title[1].lower() not in VERBS:
        yield f"starts with {first.source[:40]!r}, not with a title that starts with one of {VERBS}"


def says_what_it_takes(notebook: NotebookNode) -> Iterator[str]:
    start = "\n".join(cell.source for cell in notebook.cells[:4]).lower()
    for word in LEARN:
        if not re.search(rf"\b(?:{word})\b", start):
            yield f"does not say at the start what you'll {word}"


def ends_with_more(notebook: NotebookNode) -> Iterator[str]:
    text = "\n".join(cell.source for cell in markdown(notebook))
    headings = [heading.strip().lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    if tuple(headings[-3:]) != END:
        yield f"ends with the headings {headings[-3:]}, not {list(END)}"


def pictures_beside_widgets(notebook: NotebookNode) -> Iterator[str]:
    for output in outputs(notebook):
        data = output.get("data", {})
        if WIDGET in data and not {"image/png", "text/html"} & set(data):
            yield "a widget view without an image/png or text/html beside it shows nothing offline"


def no_widget_state(notebook: NotebookNode) -> Iterator[str]:
    if "widgets" in notebook.metadata:
        yield "metadata.widgets hides the saved pictures: save without widget state"


def no_skipped_cell(notebook: NotebookNode) -> Iterator[str]:
    for cell in code(notebook):
        if "nbval-skip" in cell.metadata.get("tags", []) or "NBVAL_SKIP" in cell.source:
            yield f"a cell is skipped in the tests: {cell.source!r:.80}"


def rounded_numbers(notebook: NotebookNode) -> Iterator[str]:
    for output in outputs(notebook):
        text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for number in re.findall(r"(?<![\w.])\d+\.\d+", text):
            if len(number.replace(".", "").lstrip("0")) > 8:
                yield f"prints {number}: round it"


def no_semicolon(notebook: NotebookNode) -> Iterator[str]:
    for cell in code(notebook):
        if cell.source.rstrip().endswith(";"):
            yield f"a trailing semicolon: {cell.source!r:.80}"


def no_interact(notebook: NotebookNode) -> Iterator[str]:
    for cell in code(notebook):
        if re.search(
            r"\binteract(?:ive|_manual|ive_output)?\b\s*[(,]|import interact", cell.source
        ):
            yield f"interact swallows exceptions: {cell.source!r:.80}"


RULES: list[Rule] = [
    run_in_order, outputs_saved, cells_short, no_class, exercises_checked, no_copy_of_the_package,
    words_beside_code, title_is_a_verb, says_what_it_takes, ends_with_more,
    pictures_beside_widgets, no_widget_state, no_skipped_cell, rounded_numbers, no_semicolon,
    no_interact,
]  # fmt: skip


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def too_large(path: Path) -> bool:
    return path.stat().st_size > 3_000_000


def defined_twice(notebooks: dict[str, NotebookNode]) -> list[str]:
    """Functions that more than one notebook defines."""
    names = Counter(
        name for each in notebooks.values() for name in {node.name for node in definitions(each)}
    )
    return sorted(name for name, count in names.items() if count > 1)


def test_there_are_notebooks() -> None:
    assert any(path.name.startswith("00-") for path in NOTEBOOKS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rule(path: Path, rule: Rule) -> None:
    assert not list(rule(read(path)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_light(path: Path) -> None:
    assert not too_large(path)


def test_no_function_is_defined_in_two_notebooks() -> None:
    assert not defined_twice({path.stem: read(path) for path in NOTEBOOKS})


def good() -> NotebookNode:
    """A small notebook that keeps every rule."""
    seen = new_output("stream", name="stdout", text="0.25\n")
    return new_notebook(
        cells=[
            new_markdown_cell("# Watch a mean\n\nWhat you'll **do**, what you'll **learn**, "
                              "what you **need**"),
            new_code_cell("import torch", execution_count=1),
            new_code_cell("print(0.25)", execution_count=2, outputs=[seen]),
            new_markdown_cell("## On your own\n\n## In practice\n\n## Further reading"),
        ]
    )  # fmt: skip


def with_output(notebook: NotebookNode, output: NotebookNode) -> None:
    notebook.cells[2].outputs = [output]


def with_source(notebook: NotebookNode, source: str) -> None:
    notebook.cells[2].source = source


def with_exercise(notebook: NotebookNode, *, key: str = "00-mean", check: bool = True) -> None:
    answer, asked = notebook.cells[1:3]
    answer.update(source="class Mean:\n    ...", metadata={"tags": ["exercise"]})
    if check:
        asked.metadata.nbgrader = NotebookNode(grade=True, grade_id=key)
    asked.source = 'print(hand_in("00-mean", check_mean(Mean)))'


VIEW = new_output("display_data", data={WIDGET: {"model_id": "a"}, "text/plain": "Live"})
RAW = new_output("stream", name="stdout", text="0.123456789\n")
BAD: list[tuple[Rule, Callable[[NotebookNode], object]]] = [
    (run_in_order, lambda n: n.cells[2].update(execution_count=7)),
    (run_in_order, lambda n: n.cells[1].update(execution_count=None)),
    (outputs_saved, lambda n: n.cells[2].update(outputs=[])),
    (cells_short, lambda n: with_source(n, "x = 1\n" * 16)),
    (cells_short, lambda n: [c.update(source="x = 1\n" * 6) for c in n.cells[1:3]]),
    (no_class, lambda n: with_source(n, "class Layer:\n    pass")),
    (exercises_checked, lambda n: with_exercise(n, check=False)),
    (exercises_checked, lambda n: with_exercise(n, key="00-average")),
    (exercises_checked, lambda n: (with_exercise(n), n.cells[1].metadata.clear())),
    (no_copy_of_the_package, lambda n: with_source(n, "def moments(x):\n    return x.mean()")),
    (words_beside_code, lambda n: n.cells.extend(new_markdown_cell("more") for _ in range(3))),
    (words_beside_code, lambda n: n.cells.pop()),
    (title_is_a_verb, lambda n: n.cells[0].update(source="# The mean")),
    (title_is_a_verb, lambda n: n.cells.pop(0)),
    (says_what_it_takes, lambda n: n.cells[0].update(source="# Watch a mean")),
    (ends_with_more, lambda n: n.cells[3].update(source="## On your own")),
    (pictures_beside_widgets, lambda n: with_output(n, VIEW)),
    (no_widget_state, lambda n: n.metadata.update(widgets={})),
    (no_skipped_cell, lambda n: n.cells[1].metadata.update(tags=["nbval-skip"])),
    (no_skipped_cell, lambda n: with_source(n, "# NBVAL_SKIP\nprint(1)")),
    (rounded_numbers, lambda n: with_output(n, RAW)),
    (no_semicolon, lambda n: with_source(n, "axes.plot(x);")),
    (no_interact, lambda n: with_source(n, "interact(f, x=3)")),
    (no_interact, lambda n: with_source(n, "from ipywidgets import interact")),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_notebook_passes(rule: Rule) -> None:
    assert not list(rule(good()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_notebook_with_an_exercise_passes(rule: Rule) -> None:
    notebook = good()
    with_exercise(notebook)
    assert not list(rule(notebook))


@pytest.mark.parametrize(("rule", "spoil"), BAD, ids=lambda each: each.__name__)
def test_a_bad_notebook_is_caught(
    tmp_path: Path, rule: Rule, spoil: Callable[[NotebookNode], object]
) -> None:
    notebook = good()
    spoil(notebook)
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    assert list(rule(read(tmp_path / "bad.ipynb")))


def test_every_rule_is_proved_on_a_bad_notebook() -> None:
    assert {rule for rule, _ in BAD} == set(RULES)


def test_a_function_in_two_notebooks_is_caught() -> None:
    one, other = good(), good()
    for notebook in (one, other):
        with_source(notebook, "def spread(x):\n    return x.std()")
    assert defined_twice({"one": one, "other": other}) == ["spread"]
    assert not defined_twice({"one": one, "good": good()})


def test_a_heavy_notebook_is_caught(tmp_path: Path) -> None:
    heavy = good()
    heavy.cells[0].source += "x" * 3_000_000
    nbformat.write(heavy, tmp_path / "heavy.ipynb")
    assert too_large(tmp_path / "heavy.ipynb")
