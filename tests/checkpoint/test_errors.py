"""Each failure names the file, the keys and what to do, and changes nothing."""

import io
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn, optim

import bnlab
from bnlab import checkpoint
from bnlab.checkpoint import CheckpointError
from tests.checkpoint.states import frozen, refusal, small_work

Edit = Callable[[dict[str, Tensor]], object]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), bnlab.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def remove(*keys: str) -> Edit:
    return lambda state: [state.pop(key) for key in keys]


def write(path: Path, edit: Edit, kind: str) -> dict[str, Tensor]:
    """A state dict with something changed, as a file of either kind."""
    state = dict(network().state_dict())
    edit(state)
    if kind == "torch":
        torch.save(state, path)
    else:
        holder = nn.Module()
        # Whatever the keys are: a module has no names with dots.
        holder.state_dict = lambda: state
        checkpoint.save(path, holder)
    return state


def refused(path: Path, model: nn.Module | None = None, **how: Any) -> CheckpointError:
    """The error of loading into a network and its optimizer, which are checked to be as before."""
    work = small_work(seed=1)
    model = model or network()
    before = (frozen(dict(model.state_dict())), work.frozen())
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path, model, **how)
    assert (frozen(dict(model.state_dict())), work.frozen()) == before
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(str(path))
    return caught.value


@pytest.fixture(params=["safetensors", "torch"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.file"


def test_the_unchanged_file_is_loaded(path: Path, kind: str) -> None:
    state = write(path, lambda _: None, kind)
    model = network()
    checkpoint.load(path, model)
    assert frozen(dict(model.state_dict())) == frozen(state)


# Keys


def test_missing_keys(path: Path, kind: str) -> None:
    write(path, remove("0.bias", "3.weight"), kind)
    error = refused(path)
    assert error.keys == ("0.bias", "3.weight")
    assert re.search(r"missing.*0\.bias.*3\.weight.*allow_missing", str(error))


def test_missing_keys_that_are_allowed(path: Path, kind: str) -> None:
    state = write(path, remove("0.bias", "3.weight"), kind)
    model = network()
    own = frozen([model[0].bias, model[3].weight])
    loaded = checkpoint.load(path, model, allow_missing=("0.bias", "3.*"))
    assert loaded.missing == ("0.bias", "3.weight")
    assert frozen([model[0].bias, model[3].weight]) == own
    assert frozen(model[0].weight) == frozen(state["0.weight"])
    assert refused(path, allow_missing=("0.*",)).keys == ("3.weight",)


def test_unexpected_keys(path: Path, kind: str) -> None:
    write(path, lambda state: state.update({"4.weight": torch.ones(2)}), kind)
    error = refused(path)
    assert error.keys == ("4.weight",)
    assert re.search(r"4\.weight.*allow_unexpected", str(error))
    loaded = checkpoint.load(path, network(), allow_unexpected=("4.*",))
    assert loaded.unexpected == ("4.weight",)


def test_everything_that_differs_is_said_at_once(path: Path, kind: str) -> None:
    def edit(state: dict[str, Tensor]) -> None:
        del state["0.bias"], state["1.running_var"]
        state["new"] = torch.ones(2)
        state["3.weight"] = torch.ones(5, 4)
        state["3.bias"] = state["3.bias"].double()

    write(path, edit, kind)
    error = refused(path)
    keys = {"0.bias", "1.running_var", "new", "3.weight", "3.bias"}
    assert set(error.keys) == keys
    assert all(key in str(error) for key in keys)


def test_many_keys_are_counted_and_all_are_in_the_error(path: Path) -> None:
    torch.save({f"{at}.weight": torch.ones(1) for at in range(100)}, path)
    error = refused(path)
    assert len(str(error)) < 2000
    assert set(error.keys) == {f"{at}.weight" for at in range(100)} | set(network().state_dict())
    assert "more" in str(error)


def test_another_shape(path: Path, kind: str) -> None:
    write(path, lambda state: state.update({"3.weight": torch.ones(5, 4)}), kind)
    error = refused(path)
    assert error.keys == ("3.weight",)
    assert "(5, 4)" in str(error)
    assert "(2, 4)" in str(error)


def test_the_same_numbers_in_another_shape(path: Path, kind: str) -> None:
    write(path, lambda state: state.update({"3.weight": torch.ones(4, 2)}), kind)
    assert refused(path).keys == ("3.weight",)
    write(path, lambda state: state.update({"3.bias": torch.ones(1)}), kind)
    assert refused(path).keys == ("3.bias",), "no broadcasting"


def test_a_number_for_a_shape_of_one(path: Path, kind: str) -> None:
    write(path, lambda state: state.update({"1.num_batches_tracked": torch.tensor([3])}), kind)
    assert refused(path).keys == ("1.num_batches_tracked",)


# Prefixes


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_a_prefix_is_recognised_and_its_removal_offered(path: Path, prefix: str, kind: str) -> None:
    def edit(state: dict[str, Tensor]) -> None:
        for key in list(state):
            state[prefix + key] = state.pop(key)

    state = write(path, edit, kind)
    error = refused(path)
    assert prefix in str(error)
    assert "strip_prefix=True" in str(error)
    assert ("DataParallel" if prefix == "module." else "compile") in str(error)
    assert set(error.keys) == set(state) | set(network().state_dict())
    model = network()
    checkpoint.load(path, model, strip_prefix=True)
    assert frozen(list(model.state_dict().values())) == frozen(list(state.values()))


def test_a_model_that_is_wrapped_and_a_file_that_is_not(path: Path, kind: str) -> None:
    write(path, lambda _: None, kind)
    wrapped = nn.ModuleDict({"module": network()})
    error = refused(path, wrapped)
    assert "model.module" in str(error)


def test_a_prefix_that_only_some_keys_have_is_none(path: Path, kind: str) -> None:
    write(path, lambda state: state.update({"module.0.bias": state.pop("0.bias")}), kind)
    error = refused(path, strip_prefix=True)
    assert set(error.keys) == {"0.bias", "module.0.bias"}


def test_stripping_where_there_is_nothing_to_strip(path: Path, kind: str) -> None:
    state = write(path, lambda _: None, kind)
    model = network()
    checkpoint.load(path, model, strip_prefix=True)
    assert frozen(dict(model.state_dict())) == frozen(state)


def test_a_prefix_and_a_difference(path: Path, kind: str) -> None:
    def edit(state: dict[str, Tensor]) -> None:
        del state["0.bias"]
        for key in list(state):
            state["module." + key] = state.pop(key)

    write(path, edit, kind)
    assert "strip_prefix=True" in str(refused(path))
    assert refused(path, strip_prefix=True).keys == ("0.bias",)


# What a norm keeps


def test_missing_running_statistics(path: Path, kind: str) -> None:
    write(path, remove("1.running_mean", "1.running_var", "1.num_batches_tracked"), kind)
    error = refused(path)
    assert error.keys == ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    # What eval mode would do with the model's own, and the way out.
    assert re.search(r"eval mode.*mean 0 and variance 1", str(error))
    assert "allow_missing=('*running_*',)" in str(error)
    allowed = ("*running_*", "*num_batches_tracked")
    model = network()
    loaded = checkpoint.load(path, model, allow_missing=allowed)
    assert set(loaded.missing) == set(error.keys)
    assert torch.equal(model[1].running_var, torch.ones(4))


def test_half_of_the_running_statistics(path: Path, kind: str) -> None:
    write(path, remove("1.running_var"), kind)
    error = refused(path)
    assert error.keys == ("1.running_var",)
    assert "eval mode" in str(error)
    assert checkpoint.inspect(path).missing_for_eval == ("1.running_var",)


def test_missing_counters(path: Path, kind: str) -> None:
    """Files from before torch 0.4.1 have none."""
    write(path, remove("1.num_batches_tracked"), kind)
    error = refused(path)
    assert error.keys == ("1.num_batches_tracked",)
    assert "momentum=None" in str(error)
    assert "allow_missing=('*num_batches_tracked',)" in str(error)
    model = network()
    model[1].num_batches_tracked.fill_(5)
    loaded = checkpoint.load(path, model, allow_missing=("*num_batches_tracked",))
    assert loaded.missing == ("1.num_batches_tracked",)
    assert int(model[1].num_batches_tracked) == 5


def test_running_statistics_that_the_model_does_not_keep(path: Path, kind: str) -> None:
    write(path, lambda _: None, kind)
    model = network()
    model[1] = bnlab.BatchNorm1d(4, track_running_stats=False)
    error = refused(path, model)
    assert error.keys == ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    assert "track_running_stats" in str(error)


# Dtypes


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32, torch.bfloat16])
def test_another_dtype(path: Path, kind: str, dtype: torch.dtype) -> None:
    weight = torch.ones(4, 3, dtype=dtype)
    write(path, lambda state: state.update({"0.weight": weight}), kind)
    error = refused(path)
    assert error.keys == ("0.weight",)
    assert all(word in str(error) for word in (str(dtype), "torch.float32", "cast=True"))
    model = network()
    checkpoint.load(path, model, cast=True)
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, torch.ones(4, 3))


def test_a_whole_model_in_half(path: Path) -> None:
    checkpoint.save(path, network().half())
    floats = [key for key in network().state_dict() if "num_batches" not in key]
    assert refused(path).keys == tuple(floats)
    checkpoint.load(path, network().half())
    meta = network().to("meta")
    checkpoint.load(path, meta, cast=True)
    assert {value.dtype for value in meta.parameters()} == {torch.float32}


# What is no checkpoint


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.ones(3))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def of_torch(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


NOT_CHECKPOINTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "one byte": (lambda: b"{", ""),
    "text": (lambda: b"epoch,loss\n1,0.5\n" * 100, ""),
    "JSON": (lambda: b'{"epoch": 3, "loss": 0.5}', ""),
    "HTML": (lambda: b"<!DOCTYPE html><title>404 Not Found</title>", ""),
    "a pointer of git": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ""),
    "PNG": (picture, "picture"),
    "npz": (arrays, "zip"),
    "npy": (array, "NumPy"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(2000), "HDF5"),
    "zeros": (lambda: bytes(5000), ""),
    "noise": (lambda: np.random.default_rng(0).bytes(5000), ""),
    "a tensor": (lambda: of_torch(torch.ones(3)), "state dict"),
    "a list": (lambda: of_torch([torch.ones(3)]), "list"),
    "a number": (lambda: of_torch(3), "int"),
    "a dict of numbers": (lambda: of_torch({"loss": 0.5, "epoch": 3}), "loss"),
    "numbers for keys": (lambda: of_torch({0: torch.ones(3)}), ""),
    "a dict of dicts": (lambda: of_torch({"net": {"weight": torch.ones(3)}}), "net"),
}


@pytest.mark.parametrize("what", NOT_CHECKPOINTS)
def test_not_a_checkpoint_at_all(tmp_path: Path, what: str) -> None:
    make, word = NOT_CHECKPOINTS[what]
    for name in ("model.safetensors", "model.pt"):
        path = tmp_path / name
        path.write_bytes(make())
        error = refused(path)
        assert word in str(error)
        assert error.keys == ()
        for open_it in (checkpoint.read, checkpoint.inspect):
            with pytest.raises(CheckpointError) as caught:
                open_it(path)
            assert caught.value.path == str(path)


def test_a_file_that_is_not_there(path: Path) -> None:
    error = refused(path)
    assert re.search(r"(?i)no such file", str(error))
    for open_it in (checkpoint.read, checkpoint.inspect):
        with pytest.raises(CheckpointError, match=r"(?i)no such file"):
            open_it(path)
    assert isinstance(error.__cause__, FileNotFoundError)


def test_a_name_that_no_file_can_have(path: Path) -> None:
    for open_it in (
        checkpoint.read,
        checkpoint.inspect,
        lambda at: checkpoint.save(at, nn.Linear(1, 1)),
    ):
        with pytest.raises(CheckpointError, match="null"):
            open_it(f"{path}\0")


# What else is loaded


def save_work(path: Path) -> None:
    work = small_work(seed=2, steps=3)
    checkpoint.save(path, work.model, **work.parts())


@pytest.mark.parametrize("part", ["optimizer", "scheduler", "generators", "rng"])
def test_a_part_that_was_not_saved(path: Path, part: str) -> None:
    checkpoint.save(path, small_work(seed=2).model, rng=False)
    work = small_work(seed=1)
    before = work.frozen()
    how = {**work.parts(), "rng": True}
    with pytest.raises(CheckpointError, match=part) as caught:
        checkpoint.load(path, work.model, **{part: how[part]})
    assert caught.value.path == str(path)
    assert work.frozen() == before


def all_or_nothing(path: Path, **other: Any) -> str:
    """What a load says that fails in one part; all the others could have been loaded."""
    work = small_work(seed=1)
    parts = {**work.parts(), "rng": True, **other}
    before = (work.frozen(), frozen([_state(part) for part in other.values()]))
    error = refusal(lambda: checkpoint.load(path, work.model, **parts))
    assert error is not None, "it was loaded"
    assert (work.frozen(), frozen([_state(part) for part in other.values()])) == before
    assert error.path == str(path)
    return str(error)


def _state(part: Any) -> Any:
    return part.state_dict() if hasattr(part, "state_dict") else None


def parameters() -> list[nn.Parameter]:
    return list(small_work(seed=3).model.parameters())


OTHER_OPTIMIZERS: dict[str, Callable[[], optim.Optimizer]] = {
    "of another kind": lambda: optim.Adam(parameters()),
    "of another kind, also with momentum": lambda: optim.RMSprop(parameters(), momentum=0.9),
    "for fewer parameters": lambda: optim.SGD(parameters()[:3], lr=0.1, momentum=0.9),
    "for more parameters": lambda: optim.SGD([*parameters(), nn.Parameter(torch.ones(1))], lr=0.1),
    "in two groups": lambda: optim.SGD(
        [{"params": parameters()[:2]}, {"params": parameters()[2:]}], lr=0.1, momentum=0.9
    ),
}


@pytest.mark.parametrize("what", OTHER_OPTIMIZERS)
def test_another_optimizer(path: Path, what: str) -> None:
    save_work(path)
    assert "optimizer" in all_or_nothing(path, optimizer=OTHER_OPTIMIZERS[what]())


def test_another_scheduler(path: Path) -> None:
    save_work(path)
    for make in (
        lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 5),
        lambda o: optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
        lambda o: optim.lr_scheduler.ReduceLROnPlateau(o),
    ):
        other = make(optim.SGD(parameters(), lr=0.1, momentum=0.9))
        assert "scheduler" in all_or_nothing(path, scheduler=other)


def test_another_generator(path: Path) -> None:
    save_work(path)
    for generators in (
        {"noise": torch.Generator()},
        {"order": torch.Generator(), "noise": torch.Generator()},
    ):
        before = [frozen(generator.get_state()) for generator in generators.values()]
        assert "noise" in all_or_nothing(path, generators=generators)
        assert [frozen(g.get_state()) for g in generators.values()] == before


def test_a_scheduler_that_fails_late_takes_everything_back(path: Path) -> None:
    save_work(path)

    class Fails(optim.lr_scheduler.StepLR):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            super().load_state_dict(state)
            if self.last_epoch == 3:
                raise RuntimeError("too late")

    assert "too late" in all_or_nothing(
        path, scheduler=Fails(optim.SGD(parameters(), lr=0.1, momentum=0.9), 2, gamma=0.5)
    )


def test_a_model_that_fails_late_takes_everything_back(path: Path) -> None:
    save_work(path)
    work = small_work(seed=1)

    def fail(*_: object) -> None:
        raise RuntimeError("too late")

    work.model.register_load_state_dict_post_hook(fail)
    before = work.frozen()
    with pytest.raises(CheckpointError, match="too late"):
        checkpoint.load(path, work.model, rng=True, **work.parts())
    assert work.frozen() == before


def test_a_save_that_is_refused_leaves_the_old_file(path: Path) -> None:
    model = network()
    checkpoint.save(path, model, epoch=1)
    before = path.read_bytes()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["hook"] = print
    sparse = nn.Module()
    sparse.register_buffer("graph", torch.eye(3).to_sparse())
    for what, how in ((model, {"optimizer": optimizer}), (sparse, {}), (network().to("meta"), {})):
        with pytest.raises(CheckpointError) as caught:
            checkpoint.save(path, what, **how)
        assert caught.value.path == str(path)
        assert path.read_bytes() == before
        assert [left.name for left in path.parent.iterdir()] == [path.name]


# Any state dict


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=12
).filter(lambda name: not hasattr(nn.Module(), name))
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
KINDS = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])


@settings(max_examples=60, deadline=None)
@given(
    wanted=st.dictionaries(NAMES, st.tuples(SHAPES, KINDS), max_size=6),
    seed=st.integers(0, 1000),
    epoch=st.none() | st.integers(),
    config=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            | st.tuples(inner, inner)
        ),
        max_leaves=6,
    ),
)
def test_any_state_dict_comes_back(
    wanted: dict[str, tuple[tuple[int, ...], torch.dtype]],
    seed: int,
    epoch: int | None,
    config: Any,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    model, other = nn.Module(), nn.Module()
    for name, (shape, dtype) in wanted.items():
        values = torch.randint(-9, 9, shape, generator=draw).to(dtype)
        model.register_buffer(name, values)
        other.register_buffer(name, torch.ones_like(values))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.safetensors"
        checkpoint.save(path, model, epoch=epoch, config=config, rng=False)
        loaded = checkpoint.load(path, other)
        assert frozen(dict(other.state_dict())) == frozen(dict(model.state_dict()))
        assert frozen([loaded.epoch, loaded.config]) == frozen([epoch, config])
        assert list(checkpoint.read(path)) == list(model.state_dict())
        told = checkpoint.inspect(path)
        assert {key: tuple(info.shape) for key, info in told.tensors.items()} == {
            key: shape for key, (shape, _) in wanted.items()
        }
