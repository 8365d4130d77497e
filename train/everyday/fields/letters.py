"""Tasks about the characters of a text: case, ciphers, hashes, counts."""

from __future__ import annotations

import base64
import hashlib
import re

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import FLAG, code, count, one_of, several, text, whole
from train.everyday.vocabulary import SENTENCES, WORDS

SENTENCE, WORD = text(SENTENCES), text(WORDS)

RED_DOORS = (  # each sentence contains all three words that requests may replace: old, red, door
    *("My old dog sleeps by the red door", "The old red boat is in front of our door"),
    *("A red bird sat on the old door", "She painted the old door red", "An old man knocked at the red door"),
)


def _cased(words: str, case: str) -> str:
    return {"upper": words.upper(), "lower": words.lower(), "title": words.title()}[case]


def _shifted(words: str, shift: int) -> str:
    def moved(sign: str) -> str:
        start = ord("A") if sign.isupper() else ord("a")
        return chr((ord(sign) - start + shift) % 26 + start) if sign.isascii() and sign.isalpha() else sign

    return "".join(map(moved, words))


def _counted(words: str, unit: str) -> int:
    return {"words": len(words.split()), "characters": len(words), "vowels": len(re.findall("[aeiou]", words.lower()))}[
        unit
    ]


FIELD = (
    Task(
        "count_text",
        "Count words, characters or vowels of a text",
        (need("text", SENTENCE, "The text"), need("unit", one_of("words", "characters", "vowels"), "What to count")),
        (
            'How many [{unit}] are in "{text}"?',
            'Count the [{unit}] in "{text}"',
            'Tell me the number of {unit} in the sentence "{text}"',
        ),
        lambda a, f: {"count": _counted(a["text"], a["unit"])},
        "The text has {count} {unit}.",
        (Ask("How many {unit} does my sentence have?", "What is the sentence?", "{text}"),),
    ),
    Task(
        "reverse_text",
        "Write a text backwards",
        (need("text", WORD, "The text"),),
        ('Spell ["{text}"] backwards', "What is [{text}] backwards?", 'Reverse the letters of ["{text}"]'),
        lambda a, f: {"reversed": a["text"][::-1]},
        'Backwards it is "{reversed}".',
        (Ask("Write something backwards for me.", "Which word?", "{text}"),),
        "And [{text}]?",
    ),
    Task(
        "change_case",
        "Change a text to upper, lower or title case",
        (
            need("text", SENTENCE, "The text"),
            need("case", one_of(upper="upper case", lower="lower case", title="title case"), "Case"),
        ),
        ('Put "{text}" into [{case}]', 'Change ["{text}"] to {case}', 'Write "{text}" in {case}, please.'),
        lambda a, f: {"changed": _cased(a["text"], a["case"])},
        "Here it is: {changed}",
        (Ask('Change the case of "{text}".', "To upper, lower or title case?", "{case}"),),
    ),
    Task(
        "check_palindrome",
        "Check whether a word reads the same backwards",
        (
            need(
                "word",
                text(("level", "rotor", "candle", "kayak", "window", "racecar", "garden", "civic", "radar", "banana")),
                "Word",
            ),
        ),
        ("Is [{word}] a palindrome?", "Does [{word}] read the same backwards?", 'Check if "{word}" is a palindrome'),
        lambda a, f: {"palindrome": a["word"] == a["word"][::-1]},
        lambda a, r: f"{a['word'].capitalize()} is {'' if r['palindrome'] else 'not '}a palindrome.",
        (),
        "And [{word}]?",
    ),
    Task(
        "replace_word",
        "Replace a word in a sentence by another",
        (
            need("sentence", text(RED_DOORS), "Sentence"),
            need("old", text(("old", "red", "door")), "Word to replace"),
            need(
                "new", text(("blue", "gate", "wooden", "small", "window", "green", "quiet", "heavy")), "Word to put in"
            ),
        ),
        (
            'In "{sentence}" replace {old} with {new}.',
            'Take the sentence "{sentence}" and change {old} to {new}',
        ),
        lambda a, f: {"changed": re.sub(rf"\b{a['old']}\b", a["new"], a["sentence"])},
        "The sentence is now: {changed}",
        (Ask('Replace {old} in "{sentence}".', "With which word?", "{new}"),),
    ),
    Task(
        "make_acronym",
        "Build an acronym from the first letters of words",
        (need("words", several(WORD, 3, 4), "The words, in order"),),
        ("Make an acronym from {words}", "What acronym do the words {words} give?", "Build an acronym out of {words}"),
        lambda a, f: {"acronym": "".join(word[0] for word in a["words"]).upper()},
        "The acronym is {acronym}.",
        (Ask("Make an acronym for our project.", "From which words?", "{words}"),),
    ),
    Task(
        "encode_text",
        "Encode a text as base64 or hexadecimal",
        (need("text", WORD, "The text"), need("format", one_of("base64", hex="hexadecimal"), "Encoding")),
        ("Encode [{text}] as {format}", 'What is "{text}" in [{format}]?', 'Turn "{text}" into {format}'),
        lambda a, f: {
            "encoded": base64.b64encode(a["text"].encode()).decode()
            if a["format"] == "base64"
            else a["text"].encode().hex()
        },
        "In {format} it is {encoded}.",
        (Ask('Encode "{text}" for me.', "As base64 or hexadecimal?", "{format}"),),
    ),
    Task(
        "caesar_cipher",
        "Shift the letters of a text along the alphabet",
        (need("text", WORD, "The text"), need("shift", count(1, 9), "How many letters to shift by")),
        (
            'Encrypt "{text}" with a Caesar shift of {shift}',
            "Shift the letters of [{text} by {shift}]",
            'Caesar cipher of "{text}" with shift {shift}?',
        ),
        lambda a, f: {"result": _shifted(a["text"], a["shift"])},
        'The result is "{result}".',
        (Ask('Encrypt "{text}" with a Caesar cipher.', "By how many letters should I shift?", "{shift}"),),
    ),
    Task(
        "generate_password",
        "Generate a random password",
        (
            need("length", whole(8, 32, 2), "Number of characters"),
            may("symbols", FLAG, "Whether to include special characters", True),
            may("digits", FLAG, "Whether to include digits", True),
        ),
        (
            "Generate a password with {length} characters",
            "I need a new password, {length} characters long.",
            ("Make me a {length} character password without symbols", {"symbols": False}),
            ("Create a password of {length} characters with symbols and digits", {"symbols": True, "digits": True}),
        ),
        lambda a, f: {"password": hashlib.sha256(f.code("p").encode()).hexdigest()[: a["length"]]},
        "Here is your new password: {password}",
        (Ask("Generate a password.", "How long should it be?", "{length} characters."),),
    ),
    Task(
        "make_qr_code",
        "Turn a link or text into a QR code",
        (
            need("content", code("https://example.com/@##", "https://shop.example/##", "WIFI-@@##"), "Text or link"),
            may("size", whole(100, 600, 50), "Pixels"),
        ),
        (
            "Make a QR code for [{content}]",
            "Create a QR code of {size} pixels for {content}",
            "I need {content} as a QR code.",
        ),
        lambda a, f: {"file": f"qr_{f.whole(100, 999)}.png"},
        "The QR code is saved as {file}.",
        (Ask("Make me a QR code.", "For which text or link?", "{content}"),),
    ),
)
