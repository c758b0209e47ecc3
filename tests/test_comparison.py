"""compare: agrees where two implementations do, and says where and by how much they do not."""

import copy
import html.parser

import pytest
import torch
from torch import nn

import bnlab
from bnlab import compare

BATCH = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 + 1


class Unbiased(bnlab.BatchNorm2d):
    """The classic slip: the unbiased variance used for normalising too."""

    def forward(self, input):
        n = input.numel() / input.shape[1]
        return super().forward(input) * ((n - 1) / n) ** 0.5


class Stateless(nn.Module):
    """Statistics kept in plain attributes, where no state dict finds them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.bias = nn.Parameter(torch.zeros(3))
        self.running_mean = torch.zeros(3)

    def forward(self, input):
        return nn.functional.batch_norm(input, None, None, self.weight, self.bias, training=True)


def row(comparison, name):
    (found,) = (row for row in comparison.rows if row.name == name)
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_ours_agrees_with_torch(training, dtype):
    ours = bnlab.BatchNorm2d(3, dtype=dtype).train(training)
    comparison = compare(ours, nn.BatchNorm2d(3, dtype=dtype).train(training), BATCH.to(dtype))
    assert comparison, comparison
    assert [row.name for row in comparison.rows] == [
        "output",
        "gradient of input",
        "gradient of weight",
        "gradient of bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
        "state-dict keys",
    ]
    assert row(comparison, "num_batches_tracked").tolerance == 0


def test_a_slip_is_found_and_measured():
    comparison = compare(Unbiased(3), nn.BatchNorm2d(3), BATCH)
    assert not comparison
    assert not comparison.passed
    output = row(comparison, "output")
    expected = nn.BatchNorm2d(3)(BATCH)
    assert output.difference == pytest.approx(
        (Unbiased(3)(BATCH) - expected).abs().max().item(), rel=1e-5
    )
    assert output.difference > output.tolerance
    assert row(comparison, "running_var").passed


def test_missing_state_is_named():
    comparison = compare(Stateless(), nn.BatchNorm2d(3), BATCH)
    assert row(comparison, "output").passed
    assert row(comparison, "running_mean").note == "only the reference has one"
    keys = row(comparison, "state-dict keys")
    assert keys.note == "lacks num_batches_tracked, running_mean, running_var"
    mirrored = compare(nn.BatchNorm2d(3), Stateless(), BATCH)
    assert row(mirrored, "running_mean").note == "only ours has one"
    assert row(mirrored, "state-dict keys").note.startswith("adds ")


def test_nothing_of_the_callers_is_changed():
    layers = [bnlab.BatchNorm2d(3), nn.BatchNorm2d(3)]
    before = [copy.deepcopy(layer.state_dict()) for layer in layers]
    images, randomness = BATCH.clone().requires_grad_(), torch.get_rng_state()
    compare(*layers, images)
    for layer, state in zip(layers, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())
        assert layer.weight.grad is None
    assert images.grad is None
    assert torch.equal(images, BATCH)
    assert torch.equal(torch.get_rng_state(), randomness)


def test_gradients_already_there_are_not_counted():
    ours = bnlab.BatchNorm2d(3)
    ours(BATCH).square().sum().backward()
    held = ours.weight.grad.clone()
    fresh = bnlab.BatchNorm2d(3)
    fresh.load_state_dict(ours.state_dict())
    assert compare(ours, fresh, BATCH)
    assert torch.equal(ours.weight.grad, held)


def test_functions_compare_output_and_gradient():
    comparison = compare(lambda x: x * torch.sigmoid(x), nn.functional.silu, BATCH)
    assert comparison
    assert [row.name for row in comparison.rows] == ["output", "gradient of input"]
    mixed = compare(
        lambda x: (x - x.mean(0)) / x.var(0, correction=0).add(1e-5).sqrt(),
        nn.BatchNorm1d(4),
        torch.randn(8, 4),
    )
    assert mixed, mixed
    assert len(mixed.rows) == 2


def test_a_detached_output_has_lost_its_gradient():
    comparison = compare(lambda x: torch.relu(x.detach()), torch.relu, BATCH)
    assert row(comparison, "output").passed
    assert row(comparison, "gradient of input").note == "only the reference has one"


def test_another_shape_or_dtype_is_a_row_not_a_crash():
    shape = compare(lambda x: x.flatten(1), lambda x: x, BATCH)
    assert row(shape, "output").note == "shape (8, 48), reference (8, 3, 4, 4)"
    dtype = compare(lambda x: x.double(), lambda x: x, BATCH)
    assert row(dtype, "output").note == "torch.float64, reference torch.float32"
    assert not shape
    assert not dtype
    channels = compare(nn.Linear(4, 2), nn.Linear(4, 5), BATCH)
    assert row(channels, "gradient of weight").note == "shape (2, 4), reference (5, 4)"


def test_integer_input_has_no_gradient_row():
    comparison = compare(torch.abs, torch.abs, torch.arange(-3, 3))
    assert comparison
    assert [row.name for row in comparison.rows] == ["output"]


def test_nan_agrees_with_nan_only():
    values = torch.tensor([1.0, float("nan"), float("inf")])
    assert row(compare(torch.clone, torch.clone, values), "output").passed
    assert not row(compare(torch.nan_to_num, torch.clone, values), "output").passed
    assert not row(compare(torch.clone, torch.nan_to_num, values), "output").passed


def test_tolerances_can_be_set():
    def nudged(x):
        return x + 1e-3

    assert not compare(nudged, torch.clone, BATCH)
    assert compare(nudged, torch.clone, BATCH, atol=2e-3)
    assert compare(nudged, torch.clone, BATCH, rtol=1e-2)
    assert not compare(nudged, torch.clone, BATCH, atol=5e-4, rtol=0.0)
    assert row(compare(nudged, torch.clone, BATCH, atol=0.5, rtol=0.0), "output").tolerance == 0.5


def test_randomness_inside_is_the_same_for_both():
    assert compare(nn.Dropout(), nn.Dropout(), BATCH)


def test_something_else_than_a_tensor_is_explained():
    with pytest.raises(TypeError, match="got tuple"):
        compare(lambda x: (x, x), torch.clone, BATCH)


def test_an_empty_batch_compares():
    assert compare(bnlab.BatchNorm2d(3), nn.BatchNorm2d(3), torch.empty(0, 3, 2, 2))


def test_repr_is_an_aligned_table():
    lines = repr(compare(Unbiased(3), nn.BatchNorm2d(3), BATCH)).splitlines()
    assert lines[0].split()[-3:] == ["difference", "tolerance", "verdict"]
    edge = lines[0].index("verdict")
    assert all(line[edge] in "✓✗" for line in lines[1:])
    assert "✗ differs" in lines[1]


class Cells(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.open = [], []

    def handle_starttag(self, tag, _attributes):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_html_table_is_well_formed_and_says_it_in_words():
    module = nn.Sequential()
    module.add_module("<b>", nn.BatchNorm2d(3))
    comparison = compare(module, copy.deepcopy(module), BATCH)
    cells = Cells()
    cells.feed(comparison._repr_html_())
    assert cells.open == []
    assert cells.rows[0] == ["quantity", "largest difference", "tolerance", "verdict"]
    assert [line[0] for line in cells.rows[1:]] == [row.name for row in comparison.rows]
    assert all(line[-1] == "✓ agrees" for line in cells.rows[1:])
    assert "gradient of <b>.weight" in [line[0] for line in cells.rows]
