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
    """Return the trained perceptron with another class of norms, its parameters and buffers in it.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        trained: `models.mlp(64, ...)` with norms that have torch's state dict; it stays as it is.

    Raises:
        RuntimeError: If the class has another state dict.

    Example:
        >>> trained = models.mlp(64, nn.BatchNorm1d)
        >>> model = with_norm(nn.SyncBatchNorm, trained)
        >>> type(model.norm1).__name__, torch.equal(model.linear1.weight, trained.linear1.weight)
        ('SyncBatchNorm', True)
    """
    with same_random_numbers():
        model = models.mlp(64, cls)
    model.load_state_dict(trained.state_dict())
    return model


def eval_loudness(cls: Norm, variances: Tensor) -> Tensor:
    """Return the spread in eval mode as a share of that in train mode, channel by channel.

    With a momentum of 1 the running statistics are those of the one batch that is seen.

    Args:
        cls: A class of norms, built as `cls(num_features, eps=..., momentum=...)`.
        variances: Of the channels.

    Shape:
        - variances and output: (C)

    Example:
        >>> eval_loudness(nn.BatchNorm1d, torch.tensor([1e-6, 1.0])).round(decimals=2)
        tensor([1., 1.])
    """
    x = torch.linspace(-1.7, 1.7, 1000)[:, None] * variances.sqrt()
    norm = cls(len(variances), eps=1e-3, momentum=1.0)
    train = norm(x).std(0)
    found: Tensor = norm.eval()(x).std(0) / train
    return found.detach()


@torch.no_grad()
def sit_exams(cls: Norm, trained: nn.Module, digits: Dataset) -> Tensor:
    """Return the accuracy on the test digits in eval mode, in batches of 5, in each of `ORDERS`.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        trained: A perceptron with batch norms.
        digits: Flat, as it was trained on.

    Shape:
        - output: (4)
    """
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
    """Return the logits of one digit among seven others, in eval mode with gradients on.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        trained: A perceptron with batch norms.
        digits: Flat, as it was trained on.
        index: Of the digit, in the test split.
        draws: How many times the others are drawn anew, from the training split.

    Shape:
        - output: (draws, 10)
    """
    logits = []
    for seed in range(draws):
        model = with_norm(cls, trained).eval()
        everyone = len(digits.train.targets)
        rows = torch.randperm(everyone, generator=torch.Generator().manual_seed(seed))[:7]
        batch = torch.cat((digits.test.inputs[index : index + 1], digits.train.inputs[rows]))
        logits.append(model(batch.requires_grad_())[0].detach())
    return torch.stack(logits)


def kept_operations(cls: Norm, digits: Dataset, steps: int = 30) -> Tensor:
    """Count the operations of the graph that hang on the first running mean, after each step.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        digits: Flat.
        steps: Of training, from a fixed start.

    Shape:
        - output: before the first step and after each, (1 + steps)
    """
    counts = []
    for model in _steps(cls, digits, steps):
        counts.append(count_operations(model.get_submodule("norm1").running_mean))
    return torch.tensor(counts)


def count_operations(tensor: Any) -> int:
    """Count the recorded operations that a tensor keeps for a backward pass.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> count_operations(x), count_operations(2 * x + 1)
        (0, 3)
    """
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)


def idle_bias(cls: Norm, digits: Dataset, steps: int = 60) -> Tensor:
    """Return how far the biases in front of the first norm have moved after each step.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        digits: Flat.
        steps: Of training, from a fixed start.

    Shape:
        - output: 0 before the first step, then a length after each, (1 + steps)
    """
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
    size = len(digits.train.targets)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    for rows in order.repeat(1 + steps * 64 // size)[: steps * 64].split(64):
        optimizer.zero_grad()
        loss = cross_entropy(model(digits.train.inputs[rows]), digits.train.targets[rows])
        loss.backward()
        optimizer.step()
        yield model


def before_and_after_loading(cls: Norm, digits: Dataset, epochs: int = 3) -> Tensor:
    """Train a network, load its state dict into a new one, and return the test accuracy of both.

    Args:
        cls: A class of norms, built as `cls(num_features)`.
        digits: Flat.
        epochs: Of training, from a fixed start.

    Shape:
        - output: (2)
    """
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
    """Return a frozen network's test accuracy while ones pass through it in train mode.

    Args:
        freeze: `fn(model)`, which freezes in place or returns a frozen model.
        trained: A perceptron with batch norms.
        digits: Flat, as it was trained on.

    Shape:
        - output: before the first batch of eight and after each, (T)
    """
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
    """Return each channel of a folded layer less that of layer and norm, averaged over digits.

    Args:
        fold: `fn(layer, norm)`, which returns weight and bias, or a new layer that has them.
        trained: A perceptron with batch norms.
        digits: Flat, as it was trained on.

    Shape:
        - output: (C)
    """
    model = copy.deepcopy(trained).eval()
    layer, norm = model.get_submodule("linear1"), model.get_submodule("norm1")
    proper = norm(layer(digits.test.inputs))
    folded: Any = fold(layer, norm)
    weight, bias = (folded.weight, folded.bias) if hasattr(folded, "weight") else folded
    gap: Tensor = digits.test.inputs @ weight.T + bias - proper
    return gap.mean(0)
