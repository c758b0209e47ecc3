"""Runs a minute of `sweep` and of a plain loop over the same trainings, in turns.

    python -m benchmarks.sweeps [--runs 64] [--turns 3] [--layers torch]

The network is the perceptron of the lessons (64-128-64-10, batch norm before both ReLUs) on the
digits, ten epochs: first by `fit` in float32, then by `fit_repeatably` in float64. The loop calls
it once for each run, on one thread or on all, whichever is faster here; nothing is cached. A third
row is one stack in one process.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.training import Training, sweep
from bnlab.training.tasks import one_thread, perform

LRS = (0.02, 0.05, 0.1, 0.2)
LAYERS = {"bnlab": bnlab.BatchNorm1d, "torch": nn.BatchNorm1d, "none": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=64, help="of the sweep, a multiple of 4")
    parser.add_argument("--alone", type=int, default=4, help="of the plain loop, in each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--layers", choices=LAYERS, default="bnlab")
    options = parser.parse_args()
    for repeatable in (False, True):
        compare(options, repeatable)


def compare(options: argparse.Namespace, repeatable: bool) -> None:
    """Print the rates of all ways to do the same runs."""
    norm = LAYERS[options.layers]

    def build() -> nn.Module:
        return models.mlp(64, norm)

    digits = data.digits(flat=True)
    run = Training(build, digits, epochs=options.epochs, repeatable=repeatable)
    seeds = options.runs // len(LRS)

    def loop() -> int:
        for seed in range(options.alone):
            run(seed=seed, lr=LRS[seed % len(LRS)])
        return options.alone

    def loop_on_one() -> int:
        with one_thread():
            return loop()

    def stack() -> int:
        points = [{"lr": lr, "seed": seed} for lr in LRS for seed in range(4)]
        perform(run, points, [""] * len(points), None)
        return len(points)

    def both() -> int:
        sweep(run, {"lr": LRS}, seeds=seeds, progress=False, cache=None)
        return options.runs

    ways = {
        f"plain loop, {torch.get_num_threads()} threads": loop,
        "plain loop, 1 thread": loop_on_one,
        "one stack of 16, 1 process": stack,
        "sweep": both,
    }
    # Once before the clock runs: it loads code, and starts the sweep's other processes.
    both()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.turns):
        for name, way in ways.items():
            rates[name].append(measured(way))
        print(f"turn {turn + 1}:", ", ".join(f"{name} {r[-1]:.0f}" for name, r in rates.items()))
    middle = {name: statistics.median(rate) for name, rate in rates.items()}
    best = max(rate for name, rate in middle.items() if name.startswith("plain"))
    kind = "fit_repeatably, float64" if repeatable else "fit, float32"
    print(f"\nruns a minute, median of {options.turns}; {options.layers} layers, {kind}")
    for name, rate in middle.items():
        print(f"{name:28} {rate:7.0f}   {rate / best:4.1f} x the faster loop")
    print()


def measured(way: Callable[[], int]) -> float:
    """Runs a minute."""
    start = time.perf_counter()
    runs = way()
    return 60 * runs / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
