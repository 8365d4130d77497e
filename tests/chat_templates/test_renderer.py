"""A chat template is a stranger's program: whatever it does, the server goes on and says what was wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chat_templates.generic import GenericTemplate
from chat_templates.renderer import Renderer, RenderingError
from core.errors import ModelError

ON_WORD = "{%% if messages[-1].content == 'now' %%}%s{%% endif %%}{{ messages[-1].content }}"
HOSTILE = {
    "loops": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "it takes longer than 2 s",
    ),
    "writes 1 GB": ("{{ 'x' * (messages | length * 1000000000) }}", "it takes more than 512 MB of memory, or"),
    "writes 20 MB": ("{{ 'x' * (messages | length * 20000000) }}", "or writes more than 16 MB"),
    "raises": ("{{ raise_exception('No  such\nrole!') }}", "No such role!"),
    "raises a novel": ("{{ raise_exception('x' * 1000) }}", "x" * 300),
    "imports": ("{% import 'os' as os %}{{ os }}", "TypeError: no loader for this environment specified"),
    "includes": ("{% include '/etc/passwd' %}", "TypeError: no loader for this environment specified"),
    "reads attributes": ("{{ ''.__class__.__mro__ }}", "SecurityError: access to attribute '__class__' of 'str'"),
    "reads globals": ("{{ cycler.__init__.__globals__.os.popen('id') }}", "SecurityError: access to attribute"),
    "shows nothing": ("{{ ''.__class__ }}", "it leaves out the user's message"),
    "changes messages": ("{{ messages.append(1) }}", "SecurityError: access to attribute 'append' of 'list' object"),
    "calls itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError: "),
    "has no end": ("{% if", "TemplateSyntaxError: unexpected 'end of template'"),
}


def rendering(word: str = "now") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": word}]}


@pytest.fixture
def renderers() -> Iterator[list[Renderer]]:
    made: list[Renderer] = []
    yield made
    for renderer in made:
        renderer.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_checkpoint_with_a_hostile_template_is_an_error_of_one_line(name: str) -> None:
    chat_template, reason = HOSTILE[name]
    with pytest.raises(ModelError) as error:
        GenericTemplate(chat_template, special_tokens={}, control_tokens=("</s>",), end_tokens=("</s>",))
    message = str(error.value)
    assert message.startswith("The chat template of the checkpoint cannot be rendered: ") and "\n" not in message
    assert reason in message and len(message) < 400


@pytest.mark.parametrize("name", ["loops", "writes 1 GB", "raises"])
def test_a_template_may_go_wrong_for_one_request_only(name: str, renderers: list[Renderer]) -> None:
    """The process that was killed is replaced: the next request is rendered."""
    chat_template, reason = HOSTILE[name]
    renderers.append(Renderer(ON_WORD % chat_template))
    for _ in range(2):
        with pytest.raises(RenderingError, match=reason.split(",")[0]):
            renderers[0].render([rendering("later"), rendering("now")])
        assert renderers[0].render([rendering("later")]) == ["later"]


def test_one_request_does_not_wait_for_a_hanging_one(renderers: list[Renderer]) -> None:
    renderers.append(Renderer(ON_WORD % HOSTILE["loops"][0]))
    renderers[0].render([rendering("later")])
    failed = threading.Event()

    def hang() -> None:
        with pytest.raises(RenderingError):
            renderers[0].render([rendering("now")])
        failed.set()

    thread = threading.Thread(target=hang)
    thread.start()
    assert renderers[0].render([rendering("later")]) == ["later"]
    assert not failed.is_set()
    thread.join()


def test_many_threads_get_their_own_answers(renderers: list[Renderer]) -> None:
    renderers.append(Renderer("{{ messages[0].content }}"))
    words = [f"word {number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda word: renderers[0].render([rendering(word)])[0], words)) == words


def test_a_template_cannot_write_files(renderers: list[Renderer], tmp_path: Path) -> None:
    """Even where a template got out of the sandbox, its process opens no file."""
    renderers.append(Renderer("{{ messages[0].content }}"))
    renderers[0].render([rendering()])
    process = renderers[0]._children.queue[-1]._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits")
    if limits.exists():
        lines = [
            line for line in limits.read_text().splitlines() if line.startswith(("Max open files", "Max file size"))
        ]
        assert [line.split()[3] for line in lines] == ["0", "0"]


def test_close_ends_the_processes(renderers: list[Renderer]) -> None:
    renderers.append(Renderer("{{ messages[0].content }}"))
    renderers[0].render([rendering()])
    process = renderers[0]._children.queue[-1]._process
    renderers[0].close()
    assert process is not None and process.returncode is not None


def test_the_date_of_a_template_is_todays(renderers: list[Renderer]) -> None:
    renderers.append(Renderer("{{ strftime_now('%Y') | int >= 2024 }} {{ tool is defined }}"))
    assert renderers[0].render([rendering()]) == ["True False"]
    assert renderers[0].variables() == {"tool"}
