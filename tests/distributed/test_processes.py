"""What processes exchange and when, and how an exchange ends that one of them does not answer."""

import copy
import time
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

import bnlab
from tests.distributed.worlds import World

BATCH = torch.arange(24.0).sin().view(4, 3, 2)


class Exchanges(TorchDispatchMode):
    """Sees every operation of torch.distributed, whoever calls it and however."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.namespace == "c10d":
            self.names.append(operation._schema.name)
        return operation(*args, **(kwargs or {}))


def share(rank: int) -> torch.Tensor:
    return BATCH[:1] if rank == 0 else BATCH[1:]


def count_exchanges(rank: int) -> dict[str, list[str]]:
    found = {}
    layer = bnlab.SyncBatchNorm(3)
    batch = share(rank).clone().requires_grad_()

    def watch(name, function):
        with Exchanges() as seen:
            result = function()
        found[name] = seen.names
        return result

    output = watch("forward", lambda: layer(batch))
    watch("backward", output.sum().backward)
    constant = watch("forward of a constant", lambda: layer(batch.detach()))
    watch("backward to the weight only", constant.sum().backward)
    with torch.no_grad():
        watch("without gradients", lambda: layer(batch))
    watch("eval mode", lambda: layer.eval()(batch).sum().backward())
    # Also when nobody else is there to answer.
    if rank == 0:
        layer(batch)
    return found


def error_of(function, *arguments) -> str:
    try:
        function(*arguments)
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def odd_batches(rank: int) -> dict[str, object]:
    found: dict[str, object] = {"exchanges": count_exchanges(rank)}
    layer = bnlab.SyncBatchNorm(3)
    # One process has one value per channel, the other none.
    found["one value"] = error_of(layer, torch.ones(1 - rank, 3))
    # Together they have two.
    found["one value each"] = layer(torch.full((1, 3), float(rank))).detach()
    layer.reset_parameters()
    empty = layer(torch.ones(0, 3, 2))
    empty.sum().backward()
    found["empty"] = (empty.shape, layer.weight.grad, copy.deepcopy(layer.state_dict()))
    layer.reset_parameters()
    layer(share(rank).half() if rank else share(rank))
    found["two dtypes"] = copy.deepcopy(layer.state_dict())
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    output = layer(images)
    output.backward(torch.ones(2, 3, 4, 5))
    found["channels last"] = [
        each.is_contiguous(memory_format=torch.channels_last) for each in (output, images.grad)
    ]
    batch = share(rank).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layer(batch).square().sum(), batch, create_graph=True)
    found["twice"] = error_of(gradient.sum().backward)
    found["few dimensions"] = error_of(layer, torch.ones(3))
    found["no channels"] = error_of(layer, torch.ones(2, 0))
    found["other channels"] = error_of(layer, torch.ones(2, 4))
    return found


@pytest.fixture(scope="module")
def odd(interpreter, tmp_path_factory):
    return World(interpreter, 2, tmp_path_factory.mktemp("store") / "store").call(odd_batches)


def test_one_exchange_forwards_and_one_backwards(odd):
    gather, reduce = ["c10d::allgather_"], ["c10d::allreduce_"]
    for found in odd:
        assert found["exchanges"] == {
            "forward": gather,
            "backward": reduce,
            "forward of a constant": gather,
            "backward to the weight only": [],
            "without gradients": gather,
            "eval mode": [],
        }


def test_one_value_in_all_processes_is_refused_by_all(odd):
    for found in odd:
        assert "ValueError: Expected more than 1 value per channel" in found["one value"]
        assert "in all processes together" in found["one value"]


def test_one_value_in_each_process_is_enough(odd):
    torch.testing.assert_close(odd[0]["one value each"], -torch.ones(1, 3), rtol=0, atol=1e-4)
    torch.testing.assert_close(odd[1]["one value each"], torch.ones(1, 3), rtol=0, atol=1e-4)


def test_no_value_in_any_process_moves_nothing(odd):
    reference = nn.BatchNorm1d(3)
    reference(torch.ones(0, 3, 2)).sum().backward()
    for found in odd:
        shape, gradient, state = found["empty"]
        assert shape == (0, 3, 2)
        torch.testing.assert_close(gradient, reference.weight.grad)
        torch.testing.assert_close(state, reference.state_dict())


def test_processes_may_have_different_dtypes(odd):
    reference = nn.BatchNorm1d(3)
    reference(torch.cat((BATCH[:1], BATCH[1:].half().float())))
    for found in odd:
        torch.testing.assert_close(found["two dtypes"], reference.state_dict())


def test_the_layout_in_memory_is_kept(odd):
    assert [found["channels last"] for found in odd] == [[True, True]] * 2


def test_what_cannot_be_done_says_so(odd):
    for found in odd:
        assert found["twice"].startswith("RuntimeError: trying to differentiate twice")
        assert found["few dimensions"].startswith("ValueError: expected at least 2D input (got 1D")
        assert found["no channels"].startswith("ValueError: SyncBatchNorm number of input channels")
        assert found["other channels"].startswith(
            "RuntimeError: running_mean should contain 4 elements"
        )


def in_pairs(rank: int) -> tuple[torch.Tensor, str]:
    pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    model = nn.Sequential(nn.BatchNorm1d(3))
    bnlab.SyncBatchNorm.convert_sync_batchnorm(model, pairs[rank // 2])
    # Frozen, averaged, compared: many a model is copied.
    output = copy.deepcopy(model)(BATCH[rank : rank + 1]).detach()
    bnlab.SyncBatchNorm.convert_sync_batchnorm(model, pairs[1 - rank // 2])
    return output, error_of(model, BATCH)


def test_each_group_normalises_by_itself(world):
    found = world(4).call(in_pairs)
    for pair in (slice(0, 2), slice(2, 4)):
        expected = nn.BatchNorm1d(3)(BATCH[pair]).detach()
        torch.testing.assert_close(torch.cat([output for output, _ in found[pair]]), expected)
    assert all("ValueError: this process is not in the process_group" in text for _, text in found)


SHARES = (7, 5, 0)


def network(norm: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 4, 3)
    return nn.Sequential(
        *(convolution, norm(4), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False), norm(4), nn.Flatten()),
        nn.Linear(64, 10),
    ).double()


def train(model: nn.Module, own: slice, weight: float) -> list[torch.Tensor]:
    """Three steps; what the loss is weighted with makes the average of the gradients the sum."""
    torch.manual_seed(1)
    images, targets = torch.randn(3, 12, 1, 8, 8).double(), torch.randint(10, (3, 12))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for image, target in zip(images, targets, strict=True):
        optimizer.zero_grad()
        loss = cross_entropy(model(image[own]), target[own], reduction="sum") / 12
        (weight * loss).backward()
        optimizer.step()
    return [tensor.detach().clone() for tensor in model.state_dict().values()]


def train_in_parallel(rank: int) -> dict[bool, list[torch.Tensor]]:
    first = sum(SHARES[:rank])
    own = slice(first, first + SHARES[rank])
    found = {}
    for broadcast in (True, False):
        model = bnlab.SyncBatchNorm.convert_sync_batchnorm(network())
        parallel = DistributedDataParallel(model, broadcast_buffers=broadcast)
        found[broadcast] = train(parallel, own, len(SHARES))
    return found


def test_training_in_parallel_ends_where_one_process_would(world):
    expected = train(network(), slice(None), 1)
    for found in world(len(SHARES)).call(train_in_parallel):
        for state in found.values():
            torch.testing.assert_close(state, expected, rtol=1e-12, atol=1e-12)


def train_until_something_happens(rank: int, folder: Path) -> str:
    layer = bnlab.SyncBatchNorm(3)
    try:
        for step in range(100_000):
            layer(share(rank).clone().requires_grad_()).sum().backward()
            if step == 10:
                (folder / f"process {rank}").touch()
    except RuntimeError as error:
        return str(error)
    return "nothing happened"


def test_a_killed_process_ends_the_others(world, tmp_path):
    processes = world(2)
    processes.start(train_until_something_happens, tmp_path, timeout=600)
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < until, "they do not train"
        time.sleep(0.01)
    processes.interpreter.kill(processes.pids[1])
    # Long before the timeout of the group.
    message = processes.interpreter.wait(processes.pids[0], 20)
    assert message.startswith("SyncBatchNorm lost the other processes: one of them has ended")


def stay_away(rank: int) -> str:
    if rank:
        # Alive, and busy with something else.
        time.sleep(2)
        return ""
    return error_of(bnlab.SyncBatchNorm(3), BATCH)


def test_a_process_that_does_not_come_is_waited_for_no_longer_than_the_timeout(world):
    processes = world(2)
    processes.start(stay_away, timeout=0.5)
    message, _ = processes.results()
    assert "within the group's timeout" in message


def different_layers(rank: int) -> str:
    return error_of(bnlab.SyncBatchNorm(3 + rank), torch.ones(2, 3 + rank))


def test_layers_of_different_sizes_do_not_go_on(world):
    processes = world(2)
    processes.start(different_layers, timeout=5)
    ends = []
    for pid in processes.pids:
        try:
            ends.append(processes.interpreter.wait(pid))
        except ChildProcessError as error:
            ends.append(str(error))
    # Gloo itself ends the process that is sent too much.
    known = "SyncBatchNorm lost the other processes", "it was ended by SIGABRT"
    assert any(end.startswith(known) for end in ends)
