"""Tasks about text tools, translation and dictionaries."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import FLAG, LANGUAGE, count, one_of, text
from train.everyday.vocabulary import PHRASES, TOPICS, WORDS

PHRASE, WORD = text(PHRASES), text(WORDS)


FIELD = (
    Task(
        "translate_text",
        "Translate a text into another language",
        (
            need("text", PHRASE, "Text to translate"),
            need("target_language", LANGUAGE, "Language wanted"),
            may("formal", FLAG, "Whether to use the polite form"),
        ),
        (
            'Translate "{text}" into [{target_language}]',
            'How do you say "{text}" in [{target_language}]?',
            'What is ["{text}"] in {target_language}?',
            ('I need "{text}" in {target_language}, in the polite form.', {"formal": True}),
        ),
        lambda a, f: {"translation_id": f.code("TR"), "ready": True},
        'The {target_language} version of "{text}" is ready on your screen.',
        (
            Ask('Translate "{text}".', "Into which language?", "{target_language}"),
            Ask("Translate something into {target_language}.", "What shall I translate?", '"{text}"'),
        ),
        "And into [{target_language}]?",
    ),
    Task(
        "detect_language",
        "Find out in which language a text is written",
        (
            need(
                "text",
                text(("bonjour à tous", "guten Abend", "muchas gracias", "buona notte", "obrigado", "god morgen")),
                "The text",
            ),
        ),
        ('What language is ["{text}"]?', 'Which language is "{text}" written in?', 'Detect the language of ["{text}"]'),
        lambda a, f: {
            "language": {"b": "French", "g": "German", "m": "Spanish", "o": "Portuguese"}.get(a["text"][0], "Italian")
            if a["text"] not in ("buona notte", "god morgen")
            else {"b": "Italian", "g": "Norwegian"}[a["text"][0]]
        },
        'The text "{text}" is {language}.',
        (Ask("What language is this?", "Please give me the text.", "{text}"),),
    ),
    Task(
        "define_word",
        "Look up the meaning of a word",
        (need("word", WORD, "The word"), may("with_examples", FLAG, "Whether to give example sentences", False)),
        (
            'What does ["{word}"] mean?',
            "Define [{word}]",
            "Look up the word {word}",
            ("Give me the meaning of {word} and some examples", {"with_examples": True}),
        ),
        lambda a, f: {"entry": f"{a['word']}, entry {f.whole(100, 999)}", "meanings": f.whole(1, 4)},
        'I found {meanings} meanings of "{word}" in the dictionary.',
        (Ask("Look up a word for me.", "Which word?", "{word}"),),
        "And [{word}]?",
    ),
    Task(
        "find_synonyms",
        "Find words with the same or the opposite meaning",
        (
            need("word", WORD, "The word"),
            need("relation", one_of(synonym="synonyms", antonym="antonyms"), "Same or opposite meaning"),
            may("max_results", count(2, 9), "How many at most"),
        ),
        (
            "Give me {relation} for [{word}]",
            "Find up to {max_results} {relation} of [{word}]",
            'What are {relation} of "{word}"?',
        ),
        lambda a, f: {"found": min(a.get("max_results", 9), f.whole(2, 9))},
        "There are {found} of them for {word}.",
        (Ask("Find {relation} for a word.", "For which word?", "{word}"),),
    ),
    Task(
        "write_poem",
        "Write a short text of a given kind about a topic",
        (
            need("topic", text(TOPICS), "What it is about"),
            need("form", one_of("haiku", "limerick", "sonnet", "joke"), "Kind of text"),
            may("language", LANGUAGE, "Language of the text"),
        ),
        (
            "Write a {form} about [{topic}]",
            "I'd love a {form} about {topic} in {language}.",
            "Compose a [{form}] about {topic}",
        ),
        lambda a, f: {"document_id": f.code("D")},
        "Your {form} about {topic} is ready, saved as {document_id}.",
        (Ask("Write me a {form}.", "What about?", "{topic}"),),
    ),
)
