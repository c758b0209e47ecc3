"""The same code and data have the same digest everywhere; a changed line anywhere has another."""

import functools
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from bnlab import data
from bnlab.training import Training, sweep
from bnlab.training.fingerprint import Fingerprints


def digest(*values):
    return Fingerprints().of(*values)


def defined(source, name="run", **names):
    """A function as a notebook defines it."""
    space = {"__name__": "__main__", **names}
    exec(source, space)
    return space[name]


RUN = """
factor = 2
def helper(value):
    return factor * value
class Kept:
    offset = 1
    def shift(self, value):
        return value + self.offset
def run(seed, power=1):
    return {"value": helper(seed) + Kept().shift(power)}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("factor = 2", "factor = 3"),
        ("factor * value", "factor + value"),
        ("offset = 1", "offset = 2"),
        ("value + self.offset", "value - self.offset"),
        ("power=1", "power=2"),
        ('"value":', '"other":'),
    ],
)
def test_what_a_function_refers_to_is_part_of_it(old, new):
    assert old in RUN
    assert digest(defined(RUN)) == digest(defined(RUN))
    assert digest(defined(RUN)) != digest(defined(RUN.replace(old, new)))


def test_comments_and_places_are_no_part_of_it():
    assert digest(defined(RUN)) == digest(defined("\n\n# a remark\n" + RUN))
    assert digest(defined(RUN)) == digest(defined(RUN + "\nunused = 5\n"))


def test_lambdas_closures_partials_and_methods():
    def scaled(factor):
        return lambda value: factor * value

    assert digest(scaled(2)) == digest(scaled(2))
    assert digest(scaled(2)) != digest(scaled(3))
    tensor = torch.arange(3.0)
    assert digest(scaled(tensor)) == digest(scaled(tensor.clone()))
    assert digest(scaled(tensor)) != digest(scaled(tensor + 1))
    assert digest(functools.partial(max, key=1)) != digest(functools.partial(max, key=2))
    assert digest(functools.partial(scaled, 1)) == digest(functools.partial(scaled, 1))
    assert digest([].append) != digest([1].append)
    assert digest(functools.lru_cache(scaled(1))) != digest(functools.lru_cache(scaled(2)))


def test_functions_that_call_each_other():
    source = """
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
"""
    assert digest(defined(source, "even")) == digest(defined(source, "even"))
    assert digest(defined(source, "even")) != digest(defined(source, "odd"))
    changed = source.replace("n != 0", "n > 0")
    assert digest(defined(source, "even")) != digest(defined(changed, "even"))


def test_values_of_every_plain_kind():
    values = [
        None, True, False, 0, 1, 1.0, "1", b"1", (), (1,), [1], {1}, {1: 2}, {1: [2]}, 1j, ...,
        torch.ones(1), torch.ones(1, dtype=torch.float64), torch.ones(1, 1), torch.float32,
        Path("a"), nn.Parameter(torch.ones(1)), nn.ReLU, nn.Tanh, nn, functools, len, range(3),
        nn.Linear(1, 1).requires_grad_(False), torch.ones(2).numpy(),
    ]  # fmt: skip
    digests = [digest(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digest({"a", "b", "c"}) == digest({"c", "b", "a"})
    prints = Fingerprints()
    assert digests == [prints.of(value) for value in values]


def test_a_networks_weights_are_its_content():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        torch.manual_seed(0)
        same = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert digest(one) == digest(same)
    with torch.no_grad():
        same[0].weight[0, 0] += 1
    assert digest(one) != digest(same)


def test_a_training_counts_by_what_it_does():
    tiny = data.Split(torch.rand(4, 2), torch.zeros(4, dtype=torch.int64))
    dataset = data.Dataset(tiny, tiny, ("a",))

    def build(width=1):
        return nn.Linear(2, width)

    run = Training(build, dataset)
    one = digest(run.given({"lr": 0.1}), 0)
    assert one == digest(run.given({}), 0)
    assert one != digest(run.given({"lr": 0.2}), 0)
    assert one != digest(run.given({"width": 2}), 0)
    assert one != digest(run.given({}), 1)
    other = data.Split(tiny.inputs + 1, tiny.targets)
    assert one != digest(Training(build, data.Dataset(tiny, other, ("a",))).given({}), 0)


def test_another_process_finds_the_same(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(RUN + "\nfrom bnlab.training.fingerprint import Fingerprints\n")
    with script.open("a") as file:
        file.write("import torch\nwords = {'a', 'b', 'c'}\n")
        file.write("def all(seed): return run(seed), words, torch.ones(seed)\n")
        file.write("print(Fingerprints().of(all, 3))\n")
    digests = {
        subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_what_cannot_be_told_is_refused(tmp_path):
    lock = threading.Lock()

    def run(seed, power):
        with lock:
            return {"value": seed + power}

    with pytest.raises(TypeError, match="a lock cannot be part of a run that is kept"):
        sweep(run, {"power": [1]}, 1, progress=False, cache=tmp_path)
    runs = sweep(run, {"power": [1]}, 1, progress=False, cache=None)
    assert runs["value"].item() == 1
