"""One request through template, engine and parser. The engine is scripted: it generates a fixed text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apis.chat_completions import Choice, chat_request, fold
from apis.completions import completion_request
from core.errors import EngineError, PromptTooLong, RequestError
from core.generation import Step, TokenLogprob
from core.turn_format import ArgsDelta, CallStart, Finish, TextDelta, TokenReport
from inference import WEATHER, Model, chat_prompt, complete, generate, load_model, stream
from prompt_template import Arguments, load_template, template_names
from tests.support.scripted_engine import scripted
from web.command_line import introduction, read_options

FUNCTIONS = [
    {"name": name, "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}} for name in ("f", "g")
]
TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]
USER = [{"role": "user", "content": "Hello"}]


def events(model: Model, **parameters: Any) -> list[Any]:
    request = chat_request({"model": model.names[0], "messages": USER, **parameters})

    async def collect() -> list[Any]:
        async with aclosing(stream(model, request)) as got:
            return [event async for event in got]

    return asyncio.run(collect())


def answer(model: Model, **parameters: Any) -> dict[str, Any]:
    """Return the only choice of the answer without `stream`: its message and finish_reason."""
    request = chat_request({"model": model.names[0], "messages": USER, **parameters})
    choice = Choice(request)
    return fold(chunk for event in events(model, **parameters) for chunk in choice.chunks(event))


def calls(choice: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (call["function"]["name"], call["function"]["arguments"]) for call in choice["message"].get("tool_calls", ())
    ]


def test_text_and_parallel_calls(chatml: Model) -> None:
    model, _ = scripted(chatml, 'all\nOne moment.>>>f\n{"a": 1}>>>g\n{"a": 2}')
    got = answer(model, tools=TOOLS)
    assert got["message"]["content"] == "One moment."
    assert calls(got) == [("f", '{"a": 1}'), ("g", '{"a": 2}')]
    assert got["finish_reason"] == "tool_calls"


def test_a_named_choice_is_prefilled_and_its_call_parsed(chatml: Model) -> None:
    """If tool_choice names the function `f`, the prompt already holds `f` and a line break.

    The engine then generates only the arguments, which are parsed as a call of `f`.
    """
    model, engine = scripted(chatml, '{"a": 1}')
    got = answer(model, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "f"}})
    assert calls(got) == [("f", '{"a": 1}')]
    assert got["message"]["content"] is None
    assert got["finish_reason"] == "stop"
    assert model.tokenizer.decode(engine.last_prompt).endswith("<|im_start|>assistant\n>>>f\n")
    assert engine.last_sampling is not None
    assert engine.last_sampling.constraint is not None


def test_plain_chat_is_prefilled_into_text(chatml: Model) -> None:
    model, engine = scripted(chatml, "Hi there.")
    assert answer(model)["message"]["content"] == "Hi there."
    assert model.tokenizer.decode(engine.last_prompt).endswith(">>>all\n")


def test_auto_binds_names_and_as_the_model_says_arguments(chatml: Model) -> None:
    """With tool_choice "auto" names are bound, and arguments only where the model is served so; a text is not bound."""
    cases: tuple[tuple[Arguments, set[str]], ...] = (("free", set()), ("schema", {"f", "g"}))
    for arguments, bound in cases:
        model, engine = scripted(replace(chatml, arguments=arguments), "all\nHi")
        answer(model, tools=TOOLS)
        assert engine.last_sampling is not None and engine.last_sampling.constraint is not None
        assert engine.last_sampling.constraint.recipients == {"f", "g"}
        assert set(engine.last_sampling.constraint.calls) == bound
        answer(model)
        assert engine.last_sampling.constraint is None


def test_arguments_are_free_for_functionarys_own_checkpoints(chatml: Model, llama: Model, chatml_folder: Path) -> None:
    """The template decides unless `arguments` is given, and the lines at start show the result."""
    by_template = {name: load_template(name).arguments for name in template_names()}
    own = ["v1", "v1_plain", "v2", "v2_llama3", "v3", "v3_llama31", "v3_llava", "v4r"]
    assert {name for name, default in by_template.items() if default == "free"} == {f"functionary_{one}" for one in own}
    assert by_template["functionary_v3_chatml"] == "schema"
    assert (llama.arguments, chatml.arguments) == ("free", "schema")
    assert load_model(str(chatml_folder), dtype="float32", arguments="free").arguments == "free"
    assert "functions, arguments free\n" in introduction(llama, read_options([]), 8000)
    assert "functions, arguments bound by the schema\n" in introduction(chatml, read_options([]), 8000)


@pytest.mark.parametrize("legacy", [False, True])
def test_at_most_one_call_if_the_request_allows_one(chatml: Model, legacy: bool) -> None:
    """If the request allows only one call, the engine is stopped when the model starts a second call."""
    model, engine = scripted(chatml, 'f\n{"a": 1}>>>g\n{"a": 2}' + "x" * 50)
    asked: dict[str, Any] = {"functions": FUNCTIONS} if legacy else {"tools": TOOLS, "parallel_tool_calls": False}
    got = answer(model, **asked)
    if legacy:
        assert got["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
        assert "tool_calls" not in got["message"]
    else:
        assert calls(got) == [("f", '{"a": 1}')]
    assert got["finish_reason"] == ("function_call" if legacy else "tool_calls")
    assert engine.num_active == 0
    assert engine.num_steps < len(engine.script) - 40


@pytest.mark.parametrize("named", [False, True])
def test_no_text_follows_a_function_call(chatml: Model, named: bool) -> None:
    """With `functions`, an answer is one call and null content.

    Regression test: text after the call became content.
    """
    model, _ = scripted(chatml, '{"a": 1}>>>all\nDone.' if named else 'f\n{"a": 1}>>>all\nDone.')
    got = answer(model, functions=FUNCTIONS, function_call={"name": "f"} if named else "auto")
    assert got["message"]["content"] is None
    assert got["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert got["finish_reason"] == ("stop" if named else "function_call")


def test_no_call_is_shown_when_calls_are_off(chatml: Model) -> None:
    """With tool_choice "none", an answer ends where the model starts a call, and the markup is not shown as text."""
    model, _ = scripted(chatml, 'Let me see.>>>f\n{"a": 1}')
    got = answer(model, tools=TOOLS, tool_choice="none")
    assert got["message"] == {"role": "assistant", "content": "Let me see.", "refusal": None, "annotations": []}
    assert got["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("one two three", "two", "one"),
        ("one two three", ["three", "two t"], "one"),
        ("STOP at once", "STOP", ""),
        ("a almost b", "almost!", "a almost b"),
        ("ends with alm", "almost", "ends with alm"),
        ("two\n\nparagraphs", "\n\n", "two"),
    ],
)
def test_stop_strings_are_never_shown(chatml: Model, text: str, stop: str | list[str], shown: str) -> None:
    """No part of a stop string is streamed, even if the stop string spans several tokens.

    In this model each token is one byte.
    """
    model, _ = scripted(chatml, text)
    got = events(model, stop=stop)
    texts = [event.text for event in got if isinstance(event, TextDelta)]
    assert "".join(texts).strip() == shown
    assert got[-1].reason == "stop"


@pytest.mark.parametrize(("text", "stop"), [("Hi\n\n\n\n\n", "\n\n"), ("Hi.\n\n\n\n\n", ".\n\n"), ("Hi\n\n", "\n")])
def test_a_stop_string_of_whitespace_ends_the_answer_at_once(chatml: Model, text: str, stop: str) -> None:
    """A stop string of whitespace ends the answer although the parser holds whitespace back until text follows.

    Regression test: endless line breaks ran to the token limit, and an answer whose last token completed the stop
    string ended with `length`."""
    model, _ = scripted(chatml, text)
    num_tokens = text.find(stop) + len(stop)
    for max_tokens in (num_tokens, 100):
        got = events(model, stop=stop, max_tokens=max_tokens)
        assert "".join(event.text for event in got if isinstance(event, TextDelta)) == "Hi"
        assert got[-1] == Finish("stop", got[-1].prompt_tokens, num_tokens, stop_string=stop)


def test_stop_strings_do_not_cut_arguments(chatml: Model) -> None:
    """Stop strings apply to text and not to arguments, since half a JSON object is useless."""
    model, _ = scripted(chatml, 'f\n{"a": 1}')
    assert calls(answer(model, tools=TOOLS, stop="a")) == [("f", '{"a": 1}')]


OUTPUT = 'all\nHi>>>f\n{"a": 12}'


def test_cut_anywhere(chatml: Model, subtests: pytest.Subtests) -> None:
    """An answer that the token limit cuts ends with the finish reason `length`, never with `tool_calls`.

    The answer keeps partial arguments, and `usage` counts all generated tokens.
    """
    for max_tokens in range(1, len(OUTPUT) + 3):
        with subtests.test(max_tokens=max_tokens):
            model, _ = scripted(chatml, OUTPUT)
            got = events(model, tools=TOOLS, max_tokens=max_tokens)
            finish = got[-1]
            assert isinstance(finish, Finish)
            assert finish.completion_tokens == min(max_tokens, len(OUTPUT) + 1)
            assert finish.reason == ("length" if max_tokens <= len(OUTPUT) else "stop")
            arguments = "".join(event.text for event in got if isinstance(event, ArgsDelta))
            assert '{"a": 12}'.startswith(arguments)
            choice = answer(model, tools=TOOLS, max_tokens=max_tokens)
            assert choice["finish_reason"] == ("length" if max_tokens <= len(OUTPUT) else "tool_calls")


def test_a_call_without_arguments_gets_an_empty_object(chatml: Model) -> None:
    model, _ = scripted(chatml, "f\n")
    assert calls(answer(model, tools=TOOLS)) == [("f", "{}")]


def test_an_empty_answer_is_an_empty_text(chatml: Model) -> None:
    model, _ = scripted(chatml, "")
    got = answer(model)
    assert got["message"]["content"] == ""
    assert got["finish_reason"] == "stop"


def test_control_tokens_in_the_answer_are_never_shown(chatml: Model) -> None:
    """A sampled <|im_start|> is not shown in the answer. The same characters written as ordinary text are shown."""
    model, _ = scripted(chatml, "a<|im_start|>b<|endoftext|>c")
    assert answer(model)["message"]["content"] == "abc"


def test_failures_before_and_after_the_first_step(chatml: Model) -> None:
    """A prompt that is too long fails before any event. An engine that fails later does so after the first event.

    If the request names the function to call, the call's start is known without a forward. Even then the error about
    the prompt comes before the event for the call's start.
    """
    named = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}
    small, _ = scripted(chatml, "x", max_context=20)
    broken, engine = scripted(chatml, '{"a": 1}', fails_at=3)

    async def first_and_error(model: Model) -> tuple[list[Any], Exception]:
        request = chat_request({"model": "tiny", "messages": USER, **named})
        got: list[Any] = []
        try:
            async with aclosing(stream(model, request)) as source:
                async for event in source:
                    got.append(event)
        except Exception as error:
            return got, error
        raise AssertionError("it did not fail")

    got, error = asyncio.run(first_and_error(small))
    assert not got
    assert isinstance(error, PromptTooLong)
    got, error = asyncio.run(first_and_error(broken))
    assert got[0] == CallStart("f")
    assert isinstance(error, EngineError)
    assert engine.num_active == 0


def test_closing_the_outer_iterator_stops_the_engine(chatml: Model) -> None:
    """Closing the outermost generator closes all inner ones, so the engine stops.

    Regression test: with a plain `async for` the engine generated to the end.
    """
    model, engine = scripted(chatml, "x" * 200, step_s=0.001)

    async def leave_early() -> int:
        request = chat_request({"model": "tiny", "messages": USER})
        async with aclosing(stream(model, request)) as source:
            await anext(source)
        return engine.num_active

    assert asyncio.run(leave_early()) == 0
    assert engine.num_steps < 50


def test_logprobs_are_reported_for_text_only(chatml: Model) -> None:
    """Only tokens of the text have logprobs: tokens of a recipient's name or of arguments are not content."""
    model, engine = scripted(chatml, 'all\nHé>>>f\n{"a": 1}')
    played = engine.generate

    async def with_logprobs(prompt_ids: Sequence[int], sampling: Any) -> Any:
        async for step in played(prompt_ids, sampling):
            (token_id,) = step.token_ids
            report = TokenLogprob(token_id, -0.5, ((token_id, -0.5), (5, -9999.0)))
            yield Step(step.token_ids, step.finish_reason, (report,))

    engine.generate = with_logprobs  # type: ignore[method-assign]
    got = answer(model, tools=TOOLS, logprobs=True, top_logprobs=2)
    content = got["logprobs"]["content"]
    assert bytes(byte for entry in content for byte in entry["bytes"]).decode() == "Hé"
    assert content[0] == {
        "token": "H",
        "logprob": -0.5,
        "bytes": [72],
        "top_logprobs": [
            {"token": "H", "logprob": -0.5, "bytes": [72]},
            {
                "token": model.tokenizer.token_bytes(5).decode(),
                "logprob": -9999.0,
                "bytes": [*model.tokenizer.token_bytes(5)],
            },
        ],
    }
    assert got["logprobs"]["refusal"] is None
    plain = [event for event in events(model, tools=TOOLS) if isinstance(event, TokenReport)]
    assert len(plain) == 3


def test_request_parameters_override_the_models_defaults(chatml: Model) -> None:
    model, engine = scripted(chatml, "x")
    answer(model, temperature=0.3, top_p=0.4, seed=7, max_tokens=10**12, logit_bias={"5": 1})
    sampling = engine.last_sampling
    assert sampling is not None
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.3, 0.4, 7)
    assert sampling.logit_bias == ((5, 1.0),)
    assert sampling.max_tokens == engine.max_context - len(engine.last_prompt)
    assert sampling.stop_ids == {model.tokenizer.token_id("<|im_end|>")}
    answer(model)
    assert engine.last_sampling is not None
    assert engine.last_sampling.temperature == model.temperature


def test_equal_requests_have_equal_prompts_that_begin_with_the_functions(chatml: Model) -> None:
    """Requests with equal functions have prompts with the same beginning.

    The prefix cache finds a prompt by its beginning.
    """
    one, two = (
        chat_prompt(
            chatml, chat_request({"model": "tiny", "messages": [{"role": "user", "content": text}], "tools": TOOLS})
        )
        for text in ("Hello", "Bye")
    )
    shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    assert "type g = (_: {" in chatml.tokenizer.decode(one[:shared])


def raw(model: Model, **parameters: Any) -> list[Any]:
    request = completion_request({"model": "tiny", **parameters})

    async def collect() -> list[Any]:
        async with aclosing(complete(model, request, request.prompts[0])) as got:
            return [event async for event in got]

    return asyncio.run(collect())


def test_raw_completions_keep_whitespace_and_tokenize_control_tokens(chatml: Model) -> None:
    """A raw prompt keeps its whitespace, and control tokens in it are read as control tokens.

    All of a raw prompt comes from the caller, so there are no other parts to protect from the caller's text.
    """
    model, engine = scripted(chatml, "  two words \n", max_context=100)
    got = raw(model, prompt="<|im_start|>user\nHi", max_tokens=50)
    assert "".join(event.text for event in got if isinstance(event, TextDelta)) == "  two words \n"
    assert engine.last_prompt[0] == model.tokenizer.token_id("<|im_start|>")
    assert raw(model, prompt="a", max_tokens=50, stop=["wor"])[-1].reason == "stop"
    assert raw(model, prompt=[5, 6, 7], max_tokens=3)[-1] == Finish("length", 3, 3, 0)


@pytest.mark.parametrize("prompt", ["a" * 100, "a" * 10_000, [5] * 100])
def test_a_too_long_raw_prompt_is_an_error_about_the_prompt_field(chatml: Model, prompt: object) -> None:
    """Regression test: the error named `messages`, a field that a raw completion does not have."""
    model, _ = scripted(chatml, "x", max_context=100)
    with pytest.raises(PromptTooLong, match="Please reduce the length of the prompt") as error:
        raw(model, prompt=prompt)
    assert error.value.param == "prompt"


def test_generate_without_a_server(embedded: Model) -> None:
    """The embedded model calls the named function, and the arguments are valid for the function's schema."""
    message = generate(embedded, **WEATHER, max_tokens=60)
    assert message["function_call"]["name"] == "get_current_weather"
    assert '"location": "' in message["function_call"]["arguments"]
    with pytest.raises(RequestError, match="no function named nope"):
        generate(embedded, USER, functions=FUNCTIONS, function_call={"name": "nope"})
