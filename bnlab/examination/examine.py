"""Examine a model, a state dict or a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from bnlab.examination.findings import Examination


def examine(
    subject: nn.Module | Mapping[str, Any] | str | os.PathLike[str],
    batches: Iterable[Any] | None = None,
    *,
    accumulation: int = 1,
) -> Examination:
    r"""Look for what is wrong with the norms of a model, a state dict or a checkpoint file.

    Batch, synchronised and instance norms are looked at, torch's and ours, and whatever else has
    the buffers `running_mean` and `running_var`. A model is left as it was: state, modes, hooks,
    gradients, and the generators of random numbers. Of a file nothing is executed.

    Without batches it takes no forward pass. With them the model answers three times: in eval
    mode; with each norm taking the batch's statistics, as in train mode, but without dropout; and
    with the running statistics that recalibrating would give. Where the first is far from the last,
    the layers that make it so are found by up to eight more passes, each of which leaves one
    layer's statistics as they are. A batch that the model does not take is a finding too.

    Args:
        subject: A model; or a state dict; or the path of anything that `bnlab.checkpoint.read`
            reads. A file knows neither momentum nor modes, and a batch norm that was saved
            without any statistics looks like a layer norm there.
        batches: What the model takes: an iterable of tensors or of tuples that begin with one,
            such as a loader. They are sent through it without gradients, and only so many are
            read as make 256 samples, at most 64; an iterator is moved on by these. Of a loader
            the size of the last batch is worked out, of a list it is looked up.
        accumulation: Over how many batches a training step gathers gradients.

    Raises:
        ValueError: `accumulation` is below 1, there is no batch, or there is no model for them.
        TypeError: The subject is something else, or a batch is neither tensor nor tuple.
        CheckpointError: The file cannot be read, is damaged, or would run code.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3))
        >>> for finding in examine(model).findings:
        ...     print(finding.severity, finding.kind, finding.place)
        error never-updated 1
    """
    if accumulation < 1:
        raise ValueError(
            f"accumulation is the number of batches in a step, at least 1, but is {accumulation}"
        )
    # Not above: `import bnlab` is to be light, and this takes longer than the rest of it.
    from bnlab.examination.examiner import examine_model, examine_state

    if isinstance(subject, nn.Module):
        if any(isinstance(module, torch.jit.ScriptModule) for module in subject.modules()):
            raise TypeError(
                "TorchScript is a program, with no layers to look into: examine the model that it "
                "was made from, or its state dict"
            )
        return examine_model(subject, batches, accumulation)
    if batches is not None:
        raise ValueError("batches need a model that takes them: load the state into one")
    if isinstance(subject, Mapping):
        return examine_state("a state dict", subject)
    if isinstance(subject, (str, os.PathLike)):
        from bnlab.checkpoint import read

        return examine_state(os.fspath(subject), read(subject))
    raise TypeError(
        f"examine takes a model, a state dict or the path of a file, not {type(subject).__name__}"
    )
