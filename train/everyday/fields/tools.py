"""Tasks about code, texts and learning."""

from __future__ import annotations

import colorsys
import hashlib
import json

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import DATE, FLAG, PERSON, composed, count, number, one_of, several, text, whole
from train.everyday.vocabulary import FILES, SENTENCES, TOPICS, WORDS

REPOSITORY = composed(
    "{one}-{two}", one=("web", "mobile", "data", "core", "print"), two=("shop", "tools", "app", "server", "docs")
)
BUG = text(
    (
        "Login page is blank",
        "Search is slow",
        "Typo in the footer",
        "Export fails on Mondays",
        "Dark mode flickers",
        "Wrong time zone",
    )
)
COLOR_NAMES = {"red": 0.0, "yellow": 1 / 6, "green": 1 / 3, "cyan": 0.5, "blue": 2 / 3, "magenta": 5 / 6}
OPTION = text(("pizza", "sushi", "Tuesday", "Thursday", "the beach", "the museum", "red", "blue", "cinema", "bowling"))


def _hex(color: str) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colorsys.hsv_to_rgb(COLOR_NAMES[color], 1, 1))


FIELD = (
    Task(
        "create_issue",
        "Open an issue in a code repository",
        (
            need("repository", REPOSITORY, "Name of the repository"),
            need("title", BUG, "Title"),
            may("labels", several(one_of("bug", "urgent", "docs", "ui"), 1, 2), "Labels"),
            may("assignees", several(PERSON, 1, 2), "Who looks at it"),
            may("private", FLAG, "Whether only the team sees it"),
        ),
        (
            'Open an issue in {repository}: "{title}".',
            'File "{title}" as an issue in {repository} with the labels {labels}',
            'Create an issue "{title}" in {repository} and assign it to {assignees}',
            ('Open a private issue "{title}" in {repository}', {"private": True}),
        ),
        lambda a, f: {"number": f.whole(12, 900)},
        'Issue {number}, "{title}", is open in {repository}.',
        (Ask('Open an issue: "{title}".', "In which repository?", "{repository}"),),
    ),
    Task(
        "hash_text",
        "Compute the hash of a text",
        (need("text", text(WORDS), "Text"), need("algorithm", one_of("md5", "sha1", "sha256"), "Algorithm")),
        (
            'What is the {algorithm} of ["{text}"]?',
            "Hash [{text}] with {algorithm}",
            'Give me the {algorithm} hash of "{text}"',
        ),
        lambda a, f: {"hash": hashlib.new(a["algorithm"], a["text"].encode(), usedforsecurity=False).hexdigest()[:16]},
        "The hash begins with {hash}.",
        (Ask('Hash "{text}".', "With which algorithm: md5, sha1 or sha256?", "{algorithm}"),),
    ),
    Task(
        "color_to_hex",
        "Convert a color name to its hexadecimal code",
        (need("color", one_of(*COLOR_NAMES), "Color"), may("upper_case", FLAG, "Whether to use capital letters")),
        (
            "What's the hex code of [{color}]?",
            "Give me the hex value for [{color}]",
            ("Hex code of {color} in capital letters, please.", {"upper_case": True}),
        ),
        lambda a, f: {"hex": _hex(a["color"]).upper() if a.get("upper_case") else _hex(a["color"])},
        "The code of {color} is {hex}.",
        (Ask("Give me the hex code of a color.", "Of which color?", "{color}"),),
        "And [{color}]?",
    ),
    Task(
        "make_json",
        "Write names and numbers as a JSON object",
        (
            need("keys", several(text(WORDS), 2, 3), "Names"),
            need("values", several(whole(1, 99), 2, 3), "Numbers"),
            may("indent", count(2, 8), "Indentation"),
        ),
        (
            "Make a JSON object with the keys {keys} and the values {values}",
            "Write JSON with {keys} as keys and {values} as values, indented by {indent}, please.",
        ),
        lambda a, f: {"json": json.dumps(dict(zip(a["keys"], a["values"], strict=False)))},
        lambda a, r: f"Here it is: {r['json'].replace('{', '').replace('}', '')}",
    ),
    Task(
        "create_poll",
        "Start a poll",
        (
            need(
                "question",
                text(("What shall we eat", "When do we meet", "Where do we go", "Which color is best")),
                "Question",
            ),
            need("options", several(OPTION, 2, 4), "Answers to choose from"),
            may("multiple", FLAG, "Whether several answers are allowed", False),
            may("closes_on", DATE, "Last day, YYYY-MM-DD"),
        ),
        (
            'Start a poll "{question}" with the options {options}',
            ('Make a poll asking "{question}", options {options}, several answers allowed.', {"multiple": True}),
            'Let people vote on "{question}" between {options} until {closes_on}',
        ),
        lambda a, f: {"link": f"https://poll.example/{f.whole(1000, 9999)}", "options": len(a["options"])},
        "The poll is open at {link}.",
        (Ask('Start a poll: "{question}"', "Which options are there?", "{options}"),),
    ),
    Task(
        "make_flashcards",
        "Make flashcards to learn a topic",
        (
            need("topic", text(TOPICS), "Topic"),
            need("num_cards", count(5, 40), "Number of cards"),
            may("difficulty", one_of("easy", "medium", "hard"), "Difficulty"),
            may("with_pictures", FLAG, "Whether to add pictures"),
        ),
        (
            "Make {num_cards} flashcards about {topic}",
            "I want to learn about {topic}. Give me {num_cards} {difficulty} flashcards.",
            ("Create {num_cards} cards with pictures on [{topic}]", {"with_pictures": True}),
        ),
        lambda a, f: {"deck": f.code("FC")},
        "Your {num_cards} cards about {topic} are in deck {deck}.",
        (Ask("Make some flashcards about {topic}.", "How many?", "{num_cards}"),),
    ),
    Task(
        "summarize_document",
        "Summarize a document in a number of sentences",
        (
            need("file_name", text(FILES), "File"),
            need("sentences", count(2, 9), "Number of sentences"),
            may("audience", one_of("experts", "beginners", "children"), "For whom"),
        ),
        (
            "Summarize [{file_name}] in {sentences} sentences",
            "Give me {file_name} in {sentences} sentences for {audience}",
            "What's in {file_name}? {sentences} sentences will do.",
        ),
        lambda a, f: {"summary_file": a["file_name"].rpartition(".")[0] + "_summary.txt"},
        "The summary of {file_name} is in {summary_file}.",
        (Ask("Summarize {file_name}.", "In how many sentences?", "{sentences}"),),
    ),
    Task(
        "read_aloud",
        "Read a text aloud",
        (
            need("text", text(SENTENCES), "Text"),
            may("voice", one_of("female", "male", "child"), "Voice"),
            may("speed", number(0.5, 2), "Speed, 1 is normal"),
        ),
        (
            'Read ["{text}"] aloud',
            'Say "{text}" in a {voice} voice',
            'Read out "{text}" at {speed} times the normal speed',
        ),
        lambda a, f: {"seconds": len(a["text"]) // 12 + 1},
        "That took {seconds} seconds.",
        (Ask("Read something aloud.", "What should I read?", "{text}"),),
    ),
)
