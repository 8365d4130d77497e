"""Trains a model on rows with the HF Trainer: `python -m train.sft --preset NAME --data FILE ... --out DIR`.

The loss covers the assistant's texts and calls and the tokens that end them, and nothing else. The same command resumes
an interrupted run. To use several GPUs, run `accelerate launch -m train.sft ...`; `accelerate config` selects FSDP or
DeepSpeed.
"""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from client.json_lines import FileError
from core.errors import ModelError
from train.learning.augment import NO_CHANGES, Rates
from train.learning.presets import PRESETS, Preset, RunError

if TYPE_CHECKING:
    from train.learning.base import Base
    from train.learning.sequences import Sequences

TEXTS = {"model": str, "template": str}


def read_options(argv: Sequence[str] | None = None) -> tuple[Namespace, Preset]:
    parser = argparse.ArgumentParser("python -m train.sft", description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="smollm2-135m", help="default: %(default)s")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", nargs="+", type=Path, metavar="FILE", help=".jsonl or .jsonl.xz rows")
    source.add_argument("--prepared", nargs="+", type=Path, metavar="FILE", help="files that --prepare wrote")
    parser.add_argument(
        "--distractors", type=Path, metavar="FILE", help="lines of {'function': ...}, used as distractors"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="DIR", help="for checkpoints, the loss plot and the weights")
    target.add_argument("--prepare", type=Path, metavar="FILE", help="write the run's sequences and do not train")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="start from a LoRA adapter of an earlier run")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="resume from this one; default: the newest")
    parser.add_argument("--tokens", type=int, metavar="N", help="stop after about N tokens")
    parser.add_argument("--as-is", action="store_true", help="train on rows unchanged, without augmentation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="show three examples and the size of the run")
    for field in fields(Preset):
        kind = TEXTS.get(field.name) or (float if isinstance(field.default, float) else int)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help="overrides the preset's value")
    options = parser.parse_args(argv)
    given = {field.name: getattr(options, field.name) for field in fields(Preset)}
    chosen = {key: value for key, value in given.items() if value is not None}
    return options, replace(PRESETS[options.preset], **chosen)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 and an error message when nothing was trained."""
    options, preset = read_options(argv)
    try:
        run(options, preset)
    except (FileError, RunError, ModelError) as error:
        sys.exit(f"sft: {error}")
    except OSError as error:
        where = error.filename or options.out or options.prepare
        sys.exit(f"sft: {where}: {error.strerror or error}; finished checkpoints are kept")


def run(options: Namespace, preset: Preset) -> None:
    """Prepare sequences, then show them or train on them. Raises FileError, RunError, ModelError and OSError."""
    from train.learning.base import open_base
    from train.learning.sequences import read_sequences

    if options.prepare:  # a folder that cannot be created must be an error before the long work
        options.prepare.parent.mkdir(parents=True, exist_ok=True)
    base = open_base(preset.model, preset.template)
    made_for = {"model": base.name, "template": base.template.name, "max_length": preset.max_length}
    if options.prepared:
        chosen = read_sequences(options.prepared, made_for).first(options.tokens)
    else:
        chosen = _made(options, preset, base)
    if not len(chosen):
        raise RunError("no row is short enough to learn from; raise --max-length")
    summary = chosen.summary(preset.batch_size)
    print(summary, file=sys.stderr)
    if options.dry_run:
        _show([chosen[number] for number in range(min(3, len(chosen)))], base.tokenizer)
    elif options.prepare:
        chosen.write(options.prepare, made_for)
    else:
        from train.learning.run import train

        files = [[path.name, path.stat().st_size] for path in options.data or options.prepared]
        train(base, chosen, preset, options, {"data": files, "as_is": options.as_is, "seed": options.seed}, summary)


def _made(options: Namespace, preset: Preset, base: Base) -> Sequences:
    from train.learning.examples import examples, read_all, read_pool
    from train.learning.sequences import Sequences

    made = examples(
        read_all(options.data),
        base.template,
        base.tokenizer,
        epochs=preset.epochs,
        max_length=preset.max_length,
        bundled_share=preset.bundled,
        rates=NO_CHANGES if options.as_is else Rates(),
        seed=options.seed,
        pool=read_pool(options.distractors) if options.distractors else (),
    )
    return Sequences.of(tqdm(made, "Making sequences", unit=""), options.tokens)


def _show(chosen: Sequence[Any], tokenizer: Any) -> None:
    """Print the text of examples. Learned tokens are in [[ ]]."""
    for example in chosen:
        text, is_learned = "", False
        for token_id, label in zip(example.ids, example.labels, strict=True):
            if (label >= 0) != is_learned:
                text += "]]" if is_learned else "[["
                is_learned = label >= 0
            text += tokenizer.decode([token_id])
        print(text + ("]]" if is_learned else "") + "\n" + "=" * 40)


if __name__ == "__main__":
    main()
