"""No false alarm: what is right passes, however it is written."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.exercises.cases import CASES
from tests.exercises.correct import CORRECT

RIGHT = [(exercise, solution) for exercise, many in CORRECT.items() for solution in many]


@pytest.mark.parametrize(
    ("exercise", "solution"), RIGHT, ids=lambda each: getattr(each, "__name__", str(each))
)
def test_what_is_right_passes(exercise: str, solution: Callable[..., Any]) -> None:
    verdict = CASES[exercise].check(solution)
    assert verdict.passed, verdict
    assert verdict
    assert not verdict.mistakes
