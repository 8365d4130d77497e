"""Uses openai-agents with its default settings: an agent with a tool, run as a whole and as a stream.

Run `make serve` in one terminal. In another, run `pip install openai-agents`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none OPENAI_AGENTS_DISABLE_TRACING=1` and
`python3 examples/openai_agents.py`.
"""

import asyncio

from agents import Agent, Runner, function_tool


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"21 degrees in {city}"


agent = Agent("guide", instructions="Answer in one sentence.", model="functionary", tools=[get_weather])


async def main() -> None:
    whole = await Runner.run(agent, "What is the weather in Paris?")
    print(whole.final_output)
    async for event in Runner.run_streamed(agent, "What is the weather in Paris?").stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            print(event.data.delta, end="", flush=True)
    print()


asyncio.run(main())
