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
        theirs, ours = (
            getattr(library, name)(*built.args, **built.kwargs, dtype=dtype).train(training)
            for library in (nn, bnlab)
        )
        (batch,) = case.forward_input.args
        answers = []
        for layer in (ours, theirs):
            leaf = batch.detach().clone().requires_grad_()
            output = layer(leaf)
            (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
            answers.append([output, leaf.grad, *(p.grad for p in layer.parameters())])
        torch.testing.assert_close(answers[0], answers[1])
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
        if dtype == torch.float64 and batch.numel():
            leaf = batch.detach().clone().requires_grad_()
            assert torch.autograd.gradcheck(ours, leaf, fast_mode=True)
            assert torch.autograd.gradgradcheck(ours, leaf, fast_mode=True)
