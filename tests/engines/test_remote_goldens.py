"""Streams that real servers sent are read as the ids of the same answer without a stream.

tests/golden/engines/ holds the bodies of vLLM 0.32 and of llama.cpp's server with the embedded weights. The JSON file
beside each has the request, the status, and the ids that the server gave when the same request asked for no stream.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from checkpoints.embedded_tokenizer import load_tokenizer
from checkpoints.files import find_checkpoint
from core.errors import RequestError
from core.generation import Sampling
from engines.remote.connect import DIALECTS
from engines.remote.dialect import Ask, Facts, Gain
from engines.remote.http import ServerError
from engines.remote.spelling import is_cut, lost_ids
from text.vocabulary import Vocabulary

FOLDER = Path(__file__).parents[1] / "golden" / "engines"
GOLDENS = sorted(path for path in FOLDER.glob("*/*.txt"))
EMOJI = "🙂🎉東京の👩‍👩‍👧 naïve Ünï x"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load_tokenizer(find_checkpoint(None)), 49152)


def events(path: Path) -> list[Json]:
    data = [line[6:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in data]


def gains(path: Path, vocabulary: Vocabulary) -> list[Gain]:
    num = 2 if path.stem == "logprobs" else None
    ask = Ask([1], Sampling(max_tokens=1, logprobs=num), Facts("embedded"))
    reader = DIALECTS[path.parent.name].reader(ask, lambda: vocabulary)
    return [reader.read(event) for event in events(path)]


def test_there_are_goldens_of_both_servers() -> None:
    names = {"plain", "call", "emoji", "stop", "logprobs", "cut_character", "error"}
    for name in ("vllm", "llama.cpp"):
        assert {path.stem for path in GOLDENS if path.parent.name == name} == names


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_a_stream_is_read_as_the_whole_answer(path: Path, vocabulary: Vocabulary) -> None:
    """llama.cpp sends no event for a token that ends inside a character, and only the last id of the next event."""
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if about["status"] != 200:
        assert about["status"] == 400 and json.loads(path.read_text(encoding="utf-8"))["error"]["message"]
        return
    got = gains(path, vocabulary)
    ids = [token_id for gain in got for token_id in gain.token_ids]
    if path.parent.name == "llama.cpp" and path.stem == "cut_character":
        assert ids == [] and got[-1].is_lost and got[-1].finish == "length"
        return
    assert ids == about["ids"]
    assert not any(gain.is_lost for gain in got)
    assert [gain.finish for gain in got if gain.finish] == ["stop" if path.stem in ("call", "stop") else "length"]
    if path.stem == "logprobs":
        reports = [report for gain in got for report in gain.logprobs]
        assert [report.token_id for report in reports] == ids
        assert all(len(report.top) == 2 and report.top[0] == (report.token_id, report.logprob) for report in reports)


def llama_events(vocabulary: Vocabulary, ids: list[int]) -> list[Json]:
    """Return what llama.cpp's server sends for an answer of these tokens."""
    text = b""
    sent = 0
    found = []
    for num, token_id in enumerate(ids, 1):
        text += vocabulary.token_bytes(token_id)
        if not is_cut(text):
            content = text[sent:].decode("utf-8", "replace")
            found.append({"content": content, "tokens": [token_id], "stop": False, "tokens_predicted": num})
            sent = len(text)
    return [*found, {"tokens": [], "stop": True, "stop_type": "limit", "tokens_predicted": len(ids)}]


@given(cuts=st.lists(st.integers(1, len(EMOJI.encode())), max_size=12))
def test_lost_ids_spell_the_text(vocabulary: Vocabulary, cuts: list[int]) -> None:
    """The ids that a reader finds are as many as the lost ones and spell the same bytes, however the text was split."""
    text = EMOJI.encode()
    ids = []
    bounds = [0, *sorted(set(cuts)), len(text)]
    for start, end in pairwise(bounds):
        ids += vocabulary.tokenize(text[start:end])
    reader = DIALECTS["llama.cpp"].reader(Ask([1], Sampling(max_tokens=1), Facts("m")), lambda: vocabulary)
    found = [token_id for event in llama_events(vocabulary, ids) for token_id in reader.read(event).token_ids]
    assert len(found) == len(ids)
    assert b"".join(map(vocabulary.token_bytes, found)) == text


def test_unknown_ids_are_lost(vocabulary: Vocabulary) -> None:
    """Bytes that are no UTF-8 arrive as U+FFFD, and other texts may have no spelling of as many tokens."""
    (half,) = vocabulary.ids_of(b"\xf0\x9f")[:1] or vocabulary.ids_of(b"\xf0")[:1]
    (letter,) = vocabulary.ids_of(b"a")[:1]
    assert lost_ids(vocabulary, "\N{REPLACEMENT CHARACTER}a".encode(), letter, 1) is None
    assert lost_ids(vocabulary, b"ba", letter, 1) is None  # b is no half of a character
    assert lost_ids(vocabulary, b"", half, 1) is None
    assert lost_ids(vocabulary, b"<|im_end|>", 2, 1) is None


def test_the_allowed_tokens_of_a_request_for_one(vocabulary: Vocabulary) -> None:
    """llama.cpp takes biases. Few tokens are raised, which is shorter than to forbid all others; a repetition penalty
    divides logits, so that it would take away more of what is raised."""
    allowed = np.zeros(8, np.bool_)
    allowed[[2, 5]] = True
    sampling = Sampling(max_tokens=1, logit_bias=((2, -1.5), (3, 50.0)))

    def biases(sampling: Sampling, mask: NDArray[np.bool_]) -> list[list[float]]:
        found: list[list[float]] = DIALECTS["llama.cpp"].body(Ask([1], sampling, Facts("m"), True, mask))["logit_bias"]
        return found

    assert biases(sampling, allowed) == [[2, 998.5], [5, 1000.0]]
    assert biases(sampling, ~allowed) == [[2, False], [3, 50.0], [5, False]]
    repeating = biases(replace(sampling, repetition_penalty=1.1), allowed)
    assert sorted(repeating) == [[0, False], [1, False], [2, -1.5], *([token_id, False] for token_id in (3, 4, 6, 7))]
    penalised = replace(sampling, logit_bias=(), frequency_penalty=0.5, presence_penalty=0.25)
    body = DIALECTS["llama.cpp"].body(Ask([1, 4, 1], penalised, Facts("m")))
    assert body["logit_bias"] == [[1, 1.25], [4, 0.75]]  # what the server takes for the tokens of the prompt


def test_sglang_cumulative_and_incremental_events_give_the_same_ids(vocabulary: Vocabulary) -> None:
    """SGLang sends all ids of the answer in each event, or only the new ones if it was started so."""
    answer = [[5, 6], [6], [6, 7, 8]]
    for is_cumulative in (True, False):
        ask = Ask([1], Sampling(max_tokens=6, logprobs=1), Facts("m"))
        reader = DIALECTS["sglang"].reader(ask, lambda: vocabulary)
        so_far: list[int] = []
        got = []
        for number, new in enumerate(answer):
            so_far += new
            shown = so_far if is_cumulative else new
            about: Json = {
                "completion_tokens": len(so_far),
                "cached_tokens": 3,
                "finish_reason": {"type": "length", "length": 6} if number == 2 else None,
                "output_token_logprobs": [[-0.5 * token_id, token_id, None] for token_id in shown],
                "output_top_logprobs": [[[-0.1, token_id, None]] for token_id in shown],
            }
            got.append(reader.read({"text": "", "output_ids": list(shown), "meta_info": about}))
        assert [list(gain.token_ids) for gain in got] == answer
        assert [gain.num_cached for gain in got] == [3, 0, 0]
        assert [gain.finish for gain in got] == [None, None, "length"]
        assert [report.logprob for gain in got for report in gain.logprobs] == [-2.5, -3, -3, -3, -3.5, -4]
    reason = {"type": "abort", "message": "The prompt is too long.", "status_code": 400}
    with pytest.raises(ServerError, match="too long") as caught:
        reader.read({"output_ids": [], "meta_info": {"completion_tokens": 6, "finish_reason": reason}})
    assert caught.value.status == 400


def test_sglang_reports_logprobs_at_temperature_0_and_1_only() -> None:
    dialect = DIALECTS["sglang"]
    body = dialect.body(Ask([1], Sampling(max_tokens=1, logprobs=2, seed=2**40, owner="key"), Facts("m")))
    assert body["return_logprob"] and body["top_logprobs_num"] == 2 and body["extra_key"] != "key"
    with pytest.raises(RequestError) as caught:
        dialect.body(Ask([1], Sampling(max_tokens=1, logprobs=2, temperature=0.7), Facts("m")))
    assert caught.value.param == "logprobs"
