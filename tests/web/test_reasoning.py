"""Reasoning in answers and streams, and the fields that switch it. The engine plays outputs of real formats."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest
from openai import OpenAI

from core.generation import Sampling, Step, TokenLogprob
from inference import Model, load_model
from tests.support.reasoning_model import FORMATS, Stage, make_reasoning_folder, staged
from tests.support.serving import shared
from tests.support.started_server import started

WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS = [{"type": "function", "function": WEATHER}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
ARGUMENTS = '{"city": "Oslo"}'
USER: Any = {"role": "user", "content": "Sure?"}
THOUGHT = "Hm. Oslo, of course."


def load(name: str, factory: pytest.TempPathFactory) -> Model:
    folder = make_reasoning_folder(factory.mktemp("models") / name, name)
    return shared(load_model(str(folder), served_names=["tiny"], dtype="float32"))


@pytest.fixture(scope="module")
def qwen3_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load("qwen3", tmp_path_factory)


@pytest.fixture(scope="module")
def qwen3(qwen3_model: Model) -> Iterator[Stage]:
    with staged(qwen3_model) as stage:
        yield stage


@pytest.fixture(scope="module", params=FORMATS)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server for each format: reasoning that the model may begin, that the prompt begins, and in a channel."""
    model = load(request.param, tmp_path_factory)
    assert model.template.name == request.param
    with staged(model) as stage:
        yield stage


def calls(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]


def test_reasoning_and_text(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
    choice = stage.whole(tools=TOOLS)
    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {
        "role": "assistant",
        "content": "It rains.",
        "reasoning_content": THOUGHT,
        "refusal": None,
        "annotations": [],
    }


def test_reasoning_and_a_call(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.call("get_weather", ARGUMENTS))
    choice = stage.whole(tools=TOOLS)
    message = choice["message"]
    assert (message["content"], message["reasoning_content"], choice["finish_reason"]) == (None, THOUGHT, "tool_calls")
    assert calls(message) == [("get_weather", ARGUMENTS)]


def test_the_older_functions(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.call("get_weather", ARGUMENTS))
    choice = stage.whole(functions=[WEATHER])
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == (None, THOUGHT)
    assert message["function_call"] == {"name": "get_weather", "arguments": ARGUMENTS}
    assert choice["finish_reason"] == "function_call"


def test_chunks_of_a_stream(stage: Stage) -> None:
    """The first chunk has the role, the reasoning comes in parts, and no chunk has two kinds of output."""
    stage.play(stage.thought(THOUGHT) + stage.call("get_weather", ARGUMENTS))
    first, *others = stage.deltas(tools=TOOLS)
    assert first == {"role": "assistant", "content": None, "refusal": None}
    kinds = [[key for key in delta if delta[key] is not None] for delta in others]
    assert all(len(kind) <= 1 for kind in kinds)
    order = [kind[0] for kind in kinds if kind]
    assert order.count("reasoning_content") > 5
    assert order == sorted(order)  # reasoning_content before tool_calls
    stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
    order = [key for delta in stage.deltas()[1:] for key in delta]
    assert order == sorted(order, reverse=True) and set(order) == {"reasoning_content", "content"}


def test_an_answer_without_reasoning(stage: Stage) -> None:
    """Without reasoning, the field is absent. In the format whose prompt begins the reasoning it may stay empty."""
    empty = stage.thought("") if stage.model.template.name == "qwen3_thinking" else ""
    stage.play(empty + stage.text("It rains."))
    message = stage.whole()["message"]
    assert message["content"] == "It rains." and "reasoning_content" not in message


def test_a_cut_inside_the_reasoning(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.call("get_weather", ARGUMENTS))
    head = stage.thought("~").partition("~")[0]
    choice = stage.whole(tools=TOOLS, max_tokens=stage.num_tokens(head) + 3)
    message = choice["message"]
    assert (message["content"], message["reasoning_content"], choice["finish_reason"]) == (None, "Hm.", "length")
    assert "tool_calls" not in message


def test_an_answer_that_ends_after_the_reasoning(stage: Stage) -> None:
    """Regression test: content was null, while every other answer without calls that ended has a string."""
    stage.play(stage.thought(THOUGHT))
    choice = stage.whole(tools=TOOLS)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")
    assert choice["message"]["reasoning_content"] == THOUGHT


def test_token_counts(stage: Stage) -> None:
    for after in (stage.text("It rains."), stage.call("get_weather", ARGUMENTS)):
        stage.play(stage.thought(THOUGHT) + after)
        usage = stage.ask(tools=TOOLS).json()["usage"]
        assert usage["completion_tokens"] == len(stage.engine.script) + 1
        details = usage["completion_tokens_details"]
        assert details["reasoning_tokens"] == len(THOUGHT) + stage.num_mark_tokens
    both = stage.ask(n=2).json()["usage"]["completion_tokens_details"]
    assert both["reasoning_tokens"] == 2 * details["reasoning_tokens"]


def test_reasoning_in_a_response(stage: Stage) -> None:
    """In the Responses API, reasoning is an item before the text, and comes back to the model as such."""
    stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
    with OpenAI(base_url=f"{stage.url}/v1", api_key="x", max_retries=0, timeout=60) as client:
        whole = client.responses.create(model="tiny", input="Weather?")
        with client.responses.stream(model="tiny", input="Weather?") as stream:
            deltas = [event.delta for event in stream if event.type == "response.reasoning_text.delta"]
            streamed = stream.get_final_response()
        for answer in (whole, streamed):
            reasoning, message = answer.output
            assert reasoning.type == "reasoning" and reasoning.content
            assert (reasoning.content[0].text, message.type, answer.output_text) == (THOUGHT, "message", "It rains.")
            assert answer.usage
            assert answer.usage.output_tokens_details.reasoning_tokens == len(THOUGHT) + stage.num_mark_tokens
        assert "".join(deltas) == THOUGHT
        again: Any = [{"role": "user", "content": "Weather?"}, *(item.to_dict() for item in whole.output), USER]
        client.responses.create(model="tiny", input=again)
        sent = stage.engine.last_prompt
        client.responses.create(model="tiny", input=[USER], previous_response_id=whole.id)
        assert stage.engine.last_prompt == sent


def test_several_choices(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
    choices = stage.ask(n=2).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    for choice in choices:
        assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == (THOUGHT, "It rains.")


def test_stop_strings_do_not_end_reasoning(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.text("Now Oslo, at noon."))
    choice = stage.whole(stop=["Oslo"])
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == (THOUGHT, "Now ")
    assert choice["finish_reason"] == "stop"


def test_logprobs_are_of_the_text_only(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression test: the mark that opens the reasoning was reported as a token of the text."""
    played = stage.engine.generate

    async def with_logprobs(prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        async for step in played(prompt_ids, sampling):
            (token_id,) = step.token_ids
            yield Step(step.token_ids, step.finish_reason, (TokenLogprob(token_id, -0.5, ()),))

    monkeypatch.setattr(stage.engine, "generate", with_logprobs)
    stage.play(stage.thought(THOUGHT) + stage.text("Rain."))
    content = stage.whole(logprobs=True)["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content).strip() == "Rain."
    stage.play(stage.thought(THOUGHT) + stage.call("get_weather", ARGUMENTS))
    assert stage.whole(tools=TOOLS, logprobs=True)["logprobs"] is None


def test_the_official_client(stage: Stage) -> None:
    stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
    with OpenAI(base_url=f"{stage.url}/v1", api_key="none", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Rain?"}]}
        answer = client.chat.completions.create(**asked)
        message = answer.choices[0].message
        assert message.content == "It rains."
        assert (message.model_extra or {})["reasoning_content"] == THOUGHT
        assert answer.usage and answer.usage.completion_tokens_details
        assert answer.usage.completion_tokens_details.reasoning_tokens == len(THOUGHT) + stage.num_mark_tokens
        with client.chat.completions.create(**asked, stream=True) as stream:
            extra = [(chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "") for chunk in stream]
        assert "".join(extra) == THOUGHT
        with client.chat.completions.stream(**asked) as helper:
            assert helper.get_final_completion().choices[0].message.content == "It rains."


@pytest.mark.parametrize(("option", "fields"), [("reasoning", 1), ("both", 2)])
def test_the_name_of_the_field(qwen3_model: Model, option: str, fields: int) -> None:
    with staged(qwen3_model, reasoning_field=option) as stage:
        stage.play(stage.thought(THOUGHT) + stage.text("It rains."))
        message = stage.whole()["message"]
        named = {key: value for key, value in message.items() if key.startswith("reasoning")}
        assert named == dict.fromkeys(("reasoning", "reasoning_content")[:fields], THOUGHT)


def test_strict_openai_leaves_the_reasoning_out(qwen3_model: Model) -> None:
    with staged(qwen3_model, strict_openai=True) as stage:
        for after, content in ((stage.text("It rains."), "It rains."), (stage.call("get_weather", ARGUMENTS), None)):
            stage.play(stage.thought(THOUGHT) + after)
            choice = stage.whole(tools=TOOLS)
            assert choice["message"]["content"] == content
            assert not [key for key in choice["message"] if key.startswith("reasoning")]
            assert all("reasoning_content" not in delta for delta in stage.deltas(tools=TOOLS))
            details = stage.ask(tools=TOOLS).json()["usage"]["completion_tokens_details"]
            assert details["reasoning_tokens"] == len(THOUGHT) + stage.num_mark_tokens
        assert stage.ask(reasoning_effort="low").status_code == 200
        assert stage.ask(enable_thinking=True).status_code == 400


OFF: tuple[dict[str, Any], ...] = (
    {"enable_thinking": False},
    {"chat_template_kwargs": {"enable_thinking": False}},
    {"chat_template_kwargs": {"thinking": False}},
    {"reasoning_effort": "none"},
    {"chat_template_kwargs": {"reasoning_effort": "none"}},
    {"chat_template_kwargs": {"enable_thinking": False}, "enable_thinking": True},
)


@pytest.mark.parametrize("fields", OFF, ids=str)
def test_reasoning_switched_off(qwen3: Stage, fields: dict[str, Any]) -> None:
    qwen3.play("It rains.")
    answer = qwen3.ask(**fields)
    assert "x-ignored-fields" not in answer.headers
    message = answer.json()["choices"][0]["message"]
    assert message["content"] == "It rains." and "reasoning_content" not in message
    assert qwen3.prompt().endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert answer.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    head = '<tool_call>\n{"name": "get_weather", "arguments": '
    qwen3.play(f"{ARGUMENTS}}}\n</tool_call>")
    choice = qwen3.whole(**fields, tools=TOOLS, tool_choice=NAMED)
    assert qwen3.prompt().endswith(f"</think>\n\n{head}")  # without reasoning the prompt holds the head of the call
    assert calls(choice["message"]) == [("get_weather", ARGUMENTS)]


def test_reasoning_left_on(qwen3: Stage) -> None:
    qwen3.play(qwen3.thought(THOUGHT) + "It rains.")
    for fields in ({}, {"enable_thinking": True}, {"enable_thinking": True, "reasoning_effort": "none"}):
        assert qwen3.whole(**fields)["message"]["reasoning_content"] == THOUGHT
        assert qwen3.prompt().endswith("<|im_start|>assistant\n")


def test_the_effort(stage: Stage) -> None:
    """Only gpt_oss has a place for the effort. Its words are low, medium and high."""
    stage.play(stage.text("It rains."))
    for fields, field in (
        ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
        ({"chat_template_kwargs": {"reasoning_effort": "high"}}, "chat_template_kwargs.reasoning_effort"),
    ):
        answer = stage.ask(**fields)
        if stage.model.template.name == "gpt_oss":
            assert "Reasoning: high\n" in stage.prompt() and "x-ignored-fields" not in answer.headers
        else:
            assert "high" not in stage.prompt() and answer.headers["x-ignored-fields"] == field


def test_switches_without_effect_are_named(stage: Stage) -> None:
    """The names in the header are those of the request. A `chat_template` in a request is never rendered."""
    stage.play(stage.text("It rains."))
    kwargs = {"enable_thinking": False, "date": "today", "chat_template": "{{ 1/0 }}"}
    answer = stage.ask(chat_template_kwargs=kwargs, enable_thinking=False, chat_template="{{ 1/0 }}")
    assert answer.status_code == 200
    ignored = ["chat_template", "chat_template_kwargs.date", "chat_template_kwargs.chat_template"]
    switches = ["chat_template_kwargs.enable_thinking", "enable_thinking"]
    has_switch = stage.model.template.has_thinking_switch
    assert answer.headers["x-ignored-fields"].split(", ") == ignored + ([] if has_switch else switches)
    assert "1/0" not in stage.prompt()
    wished = stage.ask(tools=[*TOOLS, {"type": "reasoning"}])
    assert wished.headers.get("x-ignored-fields") == (None if has_switch else "tools.reasoning")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"enable_thinking": "no"}, "enable_thinking"),
        ({"chat_template_kwargs": [1]}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"enable_thinking": 0}}, "chat_template_kwargs.enable_thinking"),
        ({"chat_template_kwargs": {"reasoning_effort": True}}, "chat_template_kwargs.reasoning_effort"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_wrong_types(qwen3: Stage, fields: dict[str, Any], param: str, stream: bool) -> None:
    answer = qwen3.ask(**fields, stream=stream)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_option_reaches_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The prompt begins the reasoning, so that even a random model reasons."""
    folder = make_reasoning_folder(tmp_path_factory.mktemp("models") / "thinking", "qwen3_thinking")
    options = ("--model", str(folder), "--served-model-name", "tiny", "--reasoning-field", "both")
    with started(*options) as server, OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        asked: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
        message = client.chat.completions.create(**asked, temperature=1, seed=3).choices[0].message
        extra = message.model_extra or {}
        assert extra["reasoning"] == extra["reasoning_content"] != ""
