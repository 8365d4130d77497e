"""Events -> OpenAI's chunks; a whole answer is a fold of the very chunks that a stream would have sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core.conversation import ChatRequest, CompletionRequest
from core.turn_format import ArgsDelta, CallStart, DecodedLogprob, Event, Finish, TextDelta, TokenReport

Json = dict[str, Any]


class Choice:
    """One choice of an answer, as entries of `choices` in chunks: {index, delta, logprobs, finish_reason}."""

    def __init__(self, request: ChatRequest, index: int = 0) -> None:
        self._request = request
        self._index = index
        self._has_begun = False
        self._num_calls = 0
        self._reports: list[TokenReport] = []

    def chunks(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """The chunks of one event. The role stands in the first chunk, and each chunk has one kind of content."""
        match event:
            case TokenReport():
                self._reports.append(event)
            case TextDelta(text):
                yield from self._opening()
                yield self._chunk({"content": text}, logprobs=True)
            case CallStart(name):
                yield self._chunk(self._call_start(name))
            case ArgsDelta(text):
                yield self._chunk(self._arguments(text))
            case Finish(reason):
                yield from self._opening()
                yield self._chunk({}, finish_reason=self._finish_reason(reason))

    def _opening(self) -> Iterator[Json]:
        if not self._has_begun:
            self._has_begun = True
            yield self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _call_start(self, name: str) -> Json:
        role = {} if self._has_begun else {"role": "assistant", "content": None}
        self._has_begun = True
        self._num_calls += 1
        function = {"name": name, "arguments": ""}
        if self._request.legacy:
            return {**role, "function_call": function}
        call_id = "call_" + secrets.token_hex(12)
        index = self._num_calls - 1
        return {**role, "tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}

    def _arguments(self, text: str) -> Json:
        if self._request.legacy:
            return {"function_call": {"arguments": text}}
        return {"tool_calls": [{"index": self._num_calls - 1, "function": {"arguments": text}}]}

    def _finish_reason(self, reason: str) -> str:
        """As OpenAI really answers: a named choice ends with "stop" although a call was made."""
        if reason == "length" or not self._num_calls or self._request.choice.mode == "named":
            return reason
        return "function_call" if self._request.legacy else "tool_calls"

    def _chunk(self, delta: Json, *, finish_reason: str | None = None, logprobs: bool = False) -> Json:
        reports, self._reports = (self._reports, []) if logprobs else ([], self._reports)
        shown = {"content": [_logprob(report) for report in reports], "refusal": None} if reports else None
        return {"index": self._index, "delta": delta, "logprobs": shown, "finish_reason": finish_reason}


def fold(chunks: Iterable[Json]) -> Json:
    """The choice {index, message, logprobs, finish_reason} that these chunks of one choice add up to."""
    message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    logprobs: Json | None = None
    index, finish_reason = 0, None
    for chunk in chunks:
        index, finish_reason = chunk["index"], chunk["finish_reason"] or finish_reason
        if chunk["logprobs"]:
            logprobs = logprobs or {"content": [], "refusal": None}
            logprobs["content"] += chunk["logprobs"]["content"]
        _add(message, chunk["delta"])
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}


def _add(message: Json, delta: Json) -> None:
    if delta.get("content") is not None:
        message["content"] = (message["content"] or "") + delta["content"]
    if call := delta.get("function_call"):
        function = message.setdefault("function_call", {"name": "", "arguments": ""})
        function["name"] += call.get("name", "")
        function["arguments"] += call["arguments"]
    for call in delta.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if call["index"] == len(calls):
            calls.append({"id": call["id"], "type": "function", "function": {"name": "", "arguments": ""}})
        function = calls[call["index"]]["function"]
        function["name"] += call["function"].get("name", "")
        function["arguments"] += call["function"]["arguments"]


class TextChoice:
    """One choice of a raw completion: {index, text, logprobs, finish_reason}."""

    def __init__(self, request: CompletionRequest, index: int, prompt: str) -> None:
        self._request = request
        self._index = index
        self._echo = prompt if request.echo else ""
        self._offset = len(self._echo)
        self._reports: list[TokenReport] = []

    def chunks(self, event: TextDelta | TokenReport | Finish) -> Iterator[Json]:
        match event:
            case TokenReport():
                self._reports.append(event)
            case TextDelta(text):
                yield self._chunk(text)
            case Finish(reason):
                yield self._chunk("", finish_reason=reason)

    def _chunk(self, text: str, *, finish_reason: str | None = None) -> Json:
        text, self._echo = self._echo + text, ""
        logprobs = None
        if self._request.sampling.logprobs is not None:
            reports, self._reports = self._reports, []
            logprobs = self._logprobs(reports)
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    def _logprobs(self, reports: list[TokenReport]) -> Json:
        spelled = [report.chosen.token.decode("utf-8", "replace") for report in reports]
        offsets = []
        for token in spelled:
            offsets.append(self._offset)
            self._offset += len(token)
        top = [{_spelled(top)["token"]: top.logprob for top in report.top} for report in reports]
        logprobs = [report.chosen.logprob for report in reports]
        return {"tokens": spelled, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets}


def fold_text(chunks: Iterable[Json]) -> Json:
    """The choice that the chunks of one raw completion add up to."""
    choice: Json = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
    for chunk in chunks:
        choice["index"] = chunk["index"]
        choice["text"] += chunk["text"]
        choice["finish_reason"] = chunk["finish_reason"] or choice["finish_reason"]
        for key, values in (chunk["logprobs"] or {}).items():
            choice["logprobs"] = choice["logprobs"] or {}
            choice["logprobs"].setdefault(key, []).extend(values)
    return choice


def usage(finishes: Sequence[Finish], n: int) -> Json:
    """Token counts of one request: each prompt once, however many choices it has, and all that was generated."""
    prompt_tokens = sum(finish.prompt_tokens for finish in finishes) // n
    completion_tokens = sum(finish.completion_tokens for finish in finishes)
    cached_tokens = sum(finish.cached_tokens for finish in finishes) // n
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": sum(finish.accepted_tokens for finish in finishes),
            "rejected_prediction_tokens": sum(finish.rejected_tokens for finish in finishes),
        },
    }


def _logprob(report: TokenReport) -> Json:
    return {**_spelled(report.chosen), "top_logprobs": [_spelled(top) for top in report.top]}


def _spelled(token: DecodedLogprob) -> Json:
    return {"token": token.token.decode("utf-8", "replace"), "logprob": token.logprob, "bytes": list(token.token)}
