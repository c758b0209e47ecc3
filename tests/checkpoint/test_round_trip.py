"""What is saved comes back: every kind of tensor, model, optimizer, scheduler and setting."""

import inspect
import math
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler, swa_utils

import bnlab
from bnlab import checkpoint
from bnlab.checkpoint import CheckpointError
from tests.checkpoint.states import frozen

DTYPES = [
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.bool,
]


class Holder(nn.Module):
    """A module with the given tensors for buffers."""

    def __init__(self, **buffers: Tensor) -> None:
        super().__init__()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def state_of(module: nn.Module) -> object:
    """The tensors of a state dict by key, frozen."""
    return frozen(dict(module.state_dict()))


def blank(module: nn.Module) -> nn.Module:
    """The same module with other values."""
    other = deepcopy(module)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.fill_(1) if tensor.dtype == torch.bool else tensor.fill_(77)
    return other


def assert_round_trip(path: Path, module: nn.Module) -> None:
    """Through `load`, and through `read` with and without verification."""
    checkpoint.save(path, module)
    other = blank(module)
    loaded = checkpoint.load(path, other)
    assert state_of(other) == state_of(module)
    assert (loaded.format, loaded.missing, loaded.unexpected) == ("safetensors", (), ())
    for verify in (True, False):
        read = checkpoint.read(path, verify=verify)
        assert {k: frozen(v) for k, v in read.items()} == {
            k: frozen(v) for k, v in module.state_dict().items()
        }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(path: Path, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    width = torch.empty(0, dtype=dtype).element_size()
    numbers = torch.randint(256, (3, 5 * width), dtype=torch.uint8, generator=draw)
    # Every pattern of bits, with those of NaN and infinity; a bool has only two.
    tensor = numbers > 127 if dtype == torch.bool else numbers.view(dtype)
    assert_round_trip(path, Holder(tensor=tensor, number=tensor[0, 0].clone()))


@pytest.mark.parametrize(
    "value", [math.nan, -math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
)
def test_special_numbers(path: Path, value: float) -> None:
    assert_round_trip(path, Holder(tensor=torch.tensor([value], dtype=torch.float64)))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0, 2), (1,), (1, 1, 1, 1), (2,) * 6])
def test_every_shape(path: Path, shape: tuple[int, ...]) -> None:
    assert_round_trip(path, Holder(tensor=torch.rand(shape), other=torch.rand(shape)))


def test_a_module_without_any_tensor(path: Path) -> None:
    checkpoint.save(path, nn.ReLU())
    checkpoint.load(path, nn.ReLU())
    assert checkpoint.read(path) == {}


def test_only_tensors_of_no_size(path: Path) -> None:
    assert_round_trip(path, Holder(first=torch.empty(0), second=torch.empty(0, 4)))


def test_sizes_that_leave_others_unaligned(path: Path) -> None:
    odd = Holder(a=torch.ones(3, dtype=torch.uint8), b=torch.rand(5, dtype=torch.float64))
    odd.register_buffer("c", torch.ones(1, dtype=torch.bool))
    odd.register_buffer("d", torch.rand(7, dtype=torch.float16))
    assert_round_trip(path, odd)


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "transposed": lambda: torch.rand(3, 5).T,
    "permuted": lambda: torch.rand(2, 3, 4, 5).permute(3, 1, 0, 2),
    "every other": lambda: torch.rand(10)[::2],
    "flipped by strides": lambda: torch.rand(10).flip(0)[1:-1:3],
    "one row of many": lambda: torch.rand(100, 4)[50],
    "expanded": lambda: torch.rand(1, 3).expand(4, 3),
    "channels_last": lambda: torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "channels_last_3d": lambda: torch.rand(2, 3, 2, 4, 5).to(memory_format=torch.channels_last_3d),
    "negated lazily": lambda: torch.rand(3, dtype=torch.complex64).conj().imag,
    "an end of a storage": lambda: torch.rand(10)[7:],
    "with a gradient": lambda: torch.rand(3, requires_grad=True) * 2,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(path: Path, layout: str) -> None:
    tensor = LAYOUTS[layout]()
    checkpoint.save(path, Holder(tensor=tensor))
    assert frozen(checkpoint.read(path)["tensor"]) == frozen(tensor)
    other = Holder(tensor=torch.zeros(tensor.shape))
    checkpoint.load(path, other)
    assert frozen(other.tensor) == frozen(tensor)


@pytest.mark.parametrize("saved", [False, True], ids=["plain", "channels_last"])
@pytest.mark.parametrize("into", [False, True], ids=["into plain", "into channels_last"])
def test_a_model_keeps_its_memory_format(path: Path, saved: bool, into: bool) -> None:
    def net(last: bool) -> nn.Module:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), bnlab.BatchNorm2d(4))
        return model.to(memory_format=torch.channels_last) if last else model

    model, other = net(saved), net(into)
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(model) == state_of(other)
    assert other[0].weight.is_contiguous(memory_format=torch.channels_last) == into


# Tied tensors


class Tied(nn.Module):
    """One weight under two names, and a buffer too."""

    def __init__(self, **where: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4, **where)
        self.head = nn.Linear(4, 7, bias=False, **where)
        self.head.weight = self.embed.weight
        self.register_buffer("mean", torch.rand(3, **where))
        self.register_buffer("also_mean", self.mean)


def is_tied(model: Tied) -> bool:
    return model.head.weight is model.embed.weight and model.also_mean is model.mean


def test_tied_tensors_stay_tied_and_are_stored_once(path: Path) -> None:
    model, other = Tied(), Tied()
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert is_tied(other)
    read = checkpoint.read(path)
    assert list(read) == list(model.state_dict())
    untied = path.with_name("untied.safetensors")
    copies = Holder(**{k.replace(".", "_"): v.clone() for k, v in model.state_dict().items()})
    checkpoint.save(untied, copies)
    assert path.stat().st_size < untied.stat().st_size


def test_tied_tensors_are_loaded_into_a_model_that_does_not_tie(path: Path) -> None:
    model, other = Tied(), Tied()
    other.head.weight = nn.Parameter(torch.zeros(7, 4))
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    with torch.no_grad():
        other.head.weight.add_(1)
    assert not torch.equal(other.head.weight, other.embed.weight)


def test_tied_tensors_of_a_meta_model_are_tied(path: Path) -> None:
    model, other = Tied(), Tied(device="meta")
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert other.head.weight is other.embed.weight
    assert other.also_mean is other.mean
    assert len(list(other.parameters())) == 1


def test_views_of_one_tensor_are_no_ties(path: Path) -> None:
    whole = torch.rand(6, 4)
    assert_round_trip(
        path,
        Holder(whole=whole, part=whole[:3], turned=whole.T, bits=whole.view(torch.int32)),
    )


def test_one_tensor_left_out_by_others_who_knew_it_was_tied(path: Path) -> None:
    """safetensors' own `save_model` keeps one of the names."""
    model, other = Tied(), Tied()
    safetensors.torch.save_model(model, str(path))
    assert len(checkpoint.read(path)) < len(model.state_dict())
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert is_tied(other)


# Devices


def network(**where: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, **where), bnlab.BatchNorm1d(4, **where), nn.ReLU())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_meta_model_gets_values(path: Path, dtype: torch.dtype) -> None:
    model = network(dtype=dtype)
    model(torch.rand(5, 3, dtype=dtype))
    checkpoint.save(path, model)
    other = network(device="meta", dtype=dtype)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert all(isinstance(value, nn.Parameter) for value in other.parameters())
    assert all(value.requires_grad for value in other.parameters())
    # What it got is its own: training it changes no file.
    before = path.read_bytes()
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    other(torch.rand(5, 3, dtype=dtype)).sum().backward()
    optimizer.step()
    assert state_of(other) != state_of(model)
    assert path.read_bytes() == before
    again = network(dtype=dtype)
    checkpoint.load(path, again)
    assert state_of(again) == state_of(model)


def test_a_meta_model_keeps_what_does_not_train(path: Path) -> None:
    checkpoint.save(path, network())
    other = network(device="meta")
    other[0].weight.requires_grad_(False)
    checkpoint.load(path, other)
    assert [p.requires_grad for p in other.parameters()] == [False, True, True, True]


def test_a_meta_model_stays_on_meta_when_the_file_is_refused(path: Path) -> None:
    checkpoint.save(path, nn.Linear(3, 4))
    other = network(device="meta")
    before = [id(tensor) for tensor in other.parameters()]
    with pytest.raises(CheckpointError):
        checkpoint.load(path, other)
    assert all(tensor.is_meta for tensor in other.state_dict().values())
    assert [id(tensor) for tensor in other.parameters()] == before


def test_a_meta_model_is_not_saved(path: Path) -> None:
    with pytest.raises(CheckpointError, match="meta") as refused:
        checkpoint.save(path, network(device="meta"))
    assert str(path) in str(refused.value)
    assert not path.exists()


def test_where_it_is_read_to(path: Path) -> None:
    model = network()
    checkpoint.save(path, model)
    for where in ("cpu", torch.device("cpu"), None):
        read = checkpoint.read(path, map_location=where)
        assert {str(value.device) for value in read.values()} == {"cpu"}
        other = network()
        checkpoint.load(path, other, map_location=where)
        assert state_of(other) == state_of(model)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_from_a_gpu_and_to_it(path: Path) -> None:
    model = network().cuda()
    checkpoint.save(path, model)
    assert {str(value.device) for value in checkpoint.read(path).values()} == {"cpu"}
    assert {v.device.type for v in checkpoint.read(path, map_location="cuda").values()} == {"cuda"}
    for where in (None, "cpu", "cuda"):
        other = network().cuda()
        checkpoint.load(path, other, map_location=where)
        assert state_of(other) == state_of(model)


def test_a_device_that_is_not_here_is_an_error_of_ours(path: Path) -> None:
    checkpoint.save(path, network())
    missing = "cuda:77" if torch.cuda.is_available() else "cuda"
    for place in (missing, "no such device"):
        with pytest.raises(CheckpointError, match=place):
            checkpoint.read(path, map_location=place)


# Layers of both libraries


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours to torch's", "torch's to ours"])
@pytest.mark.parametrize(
    "name",
    ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "InstanceNorm2d", "GroupNorm", "LayerNorm"],
)
def test_our_layers_and_torchs_read_each_other(path: Path, name: str, ours_first: bool) -> None:
    arguments = {"GroupNorm": (2, 4), "InstanceNorm2d": (4, 1e-5, 0.1, True, True)}.get(name, (4,))
    first, second = (getattr(library, name)(*arguments) for library in (bnlab, nn))
    if not ours_first:
        first, second = second, first
    with torch.no_grad():
        for tensor in first.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) * 9)
    checkpoint.save(path, first)
    checkpoint.load(path, second)
    assert state_of(first) == state_of(second)


def test_the_mode_is_kept_and_parameters_stay_the_same_objects(path: Path) -> None:
    model = network().eval()
    checkpoint.save(path, model)
    assert not model.training
    other = network()
    other[1].eval()
    before = [id(value) for value in [*other.parameters(), *other.buffers()]]
    modes = [module.training for module in other.modules()]
    checkpoint.load(path, other)
    assert [module.training for module in other.modules()] == modes
    assert [id(value) for value in [*other.parameters(), *other.buffers()]] == before


def test_saving_changes_nothing(path: Path) -> None:
    model = network()
    model(torch.rand(5, 3)).sum().backward()
    optimizer = optim.Adam(model.parameters())
    optimizer.step()
    before = (state_of(model), frozen(optimizer.state_dict()), torch.get_rng_state().tolist())
    checkpoint.save(path, model, optimizer=optimizer)
    after = (state_of(model), frozen(optimizer.state_dict()), torch.get_rng_state().tolist())
    assert before == after
    assert all(value.requires_grad for value in model.parameters())


def test_others_read_our_files(path: Path) -> None:
    model = network()
    checkpoint.save(path, model, optimizer=optim.SGD(model.parameters(), lr=0.1))
    read = safetensors.torch.load_file(path)
    assert {k: frozen(v) for k, v in model.state_dict().items()} == {
        k: frozen(read[k]) for k in model.state_dict()
    }


def test_we_read_files_of_others(path: Path) -> None:
    model, other = network(), network()
    safetensors.torch.save_file(model.state_dict(), path)
    loaded = checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert (loaded.epoch, loaded.step, loaded.config) == (None, None, None)


# Modules with a state of their own kind


class Extra(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
        self.linear = nn.Linear(2, 2)

    def get_extra_state(self) -> Any:
        return self.value

    def set_extra_state(self, state: Any) -> None:
        self.value = state


EXTRA = {
    "a dict": {"seen": 3, "names": ["a", "b"], "scale": 0.1},
    "a tuple": (1, None, True, "x"),
    "a number": 3,
    "text": "words",
    "a tensor": torch.arange(4.0),
    "tensors in a dict": {"mean": torch.rand(3), "more": [torch.ones(2, dtype=torch.int32)]},
}


@pytest.mark.parametrize("padding", range(8))
def test_files_of_others_whose_values_lie_anywhere(path: Path, padding: int) -> None:
    values = {"scale": torch.tensor(2.5), "matrix": torch.arange(6.0).reshape(2, 3)}
    written = safetensors.torch.save({**values, "none": torch.empty(0, 3)}, {"dtype": "F32"})
    size = int.from_bytes(written[:8], "little")
    header = written[8 : 8 + size].rstrip() + b" " * padding
    path.write_bytes(len(header).to_bytes(8, "little") + header + written[8 + size :])
    state = checkpoint.read(path)
    assert frozen(state) == frozen(
        {"matrix": values["matrix"], "none": torch.empty(0, 3), **values}
    )


def test_what_is_read_is_its_own(path: Path) -> None:
    model = nn.Linear(300, 200)
    checkpoint.save(path, model)
    first, second = checkpoint.read(path), checkpoint.read(path)
    first["weight"].fill_(7)
    assert state_of(model) == frozen(second) == frozen(checkpoint.read(path))
    torch.save(first["bias"], path.with_suffix(".pt"))
    assert path.with_suffix(".pt").stat().st_size < 4096


@pytest.mark.parametrize("what", EXTRA)
def test_extra_state(path: Path, what: str) -> None:
    model, other = Extra(EXTRA[what]), Extra(None)
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert frozen(other.value) == frozen(model.value)
    assert state_of(other.linear) == state_of(model.linear)


def test_a_failing_set_extra_state_leaves_everything(path: Path) -> None:
    class Fails(Extra):
        def set_extra_state(self, state: Any) -> None:
            raise RuntimeError(f"not {state}")

    checkpoint.save(path, nn.Sequential(nn.Linear(2, 2), Extra(3)))
    model = nn.Sequential(nn.Linear(2, 2), Fails(5))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    before = (state_of(model), frozen(optimizer.state_dict()))
    with pytest.raises(CheckpointError, match="not 3"):
        checkpoint.load(path, model)
    assert (state_of(model), frozen(optimizer.state_dict())) == before


def test_weight_norm_and_parametrizations(path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
            nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2)),
        )

    model, other = build(), build()
    model(torch.rand(2, 3))
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(model) == state_of(other)


def test_names_of_every_kind(path: Path) -> None:
    names = ["über", "a b", "optimizer/state", "rng/torch", "digest", "__metadata__", "x" * 300]
    module = Holder(**{name: torch.rand(2) for name in names})
    assert_round_trip(path, module)
    module = Holder(**{name: torch.rand(2) for name in names})
    checkpoint.save(path, module, optimizer=optim.SGD([nn.Parameter(torch.rand(2))], lr=0.1))
    other = blank(module)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(module)


def test_a_model_with_a_child_called_optimizer(path: Path) -> None:
    def build() -> tuple[nn.Module, optim.Optimizer]:
        model = nn.ModuleDict({"optimizer": nn.Linear(2, 2), "rng": nn.BatchNorm1d(2)})
        model["optimizer"](torch.rand(4, 2)).square().sum().backward()
        updates = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        updates.step()
        return model, updates

    (model, updates), (other, other_updates) = build(), build()
    checkpoint.save(path, model, optimizer=updates)
    checkpoint.load(path, other, optimizer=other_updates, rng=True)
    assert state_of(model) == state_of(other)
    assert frozen(updates.state_dict()) == frozen(other_updates.state_dict())


# Optimizers


def trained(make: Callable[[Any], optim.Optimizer], seed: int, steps: int) -> Any:
    """A linear layer after some steps, its optimizer, and what makes one more step."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(2, 3, generator=draw))
    optimizer = make(model.parameters())

    def step(inputs: Tensor) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (model(inputs) - 1).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    for _ in range(steps):
        step(torch.randn(5, 3, generator=draw))
    return model, optimizer, step


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1),
    "Adam with a tensor for lr": lambda p: optim.Adam(p, lr=torch.tensor(0.1)),
    "AdamW amsgrad": lambda p: optim.AdamW(p, lr=0.1, amsgrad=True),
    "Adamax": lambda p: optim.Adamax(p),
    "RMSprop centered": lambda p: optim.RMSprop(p, centered=True, momentum=0.9),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, initial_accumulator_value=0.1),
    "Adadelta": lambda p: optim.Adadelta(p),
    "LBFGS": lambda p: optim.LBFGS(p, max_iter=4, line_search_fn="strong_wolfe"),
    "NAdam": lambda p: optim.NAdam(p),
    "RAdam": lambda p: optim.RAdam(p),
    "Rprop": lambda p: optim.Rprop(p),
    "ASGD": lambda p: optim.ASGD(p),
    "Adafactor": lambda p: optim.Adafactor(p),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 3], ids=["untouched", "after some steps"])
def test_every_optimizer(path: Path, name: str, steps: int) -> None:
    make = OPTIMIZERS[name]
    model, optimizer, step = trained(make, 0, steps)
    checkpoint.save(path, model, optimizer=optimizer)
    other, other_optimizer, other_step = trained(make, 1, 1 if steps else 0)
    checkpoint.load(path, other, optimizer=other_optimizer)
    assert frozen(other_optimizer.state_dict()) == frozen(optimizer.state_dict())
    draw = torch.Generator().manual_seed(9)
    for _ in range(3):
        batch = torch.randn(5, 3, generator=draw)
        step(batch)
        other_step(batch)
    assert state_of(model) == state_of(other)
    assert frozen(other_optimizer.state_dict()) == frozen(optimizer.state_dict())


def test_groups_of_parameters(path: Path) -> None:
    def build() -> tuple[nn.Module, optim.Optimizer]:
        model = network()
        groups = [
            {"params": model[0].parameters(), "lr": 0.1, "name": "linear", "note": (1, None)},
            {"params": model[1].parameters(), "weight_decay": 0.0, "betas": (0.5, 0.6)},
        ]
        return model, optim.Adam(groups, lr=0.01, weight_decay=0.1)

    (model, optimizer), (other, other_optimizer) = build(), build()
    model(torch.rand(5, 3)).sum().backward()
    optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.5
    checkpoint.save(path, model, optimizer=optimizer)
    checkpoint.load(path, other, optimizer=other_optimizer)
    assert frozen(other_optimizer.state_dict()) == frozen(optimizer.state_dict())


def test_an_optimizers_state_is_its_own(path: Path) -> None:
    """What the file has in memory is not what the optimizer goes on with."""
    make = OPTIMIZERS["Adam"]
    model, optimizer, _ = trained(make, 0, 2)
    checkpoint.save(path, model, optimizer=optimizer)
    before = path.read_bytes()
    other, other_optimizer, other_step = trained(make, 1, 0)
    checkpoint.load(path, other, optimizer=other_optimizer)
    other_step(torch.rand(5, 3))
    assert path.read_bytes() == before
    third, third_optimizer, _ = trained(make, 2, 0)
    checkpoint.load(path, third, optimizer=third_optimizer)
    assert frozen(third_optimizer.state_dict()) == frozen(optimizer.state_dict())


# Schedulers


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4, 4, 6]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=6),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=6),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 8, power=2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 7),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, mode="triangular2"),
    "CyclicLR exp_range": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range"),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=20),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, total_iters=3), lr_scheduler.MultiStepLR(o, [1, 4])],
        milestones=[3],
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 2)]
    ),
}


def test_no_scheduler_of_torch_is_forgotten() -> None:
    theirs = {
        name
        for name in lr_scheduler.__all__
        if inspect.isclass(getattr(lr_scheduler, name)) and name != "LRScheduler"
    }
    assert theirs == {name.split()[0] for name in SCHEDULERS}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [0, 4])
def test_every_scheduler(path: Path, name: str, steps: int) -> None:
    def build() -> Any:
        model = nn.Linear(2, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return model, optimizer, SCHEDULERS[name](optimizer)

    def rates(optimizer: optim.Optimizer, scheduler: Any, steps: int) -> list[float]:
        seen = []
        for at in range(steps):
            optimizer.step()
            scheduler.step(*([1.0 + at] if name == "ReduceLROnPlateau" else []))
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    model, optimizer, scheduler = build()
    rates(optimizer, scheduler, steps)
    checkpoint.save(path, model, optimizer=optimizer, scheduler=scheduler)
    other, other_optimizer, other_scheduler = build()
    checkpoint.load(path, other, optimizer=other_optimizer, scheduler=other_scheduler)
    assert frozen(other_scheduler.state_dict()) == frozen(scheduler.state_dict())
    expected = rates(optimizer, scheduler, 8)
    assert rates(other_optimizer, other_scheduler, 8) == expected
    assert len(set(expected)) > 1


def test_weight_averaging(path: Path) -> None:
    def build() -> tuple[nn.Module, swa_utils.AveragedModel]:
        model = network()
        return model, swa_utils.AveragedModel(model, use_buffers=True)

    (model, average), (_, other) = build(), build()
    for _ in range(3):
        model(torch.rand(5, 3))
        average.update_parameters(model)
    checkpoint.save(path, average)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(average)
    assert int(other.n_averaged) == 3


# Settings


CONFIGS: dict[str, Any] = {
    "nothing": {},
    "nested": {"model": {"layers": [1, 2, {"deep": [[[]]]}], "norm": None}, "flag": True},
    "tuples": {"shape": (1, 28, 28), "pairs": [(1, 2), (3, [4, (5,)])], "empty": ()},
    "not finite": [math.nan, math.inf, -math.inf, -0.0, 5e-324],
    "rounding": [0.1, 1 / 3, 1e300, 2.0, 1e22],
    "whole numbers": [0, -1, 2**63, -(2**80), True, False],
    "words": "β = 0.9 – 日本語 🎉 \x00 \u2028 \\ \" '",
    "half of a pair": "\ud800",
    "a list": [1, "two", None],
    "like a marker": {"tensor": "0.weight"},
    "like another": {"tuple": [1, 2], "dict": [["a", 1]], "list": [], "counter": []},
    "one key": [{"tuple": [1]}, {"__tuple__": [1]}, {"dict": {}}],
    "keys of all kinds": {1: "a", "1": "b", (2, 3): "c", None: "d", 1.5: "e"},
    "a number alone": 3,
    "empty text": "",
}


@pytest.mark.parametrize("what", CONFIGS)
def test_settings_come_back(path: Path, what: str) -> None:
    model = nn.Linear(2, 1)
    checkpoint.save(path, model, epoch=3, step=1234567890123, config=CONFIGS[what])
    loaded = checkpoint.load(path, model)
    assert frozen(loaded.config) == frozen(CONFIGS[what])
    assert (loaded.epoch, loaded.step) == (3, 1234567890123)
    assert frozen(checkpoint.inspect(path).config) == frozen(CONFIGS[what])
    assert repr(checkpoint.inspect(path))


def nested_list(depth: int) -> list[Any]:
    return [nested_list(depth - 1)] if depth else []


def test_settings_that_go_deep(path: Path) -> None:
    config = nested_list(60)
    checkpoint.save(path, nn.Linear(2, 1), config=config)
    assert checkpoint.load(path, nn.Linear(2, 1)).config == config


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "config",
    [{"model": nn.Linear(2, 1)}, {"norm": nn.BatchNorm1d}, object(), {1, 2}, b"bytes", 1j, ENDLESS],
    ids=["a module", "a class", "an object", "a set", "bytes", "complex", "without end"],
)
def test_settings_that_cannot_be_kept_are_refused(path: Path, config: Any) -> None:
    model = nn.Linear(2, 1)
    checkpoint.save(path, model, epoch=1)
    with pytest.raises(CheckpointError, match=r"config|nested") as refused:
        checkpoint.save(path, model, epoch=2, config=config)
    assert str(path) in str(refused.value)
    assert checkpoint.load(path, model).epoch == 1


# Files that torch.save wrote


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.safetensors", "model"])
def test_a_state_dict_of_torch(tmp_path: Path, name: str, legacy: bool) -> None:
    path = tmp_path / name
    model, other = network(), network()
    model(torch.rand(5, 3))
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not legacy)
    loaded = checkpoint.load(path, other)
    assert state_of(other) == state_of(model)
    assert loaded.format == checkpoint.inspect(path).format == "torch"
    assert {k: frozen(v) for k, v in checkpoint.read(path).items()} == {
        k: frozen(v) for k, v in model.state_dict().items()
    }
    assert list(checkpoint.inspect(path).tensors) == list(model.state_dict())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("model_key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("optimizer_key", ["optimizer", "optimizer_state_dict"])
def test_a_bundle_of_torch(
    tmp_path: Path, model_key: str, optimizer_key: str, legacy: bool
) -> None:
    path = tmp_path / "model.pt"
    make = OPTIMIZERS["Adam"]
    model, optimizer, _ = trained(make, 0, 2)
    bundle = {
        "epoch": 7,
        model_key: model.state_dict(),
        optimizer_key: optimizer.state_dict(),
        "loss": 0.25,
    }
    torch.save(bundle, path, _use_new_zipfile_serialization=not legacy)
    other, other_optimizer, _ = trained(make, 1, 0)
    loaded = checkpoint.load(path, other, optimizer=other_optimizer)
    assert loaded.epoch == 7
    assert state_of(other) == state_of(model)
    assert frozen(other_optimizer.state_dict()) == frozen(optimizer.state_dict())
    inspection = checkpoint.inspect(path)
    assert inspection.epoch == 7
    assert {"model", "optimizer"} <= set(inspection.kept)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_are_stripped(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.pt"
    model, other = network(), network()
    torch.save({prefix + key: value for key, value in model.state_dict().items()}, path)
    checkpoint.load(path, other, strip_prefix=True)
    assert state_of(other) == state_of(model)


def test_a_model_in_data_parallel(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = nn.DataParallel(network())
    checkpoint.save(path, wrapped)
    other = network()
    checkpoint.load(path, other, strip_prefix=True)
    assert state_of(other) == state_of(wrapped.module)
    checkpoint.load(path, wrapped)


def test_a_child_called_module_is_no_prefix(path: Path) -> None:
    model = nn.ModuleDict({"module": nn.Linear(2, 2)})
    other = nn.ModuleDict({"module": nn.Linear(2, 2)})
    checkpoint.save(path, model)
    checkpoint.load(path, other)
    assert state_of(other) == state_of(model)


def test_torch_saved_on_another_device_than_ours(tmp_path: Path) -> None:
    """A tensor of the meta device stands for a device that this machine does not have."""
    path = tmp_path / "model.pt"
    torch.save(network(device="meta").state_dict(), path)
    model = network()
    before = state_of(model)
    with pytest.raises(CheckpointError, match="meta"):
        checkpoint.load(path, model)
    assert state_of(model) == before


# What is told about a file


def test_inspect_tells_what_there_is(path: Path) -> None:
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint.save(path, model, optimizer=optimizer, epoch=4, config={"lr": 0.1})
    told = checkpoint.inspect(path)
    assert (told.format, told.size, told.epoch) == ("safetensors", path.stat().st_size, 4)
    assert list(told.tensors) == list(model.state_dict())
    for key, value in model.state_dict().items():
        info = told.tensors[key]
        assert tuple(info.shape) == tuple(value.shape)
        assert info.nbytes == value.nbytes
        assert str(value.dtype).removeprefix("torch.") in str(info.dtype)
    assert set(told.kept) == {"model", "optimizer", "rng"}
    assert [(norm.name, norm.channels) for norm in told.norms] == [("1", 4)]
    assert told.missing_for_eval == ()
    for text in (repr(told), told._repr_html_()):
        assert "running_mean" in text
        assert path.name in text


@pytest.mark.parametrize("format", ["safetensors", "torch"])
def test_inspect_tells_what_is_missing_for_eval(tmp_path: Path, format: str) -> None:
    path = tmp_path / "model"
    state = {key: value for key, value in network().state_dict().items() if "_var" not in key}
    if format == "torch":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    told = checkpoint.inspect(path)
    assert told.format == format
    assert told.missing_for_eval == ("1.running_var",)
    assert "1.running_var" in repr(told)


def test_inspect_reads_no_values(path: Path) -> None:
    """Damaged values are no matter for it."""
    checkpoint.save(path, network(), epoch=2)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert checkpoint.inspect(path).epoch == 2
    with pytest.raises(CheckpointError):
        checkpoint.read(path)


def test_a_page_about_a_hostile_file_runs_no_script(path: Path) -> None:
    script = "<script>alert(1)</script>"
    checkpoint.save(path, Holder(**{script: torch.ones(1)}), config={script: script})
    assert script not in checkpoint.inspect(path)._repr_html_()
