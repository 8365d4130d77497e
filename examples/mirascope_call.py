"""Uses mirascope over Responses and Messages: a tool call and its result, a stream, and a typed answer.

Run `make serve` in one terminal. In another, run `pip install "mirascope[openai,anthropic]"`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/mirascope_call.py`.
"""

from mirascope import llm
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


@llm.tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"21 degrees in {city}"


for name in ("openai/functionary", "anthropic/functionary"):
    model = llm.Model(name, max_tokens=60)
    asked = model.call("What is the weather in Paris?", tools=[get_weather])
    print(*(f"{call.name} {call.args}" for call in asked.tool_calls))
    print(asked.resume(asked.execute_tools()).text())
    streamed = model.stream("What is the weather in Paris?", tools=[get_weather])
    streamed.finish()
    print(*streamed.resume(streamed.execute_tools()).text_stream(), sep="", end="")
    print(model.call("Paris has 21 degrees.", format=Weather).parse())
