"""Tasks about films, series, books and TV programmes."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import CITY, FLAG, TIME, WHEN, code, count, number, several, text, whole
from train.everyday.vocabulary import BOOKS, FILMS

FILM, BOOK = text(FILMS), text(BOOKS)
FILM_GENRE = text(("comedy", "thriller", "drama", "horror", "western", "romance", "documentary", "fantasy", "crime"))
SERVICE = text(("Streamly", "Filmbox", "Cineplus", "Aerovid"))
AUTHOR = text(("Clara Holm", "Peter Adeyemi", "Yuki Sato", "Miriam Stone", "Luis Ortega", "Anton Beck", "Nora Quill"))
CINEMA = text(("the Odeon", "Cinema Paradiso", "the Roxy", "Filmhaus", "Lux Cinema", "the Grand Rex"))

FIELD = (
    Task(
        "search_films",
        "Search for films to watch",
        (
            need("genre", FILM_GENRE, "Genre"),
            may("from_year", whole(1980, 2022), "Earliest year"),
            may("min_rating", number(5, 9), "Lowest rating out of 10"),
            may("services", several(SERVICE, 2, 2), "Streaming services"),
            may("family_friendly", FLAG, "Whether it must be fit for children"),
        ),
        (
            "Find me a good [{genre}]",
            "Any {genre} from {from_year} or later with a rating of at least {min_rating}?",
            "What {genre} can I watch on {services}?",
            ("We want to watch a {genre} with the kids, what is there?", {"family_friendly": True}),
            "Show me a {genre} rated {min_rating} or better",
            (
                "Show a {genre} for the family on {services}, from {from_year} on and rated {min_rating} or more.",
                {"family_friendly": True},
            ),
        ),
        lambda a, f: {"titles": f.some(2, *FILMS)},
        "How about {titles}?",
        (Ask("Find a film on {services} for tonight.", "Which genre?", "A {genre}."),),
        "And a [{genre}]?",
    ),
    Task(
        "book_cinema_tickets",
        "Book tickets for a film at the cinema",
        (
            need("film", FILM, "Title of the film"),
            need("num_tickets", count(2, 8), "Number of tickets"),
            may("cinema", CINEMA, "Name of the cinema"),
            may("time", TIME, "Time of the show"),
            may("row", whole(1, 20), "Row"),
            may("three_d", FLAG, "Whether to see it in 3D"),
        ),
        (
            "Get {num_tickets} tickets for {film}",
            "Book {num_tickets} seats for {film} at {cinema}, the show at {time}, please.",
            "We want to see {film} at {time}, {num_tickets} tickets in row {row}.",
            ("Book {num_tickets} tickets for {film} in 3D", {"three_d": True}),
        ),
        lambda a, f: {"booking": f.code("C"), "total": a["num_tickets"] * f.whole(8, 14)},
        "Your {num_tickets} tickets for {film} cost ${total}; the booking is {booking}.",
        (Ask("Book tickets for {film}.", "How many?", "{num_tickets}"),),
    ),
    Task(
        "get_showtimes",
        "Get the times at which a film is shown",
        (need("film", FILM, "Film"), need("city", CITY, "City"), may("day", WHEN, "Day, as said")),
        (
            "When is {film} on [in {city}]?",
            "Where can I see {film} in {city} {day}?",
            "Show me the times for {film} in {city}",
        ),
        lambda a, f: {"times": f.some(2, "14:30", "17:15", "20:00", "22:40")},
        "{film} is shown in {city} at {times}.",
        (Ask("When is {film} on?", "In which city?", "{city}"),),
    ),
    Task(
        "add_to_watchlist",
        "Save films to watch later",
        (need("titles", several(FILM, 1, 3), "Titles of the films"),),
        (
            "Put {titles} on my watchlist",
            "Remember {titles} for later, I want to watch that.",
            "Add {titles} to what I want to watch",
        ),
        lambda a, f: {"length": len(a["titles"]) + f.whole(0, 20)},
        "Your watchlist has {length} films now.",
        (Ask("Add something to my watchlist.", "Which film?", "{titles}"),),
    ),
    Task(
        "rate_film",
        "Rate a film",
        (
            need("film", FILM, "Film"),
            need("points", number(1, 10), "Points out of 10"),
            may("spoiler_free", FLAG, "No spoilers"),
        ),
        (
            "Give [{film} {points} out of 10]",
            "{film} deserves {points} points.",
            "I'd rate {film} a {points}.",
        ),
        lambda a, f: {"average": f.number(4, 9)},
        "Thanks! The average rating of {film} is {average}.",
        (Ask("I want to rate {film}.", "How many points out of 10?", "{points}"),),
    ),
    Task(
        "recommend_books",
        "Recommend books like one that was liked",
        (
            need("liked", BOOK, "Title of the book"),
            may("max_pages", whole(150, 600, 50), "Most pages"),
            may("how_many", count(2, 6), "How many books"),
        ),
        (
            "I loved {liked}. What should I read next?",
            "Recommend {how_many} books like {liked}",
            "Find something similar to [{liked}]",
            "Suggest books like {liked} with no more than {max_pages} pages",
        ),
        lambda a, f: {"books": f.some(min(a.get("how_many", 2), 4), *BOOKS)},
        "You might like {books}.",
        (Ask("What should I read next?", "Which book did you like?", "{liked}"),),
    ),
    Task(
        "reserve_library_book",
        "Reserve a book at the library",
        (
            need("title", BOOK, "Title"),
            need("card_number", code("LIB-####", "#####", "C####"), "Number of the library card"),
            may("author", AUTHOR, "Author"),
            may("branch", text(("Central", "Eastside", "Harbour", "Campus", "Northgate")), "Branch to pick it up"),
        ),
        (
            "Reserve [{title}] on my card {card_number}",
            "Hold {title} by {author} for me, card {card_number}, please.",
            "I'd like to pick up {title} at the {branch} branch. My card is {card_number}.",
        ),
        lambda a, f: {"ready_in_days": f.whole(1, 12)},
        "{title} will be ready for you in {ready_in_days} days.",
        (Ask("Reserve {title} at the library.", "What is the number of your card?", "{card_number}"),),
    ),
    Task(
        "record_show",
        "Record a television show",
        (
            need(
                "show",
                text(("The Evening Quiz", "Garden Rescue", "Harbour Street", "World Report", "Kitchen Wars")),
                "Show",
            ),
            need("channel", text(("Channel 4", "One", "TV5", "Arte", "Sky News", "Channel 9")), "Channel"),
            may("whole_series", FLAG, "Whether to record all episodes"),
        ),
        (
            "Record {show} on [{channel}]",
            ("Record every episode of {show} on {channel}", {"whole_series": True}),
            ("Tape just tonight's {show} on {channel}", {"whole_series": False}),
        ),
        lambda a, f: {"free_hours": f.whole(5, 90)},
        "I'll record {show}. There is room for {free_hours} more hours.",
        (Ask("Record {show} for me.", "On which channel is it?", "{channel}"),),
    ),
    Task(
        "log_reading",
        "Record how far one has read in a book",
        (
            need("book", BOOK, "Title"),
            nested(
                "progress",
                "How far",
                need("page", whole(10, 400), "Page reached"),
                need("minutes", whole(10, 120, 5), "Time read"),
            ),
        ),
        (
            "I read {book} for {progress.minutes} minutes and am on page {progress.page}.",
            "Log {progress.minutes} minutes of {book}, now at page {progress.page}, please.",
            "Note that I reached page {progress.page} of {book} after {progress.minutes} minutes",
        ),
        lambda a, f: {"streak_days": f.whole(1, 40)},
        "Saved. You have read for {streak_days} days in a row.",
    ),
)
