"""A calendar that an agent reads freely and changes only after you say yes.

Run `python3 examples/calendar_assistant.py`.
The embedded model needs the title, the date and the time in the sentence; a larger one asks for what is missing.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent, Tool, ToolError, tool

CALENDAR = {"2026-12-01": ["10:00 dentist"]}


@tool
def list_events(date: str) -> list[str]:
    """List the events of a day in the calendar."""
    return CALENDAR.get(date, [])


@tool(confirm=True)
def book_meeting(title: str, date: str, time: str) -> str:
    """Book a meeting in the calendar."""
    events = CALENDAR.setdefault(date, [])
    if any(event.startswith(time) for event in events):
        raise ToolError(f"there is something at {time} already")
    events.append(f"{time} {title}")
    return f"booked: {title} on {date} at {time}"


def confirm(asked: Tool, arguments: dict[str, Any]) -> bool:
    """Ask the user. At the end of the input, nothing is booked."""
    try:
        return input(f"  {asked.name} {json.dumps(arguments)}? [y/N] ").strip().lower() == "y"
    except EOFError:
        return False


QUESTIONS = (
    "What is in my calendar on 2026-12-01?",
    "Book a meeting called 'Budget' on 2026-12-01 at 15:00.",
    "What is in my calendar on 2026-12-01?",
)

if __name__ == "__main__":
    agent = Agent([list_events, book_meeting], confirm=confirm, temperature=0)
    for question in QUESTIONS:
        print(question)
        answer = agent.run(question)
        for result in answer.results:
            print(f"  {result.name}: {result.text}")
        print(answer.text)
