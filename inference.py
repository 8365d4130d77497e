"""Run one request: template, engine and parser. `python3 inference.py` asks the embedded model for the weather.

`python3 inference.py --show-prompt` prints the prompt instead, without loading weights. `python3 inference.py --chat
--tools my_tools.py` is a chat whose model calls the functions of a Python file.

from inference import load_model, generate
message = generate(load_model(), [{"role": "user", "content": "..."}], functions=[...])
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from apis.chat_completions import Choice, chat_request, fold
from apis.rendered_prompt import EncodedToken, rendered_prompt
from apis.rules.json_text import parse_json
from apis.rules.reasoning import ANSWER_FIELDS, ReasoningField
from checkpoints.engine_options import TITLE as ENGINE_ELSEWHERE
from checkpoints.engine_options import add_engine_options, engine_arguments, engine_fault
from checkpoints.model import Model, load_model, open_format
from core.conversation import ChatRequest, CompletionRequest, SamplingParams, Tool
from core.errors import FunctionSizes, ModelError, PromptTooLong, RequestError
from core.generation import Sampling, TokenLogprob
from core.turn_format import DecodedLogprob, Event, Finish, FinishReason, TextDelta, TokenReport
from drafting.predictions import drafts
from guarantees.constraint import completion_constraint, constraint
from prompt_template import PromptTemplate
from text.stop_strings import StopStrings
from text.tokenizer import Tokenizer
from text.turn import Token, Turn

__all__ = ["Model", "chat_prompt", "complete", "generate", "ignored_fields", "load_model", "shown_prompt", "stream"]

MAX_COUNTED = 262_144  # characters of a prompt that is too long; a longer one is not tokenized for its error
MAX_RANKED = 8  # functions whose tokens are counted to find the largest
DEFAULT_MAX_TOKENS = 4096  # for requests without a limit, so that an endless answer does not hold its slot for hours


def generate(
    model: Model,
    messages: Sequence[Mapping[str, Any]],
    *,
    reasoning_field: ReasoningField = "reasoning_content",
    **parameters: Any,
) -> dict[str, Any]:
    """Return the model's answer as an OpenAI message: role, content, and function_call or tool_calls.

    If the model reasoned, the field `reasoning_content` has its reasoning; `reasoning_field` may be "reasoning" or
    "both" instead.

    `parameters` are those of OpenAI's chat completions: functions or tools, function_call or tool_choice, temperature,
    max_tokens, seed and so on. Raises RequestError for a request that cannot be served. Cannot be called in a running
    event loop; use `stream` there.
    """
    request = chat_request({"model": model.names[0], "messages": list(messages), **parameters})
    return _whole(model, request, ANSWER_FIELDS[reasoning_field])


def _whole(model: Model, request: ChatRequest, reasoning_fields: Sequence[str]) -> dict[str, Any]:
    """Generate the whole answer to `request`. Cannot be called in a running event loop."""

    async def collect() -> dict[str, Any]:
        choice = Choice(request, reasoning_fields=reasoning_fields)
        async with aclosing(stream(model, request)) as events:
            chunks = [chunk async for event in events for chunk in choice.chunks(event)]
        message: dict[str, Any] = fold(chunks)["message"]
        return message

    return asyncio.run(collect())


async def stream(
    model: Model, request: ChatRequest, prompt_ids: Sequence[int] | None = None
) -> AsyncGenerator[Event | TokenReport | Finish]:
    """Yield the events of the answer to `request` while it is generated. The last item is Finish.

    `prompt_ids` is the result of `chat_prompt`, if the caller has it already. Raises RequestError or EngineBusy before
    the first item, and EngineError at any time.
    """
    if prompt_ids is None:
        prompt_ids = await asyncio.to_thread(chat_prompt, model, request)
    sampling = _sampling(model, request.sampling, len(prompt_ids), model.template.stop)
    sampling = await asyncio.to_thread(_guided, sampling, model, request)
    turn = Turn(request, model.template, model.tokenizer)
    async with aclosing(_tokens(model, prompt_ids, sampling)) as tokens:
        async for token in tokens:
            for event in turn.read(token):
                yield event
            if turn.is_over or token.finish_reason:
                break
    reason: FinishReason = "stop" if turn.is_over else token.finish_reason or "stop"
    for event in turn.end(is_truncated=reason == "length"):
        yield event
    draft_counts = (token.num_accepted, token.num_rejected) if request.prediction else (0, 0)
    counts = (len(prompt_ids), token.num_generated, token.num_cached, *draft_counts)
    yield Finish(reason, *counts, reasoning_tokens=turn.num_reasoning_tokens, stop_string=turn.stop_string)


async def complete(
    model: Model, request: CompletionRequest, prompt: str | tuple[int, ...]
) -> AsyncGenerator[TextDelta | TokenReport | Finish]:
    """Yield the continuation of one raw prompt. The last item is Finish. Raises the same errors as `stream`."""
    prompt_ids = await asyncio.to_thread(raw_prompt, model, prompt)
    stop = StopStrings(request.sampling.stop)
    sampling = _sampling(model, request.sampling, len(prompt_ids), ())
    rule = await asyncio.to_thread(completion_constraint, request.response_format, model.tokenizer.eos_id)
    sampling = replace(sampling, constraint=rule, owner=request.owner)
    async with aclosing(_tokens(model, prompt_ids, sampling)) as tokens:
        async for token in tokens:
            text = stop.feed("".join(piece.text for piece in token.pieces if not piece.is_control))
            if token.finish_reason:
                text += stop.finish()
            if token.report:
                yield token.report
            if text:
                yield TextDelta(text)
            if stop.is_hit or token.finish_reason:
                break
    reason = "stop" if stop.is_hit else token.finish_reason or "stop"
    yield Finish(reason, len(prompt_ids), token.num_generated, token.num_cached, stop_string=stop.hit)


def chat_prompt(model: Model, request: ChatRequest) -> list[int]:
    """Return the token ids of the prompt for `request`. Takes some milliseconds.

    Raises RequestError for a tool that the template does not support, and PromptTooLong if the prompt does not fit into
    the context.
    """
    template, tokenizer, max_context = model.template, model.tokenizer, model.engine.max_context
    tools = template.visible_tools(request.tools, request.choice)
    pieces = template.prompt(request)
    num_least = sum(tokenizer.min_num_tokens(piece.text) for piece in pieces)
    if num_least >= max_context and sum(len(piece.text) for piece in pieces) > MAX_COUNTED:
        sizes = _function_sizes(model, request, tools, is_exact=False)
        raise PromptTooLong(num_least, max_context, is_exact=False, functions=sizes)
    ids = tokenizer.encode(pieces, bos=template.bos).ids
    if len(ids) >= max_context:
        raise PromptTooLong(len(ids), max_context, functions=_function_sizes(model, request, tools, is_exact=True))
    return ids


def tokenized_prompt(model: Model, request: ChatRequest, *, has_opening: bool = True) -> list[int]:
    """Return the token ids of the prompt like `chat_prompt`, but for a prompt of any length.

    has_opening: False leaves out the end of the prompt, after which the answer begins.
    """
    template = model.template
    if has_opening:
        pieces = template.prompt(request)
    else:
        tools = template.visible_tools(request.tools, request.choice)
        pieces = template.render(request.messages, tools, request.reasoning)
    return model.tokenizer.encode(pieces, bos=template.bos).ids


def shown_prompt(template: PromptTemplate, tokenizer: Tokenizer, request: ChatRequest) -> dict[str, Any]:
    """Return the prompt for `request` as JSON: text, tokens and pieces (apis/rendered_prompt.py).

    The length is not checked. Raises RequestError for a tool that the template does not support.
    """
    pieces = template.prompt(request)
    bos = [] if not template.bos or tokenizer.bos_id is None else [tokenizer.bos_id]
    encoded, decoder = tokenizer.encode(pieces, bos=template.bos), tokenizer.stream_decoder()
    texts = ["".join(part.text for part in decoder.feed(token_id)) for token_id in encoded.ids]
    tokens = list(map(EncodedToken, encoded.ids, texts, encoded.learned))
    shown = [(True, tokenizer.decode(bos)), *((piece.markup, piece.text) for piece in pieces)]
    return rendered_prompt(request.model, template.name, tokens, shown)


def _function_sizes(
    model: Model, request: ChatRequest, tools: Sequence[Tool], *, is_exact: bool
) -> FunctionSizes | None:
    """Return how many prompt tokens `tools` take, or None without tools. Lower bounds unless `is_exact`."""
    template, tokenizer = model.template, model.tokenizer

    def num_tokens(shown: Sequence[Tool]) -> int:
        pieces = template.render((), shown)
        if is_exact:
            return len(tokenizer.encode(pieces).ids)
        return sum(tokenizer.min_num_tokens(piece.text) for piece in pieces)

    def num_characters(tool: Tool) -> int:
        return sum(len(piece.text) for piece in template.render((), (tool,)))

    if not tools:
        return None
    frame = num_tokens(())
    longest = heapq.nlargest(MAX_RANKED, tools, key=num_characters)  # tokenizing all could take seconds
    ranked = sorted(((num_tokens((tool,)) - frame, tool.name) for tool in longest), reverse=True)
    largest = tuple((request.own_name(name), size) for size, name in ranked[:3])
    return FunctionSizes(num_tokens(tools) - frame, largest, "functions" if request.legacy else "tools")


def ignored_fields(model: Model, request: ChatRequest | CompletionRequest) -> tuple[str, ...]:
    """Return the fields of the request that change nothing: unknown ones, and those with no place in the prompt format.

    Fields of messages are named once, as in "messages.name".
    """
    if isinstance(request, CompletionRequest):
        return request.ignored
    template = model.template
    unrendered = template.unrendered(request.messages)
    shown = {"name": "messages.name", "reasoning_content": request.reasoning_param}
    switches = () if template.has_thinking_switch else request.switch_fields
    efforts = () if template.has_effort else request.effort_fields
    wishes = dict.fromkeys((*switches, *efforts))
    return (*request.ignored, *wishes, *(shown[field] for field in unrendered))


def raw_prompt(model: Model, prompt: str | tuple[int, ...]) -> tuple[int, ...]:
    """Return the token ids of a raw prompt, in which the spelling of a control token becomes that token.

    Raises PromptTooLong if the prompt does not fit into the context.
    """
    if isinstance(prompt, str):
        _check_size(model, model.tokenizer.min_num_tokens(prompt))
        prompt = tuple(model.tokenizer.encode_raw(prompt))
    _check_size(model, len(prompt), is_exact=True)
    return prompt


def _check_size(model: Model, num_tokens: int, *, is_exact: bool = False) -> None:
    if num_tokens >= model.engine.max_context:
        raise PromptTooLong(num_tokens, model.engine.max_context, is_exact=is_exact, param="prompt")


async def _tokens(model: Model, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Token]:
    """Yield the tokens of the engine's steps one by one. The stop token has no text."""
    decoder = model.tokenizer.stream_decoder()
    num_generated = num_cached = num_accepted = num_rejected = 0
    async with aclosing(model.engine.generate(prompt_ids, sampling)) as steps:
        async for step in steps:
            num_cached += step.num_cached_tokens
            num_accepted += step.num_accepted
            num_rejected += step.num_rejected
            for position, token_id in enumerate(step.token_ids, start=1):
                num_generated += 1
                reason = step.finish_reason if position == len(step.token_ids) else None
                pieces = () if reason == "stop" else tuple(decoder.feed(token_id))
                if reason:
                    pieces += tuple(decoder.finish())
                logprob = step.logprobs[position - 1] if step.logprobs and reason != "stop" else None
                report = _report(model.tokenizer, logprob) if logprob else None
                yield Token(pieces, report, num_generated, num_cached, reason, num_accepted, num_rejected)


def _sampling(model: Model, params: SamplingParams, num_prompt_tokens: int, stop: Sequence[str]) -> Sampling:
    """Return the engine's sampling: request parameters override the model's defaults.

    `max_tokens` is at most what the context leaves after the prompt.
    """
    max_new_tokens = max(1, model.engine.max_context - num_prompt_tokens)
    end_ids = {model.tokenizer.token_id(text) for text in stop} | {model.tokenizer.eos_id}
    stop_ids = set(params.stop_token_ids) | (set() if params.ignore_eos else end_ids - {None})
    return Sampling(
        max_tokens=min(params.max_tokens or DEFAULT_MAX_TOKENS, max_new_tokens),
        temperature=model.temperature if params.temperature is None else params.temperature,
        top_p=model.top_p if params.top_p is None else params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repetition_penalty=params.repetition_penalty,
        logit_bias=params.logit_bias,
        seed=params.seed,
        stop_ids=frozenset(stop_id for stop_id in stop_ids if stop_id is not None),
        min_tokens=params.min_tokens,
        logprobs=params.logprobs,
    )


def _guided(sampling: Sampling, model: Model, request: ChatRequest) -> Sampling:
    """Return `sampling` with the constraint and the drafts of a chat request. Takes 10 ms for 1,000 tools."""
    wanted = constraint(request, model.template, model.tokenizer.token_id, model.arguments)
    return replace(sampling, constraint=wanted, owner=request.owner, drafts=drafts(request, model.template))


def _report(tokenizer: Tokenizer, logprob: TokenLogprob) -> TokenReport:
    def decoded(token_id: int, value: float) -> DecodedLogprob:
        token = tokenizer.token_bytes(token_id)
        return DecodedLogprob(token, value)

    return TokenReport(
        decoded(logprob.token_id, logprob.logprob), tuple(decoded(token_id, value) for token_id, value in logprob.top)
    )


KEY_VARIABLE = "FUNCTIONARY_API_KEY"

WEATHER: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the weather for Istanbul?"}],
    "functions": [
        {
            "name": "get_current_weather",
            "description": "Get the current weather in a given location",
            "parameters": {
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                    "format": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        }
    ],
    "function_call": {"name": "get_current_weather"},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    from agent.chat import chat
    from agent.sources import add_options, opened_from
    from agent.tools import ToolSourceError

    parser = argparse.ArgumentParser(prog="inference.py", description=__doc__.partition("\n\nfrom")[0])
    parser.add_argument("--model", metavar="NAME", help="a folder or a name on the hub (default: the embedded model)")
    parser.add_argument("--template", metavar="NAME", help="the prompt format (default: detected)")
    parser.add_argument(
        "--request",
        metavar="FILE",
        help="a chat completion's body in JSON, - for standard input (default: a question about the weather)",
    )
    parser.add_argument("--show-prompt", action="store_true", help="print the prompt, its tokens and its pieces")
    talk = parser.add_argument_group("chat")
    _add_chat_options(talk)
    add_options(talk)
    add_engine_options(parser.add_argument_group(ENGINE_ELSEWHERE))
    options = parser.parse_args(arguments)
    if fault := engine_fault(options):
        parser.error(fault)
    if not options.chat and (given := [name for name in _CHAT_OPTIONS if getattr(options, name)]):
        parser.error(f"--{given[0].replace('_', '-')} needs --chat")
    load = partial(load_model, options.model, template=options.template, **engine_arguments(options))
    try:
        if options.chat:
            with opened_from(options) as tools:
                chat(
                    options.url or load(),
                    tools,
                    model_name=options.model or "",
                    api_key=os.environ.get(KEY_VARIABLE, ""),
                    confirm_all=options.confirm,
                    tool_search=options.tool_search,
                )
            return
        request = chat_request({"model": options.model or "functionary", **_body(options.request)})
        if options.show_prompt:
            shown = shown_prompt(*open_format(options.model, template=options.template), request)
            print(_as_text(shown))
        else:
            print(json.dumps(_whole(load(), request, ANSWER_FIELDS["reasoning_content"]), indent=2, ensure_ascii=False))
    except (ModelError, RequestError, ToolSourceError, OSError) as error:
        sys.exit(f"functionary: {error}")


_CHAT_OPTIONS = ("tools", "openapi", "mcp", "plugin_host", "allow_private", "url", "confirm", "tool_search")


def _add_chat_options(talk: argparse._ArgumentGroup) -> None:
    talk.add_argument("--chat", action="store_true", help="talk with the model, which calls functions")
    talk.add_argument("--tool-search", metavar="N", type=int, default=0, help="show the model the N nearest functions")
    talk.add_argument("--url", metavar="BASE_URL", help="ask this server, such as http://localhost:8000/v1, instead")
    talk.add_argument("--confirm", action="store_true", help="ask before each call")


def _body(file: str | None) -> dict[str, Any]:
    """Read a request's body. Raises OSError, or RequestError for a file without a JSON object."""
    if file is None:
        return WEATHER
    return parse_json(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())


def _as_text(shown: Mapping[str, Any]) -> str:
    """Return what `shown_prompt` returned as text: the prompt, one line for each piece, and the token ids."""
    pieces = (f"{piece['kind']}  {json.dumps(piece['text'], ensure_ascii=False)}" for piece in shown["pieces"])
    ids = " ".join(map(str, shown["token_ids"]))
    parts = (
        f"format  {shown['template']}",
        shown["prompt"],
        "\n".join(pieces),
        f"{shown['prompt_tokens']} tokens\n{ids}",
    )
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
