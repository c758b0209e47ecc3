"""What a model's settings and modes show, before any batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from bnlab.examination.findings import Finding, say_count
from bnlab.examination.norms import Norm
from bnlab.examination.state_checks import MEASURE

LIKE_KERAS = 0.9
"""From here on a momentum looks like the weight of the old value, as Keras has it."""
SMALL_BATCH = 16


def find_odd_momentum(norm: Norm) -> Iterator[Finding]:
    """A momentum with which running statistics stand still, forget, or grow wild."""
    momentum = norm.momentum
    if norm.module is None or not (norm.is_batch or norm.is_instance) or not norm.tracked:
        return
    if momentum is None or 0 < momentum < LIKE_KERAS:
        return
    evidence = {"momentum": momentum}
    if not 0 <= momentum <= 1:
        yield Finding(
            "momentum-out-of-range",
            "error",
            norm.name,
            f"momentum is {momentum:g}: the running statistics become no average of batches, and "
            "a variance may become negative.",
            f"Set momentum to 0.1, torch's default; {MEASURE}.",
            evidence=evidence,
        )
    elif momentum == 0:
        yield Finding(
            "momentum-zero",
            "warning" if norm.moves or norm.trains_affine else "note",
            norm.name,
            "momentum is 0: batches in train mode leave the running statistics as they are, while "
            "the weights before them change.",
            "Set momentum to 0.1, torch's default. To keep statistics on purpose, use "
            "bnlab.freeze(model), which normalises with them in train mode too.",
            evidence=evidence,
        )
    elif momentum == 1:
        yield Finding(
            "momentum-one",
            "warning",
            norm.name,
            "momentum is 1: the running statistics are those of the last batch alone.",
            f"Set momentum to 0.1, torch's default, or None to count all alike; {MEASURE}.",
            evidence=evidence,
        )
    else:
        yield Finding(
            "momentum-like-keras",
            "warning",
            norm.name,
            f"momentum is {momentum:g}. In torch that is the weight of the new batch, so that the "
            "running statistics are little more than the last one's; in Keras it is the weight of "
            "the old value.",
            f"For Keras's {momentum:g} write momentum={1 - momentum:.3g}; then {MEASURE}.",
            evidence=evidence,
        )


def find_idle_bias(pairs: dict[str, tuple[nn.Module, Norm]]) -> Iterator[Finding]:
    """A bias right before a norm that takes the mean off again; `pairs` is by the biased layer."""
    for name, (layer, norm) in pairs.items():
        bias = getattr(layer, "bias", None)
        if bias is not None and (norm.moves or norm.trains_affine):
            yield Finding(
                "idle-bias",
                "note",
                name,
                "The norm right after it subtracts the mean, and the bias with it: in train mode "
                "the bias changes nothing.",
                "Build the layer with bias=False; beta does its work.",
                evidence={"numbers": float(bias.numel())},
            )


def find_frozen_affine(norm: Norm, trains: bool) -> Iterator[Finding]:
    """A gamma or beta that needs no gradient, in a layer whose statistics move all the same."""
    if trains and norm.moves and norm.frozen_affine and norm.momentum != 0:
        names = {"weight": "gamma (weight)", "bias": "beta (bias)"}
        what = " and ".join(names[name] for name in norm.frozen_affine)
        yield Finding(
            "frozen-but-moving",
            "warning",
            norm.name,
            f"{what} need no gradient, as if it were frozen, but the layer is in train mode: it "
            "normalises with the batch's statistics and moves the running ones.",
            "To freeze it altogether, use bnlab.freeze(model); else let them train.",
        )


def find_train_mode(model: nn.Module, norms: list[Norm], grad_enabled: bool) -> Iterator[Finding]:
    """Norms in train mode where nothing can be trained, or nothing seems to be."""
    moving = [norm for norm in norms if norm.module is not None and norm.module.training]
    moving = [norm for norm in moving if norm.is_batch]
    if not moving or not model.training:
        return
    parameters = list(model.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        sign = "no parameter needs a gradient"
    elif not grad_enabled:
        sign = "gradients are switched off"
    elif all(p.grad is None for p in parameters) and any(norm.counted for norm in moving):
        sign = "no parameter holds a gradient"
    else:
        return
    yield Finding(
        "train-mode",
        "note" if sign.endswith("holds a gradient") else "warning",
        "",
        f"{say_count(len(moving), 'batch norm')} in train mode, while {sign}. If the model is "
        "meant to answer: as it is, a sample's answer depends on the rest of its batch, and every "
        "batch moves the running statistics.",
        "Call model.eval() before it answers.",
        evidence={"in_train_mode": float(len(moving)), "parameters": float(len(parameters))},
    )


def find_mixed_modes(model: nn.Module, norms: list[Norm]) -> Iterator[Finding]:
    """Norms, and dropouts, in another mode than the rest."""
    modes = {norm.name: norm for norm in norms if norm.is_batch or norm.is_instance}
    still = [norm for norm in modes.values() if norm.module and not norm.module.training]
    if not model.training:
        for name, module in model.named_modules():
            if module.training and (name in modes or isinstance(module, _DropoutNd)):
                yield Finding(
                    "mixed-modes",
                    "warning",
                    name,
                    "It is in train mode, while the model is in eval mode: "
                    + (
                        "its answers depend on the batch, and its running statistics move."
                        if name in modes
                        else "it still drops at random."
                    ),
                    "Call model.eval() again, after all that changes modes.",
                )
        return
    if still and len(still) == len(modes):
        yield Finding(
            "frozen-statistics",
            "note",
            "",
            f"All of {say_count(len(modes), 'norm')} are in eval mode while the model is in train "
            "mode, as bnlab.freeze leaves them: their running statistics stay as they are.",
            evidence={"norms": float(len(modes))},
        )
        return
    for norm in still:
        meant = not norm.trains_affine
        yield Finding(
            "mixed-modes",
            "note" if meant else "warning",
            norm.name,
            f"It is in eval mode, while {len(modes) - len(still)} of "
            f"{say_count(len(modes), 'norm')} and the model are in train mode: its running "
            "statistics stay as they are"
            + (", and so do gamma and beta." if meant else ", while its gamma and beta train."),
            "" if meant else "Call model.train(), or freeze it altogether with bnlab.freeze.",
        )


def find_accumulation(norms: list[Norm], accumulation: int, batch: int | None) -> Iterator[Finding]:
    """Batch norms in a training whose steps gather several batches; `batch` is the size of one."""
    moving = [norm for norm in norms if norm.is_batch and not norm.frozen]
    if accumulation == 1 or not moving:
        return
    small = batch is None or batch < SMALL_BATCH
    size = f" of {batch}" if batch else ""
    powers = {norm.momentum for norm in moving if norm.momentum is not None}
    slower = "; ".join(f"{1 - (1 - m) ** (1 / accumulation):.2g} for {m:g}" for m in sorted(powers))
    yield Finding(
        "accumulation",
        "warning" if small else "note",
        "",
        f"Gradients are gathered over {accumulation} batches{size}, but the statistics of "
        f"{say_count(len(moving), 'batch norm')} are not: each batch is normalised by its own, as "
        f"small as it is, and the running statistics move {accumulation} times a step.",
        (f"To forget as slowly as with one large batch, set momentum {slower}. " if slower else "")
        + "Where batches are small, use group norm, or bnlab.SyncBatchNorm on several processes.",
        evidence={
            "accumulation": float(accumulation),
            **({"batch": float(batch)} if batch else {}),
        },
    )
