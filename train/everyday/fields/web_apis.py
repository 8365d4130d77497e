"""Tasks in the style of web services: their arguments are codes, and some functions have no arguments.

The codes stand for countries, currencies, languages and airports. The user says the name, and the call has the code, as
the parameter's description demands.
"""

from __future__ import annotations

from train.everyday.codes import AIRPORT, COUNTRY, CURRENCY, LANGUAGE
from train.everyday.tasks import Arguments, Ask, ResultRandom, Task, may, need
from train.everyday.values import code, count, one_of, text, whole

SUBJECTS = ("cats", "space", "football", "cooking", "trains", "history", "computers", "the sea", "birds", "coffee")
SIGN_IN = Task(
    "get_access_token",
    "Sign a user in; gives the token that other functions ask for",
    (
        need("username", code("user##", "jo##", "maria_#", "@lex##", "k.demir#"), "Name of the account"),
        need("password", code("pass####", "secret##", "@@##@@", "blue-@###", "moon####"), "Password of the account"),
    ),
    (
        "Sign me in as {username} with the password {password}",
        "My username is {username} and my password is {password}. I need a token.",
        "Get an access token for {username}, password {password}",
    ),
    lambda a, f: {"token": f.code("tk") + f.pick("a7", "x2q", "9zd", "mm4")},
    "You are signed in, the token is {token}.",
    (Ask("I need an access token.", "What are your username and password?", "{username} and {password}"),),
)


YEAR = whole(2019, 2027)


def _fact(arguments: Arguments, fate: ResultRandom) -> Arguments:
    subject = fate.pick("Honey", "An octopus", "A day on Venus", "The number four", "A bolt of lightning")
    ending = fate.pick("is older than it looks.", "surprises most people.", "has a museum of its own.")
    return {"fact": f"{subject} {ending}"}


FIELD = (
    SIGN_IN,
    Task(
        "country_facts",
        "Official name, capital and neighbours of a country",
        (need("country_code", COUNTRY, "Two-letter ISO 3166 code of the country, such as CZ for Czechia"),),
        (
            "Give me the official name and the neighbours of [{country_code}]",
            "I'm writing a report about {country_code}. What are the basic facts?",
            "Look up the facts about [{country_code}]",
        ),
        lambda a, f: {"neighbours": f.whole(0, 9), "population_millions": f.whole(1, 300)},
        "The country has {population_millions} million people and {neighbours} neighbours.",
        (Ask("Tell me about a country.", "Which country?", "{country_code}"),),
        "And [{country_code}]?",
    ),
    Task(
        "public_holidays",
        "Public holidays of a country in a year",
        (
            need("year", YEAR, "Year"),
            need("country_code", COUNTRY, "Country, ISO 3166 alpha-2, e.g. CZ"),
        ),
        (
            "List the public holidays of {country_code} in {year}",
            "Which public holidays does {country_code} have in {year}?",
            "I'm planning my leave for {year}. Fetch the holidays in {country_code}.",
        ),
        lambda a, f: {"holidays": f.whole(7, 16)},
        "There are {holidays} public holidays.",
        (Ask("Which public holidays are there in {year}?", "In which country?", "{country_code}"),),
    ),
    Task(
        "upcoming_holidays",
        "The next public holidays of a country",
        (need("country_code", COUNTRY, "Two-character country code"),),
        (
            "What are the upcoming public holidays in {country_code}?",
            "Show me the next holidays in [{country_code}]",
            "I travel to {country_code} soon. Which holidays come next there?",
        ),
        lambda a, f: {"next": f.pick("1 May", "25 December", "1 January", "6 June"), "days": f.whole(2, 90)},
        "The next one is on {next}, in {days} days.",
        (),
        "And in [{country_code}]?",
    ),
    Task(
        "exchange_amount",
        "Convert an amount of money at the rate of today",
        (
            need("from", CURRENCY, "Currency of the amount, three-letter ISO code"),
            need("to", CURRENCY, "Currency wanted, three-letter ISO code"),
            need("amount", whole(5, 5000, 5), "Amount to convert"),
        ),
        (
            "How much are {amount} {from} in {to}?",
            "I have to send {amount} {from}. What is that in {to}?",
            "Convert [{amount} {from} to {to}]",
        ),
        lambda a, f: {"converted": f.number(5, 9000, 2)},
        "That is {converted} {to}.",
    ),
    Task(
        "latest_rates",
        "Current exchange rates of a base currency",
        (
            need("base", CURRENCY, "ISO code of the base currency"),
            may("limit", count(2, 9), "How many rates"),
        ),
        (
            "Get the latest exchange rates for {base}",
            "What are the current rates for {base}? The {limit} most traded will do.",
            "Show the rates of [{base}]",
        ),
        lambda a, f: {"strongest": f.pick("KWD", "BHD", "OMR"), "rate": f.number(0.1, 4, 2)},
        "The strongest is {strongest} at {rate}.",
    ),
    Task(
        "airport_info",
        "Name, terminals and website of an airport",
        (need("iata_code", AIRPORT, "IATA code of the airport, three letters such as PRG"),),
        (
            "How many terminals does the airport of [{iata_code}] have?",
            "I need the website of the airport in {iata_code}.",
            "Look up the airport of [{iata_code}]",
        ),
        lambda a, f: {"terminals": f.whole(1, 6)},
        "The airport {iata_code} has {terminals} terminals.",
        (Ask("Give me details about an airport.", "Which airport?", "The one in {iata_code}."),),
        "And [{iata_code}]?",
    ),
    Task(
        "page_in_language",
        "An article of an encyclopedia in another language",
        (
            need("title", text(SUBJECTS), "What the article is about"),
            need("lang", LANGUAGE, "ISO 639-1 code of the language, e.g. cs"),
        ),
        (
            "Show me the article about {title} in {lang}",
            "I want to read about {title} in {lang}.",
            "Is there an article about {title} in {lang}?",
        ),
        lambda a, f: {"words": f.whole(300, 9000)},
        "The article has {words} words.",
    ),
    Task(
        "random_fact",
        "A random fact",
        (),
        (
            "Tell me something that most people don't know",
            "Give me a random fact",
            "I need a curious fact for my blog.",
            "Any random fact, please.",
        ),
        _fact,
        "{fact}",
    ),
    Task(
        "random_joke",
        "A random joke, of a category or of any",
        (may("category", one_of("animals", "food", "school", "sport", "work"), "Category of the joke"),),
        (
            "Tell me a random joke",
            "Tell me a joke about {category}",
            "I need a joke for a card, category {category}.",
            "Cheer me up with a joke!",
        ),
        lambda a, f: {"number": f.whole(1, 400), "laughs": f.whole(2, 99)},
        "Here is joke number {number}, which {laughs} people liked.",
    ),
    Task(
        "joke_categories",
        "All categories that jokes can have",
        (),
        (
            "Which categories of jokes are there?",
            "List all joke categories",
            "What kinds of jokes can I ask for?",
        ),
        lambda a, f: {"categories": f.some(3, "animals", "food", "school", "sport", "work")},
        "There are jokes about {categories}.",
    ),
    Task(
        "count_pictures",
        "How many pictures the collection has",
        (),
        (
            "How many pictures are in the collection?",
            "Count the pictures in the database",
            "I wonder how many pictures you have.",
        ),
        lambda a, f: {"pictures": f.whole(200, 9000)},
        "There are {pictures} pictures.",
    ),
    Task(
        "random_picture",
        "A random picture of an animal",
        (
            may("animal", one_of("cat", "dog", "fox", "duck", "panda"), "Kind of animal"),
            may("width", whole(200, 1200, 100), "Width in pixels"),
            may("caption", text(("Happy Birthday!", "Well done", "Miss you", "Good luck!", "Hello")), "Text on it"),
        ),
        (
            "Find me a random picture of a {animal}",
            "I feel down. Show me a cute {animal}!",
            'I want a picture of a {animal} that says "{caption}".',
            "Get a {animal} picture, {width} pixels wide",
            "Show me any cute animal",
        ),
        lambda a, f: {"picture": f"{f.whole(1000, 9999)}.jpg"},
        "Here is your picture: {picture}",
    ),
)
