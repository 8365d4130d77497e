"""SGLang: `/generate` with token ids on both sides. Written from its documentation, never tried with a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from core.errors import RequestError
from core.generation import TokenLogprob
from engines.remote.dialect import LOWEST, Ask, Facts, Gain, Json, cache_name
from engines.remote.http import HttpServer, ServerError
from text.vocabulary import Vocabulary

_FORBIDDEN = -1e9  # added to the logits of tokens that are not allowed


class SGLang:
    """The dialect of SGLang's server."""

    name = "sglang"
    path = "/generate"
    health_path = "/health"
    takes_grammars = False
    missing = (
        "SGLang is served by its documentation only; it reports logprobs at temperature 0 and 1 only, and repeats a "
        "seed only if it was started with --enable-deterministic-inference"
    )
    needs_vocabulary = False

    def body(self, ask: Ask) -> Json:
        sampling = ask.sampling
        how: Json = {
            "max_new_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": sampling.min_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "repetition_penalty": sampling.repetition_penalty,
            "min_new_tokens": sampling.min_tokens,
            "stop_token_ids": sorted(sampling.stop_ids),
            "ignore_eos": not sampling.stop_ids,  # it would switch `stop_token_ids` off too
            "skip_special_tokens": False,
        }
        if sampling.seed is not None:
            how["sampling_seed"] = sampling.seed % 2**31
        biases = {str(token_id): bias for token_id, bias in sampling.logit_bias}
        if ask.allowed is not None:
            biases |= dict.fromkeys(map(str, np.flatnonzero(~ask.allowed).tolist()), _FORBIDDEN)
        if biases:
            how["logit_bias"] = biases
        wanted: Json = {"input_ids": list(ask.ids), "sampling_params": how, "stream": True}
        if sampling.logprobs is not None:
            if sampling.temperature not in (0.0, 1.0):
                raise RequestError(
                    "The engine's server reports logprobs after temperature; 'logprobs' needs temperature 0 or 1.",
                    "logprobs",
                )
            wanted |= {"return_logprob": True, "top_logprobs_num": sampling.logprobs}
        if sampling.owner:
            wanted["extra_key"] = cache_name(sampling.owner)
        return wanted

    def reader(self, ask: Ask, vocabulary: Callable[[], Vocabulary]) -> _Reader:
        return _Reader(ask.sampling.logprobs)

    def knows_itself(self, models: Json) -> bool:
        return any(one.get("owned_by") == "sglang" for one in models["data"])

    async def facts(self, server: HttpServer, models: Json, wanted: str) -> Facts:
        card = models["data"][0]
        source = str((await server.ask("GET", "/get_model_info"))["model_path"])
        return Facts(str(card["id"]), source, card.get("max_model_len"))

    def tokenize(self, text: str, model: str) -> tuple[str, Json]:
        return "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}


class _Reader:
    """Reads the events of one answer.

    `output_ids` and the logprobs of an event are those of the whole answer, or only the new ones if the server was
    started so. In both cases the new ones are the last ones.
    """

    def __init__(self, num_alternatives: int | None) -> None:
        self._num_alternatives = num_alternatives
        self._num_read = 0
        self._has_told_cached = False

    def read(self, event: Json) -> Gain:
        about = event["meta_info"]
        finish = about.get("finish_reason")
        if finish and finish["type"] not in ("stop", "length"):
            raise ServerError(
                f"ends the answer with an error: {str(finish.get('message'))[:200]}",
                int(finish.get("status_code") or 500),
            )
        num_new = about["completion_tokens"] - self._num_read
        if not 0 <= num_new <= len(event["output_ids"]):
            raise ValueError(f"completion_tokens {about['completion_tokens']}")
        ids = tuple(event["output_ids"][len(event["output_ids"]) - num_new :])
        self._num_read += num_new
        num_cached = 0 if self._has_told_cached else int(about.get("cached_tokens") or 0)
        self._has_told_cached = self._has_told_cached or bool(ids)
        return Gain(ids, finish["type"] if finish else None, self._reports(ids, about), num_cached if ids else 0)

    def _reports(self, ids: tuple[int, ...], about: Json) -> tuple[TokenLogprob, ...]:
        if self._num_alternatives is None or not ids:
            return ()
        values = about["output_token_logprobs"][-len(ids) :]
        tops: list[Any] = (about.get("output_top_logprobs") or [])[-len(ids) :] or [None] * len(ids)
        reports = []
        for token_id, value, top in zip(ids, values, tops, strict=True):
            if value[1] != token_id:
                raise ValueError(f"the logprob of token {value[1]} in the place of {token_id}")
            listed = tuple((one[1], _finite(one[0])) for one in (top or ())[: self._num_alternatives])
            reports.append(TokenLogprob(token_id, _finite(value[0]), listed))
        return tuple(reports)


def _finite(value: float | None) -> float:
    return LOWEST if value is None else max(LOWEST, value)
