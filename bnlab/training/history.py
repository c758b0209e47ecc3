"""What a training leaves behind."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from bnlab.recording import Recording


@dataclass(repr=False)
class History:
    r"""What `fit` saw.

    Attributes:
        loss: Of each step, on that step's batch.
        train_accuracy: After each epoch, in eval mode, between 0 and 1.
        test_accuracy: The same on the test split.
        ratios: For each weight matrix the size of each step's update beside the weight's own,
            :math:`\|\Delta W\| / \|W\|`; empty unless asked for.
        seconds: How long it took.
        stopped: Why training ended early; empty if it did not.
        train_loss: Mean loss over the training split after each epoch, in eval mode.
        test_loss: The same on the test split.
        recording: Per-channel statistics of each step; None unless asked for.
        state: The trained model's state dict, where `Training` keeps it; else empty.
    """

    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""
    train_loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    recording: Recording | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

    def __repr__(self) -> str:
        if not self.loss:
            return "History(0 steps)"
        parts = [
            f"{len(self.test_accuracy)} epochs, {len(self.loss)} steps",
            f"loss {self.loss[0]:.3f} → {self.loss[-1]:.3f}",
            f"accuracy {self.train_accuracy[-1]:.3f} (train), {self.test_accuracy[-1]:.3f} (test)",
            f"{self.seconds:.1f} s",
        ]
        return f"History({'; '.join(parts + ([self.stopped] if self.stopped else []))})"

    def take(self, loss: float, epoch: int) -> bool:
        """Note the loss of a step of this epoch (from 0); whether training may go on."""
        self.loss.append(loss)
        if not math.isfinite(loss):
            self.stopped = (
                f"stopped in epoch {epoch + 1} at step {len(self.loss) - 1}: "
                f"the loss is {loss}; try a smaller learning rate"
            )
        return not self.stopped
