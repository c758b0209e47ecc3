"""What a verdict says, and that hints come one after the other and never give the answer."""

import itertools
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

import bnlab
from bnlab import BatchNorm2d, functional
from bnlab.exercises import asking, check_forward, inputs, steps
from bnlab.exercises.asking import RIGHT, UnclearError, Way
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.layer import Layer
from bnlab.exercises.verdict import STATUS_HINTS, show
from tests.exercises import sources
from tests.exercises.cases import CASES


def test_a_verdict_shows_the_smallest_example_in_few_digits() -> None:
    assert repr(CASES["forward"].judge("eps-outside-root")) == (
        "forward: ✗ not right yet\n"
        "  ε is added to the standard deviation, after the root is taken.\n"
        "  For a hint call .hint() on this verdict; again for a stronger one.\n"
        "  fn(x, weight, bias, eps)\n"
        "    x         [[1], [3], [8]]\n"
        "    weight    [1]\n"
        "    bias      [0]\n"
        "    eps       0.5\n"
        "    expected  [[-0.991], [-0.33], [1.321]]\n"
        "    got       [[-0.871], [-0.29], [1.161]]"
    )


def test_of_large_tensors_the_entry_that_differs_most_is_shown() -> None:
    right = sources.write(sources.FORWARD)

    def fn(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y: Tensor = right(x, weight, bias, eps)
        if y.shape == (5, 3, 2, 4):
            y[1, 2, 0, 3] = 7.0
        return y

    example = check_forward(fn).example
    assert example is not None
    assert example.given["x"] == "shape (5, 3, 2, 4)"
    assert example.got == "entry [1, 2, 0, 3]: 7"
    assert example.expected.startswith("entry [1, 2, 0, 3]: ")


class Well(HTMLParser):
    """Whether every tag that opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.open += [] if tag == "br" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("exercise", CASES)
def test_html_is_well_formed_and_says_the_same(exercise: str) -> None:
    slug = next(iter(CASES[exercise].mistakes))
    for verdict in CASES[exercise].judge(slug), CASES[exercise].judge():
        page = Well()
        page.feed(verdict._repr_html_())
        assert not page.open
        for text in verdict._sentences:
            assert text in page.text


def test_the_learners_words_are_escaped() -> None:
    def fn(*_: object) -> object:
        raise ValueError("<script>alert(1)</script>")

    verdict = check_forward(fn)
    assert "<script>" in repr(verdict)
    assert "<script>" not in verdict._repr_html_()


def test_a_second_hint_is_stronger_than_the_first() -> None:
    verdict = CASES["forward"].judge("eps-outside-root", "unbiased-normalising")
    first, second, third = (verdict.hint() for _ in range(3))
    assert first.splitlines() == [mistake.hint for mistake in verdict.found]
    assert second.splitlines() == [mistake.stronger for mistake in verdict.found]
    assert second == third
    assert repr(first) == str(first)


def test_every_status_has_hints() -> None:
    for status in "passed", "not yet", "mistaken", "raises", "hangs", "nonsense":
        assert all(STATUS_HINTS[status])


def test_mistakes_have_names_of_their_own_and_whole_sentences() -> None:
    everything = {slug: m for name in CASES for slug, m in known(name).items()}
    assert len({mistake.slug for mistake in CATALOGUE}) == len(CATALOGUE)
    for mistake in everything.values():
        assert mistake.says.endswith(".")
        assert mistake.hint != mistake.stronger
        assert mistake.hint[-1] in ".?"
        assert mistake.stronger[-1] in ".?"


def exercise(name: str) -> asking.Exercise:
    module = name.replace(" update", "").replace(" ", "_")
    made = import_module(f"bnlab.exercises.{module}").exercise()
    assert isinstance(made, asking.Exercise)
    return made


def known(name: str) -> dict[str, object]:
    return {mistake.slug: mistake for mistake in exercise(name).mistakes}


@pytest.mark.parametrize("name", CASES)
def test_every_two_ways_answer_some_question_differently(name: str) -> None:
    asked = exercise(name)
    ways = [RIGHT, *(Way({mistake.slug}) for mistake in asked.mistakes)]
    for one, other in itertools.combinations(ways, 2):
        assert any(map(differ, asked.replies(one), asked.replies(other))), (one, other)


def differ(one: asking.Reply, other: asking.Reply) -> bool:
    if isinstance(one, UnclearError) or isinstance(other, UnclearError):
        return False
    if not isinstance(one, dict) or not isinstance(other, dict):
        # An error against an answer; two kinds of error are not told apart.
        return isinstance(one, dict) != isinstance(other, dict)
    return any(
        not asking.close(one[name], other[name], times=4)
        for name in one
        if not (isinstance(one[name], torch.Tensor) and one[name].isnan().all())
        and not (isinstance(other[name], torch.Tensor) and other[name].isnan().all())
    )


def test_the_right_way_is_the_packages() -> None:
    x, weight, bias = inputs.images(), inputs.gamma(3), inputs.beta(3)
    y = functional.batch_norm(x, None, None, weight, bias, training=True, eps=0.3)
    torch.testing.assert_close(steps.forward(x, weight, bias, 0.3, RIGHT), y)
    theirs = [
        layer(3, momentum=0.3) for layer in (BatchNorm2d, lambda *a, **k: Layer(*a, **k, way=RIGHT))
    ]
    for layer in theirs:
        layer(x)
        layer(x + 1)
        layer.eval()
    torch.testing.assert_close(theirs[0](x), theirs[1](x))
    assert list(theirs[0].state_dict()) == list(theirs[1].state_dict())


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (-0.0001, "0"), (0.25, "0.25"), (12345678.0, "1.23e+07"), (float("nan"), "nan"),
     (torch.zeros(13), "shape (13,)"), (torch.tensor([1, 2]), "[1, 2]"), (True, "True")],
)  # fmt: skip
def test_values_are_written_in_few_characters(value: object, text: str) -> None:
    assert show(value) == text


def test_nothing_else_in_the_package_loads_the_checkers() -> None:
    package = Path(bnlab.__file__).parent
    others = [path for path in package.rglob("*.py") if path.parent.name != "exercises"]
    assert len(others) > 100
    assert not [path for path in others if "bnlab.exercises" in path.read_text()]
