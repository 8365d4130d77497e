"""A travel planner of several steps: parallel calls, and a conversation that goes on.

Run `python3 examples/travel_planner.py`.
The embedded model needs each step said; a larger one plans from "Plan a trip from Paris to Berlin".
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent, ToolError

TRAINS = {("Paris", "Berlin"): "9:14", ("Berlin", "Prague"): "10:32"}
HOTELS = {"Berlin": "Hotel Adler, 90 euros a night", "Prague": "Hotel Moldau, 70 euros a night"}
WEATHER = {"Berlin": "18 degrees and cloudy", "Prague": "21 degrees and sunny"}


def find_train(origin: str, destination: str) -> str:
    """Find a train between two cities."""
    if (origin, destination) not in TRAINS:
        raise ToolError(f"there is no train from {origin} to {destination}")
    return f"departs at {TRAINS[origin, destination]}"


def search_hotels(city: str) -> str:
    """Search hotels in a city."""
    return HOTELS.get(city, "no hotel found")


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return WEATHER.get(city, "unknown")


STEPS = (
    "Find a train from Paris to Berlin, a hotel in Berlin, and the weather in Berlin.",
    "Find a train from Berlin to Prague, a hotel in Prague, and the weather in Prague.",
)

if __name__ == "__main__":
    agent = Agent([find_train, search_hotels, get_weather], temperature=0)
    messages = []
    for step in STEPS:
        print(step)
        answer = agent.run([*messages, {"role": "user", "content": step}])
        messages = answer.messages
        for result in answer.results:
            print(f"  {result.name}: {result.text}")
        print(answer.text)
