"""Every bug of notebook 10 shows in its measurement, and none is left after it is mended."""

from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm

import bnlab
from bnlab import data, models, training
from bnlab.experiments import function_symptoms, layer_symptoms
from bnlab.experiments.beside import beside

FOLDER = Path(__file__).parents[2] / "notebooks"
NAMES = {"torch": torch, "nn": nn, "bnlab": bnlab, "batch_norm": batch_norm}


def forward(x, weight, bias, eps):
    return batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def update(running_mean, running_var, x, momentum):
    batch_norm(x, running_mean, running_var, training=True, momentum=momentum)


def defined(source):
    """The one thing that a cell defines."""
    names = dict(NAMES)
    exec(source, names)
    (made,) = (names[name] for name in names if name not in {*NAMES, "__builtins__"})
    return made


def broken():
    cells = nbformat.read(FOLDER / "10-find-the-bug.ipynb", 4).cells
    answers = [cell.source for cell in cells if "exercise" in cell.metadata.get("tags", [])]
    keys = [c.metadata.nbgrader.grade_id for c in cells if "nbgrader" in c.metadata]
    return dict(zip(keys, answers, strict=True))


def solutions():
    cells = nbformat.read(FOLDER / "solutions" / "solutions.ipynb", 4).cells
    return {c.metadata.solution_of: c.source for c in cells if "solution_of" in c.metadata}


@pytest.fixture(scope="module")
def measured():
    """How the notebook measures each case, and the code that is right."""
    images, digits = data.digits(), data.digits(flat=True)
    torch.manual_seed(0)
    trained = models.mlp(64, nn.BatchNorm1d)
    training.fit(trained, digits, epochs=3, lr=0.05, progress=False)
    pixels = digits.train.inputs[:400, digits.train.inputs.std(0) > 0.1]
    near, far = (function_symptoms.inputs_at(mean, 64) for mean in (0.0, 101_325.0))
    functions, layers = function_symptoms, layer_symptoms
    network = (trained, digits)
    return {
        "10-moody-channels": (functions.channel_moments, forward, images),
        "10-stripes": (functions.feature_map, forward, images),
        "10-quiet-batches": (functions.spread_by_size, forward),
        "10-shouting-pixels": (functions.pixel_spread, forward, images),
        "10-pascals": (functions.outputs_at, forward, far),
        "near": (functions.outputs_at, forward, near),
        "10-restless-mean": (functions.mean_path, update, pixels[:, :1]),
        "10-three-quarters": (functions.variance_path, update, pixels / pixels.std(0)),
        "10-two-loudnesses": (layers.eval_loudness, nn.BatchNorm1d, torch.logspace(-6, 0, 5)),
        "10-four-exams": (layers.sit_exams, nn.BatchNorm1d, *network),
        "10-bad-company": (layers.in_company, nn.BatchNorm1d, *network, 330),
        "10-long-memory": (layers.kept_operations, nn.BatchNorm1d, digits, 5),
        "10-runaway-bias": (layers.idle_bias, nn.BatchNorm1d, digits, 10),
        "10-amnesia": (layers.before_and_after_loading, nn.BatchNorm1d, digits, 1),
        "10-thawed": (layers.fine_tuned, bnlab.freeze, *network),
        "10-folded": (layers.fold_gaps, nn.utils.fuse_linear_bn_eval, *network),
    }


KEYS = list(broken())


def compare(measured, key, source):
    measure, right, *given = measured[key]
    return beside(measure, right, defined(source), *given)


@pytest.mark.parametrize("key", KEYS)
def test_the_bug_shows(measured, key):
    found = compare(measured, key, broken()[key])
    assert found.trouble == ""
    assert not found.same


@pytest.mark.parametrize("key", KEYS)
def test_the_solution_agrees_with_what_is_right(measured, key):
    found = compare(measured, key, solutions()[key])
    assert found.trouble == ""
    assert found.same


def test_the_shortcut_shows_far_from_zero_only(measured):
    assert compare(measured, "near", broken()["10-pascals"]).same


def test_what_is_right_is_as_the_notebook_says(measured):
    def right(key):
        measure, code, *given = measured[key]
        return measure(code, *given)

    mean, std = right("10-moody-channels")
    assert mean.abs().max() < 1e-3
    assert (std - 1).abs().max() < 1e-3
    assert (right("10-quiet-batches") - 1).abs().max() < 0.01
    assert right("10-shouting-pixels").min().item() == pytest.approx(0.0316, abs=0.002)
    assert right("10-long-memory").tolist() == [0] * 6
    assert right("10-runaway-bias").max() < 1e-5
    assert len(right("10-four-exams").unique()) == 1
    assert len(layer_symptoms.ORDERS) == len(right("10-four-exams"))
    saved, loaded = right("10-amnesia")
    assert saved == loaded > 0.8


def test_what_is_wrong_is_as_the_notebook_says(measured):
    def wrong(key):
        return compare(measured, key, broken()[key]).yours

    sizes = torch.tensor(function_symptoms.SIZES)
    torch.testing.assert_close(wrong("10-quiet-batches"), (1 - 1 / sizes).sqrt(), rtol=0, atol=0.01)
    assert wrong("10-three-quarters")[-40:].mean().item() == pytest.approx(0.75, abs=0.05)
    assert wrong("10-two-loudnesses")[0].item() == pytest.approx(0.5**0.5, abs=0.002)
    counts = wrong("10-long-memory")
    assert (counts[1:] > counts[:-1]).all()
    exams = wrong("10-four-exams")
    assert exams[1] < exams[0] - 0.2
    assert wrong("10-thawed")[-1] < wrong("10-thawed")[0] - 0.05


def test_operations_are_counted_once_each():
    x = torch.ones(1, requires_grad=True)
    y = x * 2
    assert layer_symptoms.count_operations(x) == 0
    assert layer_symptoms.count_operations(y) == 2  # the product, and where x's gradient gathers
    assert layer_symptoms.count_operations(y + y) == 3


def test_the_callers_network_and_generator_stay_as_they_are(measured):
    _, _, trained, _ = measured["10-four-exams"]
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    state = torch.get_rng_state()
    for key in ("10-four-exams", "10-bad-company", "10-thawed", "10-folded", "10-long-memory"):
        compare(measured, key, broken()[key])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
