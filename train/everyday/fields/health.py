"""Tasks about health, sleep, sport and doctors."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import CITY, DATE, FLAG, FULL_NAME, TIME, WHEN, count, number, one_of, several, text, whole
from train.everyday.vocabulary import DOCTORS, FOODS, SYMPTOMS, WEEKDAYS

ACTIVITY = one_of("running", "cycling", "swimming", "yoga", "rowing", "hiking", "climbing", "walking")
MEDICINE = text(
    ("ibuprofen", "vitamin D", "iron tablets", "Loratadine", "cough syrup", "magnesium", "the blue pill", "eye drops")
)
CALORIES = {
    "running": 11,
    "cycling": 8,
    "swimming": 9,
    "yoga": 4,
    "rowing": 10,
    "hiking": 7,
    "climbing": 9,
    "walking": 4,
}
MUSCLE = one_of("legs", "back", "chest", "arms", "core", "shoulders")
_LEVEL = one_of("beginner", "intermediate", "advanced")


def _bmi(weight: float, height: float) -> float:
    return round(weight / (height / 100) ** 2, 1)


FIELD = (
    Task(
        "log_workout",
        "Record a workout",
        (
            need("activity", ACTIVITY, "Kind of sport"),
            need("minutes", whole(10, 120, 5), "Duration"),
            may("distance_km", number(1, 40), "Distance in kilometers"),
            may("intensity", one_of("easy", "medium", "hard"), "How hard it was"),
            may("heart_rate", whole(95, 180), "Average heart rate"),
        ),
        (
            "Log [{minutes} minutes of {activity}]",
            "I did {activity} for {minutes} minutes, {distance_km} km, it was {intensity}.",
            "Record a workout: {activity}, {minutes} minutes, heart rate {heart_rate}.",
            "Log {activity}: {distance_km} km in {minutes} minutes, {intensity}, heart rate {heart_rate}.",
            "Add {distance_km} kilometers of {activity} in {minutes} minutes to my diary",
        ),
        lambda a, f: {"calories": a["minutes"] * CALORIES[a["activity"]]},
        "Well done! {minutes} minutes of {activity} burn about {calories} calories.",
        (Ask("Log my {activity} session.", "How many minutes did it take?", "{minutes}"),),
    ),
    Task(
        "log_meal",
        "Record what was eaten",
        (
            need("meal", one_of("breakfast", "lunch", "dinner", "snack"), "Which meal"),
            need("foods", several(text(FOODS), 1, 3), "What was eaten"),
            may("calories", whole(150, 1200, 50), "Calories"),
        ),
        (
            "I had {foods} for {meal}.",
            "Log {foods} for {meal}, {calories} calories in all.",
            "Write down that my {meal} was {foods}",
        ),
        lambda a, f: {"calories_today": a.get("calories", 400) + f.whole(2, 15) * 100},
        "Saved. That makes {calories_today} calories today.",
        (Ask("Log my {meal}.", "What did you eat?", "{foods}"),),
    ),
    Task(
        "calculate_bmi",
        "Compute the body mass index",
        (
            need("weight_kg", number(45, 120), "Weight in kilograms"),
            need("height_cm", whole(145, 205), "Height in centimeters"),
        ),
        (
            "I weigh {weight_kg} kilos and I'm {height_cm} cm tall. What's my BMI?",
            "What's the BMI of someone with [{weight_kg} kg and {height_cm} cm]?",
            "Work out my body mass index: {weight_kg} kg, {height_cm} cm.",
        ),
        lambda a, f: {"bmi": _bmi(a["weight_kg"], a["height_cm"])},
        "The body mass index is {bmi}.",
        (
            Ask("What's my BMI if I weigh {weight_kg} kg?", "How tall are you?", "{height_cm} cm."),
            Ask("What's my BMI?", "What are your weight and your height?", "{weight_kg} kg and {height_cm} cm."),
        ),
    ),
    Task(
        "book_doctor",
        "Make an appointment with a doctor",
        (
            need("specialty", text(DOCTORS), "Kind of doctor"),
            need("day", WHEN, "Day wanted, as said"),
            may("patient", FULL_NAME, "Name of the patient"),
            may("symptoms", several(text(SYMPTOMS), 1, 3), "Complaints"),
            may("first_visit", FLAG, "Whether the patient is new there"),
        ),
        (
            "I need an appointment with a {specialty} {day}.",
            "Make an appointment for {patient} at the {specialty} {day}",
            "I have {symptoms}. Get me to a {specialty} {day}.",
            ("Book me in with a {specialty} {day}, it's my first visit there.", {"first_visit": True}),
        ),
        lambda a, f: {
            "time": f"{f.whole(8, 16)}:{f.pick('00', '20', '40')}",
            "doctor": f.pick("Dr. Hale", "Dr. Osei", "Dr. Lind"),
        },
        "You can see {doctor} at {time}.",
        (
            Ask("I need to see a {specialty}.", "On which day?", "{day}"),
            Ask("Make me a doctor's appointment {day}.", "What kind of doctor?", "A {specialty}."),
        ),
    ),
    Task(
        "add_medication",
        "Set up regular reminders to take a medicine",
        (
            need("medicine", MEDICINE, "Name of the medicine"),
            need("times", several(TIME, 1, 3), "Times of the day"),
            may("dose", number(1, 3, 1), "How many each time"),
            may("with_food", FLAG, "Whether to take it with food"),
            may("until", DATE, "Last day, YYYY-MM-DD"),
        ),
        (
            "I have to take {medicine} at {times}.",
            "Remind me to take {dose} of {medicine} at {times}",
            ("Set up {medicine} at {times} with food", {"with_food": True}),
            "Add {medicine} to my medication plan, at {times} until {until}",
        ),
        lambda a, f: {"per_day": len(a["times"])},
        "I'll remind you of {medicine}, {per_day} times a day.",
        (Ask("Remind me of my {medicine}.", "At what times?", "At {times}."),),
    ),
    Task(
        "check_symptoms",
        "Tell what certain symptoms could mean and how urgent they are",
        (
            need("symptoms", several(text(SYMPTOMS), 2, 3), "Symptoms"),
            may("age", whole(18, 80), "Age of the person"),
            may("since_days", count(2, 14), "For how many days"),
        ),
        (
            "What could {symptoms} mean?",
            "I'm {age} and have had {symptoms} for {since_days} days. Should I worry?",
            "Check my symptoms: {symptoms}.",
        ),
        lambda a, f: {
            "urgency": f.pick("low", "medium"),
            "advice": f.pick("rest and drink a lot", "see a doctor this week"),
        },
        "The urgency is {urgency}: {advice}.",
        (Ask("I don't feel well. What could it be?", "What symptoms do you have?", "I have {symptoms}."),),
    ),
    Task(
        "log_sleep",
        "Record a night's sleep",
        (
            need("bedtime", TIME, "Time of going to bed"),
            need("wake_time", TIME, "Time of waking up"),
            may("quality", count(2, 10), "Quality from 1 to 10"),
        ),
        (
            "I slept from {bedtime} to {wake_time}.",
            "Log my sleep: bed at {bedtime}, up at {wake_time}, quality {quality} of 10.",
            "Record that I went to bed at {bedtime} and got up at {wake_time}",
        ),
        lambda a, f: {"week_average_hours": f.number(5.5, 8.5)},
        "Noted. Your average this week is {week_average_hours} hours.",
        (Ask("I went to bed at {bedtime}, log my sleep.", "When did you wake up?", "At {wake_time}."),),
    ),
    Task(
        "log_water",
        "Record how much somebody drank",
        (
            need("milliliters", whole(100, 1000, 50), "Amount"),
            may("drink", one_of("water", "tea", "coffee", "juice"), "What it was"),
        ),
        (
            "I drank [{milliliters} ml].",
            "Log {milliliters} milliliters of {drink}",
            "Add {milliliters} ml to my water for today",
        ),
        lambda a, f: {"today_ml": a["milliliters"] + f.whole(1, 14) * 100},
        "That makes {today_ml} ml today.",
        (Ask("Log some {drink}.", "How many milliliters?", "{milliliters}"),),
    ),
    Task(
        "make_training_plan",
        "Make a training plan",
        (
            need(
                "goal",
                text(
                    ("run a marathon", "lose weight", "build muscle", "touch my toes", "swim 2 km", "climb Mont Blanc")
                ),
                "Goal",
            ),
            need("weeks", count(4, 16), "Number of weeks"),
            may("days", several(text(WEEKDAYS, enum=list(WEEKDAYS)), 2, 4), "Days to train on"),
            may("level", _LEVEL, "Level"),
            may("focus", several(MUSCLE, 2, 3), "Muscles to train"),
        ),
        (
            "I want to {goal} in {weeks} weeks. Make a plan.",
            "Make a {weeks} week training plan so that I can {goal}, on {days}",
            "I'm {level}. Create a plan to {goal} within {weeks} weeks, with the focus on {focus}.",
        ),
        lambda a, f: {"sessions": a["weeks"] * len(a.get("days", (1, 2, 3)))},
        "Your plan has {sessions} sessions in {weeks} weeks.",
        (Ask("Make a plan so that I can {goal}.", "In how many weeks?", "{weeks}"),),
    ),
    Task(
        "find_fitness_class",
        "Find classes at a gym",
        (
            need("activity", one_of("yoga", "pilates", "boxing", "spinning", "zumba"), "Kind of class"),
            need("city", CITY, "City"),
            may("level", _LEVEL, "Level"),
            may("after", TIME, "Earliest start"),
        ),
        (
            "Find a {activity} class [in {city}]",
            "Is there {activity} for {level} people in {city} after {after}?",
            "I'd like to try {activity} in {city}.",
        ),
        lambda a, f: {"starts": f"{f.whole(7, 20)}:{f.pick('00', '30')}", "places": f.whole(1, 12)},
        "The next {activity} class in {city} starts at {starts}; {places} places are left.",
        (Ask("Find me a {activity} class.", "In which city?", "{city}"),),
    ),
)
