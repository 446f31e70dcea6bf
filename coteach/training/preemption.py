"""Training that is asked to stop: SIGTERM, as batch systems and clusters send it, or Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["SIGNALS", "Preemption", "Stopped"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A training stopped between two steps because of a signal; its checkpoint is written.

    Like KeyboardInterrupt no Exception: nothing has failed.

    Attributes:
        signal: that was received.
        step: optimiser steps done.
        total: of that training.
        folder: of that training, which holds the checkpoint; of a stage or a baseline it lies
            in the run's.
    """

    def __init__(self, signal: signal.Signals, step: int, total: int, folder: Path) -> None:
        super().__init__(f"stopped at step {step} of {total} by {signal.name}")
        self.signal, self.step, self.total, self.folder = signal, step, total, folder

    @property
    def code(self) -> int:
        """The exit code that says so: 143 of SIGTERM, 130 of SIGINT."""
        return 128 + self.signal


class Preemption:
    """Within its block a signal is noted, for the loop to look at after every step.

    A second Ctrl-C interrupts at once, as ever. Outside the main thread, where Python allows no
    handlers, signals do what they did before.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # One that is ignored, as SIGINT is in a script's background, stays so.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])

    def stop(self, accelerator: Accelerator) -> signal.Signals | None:
        """The signal that some process has received, the same on all of them; to be asked by all
        after the same step.

        None of several processes can stop alone, since the others would wait for its gradients:
        they add up two numbers, as little as can be sent beside the gradients of a step. One
        process waits for nothing, not even its device.
        """
        if accelerator.num_processes == 1:
            return self.received
        import torch

        flags = torch.tensor([self.received == number for number in SIGNALS], dtype=torch.int32)
        flags = accelerator.reduce(flags.to(accelerator.device), "sum")
        received = (number for number, count in zip(SIGNALS, flags.tolist(), strict=True) if count)
        return next(received, None)
