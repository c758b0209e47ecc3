"""Every number and every arrow of the graph, at every step."""

import warnings

import pytest
import torch
from torch.nn.functional import batch_norm

from bnlab.apps.walk_backward import ARRIVING, BIAS, INPUTS, WEIGHT, WalkBackward
from bnlab.plots.computation_graph import EDGES, HEIGHT, PLACES, WIDTH, decimal


@pytest.fixture(scope="module")
def explorer() -> WalkBackward:
    return WalkBackward()


def written(texts) -> list[str]:
    return [text.get_text() for text in texts if text.get_visible()]


@pytest.mark.parametrize("arriving", ARRIVING)
def test_the_last_step_shows_torchs_gradients(explorer, arriving) -> None:
    x = torch.tensor(INPUTS)[:, None].requires_grad_()
    gamma, beta = (torch.tensor([number], requires_grad=True) for number in (WEIGHT, BIAS))
    output = batch_norm(x, None, None, gamma, beta, training=True)
    output.backward(torch.tensor(ARRIVING[arriving])[:, None])
    explorer.show(step=10, arriving=arriving)
    for node, leaf in {"x": x, "weight": gamma, "bias": beta}.items():
        shown = [
            float(word.replace("−", "-")) for word in written(explorer.artists.gradients[node])
        ]
        assert shown == pytest.approx(leaf.grad.flatten().tolist(), abs=0.0051)
    shown = [float(word.replace("−", "-")) for word in written(explorer.artists.values["y"])]
    assert shown == pytest.approx(output.flatten().tolist(), abs=0.0051)


def test_each_step_lights_one_edge_more(explorer) -> None:
    lit = []
    for step in range(11):
        result = explorer.show(step=step)
        now = [edge for edge, arrow in explorer.artists.now.items() if arrow.get_visible()]
        before = {edge for edge, arrow in explorer.artists.before.items() if arrow.get_visible()}
        assert before == set(lit)
        assert len(now) == (step > 0)
        lit += now
        reached = {node for node in PLACES if written(explorer.artists.gradients[node])}
        assert reached == {"y"} | {start for start, _ in lit}
        assert reached == set(result.gradients)
    assert set(lit) == set(EDGES)


def test_the_frame_is_around_what_has_just_changed(explorer) -> None:
    def gradients() -> dict[str, list[str]]:
        return {node: written(texts) for node, texts in explorer.artists.gradients.items()}

    explorer.show(step=0, arriving="(1, −2, 0, 3)")
    before = gradients()
    for step in range(1, 11):
        explorer.show(step=step, arriving="(1, −2, 0, 3)")
        (changed,) = [node for node, words in gradients().items() if words != before[node]]
        left, top, _, half = PLACES[changed]
        frame = explorer.artists.frame
        assert (frame.get_x(), frame.get_y()) == (left + half, top)
        before = gradients()


def test_words_carry_the_chain_rule_and_its_numbers(explorer) -> None:
    assert explorer.show(step=2).lines[0] == "dγ = Σ dy · x̂"
    result = explorer.show(step=6)
    assert result.lines[0] == "dσ² = dr · (−½ r³)"
    assert decimal(-0.5 * 3.50001**-1.5) in result.lines[1]
    assert explorer.show(step=7).lines[0].startswith("d(x−μ) += ")
    assert "second road" in explorer.describe(explorer.show(step=10))


def test_an_even_gradient_ends_in_four_zeros(explorer) -> None:
    explorer.show(step=10, arriving="(1, 1, 1, 1)")
    assert written(explorer.artists.gradients["x"]) == ["0.00"] * 4


def test_decimals_have_a_true_minus_and_no_negative_zero() -> None:
    assert [decimal(number) for number in (-1.5, -0.001, 0.125001)] == ["−1.50", "0.00", "0.13"]


def test_every_state_stays_on_the_page_without_a_warning(explorer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
        for values in explorer.states():
            explorer.show(**values)
            for text in (explorer.artists.headline, *explorer.artists.lines):
                assert text.get_window_extent().x1 <= explorer.figure.bbox.x1
    assert len(page) < 300_000
    for x, y in ((x, y) for ends in EDGES.values() for x, y in (ends[:2], ends[2:])):
        assert 0 < x < WIDTH
        assert 0 < y < HEIGHT
