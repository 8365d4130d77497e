"""Tests of the search for the functions that a conversation needs."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import search
from agent.agent import Agent
from agent.events import ToolResult
from agent.loop import answer
from agent.search import narrowed, num_entering
from agent.tools import Tool
from core.conversation import Call, CodeInterpreter, Function, Message
from core.errors import RequestError
from inference import Model
from tests.support.scripted_chat import ScriptedChat
from tests.support.scripted_engine import scripted
from train.everyday.catalogue import TASKS

CATALOGUE = tuple(task.function for task in TASKS)
NAMES = {function.name for function in CATALOGUE}

# Asked as people ask, before the search was run on them.
QUESTIONS = {
    "Wake me up at half past six": {"set_alarm"},
    "What's on in my calendar tomorrow?": {"list_events"},
    "Mail Anna that I'm ill": {"send_email"},
    "What's the weather like in Oslo?": {"get_weather"},
    "Do I need an umbrella on Sunday in Rome?": {"will_it_rain"},
    "How do I get from the station to the museum?": {"get_directions"},
    "Find me a flight to Lisbon next week": {"search_flights"},
    "Book a hotel in Vienna for two nights": {"book_hotel"},
    "How much is 20 dollars in euros?": {"convert_currency", "exchange_amount"},
    "Where is my parcel?": {"track_parcel"},
    "Play some jazz": {"play_genre"},
    "Turn off the light in the kitchen": {"switch_light"},
    "Translate 'good morning' into Japanese": {"translate_text"},
    "Send 50 euros to Tom": {"transfer_money"},
    "What does 'ubiquitous' mean?": {"define_word"},
    "Make me a strong password": {"generate_password"},
    "Remind me to call the dentist at noon": {"set_reminder"},
    "I've done the laundry, tick it off": {"complete_task"},
    "Find a sushi restaurant in Berlin": {"find_restaurants"},
    "How many calories does an apple have?": {"get_nutrition"},
    "What is the share of Apple worth?": {"get_stock_price"},
    "Read this text to me": {"read_aloud"},
    "How did Arsenal play yesterday?": {"get_match_result"},
    "Pack these files into one archive": {"compress_files"},
    "When does the next tram of line 5 leave?": {"get_departures"},
    "Is 97 a prime?": {"is_prime"},
    "Split the bill of 80 euros between four people": {"split_bill"},
    "Get me a taxi to the airport": {"call_taxi"},
    "Add milk to the shopping list": {"add_to_list"},
    "Show me my photos of last summer": {"search_photos"},
}


def user(text: str) -> Message:
    return Message("user", text)


def names(messages: list[Message], limit: int = 10, required: tuple[str, ...] = ()) -> list[str]:
    return [tool.name for tool in narrowed(CATALOGUE, messages, limit, required=required)]


def test_questions_are_shown_their_function() -> None:
    missed = [text for text, right in QUESTIONS.items() if not right & set(names([user(text)]))]
    assert right_names() <= NAMES and len(missed) <= 1, missed


def right_names() -> set[str]:
    return set().union(*QUESTIONS.values())


def test_few_tools_are_all_shown_in_their_order() -> None:
    assert narrowed(CATALOGUE[:10], [user("flight")], 10) == CATALOGUE[:10]
    assert narrowed((), [], 10) == ()


def test_a_called_a_required_and_the_code_interpreters_tool_are_always_shown() -> None:
    asked = [user("Play some jazz"), Message("assistant", calls=(Call("roll_dice", "{}"),)), Message("tool", "4")]
    tools: list[Function | CodeInterpreter] = [*CATALOGUE, CodeInterpreter()]
    shown = [tool.name for tool in narrowed(tools, asked, 5, required=["is_prime"])]
    assert {"python", "roll_dice", "is_prime", "play_genre"} <= set(shown) and len(shown) == 5


def test_more_required_tools_than_the_limit_are_all_shown() -> None:
    wanted = tuple(function.name for function in CATALOGUE[20:33])
    assert set(names([user("Play some jazz")], required=wanted)) == set(wanted)


def test_a_change_of_the_subject_brings_its_functions() -> None:
    """A short question after a long one scored less than the memory of the long one, whose functions stayed."""
    first = (
        "Which restaurants in Berlin have a table for six on Friday at eight, Italian, with a good wine, not far away?"
    )
    assert "get_time" in names(
        [user(first), Message("assistant", "Two."), user("By the way, what time is it in Sydney?")]
    )


def test_a_question_that_needs_the_one_before_it_is_understood() -> None:
    talk = [user("What's on in my calendar tomorrow?"), Message("assistant", "Two."), user("Cancel the second one")]
    assert "cancel_event" in names(talk)


def test_thanks_change_nothing() -> None:
    first = [user("Book a hotel in Vienna for two nights")]
    assert names([*first, Message("assistant", "Done."), user("ok")]) == names(first)


said = st.sampled_from([*QUESTIONS, "", "ok", "and the second one?", "日本の天気", "a" * 9_000, "\x00 _ 12"])
rounds = st.lists(st.sampled_from(["call", "result", "text"]), max_size=6)


@given(st.lists(said, min_size=1, max_size=5), rounds, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_rounds_of_an_answer_have_the_same_functions(texts: list[str], kinds: list[str], limit: int) -> None:
    messages = [user(text) for text in texts]
    shown = names(messages, limit)
    assert len(shown) == len(set(shown)) == limit
    for kind in kinds:
        called = (Call(shown[-1], "{}"),) if kind == "call" else ()
        text = "Flights, hotels and the weather" if kind != "call" else None
        messages.append(Message("tool" if kind == "result" else "assistant", text, called))
        assert names(messages, limit) == shown


@given(st.lists(said, min_size=1, max_size=5), said, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_further_message_keeps_the_order_and_adds_few_at_the_end(texts: list[str], new: str, limit: int) -> None:
    messages = [user(text) for text in texts]
    before, after = names(messages, limit), names([*messages, user(new)], limit)
    kept = [name for name in before if name in after]
    assert after[: len(kept)] == kept and len(after) - len(kept) <= num_entering(limit)


def test_equal_functions_of_another_request_share_an_index() -> None:
    """Each request of a server brings its functions anew; an index of 1,584 takes a third of a second."""
    narrowed(CATALOGUE, [user("first")], 10)
    before = search._index.cache_info()
    copies = [Function(one.name, one.description, json.loads(json.dumps(one.parameters))) for one in CATALOGUE]
    narrowed(copies, [user("second")], 10)
    changed = [*copies[:-1], Function(copies[-1].name, "Something else")]
    narrowed(changed, [user("third")], 10)
    after = search._index.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)
    assert after.maxsize == search.MAX_INDEXES


def test_threads_find_the_same() -> None:
    search._index.cache_clear()
    alone = [names([user(text)]) for text in QUESTIONS]
    search._index.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda text: names([user(text)]), QUESTIONS)) == alone


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        {},
        {"properties": [1], "enum": {"a": 1}, "description": 5, "items": [{"description": "a"}]},
        {"properties": {"a": {"anyOf": [{"enum": [None, 1, "x"]}, True]}}},
    ],
)
def test_unusual_functions_can_be_searched(parameters: dict[str, object] | None) -> None:
    functions = [Function(name, text, parameters) for name, text in (("_", ""), ("the", "of it"), ("x1", "\n\n"))]
    assert len(narrowed(functions, [], 2)) == len(narrowed(functions, [user("the x")], 2)) == 2


def test_a_schema_without_end_is_read_to_a_bound() -> None:
    endless: dict[str, object] = {"description": "word"}
    endless["items"] = endless
    assert sum(1 for text in search._texts(endless) if text) <= search.MAX_SCHEMAS
    assert len(narrowed([Function("a", "", endless), Function("b")], [user("word")], 1)) == 1


def test_names_and_all_parts_of_parameters_are_searched() -> None:
    deep = {"properties": {"outer": {"items": {"anyOf": [{"properties": {"zebraCrossing": {"enum": ["giraffe"]}}}]}}}}
    functions = [Function("first", "", {}), Function("second", "", deep), Function("HTTPServerList_im.v2", "")]
    for text, name in (("giraffes", "second"), ("zebra", "second"), ("servers", "HTTPServerList_im.v2")):
        assert narrowed(functions, [user(text)], 1)[0].name == name


def tools_of(functions: tuple[Function, ...]) -> list[Tool]:
    async def run(arguments: dict[str, object]) -> str:
        return "done"

    return [Tool(function, run) for function in functions]


def test_the_loop_shows_what_is_chosen_and_runs_what_is_not_shown() -> None:
    """A model of another server may call a function that it saw in an earlier conversation."""
    model = ScriptedChat([("is_leap_year", {"year": 2024})], "Yes.")

    async def collect() -> list[object]:
        asked = [user("Play some jazz")]
        choose = lambda tools, messages: narrowed(tools, messages, 5)  # noqa: E731
        return [event async for event in answer(model, asked, tools_of(CATALOGUE), choose=choose)]

    results = [event for event in asyncio.run(collect()) if isinstance(event, ToolResult)]
    assert [(one.name, one.text) for one in results] == [("is_leap_year", "done")]
    first, second = model.shown
    assert "play_genre" in first and len(first) == 5 and "is_leap_year" not in first
    assert second == (*first[:4], "is_leap_year")


@pytest.mark.parametrize(("tool_search", "num_shown"), [(True, 10), (3, 3), (False, 24), (50, 24)])
def test_an_agent_shows_the_nearest(chatml: Model, tool_search: bool | int, num_shown: int) -> None:
    model, engine = scripted(chatml, "all\nhello", max_context=20_000)
    agent = Agent(tools_of(CATALOGUE[:24]), model=model, tool_search=tool_search)
    assert agent.run("Which events do I have today?").text == "hello"
    prompt = model.tokenizer.decode(engine.last_prompt)
    assert sum(f" {function.name} = " in prompt or f'"{function.name}"' in prompt for function in CATALOGUE[:24]) in (
        num_shown,
    )


def test_an_agents_forced_tool_is_always_shown(chatml: Model) -> None:
    forced = {"type": "function", "function": {"name": "roll_dice"}}
    model, _ = scripted(chatml, "{}", max_context=20_000)
    agent = Agent(tools_of(CATALOGUE), model=model, tool_search=4, tool_choice=forced)
    assert agent.run("Play some jazz").results[0].name == "roll_dice"


def test_an_agents_wrong_tool_choice_is_an_error(chatml: Model) -> None:
    forced = {"type": "function", "function": {"name": "unknown"}}
    agent = Agent(tools_of(CATALOGUE), model=scripted(chatml, "all\nhi")[0], tool_search=4, tool_choice=forced)
    with pytest.raises(RequestError, match="unknown"):
        agent.run("Play some jazz")
