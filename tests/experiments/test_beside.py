"""Two codes measured alike, whatever one of them does."""

import pytest
import torch

from bnlab.experiments.beside import Beside, beside


def call(code, *given):
    return code(*given)


def test_both_are_measured_on_what_is_given():
    found = beside(call, torch.add, torch.sub, torch.tensor([3.0]), 1)
    assert (found.right.item(), found.yours.item(), found.trouble) == (4.0, 2.0, "")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (lambda x: x.reshape(7), "RuntimeError: shape '[7]' is invalid"),
        (lambda x: x.sum(), "gives the shape (), not (2,)"),
        (lambda _: None, "AttributeError"),
        (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda _: [][0], "IndexError"),
    ],
)
def test_trouble_is_told_in_one_line(code, says):
    found = beside(call, torch.neg, code, torch.ones(2))
    assert says in found.trouble
    assert "\n" not in found.trouble
    assert found.yours.isnan().all()
    assert not found.same


def test_an_error_of_the_right_code_is_raised():
    with pytest.raises(ZeroDivisionError):
        beside(call, lambda: 1 / 0, lambda: torch.ones(1))


@pytest.mark.parametrize(
    ("yours", "same"),
    [(100.0, True), (100.5, True), (102.0, False), (float("nan"), False), (float("inf"), False)],
)
def test_same_is_what_no_picture_can_tell_apart(yours, same):
    assert Beside(torch.tensor([100.0, 0.0]), torch.tensor([yours, 0.0])).same == same


def test_results_may_hang_on_the_graph():
    x = torch.ones(1, requires_grad=True)
    found = beside(call, torch.exp, torch.exp, x)
    assert not found.right.requires_grad
    assert found.same
