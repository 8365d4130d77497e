"""Tasks about reminders, notes, lists and habits."""

from __future__ import annotations

from train.everyday.tasks import Ask, Task, may, need
from train.everyday.values import DATE, PERSON, TIME, WHEN, count, one_of, several, text
from train.everyday.vocabulary import CHORES, SENTENCES, TOPICS

CHORE = text(CHORES)
NOTE = text(SENTENCES)
LIST = text(("shopping", "packing", "work", "party", "garden", "weekend", "movie"))
ITEM = text(("sunscreen", "batteries", "paper towels", "candles", "a phone charger", "dog food", "light bulbs", "tea"))

FIELD = (
    Task(
        "set_reminder",
        "Set a reminder for a time",
        (need("task", CHORE, "What to be reminded of"), need("time", TIME, "When"), may("day", WHEN, "Day, as said")),
        (
            "Remind me to [{task} at {time}]",
            "Remind me {day} at {time} to {task}",
            "At {time}, remind me to {task}.",
            "Don't let me forget to {task} at {time}.",
        ),
        lambda a, f: {"reminder_id": f.code("R")},
        "I'll remind you at {time} to {task}.",
        (
            Ask("Remind me to {task}.", "When?", "At {time}."),
            Ask("Set a reminder for {time}.", "What should I remind you of?", "To {task}."),
        ),
        "Also to [{task} at {time}].",
    ),
    Task(
        "add_task",
        "Add a task to the to-do list",
        (
            need("title", CHORE, "The task"),
            may("priority", one_of("low", "medium", "high"), "Priority"),
            may("due", DATE, "Due date, YYYY-MM-DD"),
            may("assignee", PERSON, "Who does it"),
        ),
        (
            'Add "{title}" to my to-do list',
            'Put ["{title}"] on my list of tasks',
            'New task for {assignee}: "{title}", due {due}.',
            'Add the task "{title}" with {priority} priority',
        ),
        lambda a, f: {"task_id": f.code("T"), "open_tasks": f.whole(2, 15)},
        'I added "{title}". You now have {open_tasks} open tasks.',
        (Ask("Add a task to my list.", "What is the task?", "{title}"),),
    ),
    Task(
        "complete_task",
        "Mark a task as done",
        (need("title", CHORE, "The task"),),
        ('Mark ["{title}"] as done', 'I finished "{title}", tick it off.', 'Check off "{title}"'),
        lambda a, f: {"remaining": f.whole(0, 9)},
        "Well done! {remaining} tasks are left.",
        (Ask("Tick off a task for me.", "Which one is done?", "{title}"),),
    ),
    Task(
        "save_note",
        "Save a note",
        (need("content", NOTE, "Text of the note"), may("tags", several(LIST, 1, 3), "Tags")),
        (
            'Make a note: "{content}".',
            'Write down "{content}"',
            'Save a note saying "{content}" and tag it {tags}',
        ),
        lambda a, f: {"note_id": f.code("N")},
        "Noted.",
        (Ask("Take a note, please.", "What should I write down?", "{content}"),),
    ),
    Task(
        "search_notes",
        "Search through the saved notes",
        (need("query", text(TOPICS), "Words to look for"), may("limit", count(2, 10), "How many at most")),
        (
            "Find my notes about [{query}]",
            "What did I write about {query}?",
            "Show me up to {limit} notes on {query}",
        ),
        lambda a, f: {"matches": f.whole(1, 6), "newest": f"2025-0{f.whole(1, 9)}-1{f.whole(0, 9)}"},
        "There are {matches} notes about {query}, the newest from {newest}.",
        (Ask("Search my notes.", "What are you looking for?", "{query}"),),
    ),
    Task(
        "add_to_list",
        "Add items to a named list",
        (need("list_name", LIST, "Name of the list"), need("items", several(ITEM, 1, 4), "What to add")),
        (
            "Add {items} to my {list_name} list",
            "Put {items} on the {list_name} list",
            "I need {items}, add that to the {list_name} list.",
        ),
        lambda a, f: {"size": len(a["items"]) + f.whole(0, 8)},
        "Done, your {list_name} list has {size} items now.",
        (Ask("Add {items} to my list.", "To which list?", "The {list_name} list."),),
    ),
    Task(
        "start_habit",
        "Start tracking a habit with a goal per week",
        (
            need("habit", text(("meditation", "running", "reading", "stretching", "journaling", "swimming")), "Habit"),
            need("times_per_week", count(2, 6), "Goal per week"),
        ),
        (
            "Track [{habit} {times_per_week} times a week]",
            "I want to do {habit} {times_per_week} times a week, keep track of it.",
            "Set a goal of {times_per_week} times a week for {habit}",
        ),
        lambda a, f: {"habit_id": f.code("H")},
        "I'm tracking {habit}, {times_per_week} times a week.",
        (Ask("Track {habit} for me.", "How many times a week is your goal?", "{times_per_week}"),),
    ),
)
