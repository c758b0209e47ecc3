"""A training that is killed and resumed ends as the one that was never interrupted, to the bit."""

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets  # imported here, it is there for every process
import sklearn.model_selection  # noqa: F401
import torch
from torch import nn, optim
from torch.nn.functional import cross_entropy

import bnlab
from bnlab import checkpoint, data
from tests.checkpoint.children import Children
from tests.checkpoint.states import frozen, seed_all

BEFORE, AFTER = 12, 10
OPTIMIZERS = ("SGD", "Adam")


@dataclass
class Training:
    """A convolutional network with batch norm and dropout on digits; each step draws from all
    generators: torch's for dropout, Python's and NumPy's for the pictures, its own for the order.
    """

    model: nn.Module
    optimizer: optim.Optimizer
    scheduler: Any
    order: torch.Generator
    digits: data.Split
    done: int = 0

    def train(self, steps: int) -> None:
        pixels, targets = self.digits.inputs, self.digits.targets
        for _ in range(steps):
            rows = torch.randint(len(targets), (32,), generator=self.order)
            batch = pixels[rows]
            if random.random() < 0.5:
                batch = batch.roll(1, dims=-1)
            # The stream that augmentations of others draw from.
            batch = batch + 0.05 * float(np.random.standard_normal())  # noqa: NPY002
            loss = cross_entropy(self.model(batch), targets[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.done += 1

    def outcome(self) -> dict[str, object]:
        """Everything that was trained, and what would be drawn next."""
        return {
            "model": frozen(self.model.state_dict()),
            "optimizer": frozen(self.optimizer.state_dict()),
            "scheduler": frozen(self.scheduler.state_dict()),
            "steps": self.done,
            "torch": frozen(torch.rand(4)),
            "normal": frozen(torch.randn(3)),
            "python": (random.random(), random.gauss(0, 1)),
            "numpy": frozen(np.random.standard_normal(3)),  # noqa: NPY002
            "order": frozen(torch.randperm(9, generator=self.order)),
        }


def start(optimizer: str, seed: int) -> Training:
    """A training before its first step."""
    seed_all(seed)
    model = network()
    if optimizer == "SGD":
        updates: optim.Optimizer = optim.SGD(
            model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        scheduler: Any = optim.lr_scheduler.CosineAnnealingLR(updates, T_max=BEFORE + AFTER)
    else:
        updates = optim.Adam(model.parameters(), lr=0.01)
        scheduler = optim.lr_scheduler.OneCycleLR(updates, 0.02, total_steps=2 * (BEFORE + AFTER))
    order = torch.Generator().manual_seed(seed)
    return Training(model, updates, scheduler, order, data.digits().train)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        bnlab.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 32),
        bnlab.BatchNorm1d(32, momentum=None),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(32, 10),
    )


def train_through(optimizer: str) -> dict[str, object]:
    training = start(optimizer, seed=0)
    training.train(BEFORE + AFTER)
    return training.outcome()


def train_until_killed(optimizer: str, path: Path, saved: Path) -> None:
    """Save after some steps, and go on until somebody ends it."""
    training = start(optimizer, seed=0)
    training.train(BEFORE)
    checkpoint.save(
        path,
        training.model,
        optimizer=training.optimizer,
        scheduler=training.scheduler,
        step=training.done,
        generators={"order": training.order},
    )
    saved.touch()
    while True:
        training.train(1)


def resume(optimizer: str, path: Path, without: Sequence[str] = ()) -> dict[str, object]:
    """Load all but some parts into another start, and train the other steps."""
    training = start(optimizer, seed=1)
    parts: dict[str, Any] = {
        "optimizer": training.optimizer,
        "scheduler": training.scheduler,
        "generators": {"order": training.order},
        "rng": True,
    }
    given = {name: part for name, part in parts.items() if name not in without}
    model = network() if "model" in without else training.model
    loaded = checkpoint.load(path, model, **given)
    training.done = loaded.step
    training.train(AFTER)
    return training.outcome()


@dataclass(frozen=True)
class Runs:
    """An uninterrupted run's outcome, and the file that an interrupted one left."""

    optimizer: str
    uninterrupted: dict[str, object]
    path: Path


@pytest.fixture(scope="module", params=OPTIMIZERS)
def runs(
    request: pytest.FixtureRequest, children: Children, tmp_path_factory: pytest.TempPathFactory
) -> Runs:
    folder = tmp_path_factory.mktemp("resume")
    path, saved = folder / "model.safetensors", folder / "saved"
    child = children.start(train_until_killed, request.param, path, saved)
    deadline = time.monotonic() + 60
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    children.kill(child)
    assert saved.exists()
    return Runs(request.param, children.call(train_through, request.param), path)


def test_two_uninterrupted_runs_are_equal(children: Children, runs: Runs) -> None:
    assert children.call(train_through, runs.optimizer) == runs.uninterrupted


def test_killed_and_resumed_equals_uninterrupted(children: Children, runs: Runs) -> None:
    resumed = children.call(resume, runs.optimizer, runs.path)
    assert resumed["steps"] == BEFORE + AFTER
    differing = [name for name, value in runs.uninterrupted.items() if resumed[name] != value]
    assert differing == []


def test_resumed_twice_from_one_file(children: Children, runs: Runs) -> None:
    before = runs.path.read_bytes()
    assert children.call(resume, runs.optimizer, runs.path) == runs.uninterrupted
    assert runs.path.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "where"),
    [
        ("model", "model"),
        ("optimizer", "optimizer"),
        ("scheduler", "model"),
        ("rng", "torch"),
        ("rng", "python"),
        ("rng", "numpy"),
        ("generators", "order"),
    ],
)
def test_each_part_matters(children: Children, runs: Runs, part: str, where: str) -> None:
    """So the equality above can fail."""
    resumed = children.call(resume, runs.optimizer, runs.path, [part])
    assert resumed[where] != runs.uninterrupted[where]
    assert resumed["model"] != runs.uninterrupted["model"]


def resume_in_steps(optimizer: str, path: Path, folder: Path) -> dict[str, object]:
    """Save and load anew after every single step."""
    training = start(optimizer, seed=2)
    for at in range(AFTER + 1):
        checkpoint.load(
            path,
            training.model,
            optimizer=training.optimizer,
            scheduler=training.scheduler,
            generators={"order": training.order},
            rng=True,
        )
        if at == AFTER:
            break
        training.train(1)
        path = folder / f"{at}.safetensors"
        checkpoint.save(
            path,
            training.model,
            optimizer=training.optimizer,
            scheduler=training.scheduler,
            generators={"order": training.order},
        )
        training = start(optimizer, seed=3 + at)
    training.done = BEFORE + AFTER
    return training.outcome()


def test_interrupted_after_every_step(children: Children, runs: Runs, tmp_path: Path) -> None:
    resumed = children.call(resume_in_steps, runs.optimizer, runs.path, tmp_path)
    assert resumed == runs.uninterrupted


def save_and_die(path: Path) -> None:
    training = start("SGD", seed=0)
    training.train(2)
    checkpoint.save(path, training.model, epoch=1)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_saved_survives_the_very_next_moment(children: Children, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ChildProcessError, match="SIGKILL"):
        children.call(save_and_die, path)
    assert checkpoint.load(path, network()).epoch == 1
