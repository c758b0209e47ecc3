"""A sweep runs everything once, keeps it, and says what went wrong where."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from bnlab import data, models
from bnlab.training import Training, lanes, sweep, sweeps
from bnlab.training.cache import Cache, find_folder


@pytest.fixture(scope="module")
def digits():
    whole = data.digits(flat=True)
    few = data.Split(whole.train.inputs[:160], whole.train.targets[:160])
    return data.Dataset(few, whole.test, whole.classes)


@dataclass
class Outcome:
    value: float
    series: list[float]
    word: str = ""
    nothing: None = None


def counted(folder):
    """A run that leaves a file behind for each time it was really done."""
    folder.mkdir()

    def run(seed, power, name="a"):
        (folder / f"{power} {name} {seed} {len(list(folder.iterdir()))}").touch()
        length = 3 if power == 1 or seed else 1
        return Outcome((seed + 1.0) ** power, [float(seed)] * length, "early" * (length == 1))

    return run


def test_axes_tensors_means_and_spread(tmp_path):
    run = counted(tmp_path / "done")
    runs = sweep(
        run, {"power": [1, 2], "name": ["a", "b"]}, seeds=[0, 3, 5], progress=False, cache=None
    )
    assert runs.axes == {"power": (1, 2), "name": ("a", "b"), "seed": (0, 3, 5)}
    assert len(list((tmp_path / "done").iterdir())) == 12
    assert runs.names == ["series", "value", "word"]
    assert runs["value"].tolist() == [[[1, 4, 6]] * 2, [[1, 16, 36]] * 2]
    assert runs["series"].shape == (2, 2, 3, 3)
    assert runs["series"][1, 0, 0].isnan().tolist() == [False, True, True]
    assert runs["word"].tolist() == [[[False] * 3] * 2, [[True, False, False]] * 2]
    some = runs.where(power=2, name="b")
    assert some.axes == {"seed": (0, 3, 5)}
    assert some.mean("value").item() == pytest.approx(53 / 3)
    assert some.std("value").item() == pytest.approx(torch.tensor([1.0, 16, 36]).std().item())
    assert runs.mean("series").shape == (2, 2, 3)
    assert runs.where(power=2).mean("series").isnan().tolist() == [[False, True, True]] * 2
    assert runs.where(power=1, name="a", seed=3)["value"].item() == 4


def test_a_table_takes_the_last_value_that_a_run_has(tmp_path):
    runs = sweep(counted(tmp_path / "done"), {"power": [2]}, seeds=3, progress=False, cache=None)
    table = runs.table("series", digits=1)
    assert table.rows[0].values.tolist() == [0, 1, 2]
    assert repr(table) == "power  series, mean ± std of 3 seeds\n    2  1.0 ± 1.0"
    assert "<td>2</td><td>1.0 ± 1.0</td>" in table._repr_html_()
    assert "value in %" in repr(runs.table("value", percent=True))


def test_a_finished_run_is_never_done_again(tmp_path):
    run = counted(tmp_path / "done")

    def done(*args, **options):
        before = len(list((tmp_path / "done").iterdir()))
        runs = sweep(run, *args, progress=False, cache=tmp_path / "cache", **options)
        return runs, len(list((tmp_path / "done").iterdir())) - before

    first, count = done({"power": [1, 2]}, seeds=2)
    assert count == 4
    again, count = done({"power": [1, 2]}, seeds=2)
    assert count == 0
    for name in first.names:
        assert torch.equal(first[name].nan_to_num(), again[name].nan_to_num())
    assert first.results[1]["word"] == again.results[1]["word"]
    more, count = done({"power": [2, 3, 1]}, seeds=3)
    assert count == 5
    assert torch.equal(more.where(power=1)["value"][:2], first.where(power=1)["value"])


def test_a_damaged_file_is_done_again(tmp_path):
    run = counted(tmp_path / "done")
    options = {"seeds": 4, "progress": False, "cache": tmp_path / "cache"}
    first = sweep(run, {"power": [1]}, **options)
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:-3])
    files[1].write_bytes(b"")
    whole = bytearray(files[2].read_bytes())
    whole[-1] ^= 1
    files[2].write_bytes(whole)
    again = sweep(run, {"power": [1]}, **options)
    assert torch.equal(first["value"], again["value"])
    assert len(list((tmp_path / "done").iterdir())) == 7


def test_a_foreign_file_cannot_run_anything(tmp_path):
    cache = Cache(tmp_path)
    cache.store("key", {"value": torch.ones(2)})
    assert cache.load("key") is not None
    file = tmp_path / "key.run"
    written = file.read_bytes()
    for other in (b"F64", b"I32"):
        file.write_bytes(written.replace(b"F32", other))
        assert cache.load("key") is None
    torch.save({"value": torch.ones(2)}, file)
    assert cache.load("key") is None


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("BNLAB_CACHE", str(tmp_path / "here"))
    sweep(counted(tmp_path / "done"), {"power": [1]}, seeds=1, progress=False)
    assert len(list((tmp_path / "here").iterdir())) == 1
    monkeypatch.delenv("BNLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert find_folder() == tmp_path / "user" / "bnlab"


def test_a_folder_that_takes_no_files_is_a_warning(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="BNLAB_CACHE"):
        runs = sweep(
            counted(tmp_path / "done"),
            {"power": [1]},
            seeds=1,
            progress=False,
            cache=tmp_path / "file" / "cache",
        )
    assert runs["value"].shape == (1, 1)


def build(norm=True, width=128):
    del width
    return models.mlp(64, nn.BatchNorm1d if norm else None)


def test_training_takes_settings_to_their_places(digits):
    run = Training(build, digits, epochs=1, batch_size=32)
    assert len(run(norm=False).loss) == 5
    assert len(run(epochs=2, batch_size=80).loss) == 4
    assert run(lr=0.5).loss != run().loss
    adam = Training(build, digits, epochs=1, optimizer=torch.optim.Adam)
    assert adam(lr=0.5).loss != adam(lr=0.01).loss
    with pytest.raises(ValueError, match="its own optimizer"):
        adam(momentum=0.5)
    with pytest.raises(ValueError, match=r"'nrom'.*build takes norm, width.*epochs, batch_size"):
        run(nrom=True)


def test_a_build_that_takes_a_seed_gets_the_runs(digits):
    run = Training(models.deep_mlp, digits, epochs=1, lr=0.01)
    runs = sweep(run, {"depth": [1]}, seeds=2, progress=False, cache=None)
    assert runs["loss"][0, 0, 0] != runs["loss"][0, 1, 0]
    assert runs["loss"][0, 1].tolist() == pytest.approx(run(seed=1, depth=1).loss, rel=1e-9)


def test_the_trained_model_can_be_had(digits, tmp_path):
    run = Training(build, digits, epochs=1, keep=True)
    for _ in range(2):
        runs = sweep(run, {"norm": [True, False]}, seeds=2, progress=False, cache=tmp_path)
    model = runs.model(norm=True, seed=1)
    assert not model.training
    right = (model(digits.test.inputs.double()).argmax(1) == digits.test.targets).double().mean()
    assert right.item() == runs["test_accuracy"][0, 1, -1]
    assert not any(name.startswith("state") for name in runs.names)
    with pytest.raises(ValueError, match="are 2 runs: name every axis"):
        runs.model(norm=True)
    bare = sweep(Training(build, digits, epochs=1), {"norm": [True]}, 1, progress=False, cache=None)
    with pytest.raises(ValueError, match="keep=True"):
        bare.model(norm=True, seed=0)


@pytest.mark.parametrize(
    ("grid", "options", "message"),
    [
        ({}, {}, "the grid is empty"),
        ({"power": []}, {}, "'power' has no values"),
        ({"power": 3}, {}, r"give a list, also of one: \[3\]"),
        ({"name": "none"}, {}, r"\['none'\]"),
        ({"power": [1]}, {"seeds": 0}, "there is no seed"),
        ({"power": [1]}, {"seeds": []}, "there is no seed"),
        ({"power": [1]}, {"seeds": [0.5]}, "whole numbers"),
        ({"power": [1, 1]}, {}, "a value twice"),
        ({"power": [1], "seed": [1]}, {}, "an axis of its own"),
        ({"power": [nn.ReLU()]}, {}, "is a ReLU: the values of a grid are plain"),
        ({"power": [1], "lr": [1]}, {}, "the run is called with power, lr, seed"),
        ({"name": ["a"]}, {}, "missing a required argument: 'power'"),
    ],
)
def test_a_grid_that_cannot_be_run_is_refused_before_the_first_run(
    tmp_path, grid, options, message
):
    with pytest.raises(ValueError, match=message):
        sweep(counted(tmp_path / "done"), grid, progress=False, cache=None, **options)
    assert not list((tmp_path / "done").iterdir())


def test_questions_that_have_no_answer(tmp_path):
    runs = sweep(counted(tmp_path / "done"), {"power": [1]}, seeds=2, progress=False, cache=None)
    with pytest.raises(KeyError, match="there are series, value, word"):
        runs["accuracy"]
    with pytest.raises(ValueError, match="no axis 'norm': there are power, seed"):
        runs.where(norm="batch")
    with pytest.raises(ValueError, match="no run has power=7"):
        runs.where(power=7)
    with pytest.raises(ValueError, match="nothing is left to average over"):
        runs.where(seed=1).mean("value")


def test_an_unknown_setting_of_a_training_is_refused(digits):
    with pytest.raises(ValueError, match="no place for the setting 'nrom'"):
        sweep(Training(build, digits), {"nrom": [True]}, progress=False, cache=None)


def test_an_error_inside_a_run_names_its_settings(tmp_path, digits):
    def run(seed, power):
        if seed == 1:
            raise ZeroDivisionError("by nothing")
        return {"value": power}

    with pytest.raises(RuntimeError, match="power=2, seed=1 failed: ZeroDivisionError: by nothing"):
        sweep(run, {"power": [2]}, seeds=2, progress=False, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    training = Training(build, digits, epochs=1)
    with pytest.raises(RuntimeError, match=r"batch_size=9999, seed=0 .*160 samples"):
        sweep(training, {"batch_size": [9999]}, seeds=9, progress=False, cache=None)
    small = Training(lambda: nn.Linear(64, 7), digits, epochs=1)
    with pytest.raises(RuntimeError, match=r"the model returned shape \(64, 7\): .*Linear"):
        sweep(small, {"lr": [0.1]}, seeds=2, progress=False, cache=None)


def test_what_a_run_may_not_return():
    def run(seed, kind):
        return {"number": seed, "object": {"bad": object()}, "strings": ["a", "b"]}[kind]

    with pytest.raises(RuntimeError, match="return a dataclass or a mapping"):
        sweep(run, {"kind": ["number"]}, 1, progress=False, cache=None)
    with pytest.raises(RuntimeError, match="a run returned bad = <object"):
        sweep(run, {"kind": ["object"]}, 1, progress=False, cache=None)


def test_the_generator_stands_at_the_runs_seed_and_is_put_back():
    def run(seed, name):
        return {name: seed, "drawn": torch.rand(3)}

    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = sweep(run, {"name": ["a"]}, seeds=[7], progress=False, cache=None)
    assert torch.equal(before, torch.get_rng_state())
    expected = torch.rand(3, generator=torch.Generator().manual_seed(7))
    assert torch.equal(runs["drawn"][0, 0], expected)


def test_the_bar_counts_runs(capfd, tmp_path):
    for _ in range(2):
        sweep(counted(tmp_path / f"{_}"), {"power": [1]}, seeds=3, cache=None)
        assert "3/3" in capfd.readouterr().err
    run = counted(tmp_path / "done")
    sweep(run, {"power": [1]}, seeds=3, progress=False, cache=tmp_path / "cache")
    sweep(run, {"power": [1]}, seeds=3, cache=tmp_path / "cache")
    assert capfd.readouterr().err == ""


def test_other_processes_take_their_part(monkeypatch, tmp_path):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    script = tmp_path / "script.py"
    script.write_text(MANY)
    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )
    processes, right = ran.stdout.split()
    assert right == "True"
    assert int(processes) > 1 or os.cpu_count() == 1


MANY = """
import os, time
import torch
from bnlab.training import sweep, lanes

lanes.PATIENCE = 0.0
offset = torch.tensor(2.0)

def run(seed, power):
    time.sleep(0.3)
    return {"process": os.getpid(), "value": (seed + offset) ** power}

if __name__ == "__main__":
    runs = sweep(run, {"power": [1, 2]}, seeds=30, progress=False, cache=None)
    expected = torch.stack([(torch.arange(30) + offset) ** power for power in (1, 2)])
    print(len(runs["process"].unique()), torch.equal(runs["value"], expected))
"""

INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from bnlab.training import sweep, lanes

lanes.PATIENCE = 0.0
# Where the tests run in the background, an interrupt may come to be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def run(seed, pause):
    time.sleep(pause)
    Path(sys.argv[1], f"done {seed}").touch()
    return {"value": seed}

if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(exist_ok=True)
    runs = sweep(run, {"pause": [0.2]}, seeds=int(sys.argv[3]), progress=False, cache=sys.argv[2])
    print("finished", runs["value"].tolist())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_or_a_crash_loses_no_finished_run(tmp_path, monkeypatch, number):
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    script, done, cache = tmp_path / "script.py", tmp_path / "done", tmp_path / "cache"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(done), str(cache)]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [*command, "200"], stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        ) as running,
    ):
        try:
            deadline = time.monotonic() + 100
            while not done.exists() or len(list(done.iterdir())) < 4:
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            # Jupyter interrupts a kernel together with the processes that it has started.
            send = os.killpg if number == signal.SIGINT else os.kill
            send(running.pid, number)
            assert running.wait(60) != 0
        finally:
            # After a crash nobody else stops the other processes before they have waited a while.
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
    assert "finished" not in log.read_text()
    assert ("KeyboardInterrupt" in log.read_text()) is (number == signal.SIGINT)
    # A run that had just left its mark may not have been kept: one for each process.
    kept = len(list(cache.glob("*.run")))
    marks = len(list(done.iterdir()))
    assert kept >= 4 - lanes.MOST
    assert kept >= marks - lanes.MOST
    before = len(list(done.iterdir()))
    again = subprocess.run([*command, str(kept)], capture_output=True, text=True, timeout=100)
    assert "finished" in again.stdout, again.stderr
    assert len(list(done.iterdir())) - before <= lanes.MOST


def test_kept_runs_come_back_without_any_being_done(tmp_path, digits, monkeypatch):
    history = Training(build, digits, epochs=10)()
    run = Training(build, digits, epochs=10)
    from bnlab.training.fingerprint import Fingerprints
    from bnlab.training.results import tidy

    prints, cache = Fingerprints(), Cache(tmp_path)
    for seed in range(100):
        cache.store(prints.of(run.given({"lr": 0.1}), seed), tidy(history))
    monkeypatch.setattr(sweeps, "perform", None)
    runs = sweep(run, {"lr": [0.1]}, seeds=100, progress=False, cache=tmp_path)
    assert runs["loss"].shape == (1, 100, len(history.loss))


def test_a_cache_folder_given_as_text(tmp_path):
    sweep(counted(tmp_path / "done"), {"power": [1]}, 1, progress=False, cache=str(tmp_path / "c"))
    assert len(list(Path(tmp_path / "c").iterdir())) == 1
