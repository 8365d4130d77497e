"""The engine whose model runs on servers elsewhere: vLLM, llama.cpp or SGLang, by token ids over HTTP.

This process renders, reads along and guarantees; batching, KV caches and the model are the servers' affair.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from tokenizers import Tokenizer

from core.errors import EngineBusy, EngineDown, EngineError, RequestError
from core.generation import Sampling, Step
from engines.checks import check_request
from engines.metrics import EngineMetrics, FinishedReason
from engines.remote.answer import Answer
from engines.remote.dialect import Ask, Gain, Json, Reader
from engines.remote.health import HealthWatch
from engines.remote.http import ServerError
from engines.remote.servers import Server, Servers
from guarantees.matcher import ConstraintCompiler

_BAD_REQUEST = frozenset({400, 413, 422})  # the request is at fault, so that another server would refuse it too
_BUSY = 429
IS_CLOSING = "the engine is shutting down"
_MAX_EMPTY = 10_000  # events of one answer that add no token; llama.cpp tells the progress of a long prompt
_TAIL_S = 1.0  # for what a server says after the last token

log = logging.getLogger("functionary")


class RemoteEngine:
    """Generates on servers that take and give token ids. `servers` share the work and serve the same model."""

    def __init__(
        self, servers: Sequence[Server], tokenizer: Tokenizer, *, eos_id: int | None, max_context: int, vocab_size: int
    ) -> None:
        self._servers = Servers(servers)
        self._max_context = max_context
        self._vocab_size = vocab_size
        self._constraints = ConstraintCompiler(tokenizer, vocab_size, eos_id=eos_id)
        self._end_of_ids = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
        if any(one.dialect.needs_vocabulary for one in servers):
            _ = self._constraints.vocabulary
        self._metrics = EngineMetrics(max_context)
        about = "Requests that run on the servers of --engine-url."
        self._metrics.add_gauge("num_requests_running", about, lambda: sum(one.num_running for one in self._servers))
        self._corrections = self._metrics.add_counter(
            "engine_corrections", "Tokens that a server chose against a constraint and that were asked for again."
        )
        self._health = HealthWatch(self._servers)
        self._take_grammars = all(one.dialect.takes_grammars for one in servers)
        self._is_closing = False

    @property
    def max_context(self) -> int:
        return self._max_context

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @property
    def is_down(self) -> bool:
        return False  # a server that is away may come back, and a new process here would not help

    def description(self) -> str:
        told = [f"{one.dialect.name} at {one.http.url} ({one.facts.model})" for one in self._servers]
        missing = dict.fromkeys(one.dialect.missing for one in self._servers if one.dialect.missing)
        return ", ".join(told) + "".join(f"; {text}" for text in missing)

    def health(self) -> str:
        return IS_CLOSING if self._is_closing else self._servers.fault()

    async def close(self) -> None:
        self._is_closing = True
        await asyncio.to_thread(self._health.stop)
        for server in self._servers:
            server.http.close()

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        check_request(prompt_ids, sampling, self._max_context, self._vocab_size)
        matcher = None
        if sampling.constraint is not None:
            matcher = await asyncio.to_thread(self._constraints.matcher, sampling.constraint)
        answer = Answer(prompt_ids, sampling, matcher, self._max_context, self._vocab_size)
        times = self._metrics.submitted(len(prompt_ids), sampling.max_tokens)
        reason: FinishedReason = "abort"
        grammar = matcher.grammar if matcher and self._take_grammars else ""
        try:
            async with aclosing(self._steps(answer, grammar)) as steps:
                async for step in steps:
                    times.gained(step)
                    reason = step.finish_reason or reason
                    yield step
        except Exception:
            reason = "error"
            raise
        finally:
            times.finished(reason)

    async def _steps(self, answer: Answer, grammar: str) -> AsyncGenerator[Step]:
        """Yield the steps of an answer: forced tokens, then a server's stream up to a forbidden token, and so on.

        In the place of a forbidden token, one token is asked for under the mask. A token whose id a server does not
        tell in a stream is asked for alone too.
        """
        while not answer.finish_reason:
            if not grammar and (step := answer.forced()):  # the grammar begins where the answer does
                yield step
            if answer.finish_reason:
                return
            num_before = answer.num_generated
            async with aclosing(self._taken(answer, self._gains(answer, grammar))) as steps:
                async for step in steps:
                    yield step
            grammar = ""  # it describes whole turns, not the rest of one
            if answer.is_forbidden or answer.is_lost:
                self._corrections.inc(answer.is_forbidden)
                async with aclosing(self._taken(answer, self._gains(answer, "", is_single=True))) as steps:
                    async for step in steps:
                        yield step
                if answer.is_forbidden:
                    raise EngineError("the engine's server chose a token that it was told not to choose")
            if answer.num_generated == num_before:
                raise EngineError("the engine's server ended its answer early")

    async def _taken(self, answer: Answer, gains: AsyncGenerator[Gain]) -> AsyncGenerator[Step]:
        """Yield what an answer takes of a server's stream, and close the stream."""
        async with aclosing(gains):
            async for gain in gains:
                step = answer.read(gain)
                if step and step.finish_reason and gain.finish:
                    num_last = await _num_cached(gains)
                    step = replace(step, num_cached_tokens=answer.num_cached(gain.num_cached + num_last))
                if step:
                    yield step
                if answer.is_forbidden or answer.is_lost or answer.finish_reason:
                    return

    async def _gains(self, answer: Answer, grammar: str, *, is_single: bool = False) -> AsyncGenerator[Gain]:
        """Yield what the best server adds to the answer. One that fails before its first token is replaced by another.

        is_single: ask for one token, of those that the constraint allows.
        """
        sampling, ids, allowed = answer.next_sampling(), answer.ids, None
        if is_single:
            sampling, allowed = replace(sampling, max_tokens=1, min_tokens=0), self._with_tokens(answer.allowed())
        faults: list[ServerError] = []
        for server in self._servers.in_order(ids, sampling.owner):
            is_resumed = answer.num_asked > 1
            ask = Ask(ids, sampling, server.facts, is_single, allowed, grammar, is_resumed)
            has_begun = False
            try:
                with self._servers.running(server, ids, sampling.owner):
                    reader = server.dialect.reader(ask, lambda: self._constraints.vocabulary)
                    events = server.http.events(server.dialect.path, server.dialect.body(ask))
                    num_empty = 0
                    async with aclosing(events):
                        async for event in events:
                            gain = _gain(reader, event)
                            num_empty += not gain.token_ids
                            if num_empty > _MAX_EMPTY:
                                raise ServerError("sends events without tokens and does not end its answer")
                            del event  # while the next one is awaited, no open stream keeps the last one
                            has_begun = has_begun or bool(gain.token_ids)
                            yield gain
                self._servers.recover(server)
                return
            except GeneratorExit:  # the answer is over, or the client has left
                if has_begun:
                    self._servers.recover(server)
                raise
            except ServerError as error:
                if self._is_closing:
                    raise EngineDown(IS_CLOSING, "shutting_down") from None
                self._note(server, error)
                if has_begun:
                    raise EngineError(f"the engine's server {error}") from None
                if error.status in _BAD_REQUEST and grammar:  # it only saves work, and some servers do not take it
                    answer.num_asked -= 1  # the server has neither read nor drawn anything
                    async with aclosing(self._gains(answer, "")) as gains:
                        async for gain in gains:
                            yield gain
                    return
                if error.status in _BAD_REQUEST:
                    said = str(error).rstrip(".")
                    raise RequestError(f"The engine's server refuses the request: it {said}.") from None
                faults.append(error)
        if any(error.status == _BUSY for error in faults):
            raise EngineBusy
        raise EngineDown("; ".join(f"the engine's server {error}" for error in faults))

    def _with_tokens(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Leave out the ids behind the last token, up to the width of the logits: some servers refuse them."""
        if allowed is None or not allowed[: self._end_of_ids].any():
            return allowed
        return allowed & (np.arange(len(allowed)) < self._end_of_ids)

    def _note(self, server: Server, error: ServerError) -> None:
        """Log a fault, and leave the server out for a while unless only the request was at fault."""
        self._metrics.faults.inc()
        if error.status in _BAD_REQUEST | {_BUSY}:
            log.warning("the engine's server %s %s", server.http.url, error)
        else:
            self._servers.fail(server, str(error))


def _gain(reader: Reader, event: Json) -> Gain:
    """Return what an event adds. Raises ServerError for an event of another shape."""
    try:
        return reader.read(event)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = f"{type(error).__name__} at {error}"
        raise ServerError(f"sends an event of another shape ({reason})") from None


async def _num_cached(gains: AsyncGenerator[Gain]) -> int:
    """Return the number of cached tokens that a server tells after the last token, if it does so at once."""
    try:
        async with asyncio.timeout(_TAIL_S):
            return sum([gain.num_cached async for gain in gains])
    except (TimeoutError, EngineError, EngineBusy, RequestError):
        return 0
