"""What is seen of a network whose norm layer, freezing or folding is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab import models
from bnlab.borrowing import same_random_numbers
from bnlab.data import Dataset
from bnlab.training import accuracy, fit

Norm = Callable[..., nn.Module]


def with_norm(cls: Norm, trained: nn.Module) -> nn.Sequential:
    """The trained perceptron with another class of norms, its parameters and buffers in it."""
    with same_random_numbers():
        model = models.mlp(64, cls)
    model.load_state_dict(trained.state_dict())
    return model


def eval_loudness(cls: Norm, variances: Tensor) -> Tensor:
    """For channels of these variances: spread in eval mode as a share of that in train mode, (C).

    The batch is large, and seen often enough that the running statistics are its own.
    """
    x = torch.linspace(-1.7, 1.7, 1000)[:, None] * variances.sqrt()
    norm = cls(len(variances), eps=1e-3, momentum=1.0)
    train = norm(x).std(0)
    found: Tensor = norm.eval()(x).std(0) / train
    return found


@torch.no_grad()
def sit_exams(cls: Norm, trained: nn.Module, digits: Dataset) -> Tensor:
    """Accuracy in eval mode on the test digits, in batches of 5, in each of `ORDERS`, (4)."""
    model, test = with_norm(cls, trained).eval(), digits.test
    ink = test.inputs.sum(1)
    shuffled = torch.randperm(len(ink), generator=torch.Generator().manual_seed(0))
    results = []
    for order in (shuffled, test.targets.argsort(stable=True), ink.argsort(), shuffled):
        read = torch.cat([model(test.inputs[rows]).argmax(1) for rows in order.split(5)])
        results.append((read == test.targets[order]).float().mean())
    return torch.stack(results)


ORDERS = ("shuffled", "class by class", "faint ones first", "shuffled again")


def in_company(
    cls: Norm, trained: nn.Module, digits: Dataset, index: int, draws: int = 10
) -> Tensor:
    """The logits of one digit among seven others, in eval mode with gradients on, (draws, 10)."""
    logits = []
    for seed in range(draws):
        model = with_norm(cls, trained).eval()
        rows = torch.randperm(1347, generator=torch.Generator().manual_seed(seed))[:7]
        batch = torch.cat((digits.test.inputs[index : index + 1], digits.train.inputs[rows]))
        logits.append(model(batch.requires_grad_())[0].detach())
    return torch.stack(logits)


def kept_operations(cls: Norm, digits: Dataset, steps: int = 30) -> Tensor:
    """How many operations of the graph hang on the first running mean after each step, (T)."""
    counts = []
    for model in _steps(cls, digits, steps):
        counts.append(count_operations(model.get_submodule("norm1").running_mean))
    return torch.tensor(counts)


def count_operations(tensor: Any) -> int:
    """How many recorded operations a tensor keeps alive for a backward pass."""
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)


def idle_bias(cls: Norm, digits: Dataset, steps: int = 60) -> Tensor:
    """How far the biases in front of the first norm have moved after each step, (T)."""
    moved = []
    for model in _steps(cls, digits, steps):
        moved.append(model.get_parameter("linear1.bias").detach().clone())
    return torch.stack([(bias - moved[0]).norm() for bias in moved])


def _steps(cls: Norm, digits: Dataset, steps: int) -> Iterator[nn.Module]:
    """A perceptron before training, and after each step of it."""
    with same_random_numbers():
        torch.default_generator.manual_seed(0)
        model = models.mlp(64, cls)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    yield model
    order = torch.randperm(1347, generator=torch.Generator().manual_seed(0))
    for rows in order.repeat(1 + steps * 64 // 1347)[: steps * 64].split(64):
        optimizer.zero_grad()
        loss = cross_entropy(model(digits.train.inputs[rows]), digits.train.targets[rows])
        loss.backward()
        optimizer.step()
        yield model


def before_and_after_loading(cls: Norm, digits: Dataset, epochs: int = 3) -> Tensor:
    """Test accuracy of a trained network, and of a new one that loads its state dict, (2)."""
    with same_random_numbers():
        torch.default_generator.manual_seed(0)
        model, loaded = models.mlp(64, cls), models.mlp(64, cls)
    fit(model, digits, epochs=epochs, lr=0.05, progress=False)
    loaded.load_state_dict(copy.deepcopy(model.state_dict()))
    return torch.tensor([accuracy(each, digits.test) for each in (model, loaded)])


@torch.no_grad()
def fine_tuned(
    freeze: Callable[[nn.Module], nn.Module], trained: nn.Module, digits: Dataset
) -> Tensor:
    """Test accuracy of a network with frozen norms as batches of ones pass in train mode, (T)."""
    model = copy.deepcopy(trained)
    model = freeze(model) or model
    ones = digits.train.inputs[digits.train.targets == 1]
    found = [accuracy(model, digits.test)]
    for batch in ones.split(8):
        model.train()(batch)
        found.append(accuracy(model, digits.test))
    return torch.tensor(found)


@torch.no_grad()
def fold_gaps(fold: Callable[[Any, Any], Any], trained: nn.Module, digits: Dataset) -> Tensor:
    """Folded layer less layer and norm, in each channel, on average over the test digits, (C)."""
    model = copy.deepcopy(trained).eval()
    layer, norm = model.get_submodule("linear1"), model.get_submodule("norm1")
    proper = norm(layer(digits.test.inputs))
    folded: Any = fold(layer, norm)
    weight, bias = (folded.weight, folded.bias) if hasattr(folded, "weight") else folded
    gap: Tensor = digits.test.inputs @ weight.T + bias - proper
    return gap.mean(0)
