"""vLLM: `/v1/completions` with token ids on both sides. Written for vLLM 0.10 and later, tried with 0.32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from core.generation import TokenLogprob
from engines.remote.dialect import LOWEST, Ask, Facts, Gain, Json, cache_name
from engines.remote.http import HttpServer, ServerError
from text.vocabulary import Vocabulary


class VLLM:
    """The dialect of vLLM's server."""

    name = "vllm"
    path = "/v1/completions"
    health_path = "/health"
    takes_grammars = True
    missing = ""
    needs_vocabulary = False

    def body(self, ask: Ask) -> Json:
        sampling = ask.sampling
        wanted: Json = {
            "model": ask.facts.model,
            "prompt": list(ask.ids),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "repetition_penalty": sampling.repetition_penalty,
            "min_tokens": sampling.min_tokens,
            "stop_token_ids": sorted(sampling.stop_ids),
            "ignore_eos": True,  # otherwise the server also stops at its own end-of-text token
            "skip_special_tokens": False,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
        }
        if sampling.seed is not None:
            wanted["seed"] = sampling.seed % 2**63
        if sampling.logit_bias:
            wanted["logit_bias"] = {str(token_id): bias for token_id, bias in sampling.logit_bias}
        if sampling.logprobs is not None:
            wanted |= {"logprobs": sampling.logprobs, "return_tokens_as_token_ids": True}
        if sampling.owner:
            wanted["cache_salt"] = cache_name(sampling.owner)
        if ask.is_resumed and ask.facts.has_priorities:
            wanted["priority"] = -1
        if ask.allowed is not None:
            wanted["allowed_token_ids"] = np.flatnonzero(ask.allowed).tolist()
        elif ask.grammar:
            # vLLM chooses its grammar library by the text: xgrammar takes Lark, but not this first line
            wanted["structured_outputs"] = {"grammar": f"%llguidance {{}}\n{ask.grammar}"}
        return wanted

    def reader(self, ask: Ask, vocabulary: Callable[[], Vocabulary]) -> _Reader:
        return _Reader(ask.sampling.logprobs)

    def knows_itself(self, models: Json) -> bool:
        return any(one.get("owned_by") == "vllm" for one in models["data"])

    async def facts(self, server: HttpServer, models: Json, wanted: str) -> Facts:
        cards = [one for one in models["data"] if isinstance(one, dict)]
        named = [one for one in cards if wanted in (one["id"], one.get("root"))]
        card = (named or cards)[0]
        # An adapter's card may name no length; that of its base does.
        lengths = [one["max_model_len"] for one in (card, *cards) if one.get("max_model_len")]
        model = str(card["id"])
        return Facts(
            model,
            str(card.get("root") or model),
            max_context=lengths[0] if lengths else None,
            has_priorities=await _has_priorities(server, model),
        )

    def tokenize(self, text: str, model: str) -> tuple[str, Json]:
        return "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}


async def _has_priorities(server: HttpServer, model: str) -> bool:
    """Try a request with a priority, which vLLM refuses unless it runs with `--scheduling-policy priority`."""
    body = {"model": model, "prompt": [0], "max_tokens": 1, "priority": -1}
    try:
        await server.ask("POST", VLLM.path, body)
    except ServerError as error:
        if error.status in (401, 403, 404):
            raise
        return False  # also for a server that is too busy to answer in time
    return True


class _Reader:
    """Reads the events of one answer."""

    def __init__(self, num_alternatives: int | None) -> None:
        self._num_alternatives = num_alternatives

    def read(self, event: Json) -> Gain:
        usage = event.get("usage") or {}
        num_cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        if not event.get("choices"):
            return Gain(num_cached=num_cached)
        choice = event["choices"][0]
        finish, ids = choice.get("finish_reason"), tuple(choice["token_ids"])
        if finish not in (None, "stop", "length"):
            raise ValueError(f"finish_reason {finish!r}")
        return Gain(ids, finish, self._reports(ids, choice.get("logprobs")), num_cached)

    def _reports(self, ids: tuple[int, ...], found: Mapping[str, Any] | None) -> tuple[TokenLogprob, ...]:
        """Return the logprobs of `ids`.

        The server lists the sampled token among the alternatives, also where it is one more than were asked for.
        """
        if not found:
            return ()
        reports = []
        for token_id, value, top in zip(ids, found["token_logprobs"], found["top_logprobs"], strict=True):
            listed = sorted(((_id(key), number) for key, number in (top or {}).items()), key=lambda one: -one[1])
            reports.append(
                TokenLogprob(token_id, LOWEST if value is None else value, tuple(listed[: self._num_alternatives]))
            )
        return tuple(reports)


def _id(text: str) -> int:
    return int(text.removeprefix("token_id:"))
