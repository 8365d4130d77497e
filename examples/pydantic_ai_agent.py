"""Uses pydantic-ai with its default settings: a tool, a typed answer and a stream, over Responses and Messages.

Run `make serve` in one terminal. In another, run `pip install "pydantic-ai-slim[openai,anthropic]"`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/pydantic_ai_agent.py`.
"""

from pydantic import BaseModel
from pydantic_ai import Agent


class Weather(BaseModel):
    city: str
    degrees: int


for model in ("openai:functionary", "anthropic:functionary"):
    agent = Agent(model, instructions="Answer in one sentence.")

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        return f"21 degrees in {city}"

    print(agent.run_sync("What is the weather in Paris?").output)
    streamed = agent.run_stream_sync("What is the weather in Paris?")
    print(*streamed.stream_text(delta=True), sep="")
    print(Agent(model, output_type=Weather).run_sync("Paris has 21 degrees.").output)
