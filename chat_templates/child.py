"""The process that renders a checkpoint's chat template. It runs as a script and imports nothing of this project.

The first line of the input is the chat template as a JSON string, and its answer {"variables": [...]}, the variables
that the template reads. Each further line is a list of renderings, each the variables of one, and its answer
{"texts": [...]}. A line that fails is answered by {"error": REASON, "is_limit": whether a limit stopped it}.

A chat template is a program of strangers. The sandbox of transformers keeps it from Python's internals; this process
bounds its time, memory, output and files. A rendering that takes too long ends the process by a signal.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

MAX_SECONDS = 2.0  # for one rendering; ordinary ones take milliseconds
MAX_MEMORY = 512 << 20  # bytes of address space, of which the interpreter and transformers take 150 MB
MAX_CHARACTERS = 16 << 20  # of one rendering; the body of a request has at most 2 MiB
MAX_REASON = 300  # characters


def main() -> None:
    """Answer the lines of the input. It ends when the server's process ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # so that only answers are written to the output
    _limit(resource.RLIMIT_AS, MAX_MEMORY)
    import jinja2.debug  # noqa: F401  (imported by the first error otherwise, when no file can be opened)
    from jinja2.meta import find_undeclared_variables
    from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

    chat_template = json.loads(sys.stdin.readline())

    def variables(_: Any) -> dict[str, Any]:
        environment = _compile_jinja_template(chat_template).environment
        return {"variables": sorted(find_undeclared_variables(environment.parse(chat_template)))}

    def texts(renderings: list[dict[str, Any]]) -> dict[str, Any]:
        return {"texts": [text(**rendering) for rendering in renderings]}

    def text(messages: list[Any], **others: Any) -> str:
        signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
        result: Any = render_jinja_template([messages], chat_template=chat_template, **others)
        rendered: str = result[0][0]
        if len(rendered) > MAX_CHARACTERS:
            raise MemoryError
        return rendered

    def answer(work: Callable[[Any], dict[str, Any]], line: str) -> bool:
        """Write the answer to a line. Return whether the process can go on."""
        result, can_go_on = _result(work, line)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(result) + "\n")
        answers.flush()
        return can_go_on

    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)
    can_go_on = answer(variables, "null")
    _limit(resource.RLIMIT_NOFILE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    while can_go_on and (line := sys.stdin.readline()):
        can_go_on = answer(texts, line)


def _result(work: Callable[[Any], dict[str, Any]], line: str) -> tuple[dict[str, Any], bool]:
    try:
        return work(json.loads(line)), True
    except MemoryError:
        reason = f"it takes more than {MAX_MEMORY >> 20} MB of memory, or writes more than {MAX_CHARACTERS >> 20} MB"
        return {"error": reason, "is_limit": True}, False
    except Exception as error:  # whatever a template raises
        reason = " ".join(str(error).split())
        is_own = type(error).__name__ == "TemplateError"  # what raise_exception raises
        reason = reason if is_own else f"{type(error).__name__}: {reason}"
        return {"error": reason[:MAX_REASON], "is_limit": False}, True


def _limit(kind: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS has no limit of the address space
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
