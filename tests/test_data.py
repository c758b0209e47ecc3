import os
import subprocess
import sys

import pytest
import torch

from bnlab import data


def test_digits_are_pictures_or_rows_of_the_same_numbers():
    pictures, rows = data.digits(), data.digits(flat=True)
    assert pictures.train.inputs.shape == (1347, 1, 8, 8)
    assert pictures.test.inputs.shape == (450, 1, 8, 8)
    assert pictures.train.inputs.dtype == torch.float32
    assert pictures.train.targets.dtype == torch.int64
    assert torch.equal(pictures.train.inputs.flatten(1), rows.train.inputs)
    assert torch.equal(pictures.test.targets, rows.test.targets)
    assert rows.train.inputs.min() == 0
    assert rows.train.inputs.max() == 1


def test_digits_are_split_without_overlap_and_each_class_alike():
    digits = data.digits(flat=True)
    for label in range(len(digits.classes)):
        train = int((digits.train.targets == label).sum())
        test = int((digits.test.targets == label).sum())
        assert test / (train + test) == pytest.approx(0.25, abs=0.005)
    both = torch.cat([digits.train.inputs, digits.test.inputs])
    everything = data.digits(flat=True, test=0.5)
    again = torch.cat([everything.train.inputs, everything.test.inputs])
    assert torch.equal(both.sum(0), again.sum(0))


def test_the_seed_decides_the_split():
    first, same, other = (data.digits(seed=seed).test.targets for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_digits_refuse_a_share_that_is_none(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        data.digits(test=share)


def test_photographs_keep_their_colours_at_any_size():
    full, small = data.photographs(), data.photographs(size=(32, 48))
    assert full.shape == (2, 3, 427, 640)
    assert small.shape == (2, 3, 32, 48)
    assert full.min() >= 0
    assert full.max() <= 1
    assert torch.allclose(full.mean((2, 3)), small.mean((2, 3)), atol=0.02)
    with pytest.raises(ValueError, match="at least 1"):
        data.photographs(size=0)


def test_synthetic_has_the_chosen_statistics_for_each_channel():
    batch = data.synthetic((4000, 3, 5), mean=(-1, 0, 10), std=(0.5, 1, 4))
    assert batch.mean((0, 2)).tolist() == pytest.approx([-1, 0, 10], abs=0.1)
    assert batch.std((0, 2)).tolist() == pytest.approx([0.5, 1, 4], rel=0.05)


def test_synthetic_is_seeded_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    assert torch.equal(data.synthetic((3, 2)), data.synthetic((3, 2)))
    assert not torch.equal(data.synthetic((3, 2)), data.synthetic((3, 2), seed=1))
    assert torch.equal(before, torch.get_rng_state())


def test_synthetic_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"mean has 2 numbers.*one for each channel"):
        data.synthetic((4, 3), mean=(0.0, 1.0))
    with pytest.raises(ValueError, match="std is a standard deviation"):
        data.synthetic((4, 3), std=-1.0)


def test_a_dataset_shows_its_shapes():
    assert "train=Split(inputs (1347, 64), targets (1347,))" in repr(data.digits(flat=True))


def test_mnist_says_what_to_do_without_a_network(tmp_path):
    # A process of its own: urllib reads the proxies once. Port 9 of this machine refuses at once.
    proxy = "http://127.0.0.1:9"
    environment = {**os.environ, "http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}
    environment |= {name.upper(): environment[name] for name in ("https_proxy", "no_proxy")}
    code = "import sys; from bnlab import data; data.mnist(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ConnectionError: MNIST is not in")
    assert str(tmp_path) in last
    assert "data.digits()" in last
    assert "data.mnist(folder)" in last
    assert "Warning" not in result.stderr


def test_scikit_learn_waits_until_it_is_asked_for():
    code = "import sys; from bnlab import data, models, training, recording; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"sklearn", "tqdm.auto", "matplotlib", "ipywidgets"} & set(result.stdout.split())
