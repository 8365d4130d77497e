"""Extends the HF Trainer: computes logits for learned tokens only, and saves checkpoints with a callback."""

from __future__ import annotations

import signal
import time
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from train.learning.packing import IGNORED

SAVE_EVERY_S = 15 * 60


class LearnedOnly:
    """Reduces the input of the output layer to the hidden states that predict learned tokens: (B, T, H) -> (N, H).

    About a tenth of the tokens is learned, and computing all logits would be a quarter of a small model's work. The
    object is a hook of the output layer, so it also works under DDP, FSDP and peft.
    """

    def __init__(self, model: Any) -> None:
        head: nn.Module = model.get_output_embeddings()
        head.register_forward_pre_hook(self._select)
        self._chosen: Tensor | None = None

    def choose(self, labels: Tensor) -> Tensor:
        """Return the learned tokens, (N,) int64. The next forward gives their logits, (N, vocabulary size)."""
        self._chosen = labels[:, 1:] != IGNORED
        return labels[:, 1:][self._chosen]

    def _select(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        chosen, self._chosen = self._chosen, None
        return None if chosen is None else (inputs[0][:, :-1][chosen], *inputs[1:])


class Learner(Trainer):
    """Trains with the mean cross entropy of a batch's learned tokens, on all devices and in all accumulation steps.

    Examples are taken in the order of the dataset, which is already shuffled. A resumed run continues with the next
    example.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # this makes the Trainer count the learned tokens of a batch
        self._learned_only = LearnedOnly(self.model)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        targets = self._learned_only.choose(inputs["labels"])
        logits = model(**{key: value for key, value in inputs.items() if key != "labels"}, use_cache=False).logits
        loss: Tensor = nn.functional.cross_entropy(logits.float(), targets, reduction="sum")
        if num_items_in_batch is None:
            return loss / targets.numel()
        share: Tensor = loss * (
            self.accelerator.num_processes / num_items_in_batch
        )  # Trainer averages the gradients of the processes, and this makes the average a sum
        return share

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]


class CheckpointSaving(TrainerCallback):
    """Saves a checkpoint every 15 minutes, and one when SIGTERM or Ctrl-C ends the run."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._saved_at = time.monotonic()

    def install_signal_handlers(self) -> None:
        """Install handlers of SIGTERM and Ctrl-C that end the run after the current step."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.is_stopped = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> TrainerControl:
        if self.is_stopped or time.monotonic() - self._saved_at > SAVE_EVERY_S:
            control.should_save = True
            self._saved_at = time.monotonic()
        control.should_training_stop = control.should_training_stop or self.is_stopped
        return control
