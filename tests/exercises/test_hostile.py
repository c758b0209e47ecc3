"""Code that raises, hangs, returns nonsense or nothing gets a clear answer and harms nothing."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bnlab
from bnlab import exercises
from bnlab.exercises import forward, judging
from bnlab.exercises.guard import attempt
from tests.exercises import sources
from tests.exercises.cases import CASES

right = sources.write(sources.FORWARD)


def unanswered(*_: Any) -> Any: ...


def refuses(*_: Any) -> Any:
    raise NotImplementedError("your turn")


class Blank(nn.Module):
    """Nothing in it yet."""


class Half(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: ARG002
        return ...  # type: ignore[return-value]


@pytest.mark.parametrize("exercise", CASES)
@pytest.mark.parametrize("answer", [unanswered, refuses, lambda *_: ..., None, ...])
def test_what_is_not_answered_is_not_yet(exercise: str, answer: Any) -> None:
    verdict = CASES[exercise].check(answer)
    if exercise == "modes" and callable(answer):
        # A function where a class is asked for cannot even be built.
        assert verdict.status == "raises"
        return
    assert verdict.status == "not yet", verdict
    assert not verdict.answered
    assert not verdict.mistakes
    assert "not yet" in repr(verdict)


def test_a_forgotten_return_is_spoken_of() -> None:
    def fn(x, weight, bias, eps):  # type: ignore[no-untyped-def]
        y = (x - x.mean(0)) / (x.var(0) + eps).sqrt() * weight + bias  # noqa: F841

    assert "`return`" in repr(exercises.check_forward(fn))
    assert "`return`" not in repr(exercises.check_forward(unanswered))
    assert "`return`" not in repr(exercises.check_forward(refuses))


def test_norms_that_are_not_found_are_spoken_of() -> None:
    def freeze(model):  # type: ignore[no-untyped-def]
        for module in model.modules():
            if isinstance(module, bnlab.BatchNorm1d):  # the model has torch's
                module.requires_grad_(False)

    verdict = exercises.check_freezing(freeze)
    assert verdict.status == "not yet"
    assert "found" in repr(verdict)


def test_an_answer_in_one_mode_only_is_an_answer() -> None:
    class Norm(nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:
            if self.training:
                return super().forward(input)
            return None  # type: ignore[return-value]

    verdict = exercises.check_modes(Norm)
    assert verdict.answered
    assert verdict.status == "nonsense"
    assert verdict.example is not None
    assert "No answer comes out" in verdict.example.got


@pytest.mark.parametrize("exercise", ["modes", "batch norm"])
@pytest.mark.parametrize("answer", [Blank, Half])
def test_a_class_without_an_answer_is_not_yet(exercise: str, answer: type) -> None:
    assert CASES[exercise].check(answer).status == "not yet"


def test_an_error_is_told_with_its_place() -> None:
    def fn(x, weight, bias, eps):  # type: ignore[no-untyped-def]  # noqa: ARG001
        return x @ weight.view(7, 3)

    verdict = exercises.check_forward(fn)
    assert verdict.status == "raises"
    assert verdict.example is not None
    assert verdict.example.got.startswith("RuntimeError: shape '[7, 3]' is invalid")
    assert "in: return x @ weight.view(7, 3)" in verdict.example.got
    assert verdict.hint()


def test_what_torch_does_not_implement_is_an_error_not_a_blank() -> None:
    def fn(x: Tensor, *_: Any) -> Tensor:
        return nn.functional.batch_norm(x.int(), None, None, training=True)

    verdict = exercises.check_forward(fn)
    assert verdict.status == "raises"
    assert "NotImplementedError" in repr(verdict)


def test_leaving_python_is_an_error() -> None:
    verdict = exercises.check_forward(lambda *_: sys.exit(3))
    assert verdict.status == "raises"
    assert "SystemExit: 3" in repr(verdict)


NONSENSE: list[tuple[Callable[..., Any], str]] = [
    (lambda x, *_: x.tolist(), "is a list"),
    (lambda x, *_: x.sum(), "has shape ()"),
    (lambda x, *_: x[:1], "has shape (1, 1): it should have (3, 1)"),
    (lambda x, *_: x.double(), "is of torch.float64"),
    (lambda x, *_: x.numpy(), "is a ndarray"),
    (lambda x, *_: (x, x), "is a tuple"),
    (lambda *_: "done", "is a str"),
]


@pytest.mark.parametrize(("fn", "says"), NONSENSE)
def test_nonsense_is_called_so(fn: Callable[..., Any], says: str) -> None:
    verdict = exercises.check_forward(fn)
    assert verdict.status == "nonsense", verdict
    assert says in repr(verdict)


def test_nan_is_shown_as_what_came_out() -> None:
    verdict = exercises.check_forward(lambda x, *_: x * torch.nan)
    assert verdict.status == "mistaken"
    assert verdict.mistakes == ("other",)
    assert verdict.example is not None
    assert verdict.example.got == "[[nan], [nan], [nan]]"


@pytest.mark.parametrize("given", [3, "fn", torch.ones(2), nn.BatchNorm1d(3)])
def test_what_is_no_function_or_class_is_refused_in_words(given: Any) -> None:
    for case in CASES.values():
        verdict = case.check(given)
        assert not verdict.passed
        assert verdict.status == "nonsense"


def loop_without_end(*_: Any) -> Any:
    while True:
        pass


def sleep_without_end(*_: Any) -> Any:
    try:
        time.sleep(60)
    except Exception:
        time.sleep(60)


@pytest.mark.parametrize("fn", [loop_without_end, sleep_without_end])
def test_what_hangs_is_stopped(fn: Callable[..., Any]) -> None:
    start = time.monotonic()
    verdict = judging.judge(forward.exercise, fn, seconds=0.2)
    assert time.monotonic() - start < 2
    assert verdict.status == "hangs"
    assert "No answer within 0.2 seconds." in repr(verdict)


def test_in_another_thread_what_hangs_is_left_behind() -> None:
    go_on, verdicts = threading.Event(), []

    def hang(*_: Any) -> Any:
        go_on.wait(60)

    def check() -> None:
        verdicts.append(judging.judge(forward.exercise, hang, seconds=0.1))
        verdicts.append(exercises.check_forward(right))

    thread = threading.Thread(target=check)
    thread.start()
    thread.join(30)
    go_on.set()
    assert [verdict.status for verdict in verdicts] == ["hangs", "passed"]


def test_someone_elses_alarm_still_rings() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        assert attempt(lambda: 3) == 3
        time.sleep(0.2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung == [1]


def meddles(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    y = right(x, weight, bias, eps)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    x.zero_()
    weight.zero_()
    return y


def test_generators_defaults_and_inputs_are_as_before() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert exercises.check_forward(meddles).mistakes == ("input-changed",)
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert np.random.rand() == expected[2]  # noqa: NPY002
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert exercises.check_forward(right).passed


def test_the_readers_own_settings_do_not_matter() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.device("meta"):
            assert CASES["batch norm"].judge().passed
            assert CASES["freezing"].judge().passed
            assert CASES["forward"].judge("affine-swapped").mistakes == ("affine-swapped",)
    finally:
        torch.set_default_dtype(torch.float32)


def test_warnings_of_the_learners_code_are_seen() -> None:
    def fn(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        warnings.warn("slow", RuntimeWarning, stacklevel=1)
        return right(x, weight, bias, eps)  # type: ignore[no-any-return]

    with pytest.warns(RuntimeWarning, match="slow"):
        assert exercises.check_forward(fn).passed
