"""Files and state dicts, from Python and from the shell; nothing in them is executed."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bnlab
from bnlab import checkpoint
from bnlab.__main__ import main
from bnlab.examination import examine


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def sick(healthy):
    model = copy.deepcopy(healthy)
    model.norm2.running_var[[3, 7]] = -1
    return model


def save(path, model):
    if path.suffix == ".safetensors":
        checkpoint.save(path, model)
    else:
        torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.txt"])
def test_a_file_shows_what_its_state_dict_shows(tmp_path, sick, healthy, name):
    found = examine(save(tmp_path / name, sick))
    assert found.findings == examine(sick.state_dict()).findings
    (finding,) = found.findings
    assert (finding.kind, finding.layer) == ("negative-variance", "norm2")
    assert finding.channels == (3, 7)
    assert found.subject.endswith(name)
    assert not examine(str(save(tmp_path / name, healthy))).findings


@pytest.mark.parametrize(
    ("lost", "severity", "kind", "layer"),
    [
        (("running_mean",), "error", "missing-statistics", "norm2"),
        (("running_var",), "error", "missing-statistics", "norm2"),
        (("running_mean", "running_var"), "error", "missing-statistics", "norm2"),
        (("running_mean", "running_var", "num_batches_tracked"), "note", "norm-or-not", ""),
        (("num_batches_tracked",), None, None, None),
        (("weight", "bias"), None, None, None),
    ],
)
def test_what_a_state_dict_lacks(healthy, lost, severity, kind, layer):
    state = {
        key: value
        for key, value in healthy.state_dict().items()
        if key not in [f"norm2.{name}" for name in lost]
    }
    found = [(each.severity, each.kind, each.layer) for each in examine(state).findings]
    assert found == ([(severity, kind, layer)] if kind else [])
    if kind == "norm-or-not":
        assert examine(state).notes[0].message.startswith("norm2:")


def test_few_updates_in_a_file_are_a_note_since_it_has_no_momentum(healthy):
    state = {**healthy.state_dict(), "norm1.num_batches_tracked": torch.tensor(3)}
    state["norm1.running_var"] = torch.ones(64) * 0.9
    (finding,) = examine(state).findings
    assert (finding.severity, finding.kind) == ("note", "too-few-updates")
    assert "if it was the default" in finding.message


@pytest.mark.parametrize(
    "odd",
    [
        {"running_mean": torch.zeros(32)},
        {"running_var": torch.tensor(1.0)},
        {"running_var": torch.ones(8, 8)},
        {"weight": torch.ones(0)},
    ],
)
def test_tensors_that_do_not_belong_together_are_an_error_and_no_exception(healthy, odd):
    state = {**healthy.state_dict(), **{f"norm2.{name}": value for name, value in odd.items()}}
    (finding,) = examine(state).findings
    assert (finding.severity, finding.kind, finding.layer) == ("error", "misshapen", "norm2")


@pytest.mark.parametrize("counter", [torch.tensor(torch.nan), torch.tensor(-3), torch.zeros(2)])
def test_a_counter_that_counts_nothing_is_passed_over(healthy, counter):
    state = {**healthy.state_dict(), "norm2.num_batches_tracked": counter}
    assert not examine(state).findings


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_other_precisions_are_read(healthy, dtype):
    state = healthy.state_dict()
    for name in ("running_mean", "running_var"):
        state[f"norm2.{name}"] = state[f"norm2.{name}"].to(dtype)
    kinds = {each.kind for each in examine(state).findings}
    assert kinds == ({"half-precision-statistics"} if dtype.itemsize < 4 else set())


def test_what_holds_no_tensors_is_no_state_dict(healthy):
    with pytest.raises(TypeError, match="the mapping holds no tensors, but model"):
        examine({"model": healthy.state_dict()})
    assert not examine({}).findings


def hostile(tmp_path, healthy):
    """A good state dict, and beside it a call that unpickling makes."""
    path, marker = tmp_path / "hostile.pt", tmp_path / "marker"
    torch.save({"state_dict": healthy.state_dict(), "config": Touch(marker)}, path)
    return path, marker


def test_a_hostile_file_is_refused_and_not_run(tmp_path, healthy, capsys):
    path, marker = hostile(tmp_path, healthy)
    with pytest.raises(checkpoint.CheckpointError, match="nothing of it was run"):
        examine(path)
    assert main(["examine", str(path)]) == 2
    said = capsys.readouterr()
    assert "nothing of it was run" in said.err
    assert not said.out
    assert not marker.exists()
    # The control: it is live.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_what_cannot_be_read_is_status_2(tmp_path, healthy, capsys):
    whole = tmp_path / "whole.pt"
    torch.save(healthy, whole)
    cut = save(tmp_path / "cut.safetensors", healthy)
    cut.write_bytes(cut.read_bytes()[:-100])
    for path in (whole, cut, tmp_path / "nowhere.pt", tmp_path):
        assert main(["examine", str(path)]) == 2
        assert str(path) in capsys.readouterr().err


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bnlab", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )


def test_from_the_shell_errors_are_status_1_and_json_is_json(tmp_path, sick):
    ran = run("examine", str(save(tmp_path / "model.safetensors", sick)), "--json")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout == examine(tmp_path / "model.safetensors").to_json() + "\n"
    (finding,) = json.loads(ran.stdout)["findings"]
    assert (finding["layer"], finding["channels"]) == ("norm2", [3, 7])


def test_from_the_shell_a_hostile_file_is_status_2_and_not_run(tmp_path, healthy):
    path, marker = hostile(tmp_path, healthy)
    ran = run("examine", str(path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "nothing of it was run" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not marker.exists()


def test_a_healthy_file_is_status_0_in_text_as_python_prints_it(tmp_path, healthy, capsys):
    path = save(tmp_path / "model.pt", healthy)
    assert main(["examine", str(path)]) == 0
    assert capsys.readouterr().out == f"{examine(path)}\n"
    assert main(["examine", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "examine" in capsys.readouterr().err


def test_examine_is_the_packages():
    assert bnlab.examine is examine
