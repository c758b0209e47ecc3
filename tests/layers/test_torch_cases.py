"""The cases that torch tests its own layers with, run through torch's and ours."""

import pytest
import torch
from torch import nn

import bnlab


@pytest.fixture(scope="module")
def cases():
    """From a layer's name to torch's function that makes its cases."""
    # Imported late: it takes seconds.
    from torch.testing._internal.common_modules import module_db

    return {info.name: info.module_inputs_func for info in module_db}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", bnlab.layers.__all__)
def test_agrees_on_every_case_of_torchs(cases, name, dtype, training):
    inputs = cases[f"nn.{name}"](
        None, device="cpu", dtype=dtype, requires_grad=True, training=training
    )
    assert len(inputs) >= 5
    for case in inputs:
        built = case.constructor_input
        # In float64 torch's is the exact answer; in float32 it varies with the number of threads.
        theirs, ours = (
            getattr(library, name)(*built.args, **built.kwargs, dtype=precision).train(training)
            for library, precision in ((nn, torch.float64), (bnlab, dtype))
        )
        (batch,) = case.forward_input.args
        answers = []
        for layer, precision in ((ours, dtype), (theirs, torch.float64)):
            leaf = batch.detach().to(precision, copy=True).requires_grad_()
            output = layer(leaf)
            weights = torch.linspace(-1, 1, output.numel(), dtype=precision).view_as(output)
            (output * weights).sum().backward()
            answers.append([output, leaf.grad, *(p.grad for p in layer.parameters())])
        scale = 1e-10 if dtype == torch.float64 else 2e-5
        tolerance = {"rtol": scale, "atol": scale, "check_dtype": False}
        torch.testing.assert_close(*answers, **tolerance)
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **tolerance)
        if dtype == torch.float64 and batch.numel():
            leaf = batch.detach().clone().requires_grad_()
            assert torch.autograd.gradcheck(ours, leaf, fast_mode=True)
            assert torch.autograd.gradgradcheck(ours, leaf, fast_mode=True)
