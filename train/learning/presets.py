"""Lists presets: the settings of tested runs, by the name that `--preset` takes. Options override single settings."""

from __future__ import annotations

from dataclasses import dataclass


class RunError(Exception):
    """A training run cannot start or continue. The message is one sentence for the user."""


@dataclass(frozen=True)
class Preset:
    """The settings of one run.

    batch_size: the number of sequences of up to `max_length` tokens, over all devices and accumulation steps.
    lora_rank: 0 trains all weights. model: None is the embedded model. least_rate: the final learning rate as a share
    of `learning_rate`. bundled: of the rows with calls, the fraction that is put in a bundle with other rows
    (train/learning/bundles.py).
    """

    model: str | None
    template: str | None = None
    max_length: int = 4096
    batch_size: int = 64
    device_batch_size: int = 1
    learning_rate: float = 2e-5
    least_rate: float = 0.0
    epochs: int = 2
    weight_decay: float = 0.3
    warmup: float = 0.03
    adam_beta2: float = 0.999
    lora_rank: int = 0
    lora_alpha: int = 0
    lora_dropout: float = 0.0
    bundled: float = 0.0


PRESETS = {
    # The original settings of the first Functionary models.
    "functionary-7b-v1": Preset("meta-llama/Llama-2-7b-hf", template="functionary_v1_plain"),
    "llama-2-13b": Preset("meta-llama/Llama-2-13b-hf", template="functionary_v1"),
    # For the embedded model on two CPU cores. Dropout would cost a tenth of the speed and is not used.
    "smollm2-135m": Preset(
        None,
        max_length=768,
        batch_size=6,
        device_batch_size=3,
        learning_rate=1e-3,
        least_rate=0.1,
        epochs=1,
        weight_decay=0.01,
        adam_beta2=0.98,
        lora_rank=32,
        lora_alpha=64,
        bundled=0.8,
    ),
}
