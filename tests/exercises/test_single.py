"""Every known mistake, made in a learner's code, is named; the code without it passes."""

from importlib import import_module

import pytest

from tests.exercises.cases import CASES

SINGLE = [(exercise, slug) for exercise, case in CASES.items() for slug in case.mistakes]


@pytest.mark.filterwarnings("ignore:var")  # of one value: the learner's own, which is shown
@pytest.mark.parametrize(("exercise", "slug"), SINGLE)
def test_a_mistake_is_named(exercise: str, slug: str) -> None:
    verdict = CASES[exercise].judge(slug)
    assert verdict.mistakes == (slug,), verdict
    assert verdict.status == "mistaken"
    assert verdict.example is not None
    assert verdict.example.expected != verdict.example.got


@pytest.mark.parametrize("exercise", CASES)
def test_the_code_without_them_passes(exercise: str) -> None:
    verdict = CASES[exercise].judge()
    assert verdict.passed, verdict


@pytest.mark.parametrize("exercise", CASES)
def test_every_mistake_that_a_checker_knows_is_tried(exercise: str) -> None:
    module = import_module(f"bnlab.exercises.{exercise.replace(' update', '').replace(' ', '_')}")
    known = {mistake.slug for mistake in module.exercise().mistakes}
    assert known == set(CASES[exercise].mistakes)
