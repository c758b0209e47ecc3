"""Data that is there without a network, and MNIST for those who have one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False, eq=False)
class Split:
    """Inputs and the class index of each."""

    inputs: Tensor
    targets: Tensor

    def __repr__(self) -> str:
        return f"Split(inputs {tuple(self.inputs.shape)}, targets {tuple(self.targets.shape)})"


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """What a network trains on, what it is tested on, and the names of the classes."""

    train: Split
    test: Split
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Dataset(\n  train={self.train},\n  test={self.test},\n  classes={self.classes})"


def digits(*, flat: bool = False, test: float = 0.25, seed: int = 0) -> Dataset:
    """Return scikit-learn's 1797 handwritten digits, 8×8 pixels each, scaled to [0, 1].

    Each digit has the same share of the training and the test split.

    Args:
        flat: Whether a digit is one row of 64 pixels instead of a picture.
        test: The share held back for testing.
        seed: Decides which digits those are.

    Shape:
        - inputs: :math:`(N, 1, 8, 8)`, or :math:`(N, 64)` if `flat`; float32
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: `test` is not between 0 and 1, or leaves a class without a digit.

    Example:
        >>> digits()
        Dataset(
          train=Split(inputs (1347, 1, 8, 8), targets (1347,)),
          test=Split(inputs (450, 1, 8, 8), targets (450,)),
          classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'))

    Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits" (1998):
    https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    if not 0 < test < 1:
        raise ValueError(f"test is the share held back, between 0 and 1, but is {test}")
    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    train_rows, test_rows = train_test_split(
        range(len(targets)), test_size=test, stratify=labels, random_state=seed
    )
    if not flat:
        inputs = inputs.unflatten(1, (1, 8, 8))
    return Dataset(
        Split(inputs[train_rows], targets[train_rows]),
        Split(inputs[test_rows], targets[test_rows]),
        tuple("0123456789"),
    )


def photographs(size: int | tuple[int, int] | None = None) -> Tensor:
    """Return scikit-learn's two photographs, a temple in China and a flower, scaled to [0, 1].

    Args:
        size: Height and width, one number for both; None leaves the photographs as they are.

    Shape:
        - output: :math:`(2, 3, H, W)`, float32; 427×640 pixels without `size`

    Raises:
        ValueError: `size` is not positive.

    Example:
        >>> photographs(size=64).shape
        torch.Size([2, 3, 64, 64])

    The pictures are described at
    https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_sample_images.html
    """
    from sklearn.datasets import load_sample_image

    names = ("china.jpg", "flower.jpg")
    pictures = torch.stack([torch.tensor(load_sample_image(name)) for name in names])
    pixels = pictures.permute(0, 3, 1, 2).float().contiguous() / 255
    if size is None:
        return pixels
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size is a height and a width of at least 1, but is {size}")
    # Without antialiasing a small picture is a sample of single pixels, and its spread is too wide.
    return torch.nn.functional.interpolate(
        pixels, (height, width), mode="bilinear", antialias=True
    ).clamp(0, 1)


def synthetic(
    shape: Sequence[int],
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    seed: int = 0,
) -> Tensor:
    r"""Draw a batch of Gaussian values with a chosen mean and spread.

    .. math::
        x \sim \mathcal{N}(\mu_C, \sigma_C^2)

    These are the distribution's; those of the batch differ from them by chance.

    Args:
        shape: Of the batch; dimension 1 holds the channels.
        mean: :math:`\mu`, one number or one for each channel.
        std: :math:`\sigma`, one number or one for each channel.
        seed: Of a generator of its own; the global one stays as it is.

    Shape:
        - output: `shape`, float32

    Raises:
        ValueError: `std` is negative, or there are not as many numbers as channels.

    Example:
        >>> batch = synthetic((10_000, 2), mean=(2.0, 5.0), std=(1.0, 3.0))
        >>> batch.mean(dim=0).round(decimals=1)
        tensor([2., 5.])
        >>> batch.std(dim=0).round(decimals=1)
        tensor([1., 3.])
    """
    values = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
    spread = _per_channel("std", std, values)
    if (spread < 0).any():
        raise ValueError(f"std is a standard deviation, at least 0, but is {std}")
    return values * spread + _per_channel("mean", mean, values)


def _per_channel(name: str, value: float | Sequence[float], like: Tensor) -> Tensor:
    numbers = torch.as_tensor(value, dtype=like.dtype)
    if numbers.dim() == 0:
        return numbers
    if like.dim() < 2 or numbers.shape != like.shape[1:2]:
        raise ValueError(
            f"{name} has {len(numbers)} numbers and a batch of shape {tuple(like.shape)}: give one "
            "number, or one for each channel (dimension 1)"
        )
    return numbers.view(-1, *[1] * (like.dim() - 2))


def mnist(folder: str | Path | None = None, *, flat: bool = False) -> Dataset:
    """Return MNIST's 70 000 handwritten digits, 28×28 pixels each, scaled to [0, 1].

    The first call downloads some 15 MB from OpenML; later ones read the copy in `folder`.

    Args:
        folder: Where the copy is kept; None is scikit-learn's own folder, `~/scikit_learn_data`.
        flat: Whether a digit is one row of 784 pixels instead of a picture.

    Shape:
        - inputs: :math:`(N, 1, 28, 28)`, or :math:`(N, 784)` if `flat`; float32
        - targets: :math:`(N)`, int64; the first 60 000 digits are for training

    Raises:
        ConnectionError: There is no copy in `folder` and none can be downloaded.

    Example:
        >>> mnist("mnist").train  # doctest: +SKIP
        Split(inputs (60000, 1, 28, 28), targets (60000,))

    LeCun, Cortes & Burges, "The MNIST Database of Handwritten Digits" (1998).
    """
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # It warns of the retry before it fails; the error below says all of that.
            warnings.filterwarnings("ignore", message="A network error occurred")
            pixels, labels = fetch_openml(
                "mnist_784",
                version=1,
                data_home=None if folder is None else str(folder),
                return_X_y=True,
                as_frame=False,
                # The other parser needs pandas.
                parser="liac-arff",
                # A classroom without a network should hear so at once.
                n_retries=1,
                delay=0.1,
            )
    except (OSError, HTTPException) as error:
        place = "scikit-learn's folder" if folder is None else f"{str(folder)!r}"
        raise ConnectionError(
            f"MNIST is not in {place} and could not be downloaded ({error}). Use data.digits(), "
            "which needs no network, or call data.mnist(folder) once where there is one and bring "
            "that folder here."
        ) from error
    inputs = torch.tensor(pixels, dtype=torch.float32) / 255
    targets = torch.tensor([int(label) for label in labels])
    if not flat:
        inputs = inputs.unflatten(1, (1, 28, 28))
    return Dataset(
        Split(inputs[:60_000], targets[:60_000]),
        Split(inputs[60_000:], targets[60_000:]),
        tuple("0123456789"),
    )
