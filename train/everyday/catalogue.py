"""Lists all tasks by topic, and defines which tasks are too similar to be functions of the same conversation."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from train.everyday.fields import (
    calendars,
    clock,
    errands,
    files,
    food,
    health,
    home,
    letters,
    maps,
    messages,
    money,
    music,
    news,
    people,
    photos,
    planning,
    roads,
    screen,
    shopping,
    sports,
    stays,
    sums,
    tools,
    travel,
    units,
    weather,
    web_apis,
    words,
)
from train.everyday.tasks import Task

FIELDS = MappingProxyType(
    {
        "calendars": calendars.FIELD,
        "clock": clock.FIELD,
        "errands": errands.FIELD,
        "files": files.FIELD,
        "food": food.FIELD,
        "health": health.FIELD,
        "home": home.FIELD,
        "letters": letters.FIELD,
        "maps": maps.FIELD,
        "messages": messages.FIELD,
        "money": money.FIELD,
        "music": music.FIELD,
        "news": news.FIELD,
        "people": people.FIELD,
        "photos": photos.FIELD,
        "planning": planning.FIELD,
        "roads": roads.FIELD,
        "screen": screen.FIELD,
        "shopping": shopping.FIELD,
        "sports": sports.FIELD,
        "stays": stays.FIELD,
        "sums": sums.FIELD,
        "tools": tools.FIELD,
        "travel": travel.FIELD,
        "units": units.FIELD,
        "weather": weather.FIELD,
        "web_apis": web_apis.FIELD,
        "words": words.FIELD,
    }
)
TASKS: tuple[Task, ...] = tuple(task for field in FIELDS.values() for task in field)
FIELD_OF = MappingProxyType({task.name: name for name, field in FIELDS.items() for task in field})

# Tasks that could answer many requests. They are never distractors, and they are not listed where no function may fit.
GENERAL = frozenset(
    {
        *("define_word", "find_synonyms", "write_poem", "translate_text", "search_notes", "is_leap_year", "search_web"),
        *("search_encyclopedia", "get_news", "get_headlines", "make_flashcards", "get_recipe", "find_recipes"),
        *("get_distance", "get_time", "check_symptoms", "recommend_books", "make_training_plan", "calculate"),
    }
)

# Tasks that an assistant can do without a function. No row refuses such a request for lack of a function.
ANSWERABLE_WITHOUT_FUNCTION = frozenset(
    {
        *("write_poem", "translate_text", "define_word", "find_synonyms", "is_leap_year", "calculate", "sum_numbers"),
        *("sort_numbers", "detect_language", "check_palindrome", "reverse_text", "change_case", "make_acronym"),
        *("search_encyclopedia", "get_recipe", "make_json", "color_to_hex", "recommend_books", "count_text"),
        *("replace_word", "find_substitute", "percentage_of", "average", "scale_ingredient"),
    }
)

# Groups of verbs with one meaning. They help to find similar tasks, which are called rivals. Two tasks of one module in
# fields/ are rivals if their names share a noun and their verbs are in one group. Tasks of different modules are rivals
# if their names share a noun.
_VERB_GROUPS = {
    **dict.fromkeys(("get", "find", "search", "list", "show", "check", "compare", "detect", "track", "read"), "read"),
    **dict.fromkeys(("create", "add", "set", "save", "start", "schedule", "log", "write", "make", "post"), "write"),
    **dict.fromkeys(("cancel", "delete", "remove", "stop", "block", "clear"), "end"),
    **dict.fromkeys(("convert", "change", "encode", "translate"), "convert"),
    **dict.fromkeys(("book", "reserve", "order", "buy"), "book"),
    **dict.fromkeys(("send", "forward", "share", "invite"), "send"),
}
_STOP_WORDS = {"to", "of", "on", "a", "the", "from", "with", "for", "is", "in", "number", "list", "time", "level"}

# Further rivals, whose names do not show it. All tasks of one line are rivals.
_RIVALS = (
    ("get_weather", "get_forecast", "will_it_rain", "compare_temperatures", "get_wind_speed", "get_snow_report"),
    ("set_reminder", "add_task", "create_event", "set_alarm", "save_note", "add_to_list", "create_recurring_event"),
    ("set_reminder", "add_medication", "schedule_message", "set_timer"),
    ("set_timer", "start_stopwatch", "set_alarm", "create_countdown"),
    ("send_text", "schedule_message", "send_email", "post_to_channel", "create_group_chat", "invite_guests"),
    ("sum_numbers", "average", "calculate", "percentage_of", "sort_numbers"),
    ("split_bill", "percentage_of", "calculate", "loan_payment", "compound_interest", "add_expense"),
    ("area_of_rectangle", "circle_measure", "calculate", "square_root", "is_prime"),
    ("convert_length", "convert_weight", "convert_volume", "convert_temperature", "convert_currency", "calculate"),
    ("scale_ingredient", "calculate", "percentage_of"),
    ("calculate_bmi", "calculate"),
    ("days_between", "shift_date", "age_on_date", "create_countdown", "calculate"),
    ("get_time", "convert_time"),
    ("encode_text", "hash_text", "caesar_cipher", "change_case", "reverse_text", "translate_text", "generate_password"),
    ("roll_dice", "random_number"),
    ("list_events", "find_free_slot", "find_attractions"),
    ("start_habit", "start_stopwatch", "log_workout", "make_training_plan", "log_reading"),
    ("define_word", "find_synonyms", "translate_text", "detect_language", "search_encyclopedia", "search_web"),
    ("label_mails", "search_mail", "forward_attachment"),
    ("create_event", "invite_to_video_call", "find_free_slot", "invite_guests", "answer_invitation"),
    ("create_event", "book_haircut", "book_doctor", "reserve_table", "cancel_event", "move_event"),
    ("add_to_list", "add_to_cart", "order_groceries", "add_gift_idea", "add_to_watchlist", "save_note"),
    ("remove_from_cart", "return_item", "track_parcel"),
    ("search_products", "compare_prices", "set_price_alert", "find_store", "find_nearby"),
    ("order_groceries", "order_food", "reserve_table", "plan_meals"),
    ("find_restaurants", "find_nearby", "reserve_table", "find_store", "find_parking"),
    ("search_flights", "search_trains", "get_directions", "get_distance", "plan_round_trip", "rent_car", "call_taxi"),
    ("search_trains", "get_departures", "get_flight_status", "get_traffic"),
    ("book_hotel", "search_hotels", "rate_film", "review_hotel"),
    ("cancel_booking", "cancel_event", "return_item"),
    ("find_attractions", "book_tour", "plan_round_trip", "find_nearby", "find_concerts"),
    ("search_files", "search_photos", "search_mail", "search_notes", "get_free_space", "open_program"),
    ("move_file", "rename_file", "delete_files", "compress_files", "convert_document", "create_folder", "resize_image"),
    ("share_folder", "share_calendar", "share_playlist", "share_location", "forward_attachment", "send_email"),
    ("convert_document", "resize_image", "edit_photo", "summarize_document", "print_document"),
    ("play_song", "play_genre", "tune_radio", "play_podcast", "create_playlist", "get_lyrics"),
    ("add_song_to_playlist", "create_playlist", "share_playlist"),
    ("search_films", "get_showtimes", "book_cinema_tickets", "add_to_watchlist", "rate_film", "record_show"),
    ("book_cinema_tickets", "buy_match_tickets", "book_tour", "find_concerts"),
    ("recommend_books", "reserve_library_book", "log_reading"),
    ("switch_light", "set_light_scene", "switch_device", "activate_scene", "move_blinds"),
    ("set_thermostat", "switch_device", "preheat_oven", "activate_scene"),
    ("start_vacuum", "switch_device", "water_garden"),
    ("lock_door", "arm_alarm_system", "activate_scene"),
    ("find_recipes", "get_recipe", "plan_meals", "find_substitute", "get_nutrition"),
    ("log_meal", "log_water", "get_nutrition", "log_workout", "rate_wine"),
    ("log_sleep", "set_alarm", "save_note"),
    ("save_note", "log_workout", "log_meal", "log_water", "add_pet_record", "lend_item", "add_gift_idea", "rate_wine"),
    ("save_note", "log_sleep", "log_reading", "add_expense", "save_place"),
    ("book_doctor", "check_symptoms", "add_medication"),
    ("find_fitness_class", "make_training_plan", "find_tutor"),
    ("transfer_money", "pay_bill", "add_expense", "list_transactions", "invest_in_funds", "trade_shares"),
    ("get_balance", "list_transactions", "set_budget"),
    ("get_stock_price", "trade_shares"),
    ("freeze_card", "block_number"),
    ("get_news", "get_headlines", "search_web", "follow_topic", "search_encyclopedia", "get_election_results"),
    ("get_match_result", "get_league_table", "get_next_match", "get_player_stats", "get_news", "buy_match_tickets"),
    ("create_album", "search_photos", "edit_photo"),
    ("create_issue", "add_task", "report_road_problem", "hire_craftsman"),
    ("create_poll", "find_free_slot", "create_group_chat"),
    ("make_flashcards", "make_json"),
    ("search_jobs", "search_homes"),
    ("write_review", "rate_film", "review_hotel"),
    ("share_location", "send_text"),
    ("read_aloud", "translate_text"),
    ("public_holidays", "upcoming_holidays"),
    ("exchange_amount", "latest_rates", "convert_currency", "calculate"),
    ("country_facts", "page_in_language", "search_encyclopedia", "search_web", "random_fact"),
    ("page_in_language", "translate_text"),
    ("airport_info", "get_flight_status", "get_departures"),
    ("random_joke", "joke_categories", "random_fact"),
    ("random_picture", "count_pictures", "search_photos"),
)


def are_rivals(one: Task, other: Task) -> bool:
    """Return whether a request for one task might be answered with the other. Then only one of them may be listed."""
    return other.name in _rivals_of(one.name)


@cache
def _rivals_of(name: str) -> frozenset[str]:
    from_table = {other for line in _RIVALS if name in line for other in line}
    return frozenset({name, *from_table, *(other for other in FIELD_OF if _have_similar_names(name, other))})


def _have_similar_names(name: str, other: str) -> bool:
    """Return whether the names share a noun and, for tasks of one module in fields/, have verbs of one group."""
    (verb, *things), (other_verb, *others) = name.split("_"), other.split("_")
    shared = {_singular(thing) for thing in things} & {_singular(thing) for thing in others} - _STOP_WORDS
    same_deed = _VERB_GROUPS.get(verb, verb) == _VERB_GROUPS.get(other_verb, other_verb)
    return bool(shared) and (same_deed or FIELD_OF[name] != FIELD_OF[other])


def _singular(word: str) -> str:
    return word.removesuffix("s")
