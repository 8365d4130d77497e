"""Tasks about lights, heating, doors and machines at home."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need, nested
from train.everyday.values import FLAG, ROOM, TIME, composed, count, number, one_of, several, text, whole
from train.everyday.vocabulary import ROOMS, WEEKDAYS

DEVICE = text(
    (
        "coffee machine",
        "fan",
        "heater",
        "TV",
        "humidifier",
        "dishwasher",
        "washing machine",
        "fairy lights",
        "air conditioner",
    )
)
DOOR = text(("front door", "back door", "garage door", "garden gate", "balcony door", "cellar door"))
COLOR = text(("red", "warm white", "blue", "green", "purple", "orange", "pink", "turquoise", "cold white"))
LIGHT = composed("{room}", "{room}", room=ROOMS)
PLANT = text(("tomatoes", "roses", "lawn", "herbs", "hedge", "vegetable patch", "front yard"))
SCENE = text(("movie night", "good morning", "dinner", "away", "bedtime", "party", "reading", "relax"))

FIELD = (
    Task(
        "switch_light",
        "Switch the light of a room on or off",
        (need("room", LIGHT, "Room"), need("on", FLAG, "True for on, false for off")),
        (
            ("Turn on the light in [the {room}]", {"on": True}),
            ("Turn the light off in [the {room}]", {"on": False}),
            ("Lights on in [the {room}], please.", {"on": True}),
            ("It's too dark in the {room}. Switch the light on.", {"on": True}),
            ("I forgot to turn off the light in the {room}.", {"on": False}),
        ),
        lambda a, f: {"state": "on" if a["on"] else "off"},
        "The light in the {room} is {state}.",
        (Ask(("Turn on the light.", {"on": True}), "In which room?", "In the {room}."),),
        "And in [the {room}].",
    ),
    Task(
        "set_light_scene",
        "Set color and brightness of the lamps of a room",
        (
            need("room", ROOM, "Room"),
            nested(
                "light",
                "How the lamps shine",
                may("color", COLOR, "Color"),
                need("brightness", whole(5, 100, 5), "Percent"),
            ),
            may("fade_seconds", count(2, 30), "Seconds of the transition"),
        ),
        (
            "Set the {room} lights to {light.color} at {light.brightness}%",
            "Dim the lights in the {room} to {light.brightness} percent",
            "Make the {room} {light.color} with {light.brightness} percent brightness",
            "Fade the lamps in the {room} to {light.brightness}% within {fade_seconds} seconds",
        ),
        lambda a, f: {"done": True},
        "The lights in the {room} are at {light.brightness} percent.",
        (Ask("Dim the lights in the {room}.", "To how many percent?", "{light.brightness}"),),
    ),
    Task(
        "set_thermostat",
        "Set the target temperature of a room",
        (
            need("room", ROOM, "Room"),
            need("degrees", number(15, 26), "Temperature in degrees Celsius"),
            may("until", TIME, "Time until which it holds"),
            may("mode", one_of("heat", "cool", "auto"), "Mode"),
        ),
        (
            "Set [the {room} to {degrees} degrees]",
            "Make it {degrees} degrees in [the {room}]",
            "Heat the {room} to {degrees} degrees until {until}",
            "Set the {room} to {mode} at {degrees} degrees until {until}",
            "I'm cold. Put the {room} at {degrees} degrees, {mode} mode.",
        ),
        lambda a, f: {"now": f.number(16, 23), "target": a["degrees"]},
        "The {room} is at {now} degrees and will be at {degrees}.",
        (
            Ask("It's cold in the {room}. Turn up the heating.", "To how many degrees?", "{degrees}"),
            Ask("Set the heating to {degrees} degrees.", "In which room?", "In the {room}."),
        ),
    ),
    Task(
        "lock_door",
        "Lock or unlock a door",
        (need("door", DOOR, "Which door"), need("action", one_of("lock", "unlock"), "What to do")),
        ("{action} [the {door}], please.", "Could you {action} [the {door}]?", "Please {action} [the {door}] for me."),
        lambda a, f: {"battery_percent": f.whole(20, 100)},
        "The {door} has been {action}ed.",
        (Ask("Please {action} the door.", "Which door?", "The {door}."),),
    ),
    Task(
        "switch_device",
        "Switch a device on or off, now or later",
        (
            need("device", DEVICE, "Device"),
            need("on", FLAG, "True for on, false for off"),
            may("room", ROOM, "Room it is in"),
            may("in_minutes", whole(5, 90, 5), "Minutes to wait"),
        ),
        (
            ("Turn on [the {device}]", {"on": True}),
            ("Switch off [the {device}]", {"on": False}),
            ("Switch the {device} in the {room} off in {in_minutes} minutes", {"on": False}),
            ("Start the {device} in {in_minutes} minutes", {"on": True}),
            ("Is the {device} in the {room} still running? Turn it off.", {"on": False}),
        ),
        lambda a, f: {"ok": True},
        lambda a, r: (
            f"The {a['device']} "
            + (
                f"will go {'on' if a['on'] else 'off'} in {a['in_minutes']} minutes."
                if "in_minutes" in a
                else f"is {'on' if a['on'] else 'off'}."
            )
        ),
    ),
    Task(
        "start_vacuum",
        "Let the robot vacuum clean some rooms",
        (
            need("rooms", several(ROOM, 1, 3), "Rooms"),
            may("power", one_of("quiet", "normal", "max"), "Power"),
            may("mop", FLAG, "Whether to mop too"),
        ),
        (
            "Vacuum the {rooms}",
            "Send the robot to clean the {rooms} in {power} mode",
            ("Clean the {rooms} with the robot and mop the floor", {"mop": True}),
            "The {rooms} could use some vacuuming.",
        ),
        lambda a, f: {"minutes": f.whole(10, 70)},
        "The robot is on its way and needs about {minutes} minutes.",
        (Ask("Start the robot vacuum.", "Which rooms should it clean?", "The {rooms}."),),
    ),
    Task(
        "activate_scene",
        "Activate a scene of the house",
        (need("scene", SCENE, "Name of the scene"), may("at", TIME, "When; at once if left out")),
        (
            "Activate the {scene} scene",
            "Start {scene} at {at}",
            "I'd like the {scene} scene, please.",
            "Switch the house to {scene} mode",
        ),
        lambda a, f: {"devices": f.whole(3, 12)},
        "The {scene} scene is set for {devices} devices.",
        (Ask("Activate a scene.", "Which one?", "{scene}"),),
    ),
    Task(
        "water_garden",
        "Water a part of the garden",
        (
            need("area", PLANT, "What to water"),
            need("minutes", count(3, 30), "For how long"),
            may("days", several(text(WEEKDAYS, enum=list(WEEKDAYS)), 2, 3), "Days on which to repeat it"),
            may("skip_if_rain", FLAG, "Whether to leave it out when it rains"),
        ),
        (
            "Water [the {area} for {minutes} minutes]",
            "Give the {area} {minutes} minutes of water every {days}",
            ("Water the {area} for {minutes} minutes, unless it rains.", {"skip_if_rain": True}),
        ),
        lambda a, f: {"liters": a["minutes"] * 8},
        "Watering the {area}: that takes about {liters} liters.",
        (Ask("Water the {area}.", "For how many minutes?", "{minutes}"),),
    ),
    Task(
        "get_energy_use",
        "Get the energy used by a device or the house",
        (
            need("period", one_of("today", "this_week", "this_month"), "Period"),
            may("device", DEVICE, "Device; the whole house if left out"),
        ),
        (
            "How much power did we use {period}?",
            "How much energy has the {device} used {period}?",
            "Show me the electricity use {period} for the [{device}]",
        ),
        lambda a, f: {"kwh": f.number(0.5, 80), "cost": f.number(0.2, 25, 2)},
        "That was {kwh} kilowatt hours for ${cost}.",
        (Ask("How much energy does the {device} use?", "Today, this week or this month?", "{period}"),),
    ),
    Task(
        "move_blinds",
        "Open or close the blinds of a room to some extent",
        (
            need("room", ROOM, "Room"),
            need("closed_percent", whole(0, 100, 10), "100 is closed"),
            may("tilt", whole(0, 90, 15), "Angle in degrees"),
        ),
        (
            "Close the blinds in [the {room}] to {closed_percent} percent",
            "The sun is blinding me in the {room}. Blinds to {closed_percent}%.",
            "Set the {room} blinds to {closed_percent}% with a tilt of {tilt} degrees",
        ),
        lambda a, f: {"ok": True},
        "The blinds in the {room} are {closed_percent} percent closed.",
        (Ask("Close the blinds in the {room} a bit.", "To how many percent?", "{closed_percent}"),),
    ),
    Task(
        "preheat_oven",
        "Preheat the oven",
        (
            need("temperature", whole(100, 250, 10), "Degrees Celsius"),
            may("program", one_of(fan="fan", grill="grill", pizza="pizza"), "Program"),
            may("ready_at", TIME, "When it should be hot"),
        ),
        (
            "Preheat the oven to {temperature} degrees",
            "Set the oven to {temperature} on the {program} setting",
            "I want the oven at {temperature} degrees by {ready_at}.",
        ),
        lambda a, f: {"minutes": a["temperature"] // 20},
        "The oven needs {minutes} minutes to reach {temperature} degrees.",
        (Ask("Preheat the oven.", "To which temperature?", "{temperature} degrees."),),
    ),
    Task(
        "arm_alarm_system",
        "Arm the burglar alarm of the house",
        (
            need("mode", one_of("home", "away", "night"), "Mode"),
            need("code", text(("4821", "0937", "7715", "2266", "5040", "8123")), "Code"),
            may("exclude_rooms", several(ROOM, 1, 2), "Rooms that are left out"),
        ),
        (
            "Arm the alarm in {mode} mode, code {code}.",
            "Set the alarm system to {mode}, the code is {code}, but leave out the {exclude_rooms}.",
            "Turn on the burglar alarm for {mode} with code {code}",
        ),
        lambda a, f: {"armed": True, "delay_s": f.pick(15, 30, 45)},
        "The alarm is on and starts in {delay_s} seconds.",
        (Ask("Arm the alarm in {mode} mode.", "What is the code?", "{code}"),),
    ),
)
