"""The quick passes: equal to the definition, exact far from 0, thrifty, and all our own."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bnlab import functional
from bnlab.functional import layouts
from bnlab.functional.columns import Columns
from bnlab.functional.lines import Lines
from bnlab.functional.planes import Planes
from bnlab.functional.standardize import _definition, standardize

IMAGES = torch.randn(4, 6, 5, 3, dtype=torch.float64) * 2 + 1
CHANNELS_LAST = IMAGES.to(memory_format=torch.channels_last)
PER_CHANNEL = (torch.linspace(-1, 2, 6).double(), torch.linspace(1, -1, 6).double())
PER_CELL = tuple(torch.linspace(start, 2, 15).double().view(5, 3) for start in (-1, 1))
LAYOUTS = {
    "batch norm of vectors": (IMAGES[..., 0, 0].contiguous(), Columns, PER_CHANNEL),
    "batch norm of images": (IMAGES, Planes, PER_CHANNEL),
    "batch norm, channels last": (CHANNELS_LAST, Columns, PER_CHANNEL),
    "instance norm": (IMAGES, lambda x: Planes(x, groups=6), PER_CHANNEL),
    "group norm": (IMAGES, lambda x: Planes(x, groups=2), PER_CHANNEL),
    "layer norm": (IMAGES, lambda x: Lines(x, (5, 3)), PER_CELL),
    "RMS norm": (IMAGES, lambda x: Lines(x, (5, 3), centred=False), PER_CELL),
}
NORMS = {
    "batch_norm": lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True),
    "instance_norm": lambda x, w, b: functional.instance_norm(x, None, None, w, b),
    "group_norm": lambda x, w, b: functional.group_norm(x, 2, w, b),
    "layer_norm": lambda x, *_: functional.layer_norm(x, x.shape[1:]),
    "rms_norm": lambda x, *_: functional.rms_norm(x, x.shape[1:]),
}


@pytest.mark.parametrize("cells", [1, 64, 10**6], ids="blocks of {}".format)
@pytest.mark.parametrize("offset", [0.0, 1000.0], ids=["near 0", "far from 0"])
@pytest.mark.parametrize("affine", [(True, True), (True, False), (False, False)], ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_passes_equal_the_definition(monkeypatch, name, affine, offset, cells):
    monkeypatch.setattr(layouts, "BLOCK", cells)
    values, layout, parameters = LAYOUTS[name]
    found = []
    for function in (standardize, _definition):
        leaves = [values + offset, *parameters]
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        weight, bias = (
            leaf if wanted else None for leaf, wanted in zip(leaves[1:], affine, strict=True)
        )
        output, mean, var = function(leaves[0], layout(values), weight, bias, 1e-3)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        statistics = [var.flatten()] if mean is None else [mean.flatten(), var.flatten()]
        found.append((output, *statistics, *(leaf.grad for leaf in leaves)))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


SHARED = {
    "batch_norm": (IMAGES.shape, (0, 2, 3)),
    "instance_norm": (IMAGES.shape, (2, 3)),
    "group_norm": ((4, 2, 3 * 5 * 3), (2,)),
    "layer_norm": (IMAGES.shape, (1, 2, 3)),
}


@pytest.mark.parametrize("name", SHARED)
def test_normalize_backward_is_the_gradient_of_all_that_take_off_a_mean(name):
    leaf = IMAGES.clone().requires_grad_()
    upstream = torch.randn_like(leaf)
    (ours,) = torch.autograd.grad(NORMS[name](leaf, None, None), leaf, upstream)
    shape, dim = SHARED[name]
    values = IMAGES.view(shape)
    mean, var = functional.moments(values, dim)
    rstd = torch.rsqrt(var + 1e-5)
    normalized = (values - mean) * rstd
    expected = functional.normalize_backward(upstream.view(shape), normalized, rstd, dim)
    torch.testing.assert_close(ours, expected.view_as(ours))


@pytest.mark.parametrize("mean", [0.0, 1.0, 1.4, 1.5, 4.0, 30.0, 1e4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_float32_is_exact_at_any_mean(layout, mean):
    images = (torch.randn(8, 6, 16, 16) + mean).to(memory_format=layout)
    upstream = torch.randn(8, 6, 16, 16)
    for name in SHARED:
        answers = []
        for dtype in (torch.float32, torch.float64):
            leaf = images.to(dtype).requires_grad_()
            output = NORMS[name](leaf, None, None)
            (gradient,) = torch.autograd.grad(output, leaf, upstream.to(dtype))
            answers.append((output, gradient))
        for ours, exact in zip(*answers, strict=True):
            assert (ours - exact).abs().max() < 2e-6, name


@pytest.mark.parametrize("size", [(409, 401), (400, 400)], ids=["odd", "even"])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
def test_float32_is_exact_over_many_cells(offset, size):
    images = torch.randn(2, 2, *size) + offset
    for norm in NORMS.values():
        exact = norm(images.double(), None, None)
        assert (norm(images, None, None) - exact).abs().max() < 2e-6 * exact.abs().max()


@pytest.mark.parametrize("name", NORMS)
def test_no_more_than_the_input_is_kept_for_the_backward_pass(name):
    images = torch.randn(8, 6, 16, 16, requires_grad=True)
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        NORMS[name](images, torch.ones(6, requires_grad=True), torch.zeros(6))
    statistics = 4 * 8 * 6 * 4
    assert images.untyped_storage().data_ptr() in kept
    assert sum(kept.values()) <= images.untyped_storage().nbytes() + statistics


class Recorder(TorchDispatchMode):
    """The names of all kernels that are called."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):
        self.names.add(kernel.name())
        return kernel(*args, **kwargs or {})


def norm_kernels(function, *leaves):
    with Recorder() as recorder:
        output = function(*leaves)
        gradients = torch.autograd.grad(output.square().sum(), leaves[0], create_graph=True)
        gradients[0].square().sum().backward()
    vector_norm = "aten::linalg_vector_norm"
    return {name for name in recorder.names if "norm" in name and name != vector_norm}


@pytest.mark.parametrize("name", NORMS)
def test_no_norm_kernel_of_torchs_is_called(name):
    leaves = [torch.randn(4, 6, 3, 3), torch.ones(6), torch.zeros(6)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert norm_kernels(NORMS[name], *leaves) == set()


def test_a_norm_kernel_would_be_noticed():
    layer = nn.BatchNorm1d(3)
    assert norm_kernels(layer, torch.randn(4, 3, requires_grad=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, once
def test_transforms_see_the_definition():
    images = torch.randn(5, 4, 6, 3)
    weight, bias = torch.rand(6), torch.rand(6)
    for norm in NORMS.values():
        mapped = torch.func.vmap(lambda batch, norm=norm: norm(batch, weight, bias))(images)
        torch.testing.assert_close(mapped[3], norm(images[3], weight, bias))
        values = images[0].double()
        jacobian = torch.func.jacfwd(lambda x, norm=norm: norm(x, None, None).sum(-1))(values)
        expected = torch.func.jacrev(lambda x, norm=norm: norm(x, None, None).sum(-1))(values)
        torch.testing.assert_close(jacobian, expected)
