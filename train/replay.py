"""Answers plain prompts with the embedded model without its adapter: `python -m train.replay --in PROMPTS --out ROWS`.

The answers are training rows that keep the model's ability to chat. A model trained without them calls a function for
every prompt. PROMPTS has lines {"messages": [one user message]}.

An answer that --max-tokens cuts off is shortened to its last whole sentence, or left out if it has none. Finished
answers are stored in a hidden file beside ROWS until ROWS is written. After an interruption the same command resumes.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tqdm import tqdm

from client.endpoints import NoAnswer
from client.json_lines import FileError, LineError, read_objects
from client.rows import Row, write_rows
from core.conversation import Message
from core.errors import ModelError
from evaluate.answers import Answers
from evaluate.local import EngineEndpoint, load

_SENTENCE_END = re.compile(r"[^\d\s][.!?](?=\s)")
IN_FLIGHT = 32  # twice the number of slots: no slot has to wait for a request


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 and an error message when no row was made."""
    parser = argparse.ArgumentParser("python -m train.replay", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--in", dest="prompts", type=Path, required=True, metavar="PROMPTS", help=".jsonl or .jsonl.xz")
    parser.add_argument("--out", type=Path, required=True, metavar="ROWS", help=".jsonl or .jsonl.xz")
    parser.add_argument("--rows", type=int, default=800, metavar="N", help="how many prompts (default: 800)")
    parser.add_argument("--max-tokens", type=int, default=120, metavar="N", help="limit of an answer (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice (default: 0)")
    options = parser.parse_args(argv)
    part = options.out.with_name(f".{options.out.name}.part.jsonl")
    try:
        prompts = read_prompts(options.prompts)
        rows = asyncio.run(answered(prompts, options, part))
        if not rows:
            sys.exit(f"replay: none of {len(prompts)} prompts got an answer within {options.max_tokens} tokens")
        print(f"{options.out}: {write_rows(options.out, rows)} rows")
        part.unlink()
    except (FileError, ModelError) as error:
        sys.exit(f"replay: {error}")
    except OSError as error:
        sys.exit(f"replay: {error.filename or part}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("replay: interrupted; the answers so far are kept, and the same command resumes")


def read_prompts(path: Path) -> list[str]:
    """Read the user's text of each line. Raises FileError for a line of another form, and for a file without lines."""
    prompts = []
    for held, where in read_objects(path):
        try:
            (message,) = held["messages"]
            prompts.append(str(message["content"]))
        except (ValueError, KeyError, TypeError):
            raise LineError(f'{where}: expected {{"messages": [one user turn]}}') from None
    if not prompts:
        raise FileError(f"{path}: no prompts")
    return prompts


async def answered(prompts: Sequence[str], options: Namespace, part: Path) -> list[Row]:
    """Sample prompts and answer them greedily without an adapter. Answers that are already in `part` are reused."""
    chosen = Random(options.seed).sample(prompts, min(options.rows, len(prompts)))
    model, name = load(None, "none")
    endpoint = EngineEndpoint(model, name, timeout_s=3600)
    semaphore = asyncio.Semaphore(IN_FLIGHT)
    about = {"model": name, "max_tokens": options.max_tokens}
    with Answers(part, about) as kept, tqdm(total=len(chosen), desc="replay") as bar:

        async def one(prompt: str) -> Row | None:
            async with semaphore:
                try:
                    messages = [{"role": "user", "content": prompt}]
                    body = {"messages": messages, "temperature": 0, "max_tokens": options.max_tokens}
                    if prompt not in kept.by_key:
                        kept.add(prompt, await endpoint.answer(body))
                except NoAnswer:
                    return None
                finally:
                    bar.update()
            answer = kept.by_key[prompt]
            text = answer.text if answer.finish_reason == "stop" else whole_sentences(answer.text)
            if not text:
                return None
            turns = (Message("user", prompt), Message("assistant", text))
            return Row((), turns, "replay", {"kind": "chat"})

        rows = await asyncio.gather(*map(one, chosen))
    await model.engine.close()
    return [row for row in rows if row is not None]


def whole_sentences(text: str) -> str:
    """Cut the text after its last whole sentence. The full stop of a number such as `2.` does not end a sentence."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""


if __name__ == "__main__":
    main()
