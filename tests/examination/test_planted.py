"""Every defect in every layer of a trained network: found, and the right layer named."""

import copy

import pytest
import torch

from bnlab.examination import examine
from bnlab.experiments.planted_defects import DEFECTS, LAYERS, plant, planted_defects

SEVERITIES = {
    "error": {
        "never-updated", "missing-statistics", "eval-far-from-train", "not-finite",
        "negative-variance", "one-value-per-channel",
    },
    "note": {"idle-bias"},
}  # fmt: skip


def severity(kind):
    return next((name for name, kinds in SEVERITIES.items() if kind in kinds), "warning")


def test_there_is_nothing_to_find_before(healthy, digits):
    assert not examine(healthy, digits.test.inputs.split(64)).findings


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_in_the_layer_in_which_it_was_planted(healthy, digits, defect):
    kind = DEFECTS[defect].kind
    for layer in LAYERS:
        sick = plant(healthy, defect, layer, digits)
        found = [each for each in sick.examine().findings if each.kind == kind]
        assert [each.layer for each in found] == [sick.at]
        assert found[0].severity == severity(kind)
        assert found[0].message
        assert found[0].remedy
        if sick.at.startswith("norm") and defect != "last batch of one":
            assert layer in found[0].layer + found[0].message


def test_planting_leaves_the_healthy_network_alone(healthy, digits):
    before = copy.deepcopy(healthy.state_dict())
    for defect in DEFECTS:
        plant(healthy, defect, "norm2", digits)
    for name, value in healthy.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(module.training for module in healthy.modules())


def test_the_table_has_what_was_found_and_what_it_costs(healthy, digits):
    chosen = ("negative variance", "NaN in the mean", "last batch of one", "one norm in two places")
    cases = planted_defects(healthy, digits, defects=chosen, layers=("norm3",))
    rows = repr(cases).splitlines()
    assert len(rows) == 2 + len(chosen)
    assert "no error, no warning" in rows[1]
    assert "negative-variance: norm3" in rows[2]
    negative, nan, last, shared = cases.cases
    # Train mode hides both, and what is averaged away is gone after an epoch; NaN is not.
    assert (negative.answers, nan.answers, nan.later) == (0, 0, 0)
    assert negative.later > 0.9
    assert last.later != last.later
    assert "shared-norm: norm2 (norm3)" in rows[5]
    assert shared.answers < cases.healthy.answers
    assert cases._repr_html_().count("<tr>") == len(rows)


def test_an_unknown_defect_is_refused(healthy, digits):
    with pytest.raises(ValueError, match="negative variance"):
        plant(healthy, "bad luck", "norm2", digits)
