"""The page at / in a real browser: functions, streamed answers, calls, results, the prompt, and hostile texts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from inference import Model, load_model
from server import create_app
from tests.support.browser import Page, allow_clipboard
from tests.support.reasoning_model import make_reasoning_folder, staged
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving
from tests.support.started_server import KEY as STARTED_KEY
from tests.support.started_server import Started
from web.settings import Settings

Play = Callable[..., ScriptedEngine]
KEY = "sk-of-the-playground"
LOOK = {"name": "look", "description": "Look around", "parameters": {"type": "object", "properties": {}}}
PYTHON = '''
def get_weather(city: str, days: int = 1) -> str:
    """Get the weather.

    Args:
        city: The name of the city.
    """
'''
OPENAPI = """
openapi: 3.1.0
info: {title: Pets, version: "1"}
paths:
  /pets:
    get:
      operationId: list_pets
      summary: List all pets
      parameters: [{name: limit, in: query, schema: {type: integer}}]
      responses: {"200": {description: ok}}
"""
CALL = 'get_weather\n{"city": "Istanbul"}'


@pytest.fixture
def page(chromium: Page, played_url: str) -> Iterator[Page]:
    """The page of a server whose engine plays a script. At the end, no fault of a script or of the policy is left."""
    yield chromium.open(played_url)
    assert chromium.faults() == []


def log(page: Page) -> str:
    return page.one("#log").text


def color(page: Page, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    return str(page.run(script, selector, name))


# The functions


def test_functions_are_pasted_in_three_languages(page: Page) -> None:
    page.add_functions(json.dumps({"type": "function", "function": LOOK}))
    assert page.text("#paste-result") == "Added 1 function."
    page.add_functions(PYTHON)
    page.add_functions(OPENAPI)
    assert page.functions() == ["look", "get_weather", "list_pets"]
    assert page.text("#function-count") == "3"
    assert page.one("#paste").get_attribute("value") == ""
    choices = [one.get_attribute("textContent") for one in page.all("#tool-choice option")]
    assert choices == ["auto", "none", "required", "look", "get_weather", "list_pets"]
    page.click("#function-list li:nth-child(2) summary")
    page.until(lambda: page.all("#function-list pre"))
    assert json.loads(page.text("#function-list pre"))["parameters"]["required"] == ["city"]
    page.click("#function-list li:nth-child(2) button")
    assert page.functions() == ["look", "list_pets"]
    page.click("#remove-all")
    assert page.functions() == []


def test_what_cannot_be_used_is_told(page: Page) -> None:
    """A text in no language keeps its place in the field, and a function that a chat would not take is named."""
    page.add_functions("{]")
    assert "no JSON" in page.text("#paste-result")
    assert page.one("#paste").get_attribute("value") == "{]"
    page.add_functions(json.dumps([LOOK, {"name": "bad", "parameters": {"type": "array"}}]))
    assert page.functions() == ["look"]
    assert "bad: " in page.text("#paste-result")


def test_names_of_the_language_of_the_page_are_plain_names(page: Page, play: Play) -> None:
    """`__proto__` as a key of a JavaScript object is no key: such a function was lost, or answered for all others."""
    names = ["__proto__", "constructor", "toString"]
    page.add_functions(json.dumps([{"name": name, "description": name} for name in names]))
    assert page.functions() == names
    for name in names:
        page.run("document.querySelector('#tool-choice').value = arguments[0]", f"name {name}")
        play("{}")
        page.click("#reset")
        page.send("Hi")
        assert page.text(".call .name") == name
        page.click(".send-results")
        page.until_done()
    body = json.loads(page.text("#curl").split("-d '", 1)[1].removesuffix("'"))
    assert [one["function"]["name"] for one in body["tools"]] == names


# Answers


def test_a_text_is_streamed(page: Page, play: Play) -> None:
    play("all\nHello, how are you today?", step_s=0.02)
    page.write("#message", "Hi")
    page.click("#send")
    page.until(lambda: page.is_busy and "Hello" in page.text("#log"))
    assert page.one("#log").get_attribute("aria-busy") == "true"
    page.until_done()
    assert "Hello, how are you today?" in log(page)
    assert page.one("#log").get_attribute("aria-busy") == "false"
    assert page.text("#status") == "Done."
    facts = page.text(".entry .facts")
    assert "first token after 0." in facts and "/s)" in facts and "cached" in facts
    assert not page.one("#welcome").is_displayed()


def test_a_card_grows_and_the_user_gives_the_result(page: Page, play: Play) -> None:
    page.add_functions(PYTHON)
    play('all\nLet me see.>>>get_weather\n{"city": "Llanfairpwllgwyngyllgogerychwyrndrobwll", "days": 12}', step_s=0.02)
    page.run(
        "window.seen = []; new MutationObserver(() => {"
        "const text = document.querySelector('.call .arguments')?.textContent; if (text) seen.push(text)"
        "}).observe(document.querySelector('#log'), {subtree: true, childList: true, characterData: true})"
    )
    page.send("Weather?")
    seen = list(dict.fromkeys(page.run("return seen")))
    assert len(seen) >= 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(seen))
    assert (
        seen[-1] == page.text(".call .arguments") == '{"city": "Llanfairpwllgwyngyllgogerychwyrndrobwll", "days": 12}'
    )
    assert "Let me see." in log(page)
    assert page.text(".call .tag") == "needs a result"
    page.write("#message", "too early")
    page.click("#send")
    page.until(lambda: "First send the results" in page.text("#status"))
    assert page.one("#message").get_attribute("value") == "too early"
    page.write(".call textarea", "rain, 9 degrees")
    engine = play("all\nTake an umbrella.")
    page.click(".send-results")
    page.until_done()
    assert "Take an umbrella." in log(page)
    assert page.text(".call .result") == "rain, 9 degrees"
    assert engine.last_prompt, "the scripted engine was asked"
    page.write("#message", "")
    page.click("#tab-prompt")
    page.until(lambda: "rain, 9 degrees" in page.text("#tokens"))


def test_parallel_calls_get_their_own_results(page: Page, play: Play) -> None:
    page.add_functions(PYTHON)
    play(f'{CALL}>>>get_weather\n{{"city": "Rome"}}')
    page.send("Weather in both?")
    fields = page.all(".call textarea")
    assert len(fields) == 2
    for field, text in zip(fields, ("rain", "sun"), strict=True):
        field.send_keys(text)
    play("all\nRain and sun.")
    assert page.text(".send-results") == "Send results"
    page.click(".send-results")
    page.until_done()
    assert [one.text for one in page.all(".call .result")] == ["rain", "sun"]
    assert page.all(".entry .facts")[-1].text.startswith("first token")


def test_reasoning_is_told_apart(chromium: Page, tmp_path: Path) -> None:
    folder = make_reasoning_folder(tmp_path / "qwen3", "qwen3")
    model = load_model(str(folder), served_names=["tiny"], dtype="float32")
    with staged(model) as stage:
        chromium.open(stage.url)
        stage.play(stage.thought("Hm, Oslo.") + stage.text("It rains."))
        chromium.send("Weather?")
        assert chromium.text(".entry .reasoning") == "Hm, Oslo."
        assert chromium.text(".entry .text:not(.entry.user .text)") == "It rains."


def test_an_example_is_one_press(page: Page, play: Play) -> None:
    num_examples = len(page.all("#examples button"))
    assert num_examples == 6
    for number in range(1, num_examples + 1):
        page.click("#reset")
        page.click(f"#examples button:nth-child({number})")
        page.until(lambda: page.text("#status") == "Done.")
        assert page.functions()
    play('get_current_weather\n{"location": "Istanbul"}')
    page.click("#reset")
    page.click("#examples button")
    page.until(lambda: page.all(".call textarea"))
    assert "temperature" in (page.one(".call textarea").get_attribute("value") or "")
    assert not page.all(".error")


def test_the_embedded_model_calls_in_each_example(chromium: Page, user_server: Started) -> None:
    """A first visitor presses one button and sees a call; the example has its result, and the model answers."""
    page = chromium.open(user_server.url)
    page.one("#key").send_keys(STARTED_KEY, Keys.TAB)
    page.until(lambda: page.all("#model option"))
    for number in range(6, 0, -1):
        page.click("#reset")
        page.click(f"#examples button:nth-child({number})")
        page.until(lambda: page.all(".send-results"))
        assert {one.text for one in page.all(".call .name")} <= set(page.functions())
        assert all(one.get_attribute("value") for one in page.all(".call textarea"))
    page.click(".send-results")
    page.until(lambda: page.text("#status") == "Done.")
    assert "Istanbul" in page.all(".entry.assistant")[-1].text
    assert not page.all(".error")


def test_stop(page: Page, play: Play, played: tuple[Model, ScriptedEngine]) -> None:
    """A stopped answer keeps its text, ends the work of the server, and its half of a call is not sent again."""
    page.add_functions(PYTHON)
    presses: tuple[Callable[[], None], ...] = (
        lambda: page.click("#stop"),
        lambda: page.one("body").send_keys(Keys.ESCAPE),
    )
    for press in presses:
        page.click("#reset")
        play('all\nWait.>>>get_weather\n{"city": "' + "x" * 300 + '"}', step_s=0.05)
        page.write("#message", "Hi")
        page.click("#send")
        page.until(lambda: page.all(".call") and "xxx" in page.text(".call .arguments"))
        press()
        page.until(lambda: not page.is_busy)
        assert page.text("#status") == "Stopped."
        assert page.text(".call .tag") == "not finished"
        page.until(lambda: played[1].num_active == 0)
        play("all\nYes.")
        page.send("And now?")
        assert "Yes." in log(page)
        assert not page.all(".error")


def test_the_last_turn_is_retried_edited_and_removed(page: Page, play: Play) -> None:
    play("all\nOne.")
    page.send("First")
    play("all\nTwo.")
    page.send("Second")
    play("all\nThree.")
    page.click("#retry")
    page.until(lambda: "Three." in log(page))
    page.until_done()
    assert "Two." not in log(page) and "One." in log(page)
    page.click("#edit")
    assert page.one("#message").get_attribute("value") == "Second"
    assert "Second" not in log(page) and "Three." not in log(page) and "One." in log(page)
    page.click("#remove")
    assert log(page) == ""
    assert page.one("#welcome").is_displayed()
    page.send("Third")
    page.click("#reset")
    assert log(page) == "" and page.one("#welcome").is_displayed()


def test_settings_are_in_the_request(page: Page, play: Play, played: tuple[Model, ScriptedEngine]) -> None:
    page.add_functions(PYTHON)
    for summary in page.all(".setup > details > summary")[1:]:
        summary.click()
    page.write("#system", "Be brief.")
    for name, value in {"#temperature": "0.5", "#max-tokens": "7", "#seed": "42"}.items():
        page.write(name, value)
    page.run("document.querySelector('#tool-choice').value = 'mode none'")
    page.run("document.querySelector('#reasoning').value = 'low'")
    play("all\nHello.")
    page.send("Hi")
    sampling = played[1].last_sampling
    assert sampling is not None
    assert (sampling.temperature, sampling.max_tokens, sampling.seed) == (0.5, 7, 42)
    body = json.loads(page.text("#curl").split("-d '", 1)[1].removesuffix("'"))
    assert body == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "tools": body["tools"],
        "tool_choice": "none",
        "temperature": 0.5,
        "max_tokens": 7,
        "seed": 42,
        "reasoning_effort": "low",
    }
    assert page.text("#status") == "Done. The server ignored: reasoning_effort."


# The prompt and the code


def test_the_prompt_shows_each_token_and_its_author(page: Page, play: Play) -> None:
    page.add_functions(PYTHON)
    play(CALL)
    page.send("Weather in Łódź 👩‍👩‍👧?")
    page.click("#tab-prompt")
    page.until(lambda: page.texts("#tokens .model"))
    text = page.text("#tokens")
    assert "<|im_start|>user\nWeather in Łódź 👩‍👩‍👧?<|im_end|>" in text
    by_author = {kind: "".join(page.texts(f"#tokens .{kind}")) for kind in ("markup", "caller", "model")}
    assert "<|im_start|>" in by_author["markup"]
    assert "Weather in Łódź 👩‍👩‍👧?" in by_author["caller"]
    assert CALL in by_author["model"]
    assert len({color(page, f"#tokens .{kind}", "backgroundColor") for kind in by_author}) == 3
    counts = [int(one.split()[1]) for one in page.texts("#legend span")]
    assert sum(counts) == len(page.all("#tokens .token"))
    assert page.text("#prompt-status").startswith(f"{sum(counts)} tokens")
    page.click("#reset")
    page.click("#tab-prompt")
    page.until(lambda: "Write a message first" in page.text("#prompt-status"))


@pytest.mark.parametrize("language", ["curl", "python"])
def test_copied_code_runs(page: Page, play: Play, played_url: str, language: str) -> None:
    """The code is copied and run as it is, with quotes and characters that shells and Python read in their own way."""
    play("all\nCopied well.")
    message = 'It\'s "quoted", $HOME `id` \\ \n 👩 \u2028 None'
    page.add_functions(json.dumps({**LOOK, "parameters": {"type": "object", "additionalProperties": False}}))
    page.send(message)
    page.click("#tab-code")
    allow_clipboard(page, played_url, is_allowed=True)
    page.click(f"#copy-{language}")
    page.until(lambda: page.text(f"#copy-{language}") == "Copied")
    code = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert code == page.text(f"#{language}")
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-c", code]
    environment = {"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": "none"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert "Copied well." in done.stdout, done.stderr
    page.until(lambda: page.text(f"#copy-{language}") == "Copy")


def test_without_the_clipboard_the_code_is_selected(page: Page, play: Play, played_url: str) -> None:
    play("all\nHello.")
    page.send("Hi")
    page.click("#tab-code")
    allow_clipboard(page, played_url, is_allowed=False)
    page.click("#copy-curl")
    page.until(lambda: page.text("#copy-curl") == "Selected: now copy it")
    assert page.run("return String(getSelection())").strip() == page.text("#curl").strip()


# Errors and keys


def test_errors_are_shown_with_their_request(page: Page, play: Play) -> None:
    page.write("#max-tokens", "0")
    page.send("Hi")
    assert "max_tokens" in page.text(".error") and "status 400" in page.text(".error")
    assert "request req_" in page.text(".error")
    page.write("#max-tokens", "")
    play("all\nThis breaks off here", fails_at=8)
    page.click("#retry")
    page.until(lambda: "could not finish" in page.text("#log"))
    assert "This" in log(page) and "request req_" in page.text(".error")
    play("all\nBetter.")
    page.click("#retry")
    page.until(lambda: "Better." in log(page))
    assert not page.all(".error")


def test_a_server_that_is_gone(chromium: Page, chatml: Model) -> None:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model)) as url:
        chromium.open(url)
    chromium.send("Hi")
    assert "The server cannot be reached." in chromium.text(".error")


def test_a_model_that_is_loading(chromium: Page, chatml: Model) -> None:
    """The page waits for the model by itself; its visitor had to load it anew."""
    app = create_app(lambda: chatml)
    with serving(app) as url:
        model, app.state.model = app.state.model, None
        chromium.open(url)
        assert "still loading" in chromium.text("#status")
        app.state.model = model
        chromium.until(lambda: chromium.all("#model option"))
        assert chromium.text("#status") == ""


def test_the_key_stays_in_memory(chromium: Page, chatml: Model) -> None:
    """The page is public; its requests need the key, which no storage, no cookie and no address holds."""
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model, Settings(api_keys=[KEY]))) as url:
        page = chromium.open(url)
        assert "API key" in page.text("#status")
        page.one("#key").send_keys("sk-wrong", Keys.TAB)
        page.until(lambda: "Incorrect API key" in page.text("#status"))
        page.one("#key").clear()
        page.one("#key").send_keys(KEY, Keys.TAB)
        page.until(lambda: page.all("#model option"))
        page.send("Hi")
        assert "hello" in log(page)
        stored = page.run("return [localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert stored == [0, 0, "", f"{url}/"]
        assert KEY not in page.text("body")
        page.open(url)
        assert page.one("#key").get_attribute("value") == ""


# People


def test_the_keyboard_is_enough(page: Page, play: Play) -> None:
    play("all\nHello.")
    field = page.one("#message")
    field.send_keys("one", Keys.SHIFT, Keys.ENTER)
    field.send_keys(Keys.NULL, "two")
    assert field.get_attribute("value") == "one\ntwo"
    field.send_keys(Keys.ENTER)
    page.until(lambda: "Hello." in log(page))
    page.until_done()
    assert page.text(".entry.user .text") == "one\ntwo"
    page.one("#tab-chat").send_keys(Keys.ARROW_RIGHT)
    assert page.one("#prompt").is_displayed() and not page.one("#chat").is_displayed()
    page.one("#tab-prompt").send_keys(Keys.ARROW_LEFT)
    assert page.one("#chat").is_displayed()
    reached = set()
    page.run("document.activeElement.blur()")
    for _ in range(40):
        page.driver.switch_to.active_element.send_keys(Keys.TAB)
        name, outline = page.run(
            "const one = document.activeElement; return [one.id, getComputedStyle(one).outlineStyle]"
        )
        reached.add(name)
        assert name == "" or outline == "solid", f"{name} has no visible focus"
    assert {"model", "key", "paste", "add", "message", "send", "retry", "tab-chat", "reset"} <= reached


def test_every_field_has_a_name(page: Page) -> None:
    """A screen reader names a field by its label."""
    unnamed = page.run(
        "return [...document.querySelectorAll('input, select, textarea')]"
        ".filter((one) => one.labels.length === 0).map((one) => one.id)"
    )
    assert unnamed == []
    assert (
        page.run("return [...document.querySelectorAll('button')].filter((one) => !one.textContent.trim()).length") == 0
    )


# The contrast of each text with what is behind it, as WCAG 2 defines it.
CONTRASTS = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const parts = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = (rgb) => { const [r, g, b] = rgb.map((one) => one / 255)
  .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = (one) => { for (; one; one = one.parentElement) {
  const color = parts(getComputedStyle(one).backgroundColor);
  if (color[3] === 255) return color; } return [255, 255, 255, 255]; };
const found = [];
for (const one of document.querySelectorAll("body *")) {
  const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!hasText || !one.checkVisibility() || one.disabled) continue;
  const [a, b] = [light(parts(getComputedStyle(one).color).slice(0, 3)), light(behind(one).slice(0, 3))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([contrast, one.className || one.id || one.tagName]);
}
return found;
"""


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_texts_are_readable_in_light_and_dark(chromium: Page, played_url: str, play: Play, is_dark: bool) -> None:
    page = chromium.open(played_url, is_dark=is_dark)
    page.add_functions(PYTHON)
    play(CALL)
    page.send("Weather?")
    page.write("#max-tokens", "0")
    page.click(".send-results")
    page.until_done()
    assert page.all(".error")
    lightness = page.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(lightness) < 200) == is_dark
    for tab in ("chat", "code", "prompt"):
        page.write("#max-tokens", "")
        page.click(f"#tab-{tab}")
        if tab == "prompt":
            page.until(lambda: page.all("#tokens .model"))
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 15
        assert [one for one in contrasts if one[0] < 4.5] == []


def test_a_phone_shows_all_without_scrolling_sideways(chromium: Page, played_url: str, play: Play) -> None:
    page = chromium.open(played_url, width=360, height=740)
    page.click("#functions-part summary")
    long = "x" * 120
    page.add_functions(json.dumps({"name": long, "description": long}))
    play("all\n" + "y" * 500)
    page.send("z" * 500)
    play("{}")
    page.run("document.querySelector('#tool-choice').value = arguments[0]", f"name {long}")
    page.send("call")
    assert page.text(".call .name") == long
    box = "const box = document.querySelector('.send-results').getBoundingClientRect();"
    found = page.run(f"{box} return document.elementFromPoint(box.left + box.width / 2, box.bottom - 2)?.className")
    assert found == "send-results", "the composer, which stays at the end of the screen, must not cover it"
    for tab in ("chat", "prompt", "code"):
        page.click(f"#tab-{tab}")
        page.until(lambda: page.one("#chat").is_displayed() or page.text("#curl"))
        assert page.run("return document.scrollingElement.scrollWidth") <= 360, tab
    page.click("#tab-chat")
    assert all(page.one(selector).is_displayed() for selector in ("#send", "#message", "#retry"))


# Load


def test_long_answers_and_many_functions_do_not_freeze_the_page(page: Page, play: Play) -> None:
    many = [{"name": f"function_{number}", "description": f"Does thing {number}. " * 5} for number in range(200)]
    page.run(
        "window.tasks = []; const keep = (list) => tasks.push(...list.getEntries().map((one) => one.duration));"
        "new PerformanceObserver(keep).observe({type: 'longtask', buffered: true})"
    )
    page.add_functions(json.dumps(many))
    page.until(lambda: page.text("#function-count") == "200")
    page.write("#max-tokens", "50000")
    line = "The quick brown fox jumps over the lazy dog.\n"
    play("all\n" + line * 400)
    page.send("Write much.")
    assert len(page.text(".assistant .text")) > 17_900
    assert len(page.all(".entry .block")) > 5, "a long text is drawn in blocks"
    page.click("#tab-prompt")
    page.until(lambda: "tokens in the format" in page.text("#prompt-status"))
    assert max(page.run("return tasks"), default=0) < 2000


# Hostile texts

IMG = '<img src=x onerror="window.pwned=1">'
SCRIPT = "</script><script>window.pwned=1</script>"
HOSTILE = f'{IMG}{SCRIPT}<svg onload="window.pwned=1">javascript:window.pwned=1'


def check_harmless(page: Page) -> None:
    assert page.run("return window.pwned") is None
    assert page.run("return document.querySelectorAll('main img, main svg, main script, main iframe').length") == 0


def test_hostile_texts_stay_texts(page: Page, play: Play) -> None:
    """Markup in texts, names, arguments, results, descriptions and errors is shown and never runs."""
    page.add_functions(
        json.dumps([{"name": IMG, "description": HOSTILE}, {"name": SCRIPT, "parameters": {"type": IMG}}])
    )
    assert page.functions() == [IMG]
    assert SCRIPT in page.text("#paste-result")
    page.click("#function-list summary")
    page.add_functions(f"{{{HOSTILE}")
    page.write("#system", HOSTILE)
    play(f"all\n{HOSTILE}")
    page.send(HOSTILE)
    assert log(page).count(HOSTILE) == 2
    page.run("document.querySelector('#tool-choice').value = arguments[0]", f"name {IMG}")
    play(json.dumps({"text": HOSTILE}))
    page.send("call")
    assert page.text(".call .name") == IMG
    assert json.loads(page.text(".call .arguments")) == {"text": HOSTILE}
    page.write(".call textarea", HOSTILE)
    play(json.dumps({"text": HOSTILE}))
    page.click(".send-results")
    page.until_done()
    assert page.text(".call .result") == HOSTILE
    for tab in ("prompt", "code"):
        page.click(f"#tab-{tab}")
        page.until(lambda: HOSTILE in page.text("#tokens"))
    assert "onerror" in page.text("#curl") and "onerror" in page.text("#python")
    check_harmless(page)
