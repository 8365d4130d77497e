"""Tasks about news, search and facts."""

from __future__ import annotations

from train.everyday.proper_names import COUNTRIES
from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import CITY, DATE, FLAG, composed, count, one_of, several, text, whole
from train.everyday.vocabulary import TOPICS

TOPIC = text(TOPICS)
QUERY = composed(
    "how to {deed}",
    "best {thing} for beginners",
    "{thing} opening hours",
    "cheap {thing} near the station",
    "history of the {thing}",
    "{thing} repair manual",
    deed=(
        "tie a tie",
        "remove rust",
        "train a puppy",
        "bake rye bread",
        "prune roses",
        "fix a zipper",
        "grow basil",
        "fold a paper crane",
    ),
    thing=(
        "bicycle",
        "violin",
        "camera",
        "sewing machine",
        "telescope",
        "drone",
        "piano",
        "kayak",
        "typewriter",
        "bakery",
        "museum",
    ),
)
SOURCE = text(("the Daily Globe", "Reuters", "the Evening Post", "BBC", "Le Monde", "the Morning Herald"))
SECTION = one_of("business", "sports", "science", "politics", "health", "culture", "technology")

FIELD = (
    Task(
        "get_news",
        "Get the latest news about a topic",
        (
            need("topic", TOPIC, "Topic"),
            may("since", DATE, "Only news from this day on, YYYY-MM-DD"),
            may("sources", several(SOURCE, 1, 2), "Newspapers or agencies"),
            may("limit", count(2, 10), "Number of articles"),
        ),
        (
            "What's new about [{topic}]?",
            "Show me {limit} articles on {topic}",
            "Any news on [{topic}]?",
            "Get me news about {topic} from {sources}",
            "What has been written about {topic} since {since}?",
        ),
        lambda a, f: {
            "articles": a.get("limit", f.whole(1, 9)),
            "top": f.pick("A new study is out", "Experts disagree", "Record numbers this year"),
        },
        'I found {articles} articles about {topic}. The first one: "{top}".',
        (Ask("Read me the news.", "About which topic?", "{topic}"),),
        "And about [{topic}]?",
    ),
    Task(
        "get_headlines",
        "Get the headlines of a section for a country",
        (
            need("section", SECTION, "Section"),
            may("country", text(COUNTRIES), "Country"),
            may("limit", count(2, 10), "Number of headlines"),
        ),
        (
            "Give me the [{section}] headlines",
            "What are the top {limit} headlines in {section}?",
            "Today's {section} headlines for {country}, please.",
        ),
        lambda a, f: {
            "first": f.pick(
                "Record year for exports", "New rules from January", "A surprise in the final", "Bridge reopens"
            )
        },
        'The first {section} headline is "{first}".',
        (Ask("Give me the headlines for {country}.", "Of which section?", "{section}"),),
    ),
    Task(
        "search_web",
        "Search the web",
        (
            need("query", QUERY, "Words to search for"),
            may("num_results", count(3, 10), "Number of results"),
            may("safe", FLAG, "Whether to hide adult pages"),
            may("site", text(("example.com", "wiki.example", "forum.example", "gov.example")), "Only this site"),
        ),
        (
            'Search the web for ["{query}"]',
            "Google {query}",
            'Look up "{query}" online',
            'Give me {num_results} results for "{query}"',
            'Search {site} for "{query}"',
        ),
        lambda a, f: {
            "results": f.whole(4, 90) * 1000,
            "top": f"https://{f.pick('guide', 'wiki', 'blog')}.example/{f.whole(10, 99)}",
        },
        "The best of {results} results is {top}.",
        (Ask("Search the web for me.", "What are you looking for?", "{query}"),),
    ),
    Task(
        "search_encyclopedia",
        "Look up an article in the encyclopedia",
        (
            need("title", TOPIC, "Subject of the article"),
            may("language", one_of("English", "German", "French"), "Edition"),
            may("summary_only", FLAG, "Only the summary"),
        ),
        (
            "Look up [{title}] in the encyclopedia",
            "What does the encyclopedia say about {title}?",
            ("Give me a summary of the article on {title}", {"summary_only": True}),
            "Open the {language} article about {title}",
        ),
        lambda a, f: {"sections": f.whole(3, 14), "words": f.whole(8, 90) * 100},
        "The article about {title} has {sections} sections and {words} words.",
        (Ask("Look something up in the encyclopedia.", "Which subject?", "{title}"),),
    ),
    Task(
        "follow_topic",
        "Send regular news about some topics",
        (
            need("topics", several(TOPIC, 2, 3), "Topics"),
            need("frequency", one_of(daily="every day", weekly="every week"), "How often"),
            may("by_mail", FLAG, "Whether to send it by mail"),
        ),
        (
            "Send me news on {topics} {frequency}",
            ("Mail me something about {topics} {frequency}", {"by_mail": True}),
            "I want to stay up to date on {topics}, {frequency}.",
        ),
        lambda a, f: {"subscribed": len(a["topics"])},
        "You will hear about {topics} from now on.",
        (Ask("Keep me posted on {topics}.", "Every day or every week?", "{frequency}"),),
    ),
    Task(
        "get_election_results",
        "Get the results of an election",
        (
            need("city", CITY, "City"),
            need("year", whole(1998, 2025), "Year"),
            may("kind", one_of("mayor", "council"), "Which election", "council"),
        ),
        (
            "Who won the {kind} election in {city} in {year}?",
            "Show me the {year} election results [for {city}]",
            "How did {city} vote in {year}?",
        ),
        lambda a, f: {
            "winner": f.pick("the Green Alliance", "the Civic Party", "the Citizens' List"),
            "percent": f.number(26, 58),
        },
        "In {city} {winner} won with {percent} percent.",
        (Ask("How did {city} vote?", "In which year?", "In {year}."),),
    ),
)
