"""Tasks about recipes, restaurants and the pantry."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import (
    ADDRESS,
    CITY,
    FLAG,
    FULL_NAME,
    TIME,
    WHEN,
    count,
    lines,
    number,
    one_of,
    several,
    text,
    whole,
)
from train.everyday.vocabulary import CUISINES, FOODS, INGREDIENTS, WEEKDAYS

DISH, INGREDIENT = text(FOODS), text(INGREDIENTS)
DIET = one_of("vegan", "vegetarian", "gluten_free", "low_carb")
RESTAURANT = text(
    ("Trattoria Lucia", "The Green Bowl", "Sakura House", "Casa Pepe", "Bistro Nord", "The Spice Route", "Blue Door")
)
ORDERABLE = (
    "margherita pizzas",
    "spring rolls",
    "cheeseburgers",
    "veggie wraps",
    "miso soups",
    "chicken curries",
    "salads",
    "lemonades",
)

FIELD = (
    Task(
        "find_recipes",
        "Find recipes by ingredients and diet",
        (
            need("ingredients", several(INGREDIENT, 2, 4), "What is at hand"),
            may("diet", DIET, "Diet"),
            may("max_minutes", whole(15, 90, 5), "Longest time to cook"),
            may("servings", count(2, 8), "Number of people"),
        ),
        (
            "What can I cook with {ingredients}?",
            "Find a {diet} recipe with {ingredients}",
            "I have {ingredients} and {max_minutes} minutes. What could I make?",
            "Give me recipes for {servings} people that use {ingredients}",
        ),
        lambda a, f: {
            "recipes": f.whole(2, 30),
            "best": f.pick("a quick stir-fry", "a warm salad", "an oven bake", "a hearty soup"),
        },
        "I found {recipes} recipes; the best rated is {best}.",
        (Ask("Find me something {diet} to cook.", "Which ingredients do you have?", "{ingredients}"),),
    ),
    Task(
        "get_recipe",
        "Get the recipe of a dish",
        (
            need("dish", DISH, "Name of the dish"),
            may("servings", count(2, 9), "Number of people"),
            may("metric", FLAG, "Metric units"),
        ),
        (
            "How do I make [{dish}]?",
            "Show me a recipe for [{dish}]",
            "I'd like to cook {dish} for {servings} people.",
            ("Give me the recipe for {dish} in grams and liters", {"metric": True}),
        ),
        lambda a, f: {"minutes": f.whole(4, 18) * 5, "steps": f.whole(4, 9)},
        "The {dish} takes {minutes} minutes and has {steps} steps.",
        (Ask("I need a recipe.", "For which dish?", "{dish}"),),
        "And for [{dish}]?",
    ),
    Task(
        "reserve_table",
        "Reserve a table at a restaurant",
        (
            need("restaurant", RESTAURANT, "Name of the restaurant"),
            need("people", count(2, 10), "Number of guests"),
            need("day", WHEN, "Day, as said"),
            need("time", TIME, "Time, as said"),
            may("outside", FLAG, "Whether to sit outside"),
            may("name", FULL_NAME, "Name for the reservation"),
        ),
        (
            "Book a table for {people} at {restaurant} {day} at {time}",
            "Reserve {restaurant} for {people} people {day}, {time}, under the name {name}, please.",
            ("We'd like to eat outside at {restaurant} {day} at {time}, {people} of us.", {"outside": True}),
            "Can you get us into {restaurant} {day} at {time}? There are {people} of us.",
            (
                "A table outside at {restaurant} {day} at {time} for {people}, the name is {name}.",
                {"outside": True},
            ),
        ),
        lambda a, f: {"confirmation": f.code("T")},
        "Your table for {people} at {restaurant} is booked for {time}; the code is {confirmation}.",
        (
            Ask("Book a table at {restaurant} {day} at {time}.", "For how many people?", "For {people}."),
            Ask("Reserve a table at {restaurant} {day} for {people}.", "At what time?", "At {time}."),
        ),
    ),
    Task(
        "find_restaurants",
        "Find restaurants of a cuisine in a city",
        (
            need("cuisine", text(CUISINES), "Cuisine"),
            need("city", CITY, "City"),
            may("price_level", one_of("cheap", "moderate", "expensive"), "How expensive"),
            may("diet", DIET, "Diet that they serve"),
            may("open_now", FLAG, "Whether they must be open now"),
        ),
        (
            "Where can I get good {cuisine} food [in {city}]?",
            "Find a {price_level} {cuisine} restaurant in {city}",
            "We're in {city} and want {diet} {cuisine} food.",
            ("Which {cuisine} places in {city} are open now?", {"open_now": True}),
        ),
        lambda a, f: {"best": f.pick("Trattoria Lucia", "The Green Bowl", "Blue Door"), "rating": f.number(3.5, 5)},
        "Try {best} in {city}, rated {rating}.",
        (Ask("Find a {cuisine} restaurant.", "In which city?", "{city}"),),
        "And [in {city}]?",
    ),
    Task(
        "order_food",
        "Order dishes from a restaurant",
        (
            need("restaurant", RESTAURANT, "Restaurant"),
            need("dishes", lines(ORDERABLE, "dish", "quantity"), "Dishes, and how many of each"),
            may("address", ADDRESS, "Where to deliver it; pickup if left out"),
            may("pay_by", one_of("cash", "card"), "How to pay"),
            may("cutlery", FLAG, "Whether to add cutlery"),
        ),
        (
            "Order {dishes} from {restaurant}",
            "Get {dishes} from {restaurant} delivered to {address}",
            ("I'd like {dishes} from {restaurant}, no cutlery please, I pay by {pay_by}.", {"cutlery": False}),
        ),
        lambda a, f: {"order": f.code("F"), "total": f.number(18, 90, 2), "minutes": f.whole(4, 12) * 5},
        "Your order {order} costs ${total} and is ready in {minutes} minutes.",
        (Ask("Order something from {restaurant}.", "Which dishes would you like?", "{dishes}"),),
    ),
    Task(
        "get_nutrition",
        "Get the nutrients of an amount of food",
        (
            need("food", INGREDIENT, "Food"),
            need("grams", whole(20, 400, 10), "Amount in grams"),
            may("nutrients", several(one_of("calories", "protein", "fat", "sugar", "fiber"), 2, 3), "Which nutrients"),
        ),
        (
            "How many calories are in [{grams} grams of {food}]?",
            "Tell me the {nutrients} in {grams} g of {food}",
            "Nutrition facts of [{grams} g {food}], please.",
        ),
        lambda a, f: {
            "calories": round(a["grams"] * f.number(0.3, 4)),
            "protein_g": round(a["grams"] * f.number(0.01, 0.2, 3), 1),
        },
        "{grams} grams of {food} have {calories} calories and {protein_g} g of protein.",
        (Ask("How many calories are in {food}?", "How many grams?", "{grams} grams."),),
    ),
    Task(
        "plan_meals",
        "Plan the meals of several days",
        (
            need("days", several(text(WEEKDAYS, enum=list(WEEKDAYS)), 2, 4), "Days to plan"),
            may("calories_per_day", whole(1400, 2800, 100), "Calories a day"),
            may("diet", DIET, "Diet"),
            may("avoid", several(INGREDIENT, 1, 3), "What to leave out"),
        ),
        (
            "Plan our meals for {days}",
            "Make a {diet} meal plan for {days} with {calories_per_day} calories a day",
            "I need a meal plan for {days}, without {avoid}.",
        ),
        lambda a, f: {"meals": len(a["days"]) * 3},
        "The plan is ready: {meals} meals.",
        (Ask("Make me a {diet} meal plan.", "For which days?", "For {days}."),),
    ),
    Task(
        "scale_ingredient",
        "Scale the amount of an ingredient to another number of servings",
        (
            need("grams", whole(50, 900, 50), "Amount in the recipe, in grams"),
            need("from_servings", count(2, 4), "Servings of the recipe"),
            need("to_servings", count(5, 10), "Servings wanted"),
        ),
        (
            "My recipe for {from_servings} uses {grams} grams of flour. How much is that for {to_servings} people?",
            "Scale {grams} grams from {from_servings} to {to_servings} servings",
        ),
        lambda a, f: {"scaled_grams": round(a["grams"] * a["to_servings"] / a["from_servings"])},
        "You need {scaled_grams} grams.",
        (Ask("Scale {grams} grams in a recipe for {from_servings}.", "To how many servings?", "To {to_servings}."),),
    ),
    Task(
        "find_substitute",
        "Find what can replace an ingredient",
        (
            need("ingredient", INGREDIENT, "Ingredient to replace"),
            may("dish", DISH, "Dish it is for"),
            may("reason", one_of("allergy", "taste"), "Why"),
        ),
        (
            "What can I use instead of [{ingredient}]?",
            "I'm out of {ingredient} for the {dish}. What could replace it?",
            "Find a substitute for [{ingredient}]",
        ),
        lambda a, f: {
            "substitute": f.pick("mushrooms", "apple sauce", "soy cream", "chickpeas"),
            "ratio": f.pick("1:1", "1:2", "2:1"),
        },
        "Instead of {ingredient} you can take {substitute}, {ratio}.",
        (Ask("I need a substitute for the {dish}.", "For which ingredient?", "{ingredient}"),),
        "And instead of [{ingredient}]?",
    ),
    Task(
        "rate_wine",
        "Save a wine with points and price",
        (
            need(
                "wine", text(("Riesling", "Malbec", "Chianti", "Merlot", "Chardonnay", "Rioja", "Pinot Noir")), "Wine"
            ),
            need("year", whole(1998, 2023), "Vintage"),
            need("points", whole(70, 100), "Points out of 100"),
            may("price", number(6, 90), "Price in dollars"),
        ),
        (
            "Save the {year} {wine} with {points} points",
            "The {wine} from {year} cost ${price} and I give it {points} points.",
            "Note [the {wine} of {year}, {points} points]",
        ),
        lambda a, f: {"saved": True},
        "The {year} {wine} is in your cellar book.",
        (Ask("Save the {year} {wine} in my list.", "How many points does it get?", "{points}"),),
    ),
)
