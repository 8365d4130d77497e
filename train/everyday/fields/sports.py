"""Tasks about teams, matches and leagues."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import FLAG, FULL_NAME, WHEN, count, one_of, several, text, whole
from train.everyday.vocabulary import SPORTS, TEAMS

TEAM, SPORT = text(TEAMS), text(SPORTS)
LEAGUE = text(
    ("the premier league", "the second division", "the champions cup", "the national league", "the eastern conference")
)

FIELD = (
    Task(
        "get_match_result",
        "Get the result of a team's last match",
        (need("team", TEAM, "Team"), may("sport", SPORT, "Sport"), may("day", WHEN, "Day of the match, as said")),
        (
            "How did [{team}] play?",
            "Did {team} win?",
            "What was the score of the {sport} match of {team}?",
            "What's the result of [{team}]?",
        ),
        lambda a, f: {
            "opponent": f.pick("Fairview", "Old Town", "Brookfield"),
            "score": f"{f.whole(0, 4)}:{f.whole(0, 4)}",
        },
        "The match of {team} against {opponent} ended {score}.",
        (Ask("How did my team play?", "Which team do you mean?", "{team}"),),
        "And [{team}]?",
    ),
    Task(
        "get_league_table",
        "Get the table of a league",
        (
            need("league", LEAGUE, "League"),
            need("sport", SPORT, "Sport"),
            may("season", text(("2022/23", "2023/24", "2024/25")), "Season"),
            may("top", count(3, 10), "Number of places"),
        ),
        (
            "Show me the {sport} table of {league}",
            "Who is leading {league} in {sport}?",
            "What did the {sport} table of {league} look like in {season}?",
            "Give me the top {top} of {league} in {sport}",
        ),
        lambda a, f: {"leader": f.pick("Fairview", "Old Town", "Harbour United"), "points": f.whole(20, 80)},
        "{leader} leads with {points} points.",
        (Ask("Show me the table of {league}.", "In which sport?", "{sport}"),),
    ),
    Task(
        "get_next_match",
        "Get day and place of a team's next match",
        (need("team", TEAM, "Team"), may("home_only", FLAG, "Only home matches")),
        (
            "When do [{team}] play next?",
            "When is the next match of [{team}]?",
            ("When is the next home game of {team}?", {"home_only": True}),
        ),
        lambda a, f: {
            "opponent": f.pick("Fairview", "Old Town", "Brookfield"),
            "date": f"2026-{f.whole(1, 12):02}-{f.whole(1, 28):02}",
        },
        "The next match of {team} is against {opponent} on {date}.",
        (Ask("When is the next match?", "Of which team?", "{team}"),),
        "And [{team}]?",
    ),
    Task(
        "get_player_stats",
        "Get statistics of a player in a season",
        (
            need("player", FULL_NAME, "Name of the player"),
            need("stats", several(one_of("goals", "assists", "points", "fouls", "minutes"), 1, 3), "What to count"),
            may("season", whole(2018, 2025), "Year in which the season begins"),
        ),
        (
            "How many {stats} does {player} have?",
            "Show me the {stats} of {player} for the {season} season",
            "Get {player}'s {stats} from {season}",
        ),
        lambda a, f: {stat: f.whole(0, 60) for stat in a["stats"]},
        lambda a, r: f"{a['player']}: " + ", ".join(f"{r[stat]} {stat}" for stat in a["stats"]) + ".",
        (Ask("Show me the {stats} of a player.", "Which player?", "{player}"),),
    ),
    Task(
        "buy_match_tickets",
        "Buy tickets for a match",
        (
            need("team", TEAM, "Home team"),
            need("quantity", count(2, 8), "Number of tickets"),
            nested(
                "seats",
                "Where to sit",
                need("block", one_of("north", "south", "east", "west"), "Stand"),
                may("max_row", whole(5, 40, 5), "Last row"),
                is_required=False,
            ),
            may("day", WHEN, "Day, as said"),
        ),
        (
            "Get {quantity} tickets for {team}",
            "Buy {quantity} tickets for the match of {team} {day} in the {seats.block} stand",
            "I need {quantity} seats for {team}, {seats.block} stand, row {seats.max_row} at most.",
        ),
        lambda a, f: {"total": a["quantity"] * f.whole(15, 70), "code": f.code("MT")},
        "I bought {quantity} tickets for ${total}; the code is {code}.",
        (Ask("Buy tickets for {team}.", "How many?", "{quantity}"),),
    ),
)
