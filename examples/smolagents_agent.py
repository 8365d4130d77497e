"""Uses smolagents: an agent that calls a tool and ends with its answer, whole and streamed.

Run `make serve` in one terminal. In another, run `pip install "smolagents[openai]"`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none` and `python3 examples/smolagents_agent.py`.
"""

from smolagents import OpenAIModel, ToolCallingAgent, tool


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city.

    Args:
        city: The name of the city.
    """
    return f"21 degrees in {city}"


model = OpenAIModel("functionary")
print(ToolCallingAgent([get_weather], model, verbosity_level=0).run("What is the weather in Paris?"))

streaming = ToolCallingAgent([get_weather], model, stream_outputs=True, verbosity_level=0)
streaming.logger.console.quiet = True  # it would draw the stream on the terminal
*_, last = streaming.run("What is the weather in Paris?", stream=True)
print(last.output)
