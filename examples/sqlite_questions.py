"""Questions over an SQLite database, which the agent can read and not change.

Run `python3 examples/sqlite_questions.py`.
The embedded model fills in the two simple functions; `query`, which lets a model write SQL, needs a larger one:
`python3 examples/sqlite_questions.py --url http://localhost:8000/v1 "Which year has most books?"`
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent import Agent, Tool, ToolError, tool

BOOKS = [
    ("Emma", "Jane Austen", 1815),
    ("Persuasion", "Jane Austen", 1817),
    ("Dracula", "Bram Stoker", 1897),
    ("Frankenstein", "Mary Shelley", 1818),
]
MAX_ROWS, MAX_S = 50, 2.0
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def make_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE books (title TEXT, author TEXT, year INTEGER)")
        database.executemany("INSERT INTO books VALUES (?, ?, ?)", BOOKS)
    database.close()


def read(path: Path, sql: str, *values: str) -> list[Any]:
    """Run one statement that can only read, for at most MAX_S seconds, and return at most MAX_ROWS rows."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        database.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY)
        end = time.monotonic() + MAX_S
        database.set_progress_handler(lambda: time.monotonic() > end, 1000)
        return database.execute(sql, values).fetchmany(MAX_ROWS)
    except sqlite3.Error as error:
        raise ToolError(f"the query failed: {error}") from None
    finally:
        database.close()


def tools(path: Path) -> list[Tool]:
    def find_books(author: str) -> list[str]:
        """Find the books of an author."""
        rows = read(path, "SELECT title, year FROM books WHERE author = ? COLLATE NOCASE ORDER BY year", author)
        return [f"{title} ({year})" for title, year in rows]

    def count_books(author: str) -> int:
        """Count the books of an author."""
        return int(read(path, "SELECT COUNT(*) FROM books WHERE author = ? COLLATE NOCASE", author)[0][0])

    def query(sql: str) -> list[Any]:
        """Run a SELECT query on the database. Tables: books(title, author, year)."""
        return read(path, sql)

    return [tool(one) for one in (find_books, count_books, query)]


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument(
        "question", nargs="*", default=["Find the books of Jane Austen.", "Count the books of Jane Austen."]
    )
    options.add_argument("--url", help="an OpenAI-compatible server, instead of the embedded model")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "library.sqlite"
        make_database(file)
        agent = Agent(tools(file), model=asked.url, temperature=0)
        for question in asked.question:
            answer = agent.run(question)
            print(question)
            for result in answer.results:
                print(f"  {result.name}: {result.text}")
            print(answer.text)
