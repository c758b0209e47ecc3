"""Imports go one way, and `import bnlab` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bnlab"
USES = {
    "folding",
    "training",
    "recalibration",
    "recording",
    "experiments",
    "comparison",
    "checkpoint",
    "examination",
    "exercises",
}
MIDDLE = {"conversion", "distributed", "freezing", "models"}
BASE = {"functional", "layers"}
MAY_IMPORT = {
    "functional": set(),
    "borrowing": set(),
    "data": set(),
    "layers": {"functional"},
    "keras_twin": {"layers"},
    **dict.fromkeys(MIDDLE, BASE),
    **{name: BASE | MIDDLE | USES | {"borrowing", "data"} for name in USES},
    "plots": {"plots", "recording", "comparison", "training", "examination"},
}
HEAVY = {"matplotlib", "ipywidgets", "sklearn", "tqdm", "keras", "IPython", "pandas", "PIL"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """`plots` for a file in plots/, `data` for data.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str, package: str) -> dict[str, bool]:
    """Every module a source imports, by full name: whether only for the type checker."""
    found: dict[str, bool] = {}

    def visit(node: ast.AST, typing_only: bool) -> None:
        names: list[str] = []
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only = True
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            found[name] = found.get(name, True) and typing_only
        for child in ast.iter_child_nodes(node):
            visit(child, typing_only)

    visit(ast.parse(source), False)
    return found


def faults(source: str, of: str, package: str = "bnlab") -> list[str]:
    """What a module of the given part imports against the direction."""
    names = imported(source, package)
    ours = {name.split(".")[1] for name in names if name.startswith("bnlab.")}
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {"plots", "apps"} | set(MAY_IMPORT)
    allowed = MAY_IMPORT.get(of, parts) | {of}
    found = [f"{of} imports {name}" for name in sorted((ours & parts) - allowed)]
    if of == "plots":
        found += [
            f"plots imports {name} to compute with"
            for name, typing_only in names.items()
            if name.startswith(("torch.nn", "torch.autograd", "torch.optim"))
            or (
                name.split(".")[1:2]
                and name.split(".")[0] == "bnlab"
                and name.split(".")[1] in USES
                and not typing_only
                and not names_a_result(name)
            )
        ]
    return found


def names_a_result(name: str) -> bool:
    """A module, or a class in it: a picture may know a result's type and never a function."""
    last = name.split(".")[-1]
    return last in USES or last[0].isupper()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    of = part(path)
    package = ".".join(("bnlab", *path.relative_to(PACKAGE).parts[:-1]))
    if of not in ("__init__", "apps"):
        assert not faults(path.read_text(), of, package)


@pytest.mark.parametrize(
    ("of", "package", "source"),
    [
        ("functional", "bnlab", "from bnlab.layers import BatchNorm1d"),
        ("functional", "bnlab", "from . import layers"),
        ("layers", "bnlab", "from bnlab import models"),
        ("data", "bnlab", "def f():\n    import bnlab.functional"),
        ("training", "bnlab", "from .apps.explorer import Live"),
        ("plots", "bnlab.plots", "from ..functional import moments"),
        ("plots", "bnlab.plots", "from torch.nn import functional"),
        ("plots", "bnlab.plots", "from torch import nn"),
        ("plots", "bnlab.plots", "from bnlab.training import fit"),
    ],
)
def test_an_import_against_the_direction_is_found(of: str, package: str, source: str) -> None:
    assert faults(source, of, package)


def test_importing_bnlab_loads_torch_and_nothing_heavier() -> None:
    command = "import torch, sys; before = set(sys.modules); import bnlab"
    command += "; print(*(name.split('.')[0] for name in set(sys.modules) - before))"
    ran = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=120
    )
    assert "bnlab" in ran.stdout.split()
    assert not HEAVY & set(ran.stdout.split())
