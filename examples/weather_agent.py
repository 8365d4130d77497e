"""An agent that answers from a table of local climate data. Run `python3 examples/weather_agent.py [QUESTION]`.

The table has rounded usual values: the temperature of an afternoon, and the days with rain in a month.
"""

import csv
import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[1]))  # a program in another folder sets PYTHONPATH instead

from agent import Agent, ToolError

# fmt: off
Month = Literal["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                "November", "December"]
# fmt: on
with Path(__file__).with_name("climate.csv").open(newline="") as file:
    CLIMATE = {row["city"]: row for row in csv.DictReader(file)}


def get_weather(city: str, month: Month) -> dict[str, str]:
    """Get the usual weather of a city in a month."""
    if city not in CLIMATE:
        raise ToolError(f"no data for {city}; there are {', '.join(CLIMATE)}")
    degrees, days = CLIMATE[city][month[:3]].split()
    conditions = "dry" if int(days) < 5 else "mostly dry" if int(days) < 10 else "rainy"
    return {"temperature": f"{degrees} degrees", "conditions": conditions}


if __name__ == "__main__":
    agent = Agent([get_weather], temperature=0)
    for question in sys.argv[1:] or ["What is the weather in Paris in July?", "How is the weather in Rome in January?"]:
        answer = agent.run(question)
        print(question)
        for result in answer.results:
            print(f"  {result.name}: {result.text}")
        print(answer.text)
