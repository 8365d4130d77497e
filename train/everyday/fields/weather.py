"""Tasks about weather, sky and sea."""

from __future__ import annotations

from train.everyday.proper_names import CITIES
from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import CITY, COUNTRY, DAY, WHEN, count, one_of, several, text

BEACHES = text(("Bondi Beach", "Praia da Rocha", "Waikiki", "Brighton Beach", "Playa Grande", "Sandy Cove", "Long Bay"))
RESORTS = text(("Zermatt", "Aspen", "Chamonix", "Whistler", "Kitzbühel", "Niseko", "Val Thorens", "Davos"))
RIVERS = text(("Rhine", "Danube", "Thames", "Mississippi", "Loire", "Elbe", "Tagus", "Hudson"))
UNIT = one_of("celsius", "fahrenheit")

FIELD = (
    Task(
        "get_weather",
        "Get the current weather in a city",
        (need("city", CITY, "Name of the city"), may("unit", UNIT, "Temperature unit", "celsius")),
        (
            "What's the weather like [in {city}] right now?",
            "How's the weather [in {city}]?",
            "Tell me the weather [in {city}]",
            "Current weather [in {city}] in {unit}, please.",
            "How warm is it in {city} at the moment, in {unit}?",
        ),
        lambda a, f: {
            "conditions": f.pick("sunny", "cloudy", "rainy", "windy", "clear"),
            "temperature": f.whole(50, 86) if a.get("unit") == "fahrenheit" else f.whole(6, 31),
        },
        "It's {conditions} in {city} with a temperature of {temperature} degrees.",
        (
            Ask("What's the weather like?", "For which city?", "{city}."),
            Ask("Tell me how warm it is in {unit}.", "Which city would you like to know about?", "In {city}, please."),
        ),
        "And [in {city}]?",
    ),
    Task(
        "get_forecast",
        "Get the weather forecast for the coming days",
        (need("location", CITY, "City or town"), need("days", count(2, 10), "How many days ahead")),
        (
            "What will the weather be like in {location} over the next {days} days?",
            "Give me the {days} day forecast for [{location}]",
            "I'm going to {location}, how does it look there for the next {days} days?",
            "Show me the forecast [for {location}] for {days} days",
        ),
        lambda a, f: {"outlook": f.pick("mostly dry", "unsettled", "sunny spells", "showers"), "high": f.whole(14, 30)},
        "For the next {days} days expect {outlook} in {location}, with highs of about {high} degrees.",
        (
            Ask("Give me the forecast for {location}.", "For how many days?", "{days} days."),
            Ask("What's the forecast for the next {days} days?", "Where?", "{location}"),
        ),
        "And for [{location}]?",
    ),
    Task(
        "will_it_rain",
        "Check whether rain is expected on a day",
        (need("place", CITY, "Place"), need("day", WHEN, "Day, as said, e.g. tomorrow or Friday")),
        (
            "Will it rain in {place} {day}?",
            "Do I need an umbrella {day} [in {place}]?",
            "Is it going to rain [in {place}] {day}?",
        ),
        lambda a, f: {"chance_percent": f.whole(1, 19) * 5},
        lambda a, r: (
            f"The chance of rain in {a['place']} is {r['chance_percent']} percent"
            + (", so take an umbrella." if r["chance_percent"] > 50 else ", so you should stay dry.")
        ),
        (Ask("Do I need an umbrella {day}?", "Where will you be?", "I'll be in {place}."),),
    ),
    Task(
        "get_air_quality",
        "Look up the air quality index of a city",
        (need("city", CITY, "City"),),
        (
            "How's the air quality [in {city}] today?",
            "Check the air quality [in {city}]",
            "Is the air [in {city}] clean enough for a run?",
        ),
        lambda a, f: (lambda aqi: {"aqi": aqi, "level": "good" if aqi <= 50 else "moderate"})(f.whole(15, 99)),
        "The air quality in {city} is {level}, with an index of {aqi}.",
        (Ask("How clean is the air?", "In which city?", "{city}"),),
        "How about [{city}]?",
    ),
    Task(
        "get_sun_times",
        "Find out when the sun rises and sets",
        (need("city", CITY, "City"), need("event", one_of("sunrise", "sunset"), "Which of the two")),
        (
            "When is {event} [in {city}] today?",
            "What time is {event} [in {city}]?",
            "Tell me the {event} time [for {city}]",
        ),
        lambda a, f: {"time": f"{f.whole(5, 7) if a['event'] == 'sunrise' else f.whole(17, 21)}:{f.whole(10, 59)}"},
        "Today {event} in {city} is at {time}.",
        (Ask("When is {event}?", "For which city?", "For {city}."),),
        "And [in {city}]?",
    ),
    Task(
        "get_pollen_level",
        "Check the pollen level for one kind of plant",
        (
            need("plant", one_of("grass", "birch", "ragweed", "hazel"), "Plant"),
            need("region", CITY, "City or region"),
        ),
        (
            "How bad is the [{plant}] pollen in {region} today?",
            "Check [{plant}] pollen for {region}",
            "I'm allergic to {plant}. What's the pollen level in {region}?",
        ),
        lambda a, f: {"level": f.pick("low", "medium", "high")},
        "The {plant} pollen level in {region} is {level} today.",
        (Ask("Check the {plant} pollen level.", "For which region?", "{region}"),),
    ),
    Task(
        "get_wind_speed",
        "Measure the wind speed at a place",
        (
            need("place", CITY, "Place"),
            may("unit", one_of(kmh="kilometres per hour", mph="miles per hour", knots="knots"), "Unit of the speed"),
        ),
        ("How windy is it [in {place}]?", "What's the wind speed [in {place}]?", "Wind speed in {place} in {unit}?"),
        lambda a, f: {"speed": f.whole(3, 45), "unit": a.get("unit", "kmh"), "direction": f.pick("west", "north")},
        "The wind in {place} blows from the {direction} at {speed} {unit}.",
        (Ask("How windy is it?", "Which place do you mean?", "{place}"),),
    ),
    Task(
        "get_tide_times",
        "Get the times of high and low tide at a beach",
        (need("beach", BEACHES, "Name of the beach"), may("day", WHEN, "Day, as said")),
        (
            "When is high tide [at {beach}]?",
            "Show me the tides [at {beach}] {day}",
            "I want to surf at {beach} {day}. When are the tides?",
        ),
        lambda a, f: {"high": f"{f.whole(6, 11)}:{f.whole(10, 59)}", "low": f"{f.whole(13, 18)}:{f.whole(10, 59)}"},
        "At {beach} high tide is at {high} and low tide at {low}.",
        (Ask("When is high tide?", "At which beach?", "{beach}"),),
    ),
    Task(
        "get_snow_report",
        "Get the snow depth of a ski resort",
        (need("resort", RESORTS, "Ski resort"),),
        (
            "How much snow is there [in {resort}]?",
            "Get me the snow report [for {resort}]",
            "Is there enough snow to ski [in {resort}]?",
        ),
        lambda a, f: {"depth_cm": f.whole(10, 200), "open_lifts": f.whole(3, 40)},
        "There are {depth_cm} cm of snow in {resort}, and {open_lifts} lifts are open.",
        (Ask("How much snow is there?", "In which resort?", "{resort}"),),
        "And [in {resort}]?",
    ),
    Task(
        "compare_temperatures",
        "Compare the temperatures of several cities",
        (need("cities", several(text(CITIES), 2, 4), "Cities to compare"), may("day", DAY, "Day, as said")),
        (
            "Which is warmest today: {cities}?",
            "Compare the temperatures of {cities} on {day}",
            "Compare how warm it is in {cities}",
        ),
        lambda a, f: {"temperatures": {city: f.whole(5, 32) for city in a["cities"]}},
        lambda a, r: (
            "The warmest is "
            + max(a["cities"], key=lambda city: r["temperatures"][city])
            + f" with {max(r['temperatures'].values())} degrees."
        ),
    ),
    Task(
        "get_moon_phase",
        "Tell the phase of the moon on a day",
        (need("day", WHEN, "Day, as said"),),
        ("What phase is the moon in {day}?", "What will the moon look like {day}?", "Tell me the moon phase [{day}]"),
        lambda a, f: {"phase": f.pick("full moon", "new moon", "waxing crescent", "waning gibbous", "first quarter")},
        lambda a, r: f"The moon phase then is {r['phase']}.",
    ),
    Task(
        "set_weather_alert",
        "Subscribe to weather warnings of one kind for a country",
        (
            need("country", COUNTRY, "Country"),
            need("kind", one_of("storm", "heat", "flood", "frost"), "Kind of warning"),
        ),
        (
            "Warn me about any {kind} in [{country}]",
            "Send me [{kind}] alerts for {country}",
            "I'd like {kind} warnings for {country}.",
        ),
        lambda a, f: {"alert_id": f.code("AL")},
        "Done, you will get {kind} warnings for {country}.",
        (Ask("I'd like to get {kind} warnings.", "For which country?", "{country}"),),
    ),
    Task(
        "get_river_level",
        "Get the water level of a river at a city",
        (need("river", RIVERS, "River"), may("city", CITY, "City at the river")),
        ("How high is the [{river}] at the moment?", "Check the water level of the [{river}]"),
        lambda a, f: {"level_m": f.number(1, 6), "trend": f.pick("rising", "falling", "steady")},
        "The {river} is at {level_m} metres and {trend}.",
        (Ask("Check the water level for me.", "Of which river?", "The {river}."),),
        "And the [{river}]?",
    ),
)
