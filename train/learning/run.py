"""Trains on sequences, and saves checkpoints, the plot of the loss and the trained weights."""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainingArguments, set_seed

from engines.local.devices import cpu_has_bfloat16
from train.learning import attention
from train.learning.base import Base, with_lora
from train.learning.curves import draw
from train.learning.learner import CheckpointSaving, Learner
from train.learning.lora import merge_in_forward
from train.learning.packing import collate
from train.learning.presets import Preset, RunError
from train.learning.sequences import Sequences

_WORKERS = 6  # processes that make batches; one process would be too slow to keep a GPU busy
_FULL = ("No space left", "File too large", "PytorchStreamWriter", "file write failed", "I/O error")


def train(
    base: Base, examples: Sequences, preset: Preset, options: Namespace, about: dict[str, Any], summary: str
) -> None:
    """Train, save checkpoints and a plot of the loss, and finally save the weights in --out.

    The weights go to --out/adapter or --out/model. Resumes from the newest complete checkpoint. Raises RunError if the
    checkpoint belongs to a run with other settings or data than `about`. A resumed run may have another number of
    tokens: the order of the examples stays the same, and the learning rate schedule then ends at the new last example.
    """
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    _check_same_run(out, {"preset": asdict(preset), **about}, summary)
    set_seed(options.seed)
    model = _prepared(base.load(), preset, options.adapter)
    saving = CheckpointSaving()
    learner = Learner(
        model=model,
        args=arguments(preset, out, options.seed),
        train_dataset=examples,
        data_collator=partial(collate, pad_id=base.pad_id),
        processing_class=base.backend,
        callbacks=[saving],
    )
    checkpoint: Path | None = options.checkpoint or newest_checkpoint(out)
    if checkpoint is not None:
        if not (checkpoint / "trainer_state.json").exists():
            raise RunError(f"{checkpoint} is no whole checkpoint: its trainer_state.json is missing")
        print(f"resuming from {checkpoint}", file=sys.stderr)
    saving.install_signal_handlers()
    with writing(out):
        learner.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    draw(learner.state.log_history, out / "loss.png", summary)
    if saving.is_stopped and learner.state.global_step < learner.state.max_steps:
        raise RunError(f"interrupted at step {learner.state.global_step}; the same command resumes from there")
    with writing(out):
        _save(base, learner, out, is_adapter=bool(preset.lora_rank))


def _prepared(model: Any, preset: Preset, adapter: Path | None) -> Any:
    """Prepare the model: LoRA if the preset has a rank; the fast attention on a CPU, compiled layers on a GPU."""
    layers = [module for module in model.modules() if type(module).__name__ in (model._no_split_modules or ())]
    if not torch.cuda.is_available():
        model.set_attn_implementation(attention.NAME)
    if preset.lora_rank:
        if _has_bfloat16():
            model = model.to(torch.bfloat16)  # only the frozen weights: the adapter is added later, in float32
        model = with_lora(model, preset, adapter)
        merge_in_forward(model)
    if torch.cuda.is_available():
        for layer in layers:  # all layers share one compiled code; to compile the whole model would take minutes
            layer.compile()
    return model


def _has_bfloat16() -> bool:
    return torch.cuda.is_available() or cpu_has_bfloat16()


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn errors of a full disk into RunError. Three libraries report such errors differently."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error)
        if not isinstance(error, OSError) and not any(word in reason for word in _FULL):
            raise
        raise RunError(f"{out}: cannot be written: {reason}; finished checkpoints are kept") from None


def arguments(preset: Preset, out: Path, seed: int) -> TrainingArguments:
    """Make the Trainer's arguments from the preset. A batch that does not fit the devices at once is accumulated."""
    num_devices = int(os.environ.get("WORLD_SIZE", 0)) or max(1, torch.cuda.device_count())
    steps = max(1, preset.batch_size // (preset.device_batch_size * num_devices))
    schedule: dict[str, Any] = {"lr_scheduler_type": "cosine"}
    if preset.least_rate:
        schedule = {
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": preset.least_rate},
        }
    return TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=preset.device_batch_size,
        gradient_accumulation_steps=steps,
        num_train_epochs=1,  # the dataset has the examples of all epochs
        learning_rate=preset.learning_rate,
        weight_decay=preset.weight_decay,
        warmup_steps=preset.warmup,
        adam_beta2=preset.adam_beta2,
        max_grad_norm=1.0,
        bf16=_has_bfloat16() and not preset.lora_rank,  # with LoRA, _prepared has chosen the dtypes
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",  # learner.py's callback decides when to save
        save_total_limit=2,
        logging_steps=5,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        dataloader_num_workers=_WORKERS if torch.cuda.is_available() else 0,
        seed=seed,
        report_to="none",
        **schedule,
    )


def newest_checkpoint(out: Path) -> Path | None:
    """Return the newest complete checkpoint, or None. A complete one has trainer_state.json, which is written last."""
    found = [path.parent for path in out.glob("checkpoint-*/trainer_state.json")]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _check_same_run(out: Path, about: dict[str, Any], summary: str) -> None:
    """Raise RunError if `out` has checkpoints of a run with other settings or data. Otherwise write run.json."""
    path = out / "run.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if kept is not None and {key: kept.get(key) for key in about} != about and newest_checkpoint(out):
        raise RunError(f"{out} holds checkpoints of another run; choose another --out, or delete it")
    command = shlex.join(["python", "-m", "train.sft", *sys.argv[1:]])
    path.write_text(json.dumps({**about, "size": summary, "command": command}, indent=1) + "\n", encoding="utf-8")


def _save(base: Base, learner: Learner, out: Path, *, is_adapter: bool) -> None:
    """Save all weights with the tokenizer in `model`, or save an adapter in `adapter`.

    If an adapter was trained, the weights merged with it are saved in `model` too, unless the base is the embedded
    model.
    """
    if not is_adapter:
        learner.save_model(str(out / "model"))
        return
    learner.save_model(str(out / "adapter"))
    if not learner.is_world_process_zero():
        return
    _round(out / "adapter" / "adapter_model.safetensors")
    if not base.is_embedded:
        merged = PeftModel.from_pretrained(base.load(), str(out / "adapter")).merge_and_unload()
        merged.save_pretrained(out / "model")
        base.backend.save_pretrained(out / "model")


def _round(path: Path) -> None:
    """Convert the adapter to bfloat16, which halves its size. The base weights keep a higher precision."""
    save_file({name: value.to(torch.bfloat16) for name, value in load_file(path).items()}, path, {"format": "pt"})
