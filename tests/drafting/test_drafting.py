"""Draft tokens change no answer. They only reduce the number of steps."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apis.chat_completions import chat_request
from checkpoints.embedded_tokenizer import END, TEMPLATE, load_tokenizer
from checkpoints.files import find_checkpoint
from core.conversation import Call, Message
from core.generation import DraftedCall, Drafts, Sampling, Step
from core.turn_format import TurnFormat
from drafting.call_scanner import CallScanner
from drafting.drafter import MAX_DRAFT_TOKENS, Drafter
from drafting.predictions import drafts
from drafting.user_message import UserMessage
from engines.local.engine import LocalEngine
from evaluate.rows import read_questions
from inference import Model
from prompt_template import PromptTemplate, load_template
from text.tokenizer import Tokenizer
from text.vocabulary import Vocabulary

EVERYDAY = Path(__file__).parents[2] / "examples" / "everyday.jsonl"
NOTHING = Drafts(turn_format=TurnFormat(start="text", regions={}), prefill="", calls=())
HOT = Sampling(max_tokens=30, temperature=1.0, seed=3)


class ScriptedDrafter:
    """A drafter that knows the answer. Each draft token is replaced by a random one with probability `wrong`."""

    def __init__(self, answer: Sequence[int], wrong: float, seed: int) -> None:
        self._answer, self._wrong, self._random = list(answer), wrong, Random(seed)
        self.num_sampled = 0
        self.num_accepted = 0

    def read(self, token_ids: Sequence[int]) -> None:
        self.num_sampled += len(token_ids)

    def propose(self, limit: int) -> list[int]:
        size = min(limit, self._random.randint(0, 9))
        known = self._answer[self.num_sampled : self.num_sampled + size]
        return [self._random.randrange(500) if self._random.random() < self._wrong else one for one in known]

    def record_accepted(self, num_accepted: int) -> None:
        self.num_accepted += num_accepted


@pytest.fixture
def hf(llama: Model) -> LocalEngine:
    assert isinstance(llama.engine, LocalEngine)
    return llama.engine


async def steps(engine: LocalEngine, prompt: Sequence[int], sampling: Sampling) -> list[Step]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [step async for step in stream]


def ids(got: Sequence[Step]) -> list[int]:
    return [token_id for step in got for token_id in step.token_ids]


@pytest.mark.parametrize("sampling", [replace(HOT, temperature=0.0), HOT, replace(HOT, logprobs=2)])
@pytest.mark.parametrize("wrong", [0.0, 0.3, 1.0])
def test_an_answer_is_the_same_with_and_without_drafts(
    hf: LocalEngine, monkeypatch: pytest.MonkeyPatch, sampling: Sampling, wrong: float
) -> None:
    """Drafts change neither greedy nor seeded answers, alone or in a batch, with any share of wrong draft tokens."""
    prompts = [[5, 6, 7 + number] for number in range(12)]
    plain = [asyncio.run(steps(hf, prompt, sampling)) for prompt in prompts]
    answers = {tuple(prompt): ids(got) for prompt, got in zip(prompts, plain, strict=True)}

    def scripted(prompt_ids: Sequence[int], asked: Sampling) -> ScriptedDrafter:
        return ScriptedDrafter(answers[tuple(prompt_ids)], wrong, seed=prompt_ids[-1])

    monkeypatch.setattr(hf, "_make_drafter", scripted)

    async def together() -> list[list[Step]]:
        return await asyncio.gather(*(steps(hf, prompt, sampling) for prompt in prompts))

    with_drafts = asyncio.run(together())
    assert [ids(got) for got in with_drafts] == list(answers.values())
    for got, known in zip(with_drafts, plain, strict=True):
        assert [one.token_id for step in got for one in step.logprobs] == [
            one.token_id for step in known for one in step.logprobs
        ]
        accepted = sum(step.num_accepted for step in got)
        assert accepted == sum(len(step.token_ids) for step in got) - len(got)
        assert wrong < 1 or accepted < 6
        assert wrong > 0 or len(got) < 15


NUM_SAMPLES = 400
Pair = tuple[int, ...]


def sampled_pairs(engine: LocalEngine, seeds: range, sampling: Sampling) -> Counter[Pair]:
    """Sample one answer for each seed, and count the pairs of their first two tokens."""

    async def sample_answers(seeds: range) -> list[list[Step]]:
        return await asyncio.gather(*(steps(engine, [5, 6], replace(sampling, seed=seed)) for seed in seeds))

    answers = [got for start in seeds[::50] for got in asyncio.run(sample_answers(range(start, start + 50)))]
    return Counter(tuple(ids(got)[:2]) for got in answers)


def chi_squared(one: Counter[Pair], other: Counter[Pair]) -> tuple[float, float]:
    """Return Pearson's statistic for the homogeneity of two samples of the same size, and its 0.999 quantile.

    Outcomes with fewer than ten occurrences in both samples together are counted as one outcome. The quantile is Wilson
    and Hilferty's approximation (1931), which is within 1% for three or more degrees of freedom.
    """
    assert one.total() == other.total()
    names = {pair: pair if one[pair] + other[pair] >= 10 else () for pair in one | other}
    counts = [
        tuple(sum(sample[pair] for pair in names if names[pair] == name) for sample in (one, other))
        for name in set(names.values())
    ]
    free = len(counts) - 1
    statistic = sum((first - second) ** 2 / (first + second) for first, second in counts)
    quantile = free * (1 - 2 / (9 * free) + NormalDist().inv_cdf(0.999) * (2 / (9 * free)) ** 0.5) ** 3
    return statistic, quantile


def test_drafts_do_not_change_the_distribution_of_sampled_tokens(
    hf: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chi-squared test on the first two tokens of 400 answers without and 400 with drafts, all seeds different.

    A third sample, with a bias of 0.5 on the first draft token, shows that the test detects such a bias.
    """
    sampling = replace(HOT, max_tokens=3, temperature=0.6, top_k=3)
    plain = sampled_pairs(hf, range(NUM_SAMPLES), sampling)
    likeliest = plain.most_common(1)[0][0]
    favoured = replace(sampling, logit_bias=((likeliest[0], 0.5),))
    biased = sampled_pairs(hf, range(2 * NUM_SAMPLES, 3 * NUM_SAMPLES), favoured)
    drafters: list[ScriptedDrafter] = []

    def drafting(prompt_ids: Sequence[int], asked: Sampling) -> ScriptedDrafter:
        drafters.append(ScriptedDrafter([*likeliest, 0], 0.0, seed=asked.seed or 0))
        return drafters[-1]

    monkeypatch.setattr(hf, "_make_drafter", drafting)
    drafted = sampled_pairs(hf, range(NUM_SAMPLES, 2 * NUM_SAMPLES), sampling)
    accepted = Counter(drafter.num_accepted for drafter in drafters)
    assert min(accepted[number] for number in (0, 1, 2)) > 20, accepted
    statistic, quantile = chi_squared(plain, drafted)
    assert statistic < quantile
    statistic, quantile = chi_squared(plain, biased)
    assert statistic > quantile


def test_the_token_limit_and_a_stop_token_end_an_answer_inside_a_draft(
    hf: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = replace(HOT, temperature=0.0)
    answer = ids(asyncio.run(steps(hf, [5, 6], greedy)))
    monkeypatch.setattr(hf, "_make_drafter", lambda prompt_ids, asked: ScriptedDrafter([*answer, *answer], 0.0, seed=2))
    for max_tokens in (1, 2, 3, 9):
        got = asyncio.run(steps(hf, [5, 6], replace(greedy, max_tokens=max_tokens)))
        assert (ids(got), got[-1].finish_reason) == (answer[:max_tokens], "length")
    stop = answer[7]
    got = asyncio.run(steps(hf, [5, 6], replace(greedy, stop_ids=frozenset({stop}))))
    assert (ids(got), got[-1].finish_reason) == (answer[: answer.index(stop) + 1], "stop")


# Which tokens are drafted

SCHEMA: dict[str, Any] = {
    "properties": {
        "city": {"type": "string"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city", "unit", "tags"],
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", '{"city": "'),
        ("{", '"city": "'),
        ('{"ci', 'ty": "'),
        ('{"city"', ': "'),
        ('{"city": "Os', ""),
        ('{"city": "Oslo"', ', "unit": '),
        ('{"city": "Os\\"lo", "unit": "', 'fahrenheit", "tags": ["'),
        ('{"city": "a", "unit": "c', 'elsius", "tags": ["'),
        ('{"city": "a", "unit": "celsius", "days": 3', ""),
        ('{"city": "a", "unit": "celsius", "days": 3, ', '"tags": ["'),
        ('{"city": "a", "unit": "celsius",', ' "tags": ["'),
        ('{"city": "a", "unit":', ' "fahrenheit", "tags": ["'),
        ('{"city": "a", "unit": "celsius", "tags": ["x"],', ' "days": '),
        ('{"city": "a", "unit": "celsius", "tags": ["x", "y"]', "}"),
        ('{"city": "a", "unit": "celsius", "tags": ["x"]}', ""),
        ('{"unknown": {"city": 1}', ', "city": "'),
    ],
)
def test_a_schema_predicts_the_next_text(written: str, expected: str) -> None:
    """A draft has the schema's keys in order, the enum member that the question names, and the closing brace."""
    scanner = CallScanner(SCHEMA, UserMessage("is it warm in fahrenheit?"))
    scanner.read(written)
    assert scanner.next_text() == expected


def test_a_reference_is_followed() -> None:
    """The drafter follows a `$ref` in a schema. pydantic writes every enum and every nested model as a `$ref`."""
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    schema = {"$ref": "#/$defs/P", "$defs": {"U": unit, "P": {"properties": {"unit": {"$ref": "#/$defs/U"}}}}}
    scanner = CallScanner(schema, UserMessage("is it warm in fahrenheit?"))
    assert scanner.next_text() == '{"unit": "fahrenheit"}'


ASKED = 'How warm is it in New York for 3 days, in celsius? Tag it "best of May" please. Oslo too, mail a.b@c.org.'


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{", '"city": "best of May", "unit": '),
        ('{"city": "N', 'ew York", "unit": '),
        ('{"city": "n', 'ew", "unit": '),
        ('{"city": "New York', '", "unit": '),
        ('{"city": "best', ' of May", "unit": '),
        ('{"city": "is it', ' in New York for 3 days", "unit": '),
        ('{"city": "os', 'lo", "unit": '),
        ('{"city": "a.b', '@c.org", "unit": '),
        ('{"city": "Paris', ""),
        ('{"city": "a", "unit": "celsius"', ', "days": '),
        ('{"city": "a", "days": ', '3, "unit": '),
        ('{"city": "a", "days": 3', ', "unit": '),
        ('{"city": "a", "days": 4', ""),
        ('{"city": "best of May", "unit": "celsius", "days": 3, "tags": ["a"]}', ""),
    ],
)
def test_values_are_words_of_the_question(written: str, expected: str) -> None:
    """The drafter proposes text of the question as values: first quoted texts, then names.

    If a value is incomplete, the draft continues it as at its last occurrence in the question, up to the end of the
    word, name or quotation.
    """
    scanner = CallScanner(SCHEMA, UserMessage(ASKED))
    scanner.read(written)
    assert scanner.next_text() == expected


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60), beginning=st.text(max_size=8), written=st.text(max_size=20))
def test_a_continuation_is_part_of_the_message(text: str, beginning: str, written: str) -> None:
    user_message = UserMessage(text)
    rest = user_message.continuation(beginning)
    assert rest is None or user_message.mentions(beginning + rest)
    for value in (user_message.next_name(written), user_message.next_number(written)):
        assert value is None or value in text


def test_searching_a_value_takes_time_linear_in_the_text() -> None:
    """The search for a value looks only at the end of a long text, and no regular expression backtracks for long."""
    for text in ("a" * 10**6, "A" + " A" * 10**6, '"' * 10**6, "a." * 10**6, "1" * 10**6):
        user_message, started = UserMessage(text), time.process_time()
        for word in ("a", "A", "1", "a.a", "A A"):
            user_message.continuation(word)
        user_message.next_name("")
        user_message.next_number("")
        assert time.process_time() - started < 10  # 0.01 s on an idle core


def test_a_large_schema_is_searched_in_the_question_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema's enum members are searched in the question only once, since a search in every step would delay it."""
    looked_for: list[str] = []
    monkeypatch.setattr(UserMessage, "mentions", lambda self, value: looked_for.append(value))
    schema = {"properties": {f"key_{i}": {"enum": [f"member_{j}" for j in range(1000)]} for i in range(50)}}
    scanner = CallScanner(schema, UserMessage("Hello"))
    for _ in range(9):
        scanner.next_text()
    assert len(looked_for) == 50 * 17
    assert not UserMessage("Oslo" + " " * 10**6).mentions("Oslo"), "its end is looked at"


def test_the_function_that_shares_most_words_with_the_question_is_likely() -> None:
    tools = [
        {"type": "function", "function": {"name": name, "description": about}}
        for name, about in (("get_weather", "Rain and sun"), ("bookFlight", ""), ("find_flights", "Find a flight"))
    ]
    for question, expected in (
        ("Is it raining in Oslo?", ""),
        ("What is the weather like?", "get_weather"),
        ("Please book a flight.", "bookFlight"),
        ("Flights?", ""),
        ("Hello!", ""),
    ):
        asked = chat_request({"model": "m", "messages": [{"role": "user", "content": question}], "tools": tools})
        assert drafts(asked, load_template("functionary_v3")).likely_function == expected


@settings(max_examples=200, deadline=None)
@given(text=st.text('{}[]",:\\ abcity1', max_size=40), cut=st.integers(0, 40))
def test_any_text_is_read_in_any_pieces_without_an_exception(text: str, cut: int) -> None:
    one, other = CallScanner(SCHEMA, UserMessage("city a1")), CallScanner(SCHEMA, UserMessage("city a1"))
    one.read(text)
    other.read(text[:cut])
    other.read(text[cut:])
    assert one.next_text() == other.next_text()


@pytest.fixture(scope="module")
def smol() -> tuple[PromptTemplate, Tokenizer, Vocabulary]:
    """The embedded model's tokenizer, without its weights."""
    backend = load_tokenizer(find_checkpoint(None))
    tokenizer = Tokenizer(backend, eos_id=backend.token_to_id(END))
    return (
        load_template(TEMPLATE),
        tokenizer,
        Vocabulary(backend, 49_152, eos_id=tokenizer.eos_id),
    )


def simulated(drafter: Drafter, answer: Sequence[int]) -> int:
    """Return the number of steps in which a model that uses the drafter generates `answer`."""
    num_steps = num_generated = 0
    while num_generated < len(answer):
        draft = drafter.propose(len(answer) - num_generated - 1)
        assert len(draft) <= min(MAX_DRAFT_TOKENS, len(answer) - num_generated)
        num_accepted = next((i for i, one in enumerate(draft) if one != answer[num_generated + i]), len(draft))
        drafter.read(answer[num_generated : num_generated + num_accepted + 1])
        if draft:
            drafter.record_accepted(num_accepted)
        num_generated += num_accepted + 1
        num_steps += 1
    return num_steps


def test_a_call_takes_a_step_for_four_tokens(smol: tuple[PromptTemplate, Tokenizer, Vocabulary]) -> None:
    """With drafts, generating the expected calls of all everyday requests takes less than one step per four tokens."""
    template, tokenizer, vocabulary = smol
    num_steps = num_tokens = 0
    for row in read_questions(EVERYDAY)[0]:
        if not row.expected:
            continue
        request = chat_request({"model": "m", **row.request()})
        calls = tuple(Call(call.name, call.arguments, "1") for call in row.expected)
        pieces = template.render([*request.messages, Message("assistant", None, calls)], request.tools)
        encoded = tokenizer.encode(pieces)
        first = encoded.learned.index(True)
        answer = [one for one, learned in zip(encoded.ids[first:], encoded.learned[first:], strict=True) if learned]
        stop_id = tokenizer.token_id("<|im_end|>")
        drafter = Drafter(drafts(request, template), encoded.ids[:first], vocabulary, stop_id)
        num_steps += simulated(drafter, answer)
        num_tokens += len(answer)
    assert num_tokens > 500
    assert num_steps / num_tokens < 0.25


def test_a_prediction_is_copied(smol: tuple[PromptTemplate, Tokenizer, Vocabulary]) -> None:
    _, tokenizer, vocabulary = smol
    text = "\n".join(f"def area_{n}(width, height):\n    return width * height * {n}" for n in range(9))
    answer = tokenizer.encode_raw(text.replace("area_4", "surface_4"))
    drafter = Drafter(replace(NOTHING, prediction=text), tokenizer.encode_raw("Rename it."), vocabulary)
    assert simulated(drafter, answer) < 0.3 * len(answer)


def test_a_drafter_with_rejected_drafts_drafts_seldom(smol: tuple[PromptTemplate, Tokenizer, Vocabulary]) -> None:
    _, _, vocabulary = smol
    drafter, num_asked = Drafter(NOTHING, [7] * 50, vocabulary), 0
    for number in range(200):
        drafter.read([7, 100 + number])
        drafter.read([7])
        if drafter.propose(20):
            num_asked += 1
            drafter.record_accepted(0)
    assert num_asked < 60


@pytest.mark.parametrize("name", ["functionary_v1", "functionary_v1_plain", "functionary_v3", "functionary_v3_chatml"])
def test_random_output_never_breaks_the_drafter(name: str, smol: tuple[PromptTemplate, Tokenizer, Vocabulary]) -> None:
    vocabulary, random = smol[2], Random(name)
    call = DraftedCall("look", load_template(name).call_head("look"), SCHEMA)
    for _ in range(20):
        likely = Drafts(load_template(name).turn_format(()), "", (call,), "in celsius", "look at it")
        drafter = Drafter(likely, [random.randrange(49_152) for _ in range(20)], vocabulary)
        for _ in range(60):
            drafter.read([random.choice([random.randrange(49_152), 30, 3, 2, 1, 10, 198])])
            draft = drafter.propose(10)
            assert len(draft) <= 10
            assert all(0 <= token_id < 49_152 for token_id in draft)
