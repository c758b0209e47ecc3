"""Two mistakes at once: both are named where they can be told apart, and nothing is invented."""

import pytest
import torch
from torch import Tensor, nn

from tests.exercises import sources
from tests.exercises.cases import CASES

PAIRS = [
    ("forward", "eps-outside-root", "unbiased-normalising"),
    ("forward", "variance-for-root", "affine-swapped"),
    ("forward", "gamma-ignored", "not-2d"),
    ("forward", "statistics-over-channels", "beta-ignored"),
    ("forward", "shortcut-variance", "eps-ignored"),
    ("running update", "momentum-reversed", "biased-storing"),
    ("running update", "std-stored", "running-not-detached"),
    ("backward", "not-through-mean", "affine-gradients-swapped"),
    ("backward", "root-not-divided-by", "gamma-ignored"),
    ("modes", "eval-uses-batch", "momentum-reversed"),
    ("modes", "train-uses-updated-running", "running-not-detached"),
    ("batch norm", "eps-outside-root", "biased-storing"),
    ("batch norm", "mode-from-grad", "statistics-not-in-buffers"),
    ("batch norm", "not-through-statistics", "momentum-squared"),
    ("batch norm", "affine-swapped", "counter-missing"),
    ("batch norm", "eps-in-running-var", "affine-not-parameters"),
    ("group norm", "size-for-number", "variance-for-root"),
    ("folding", "gamma-ignored", "running-mean-not-scaled"),
    ("freezing", "statistics-not-frozen", "1d-missed"),
    ("saving", "parameters-only", "model-changed"),
]


@pytest.mark.parametrize(("exercise", "one", "other"), PAIRS)
def test_two_mistakes_are_both_named(exercise: str, one: str, other: str) -> None:
    verdict = CASES[exercise].judge(one, other)
    assert set(verdict.mistakes) == {one, other}, verdict


def test_of_three_mistakes_all_are_named_where_the_answers_tell() -> None:
    verdict = CASES["batch norm"].judge("biased-storing", "eps-outside-root", "counter-missing")
    assert set(verdict.mistakes) == {"biased-storing", "eps-outside-root", "counter-missing"}


def test_a_known_mistake_beside_an_unknown_one_is_named_with_the_remark_that_more_is_wrong() -> (
    None
):
    unknown = ("self.bias = nn", "self.shift = torch.ones(1); self.bias = nn")
    source = sources.LAYER.replace("+ bias.view(shape)", "+ bias.view(shape) + 0.25 * x.std()")
    wrong = sources.write(source, unknown, *sources.LAYER_MISTAKES["biased-storing"])
    verdict = CASES["batch norm"].check(wrong)
    assert verdict.mistakes == ("biased-storing", "other")
    assert "Something else is wrong as well." in repr(verdict)


def test_an_unknown_mistake_alone_is_given_no_name() -> None:
    def fn(x, weight, bias, eps):  # type: ignore[no-untyped-def]
        y = sources.write(sources.FORWARD)(x, weight, bias, eps)
        return y + 0.1 * y.sin()

    verdict = CASES["forward"].check(fn)
    assert verdict.mistakes == ("other",)
    assert verdict.status == "mistaken"
    assert verdict.example is not None
    assert verdict.example.given["x"] == "[[1], [3], [8]]"


class Plain(nn.Module):
    """As lessons have it: no options, no counter, the unbiased variance forgotten."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        shape = 1, -1, *[1] * (x.dim() - 2)
        if self.training:
            dim = [0, *range(2, x.dim())]
            mean, var = x.mean(dim), x.var(dim, correction=0)
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        x_hat = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + self.eps)
        return x_hat * self.weight.view(shape) + self.bias.view(shape)


def test_of_many_mistakes_all_are_named_where_each_does_something_of_its_own() -> None:
    assert set(CASES["batch norm"].check(Plain).mistakes) == {
        "biased-storing",
        "counter-missing",
        "cumulative-ignored",
        "affine-false-ignored",
        "tracking-false-ignored",
    }
    assert CASES["modes"].check(Plain).mistakes == ("biased-storing",)
