"""The HF Trainer, computing logits only where something is learned, and what it does beside training."""

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
    """Hands the output embedding the hidden states before learned tokens only: (B, T, H) -> (N, H).

    A tenth of the tokens is learned, and logits over the vocabulary are a quarter of a small model's work. A hook, so
    that the model's own forward runs, whatever wraps it (DDP, FSDP, peft).
    """

    def __init__(self, model: Any) -> None:
        head: nn.Module = model.get_output_embeddings()
        head.register_forward_pre_hook(self._select)
        self._chosen: Tensor | None = None

    def choose(self, labels: Tensor) -> Tensor:
        """The tokens to learn, (N,) int64; the next forward gives their logits, (N, vocabulary)."""
        self._chosen = labels[:, 1:] != IGNORED
        return labels[:, 1:][self._chosen]

    def _select(self, head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        chosen, self._chosen = self._chosen, None
        return None if chosen is None else (inputs[0][:, :-1][chosen], *inputs[1:])


class Learner(Trainer):
    """Mean cross entropy over the learned tokens of the whole batch, accumulation steps and devices included.

    Examples come in the order of the dataset, which is shuffled already: a resumed run goes on with the very next one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # so that Trainer counts the learned tokens of a batch
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
        )  # gradients are averaged, not added
        return share

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)  # type: ignore[arg-type]


class Saving(TrainerCallback):
    """A checkpoint every quarter of an hour, and one more before the run ends on SIGTERM or Ctrl-C."""

    def __init__(self) -> None:
        self.is_stopped = False
        self._saved_at = time.monotonic()

    def listen(self) -> None:
        """From now on the signals end the run behind the step that is on its way."""
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
