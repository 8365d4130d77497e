"""Uses langchain-openai over chat completions and over Responses: a tool call and its result, and a stream.

Run `make serve` in one terminal. In another, run `pip install langchain-openai`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none` and `python3 examples/langchain_agent.py`.
"""

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"21 degrees in {city}"


for use_responses_api in (False, True):
    model = ChatOpenAI(model="functionary", use_responses_api=use_responses_api)
    messages = [HumanMessage("What is the weather in Paris?")]
    asked = model.bind_tools([get_weather], tool_choice="get_weather").invoke(messages)
    messages += [asked, *(get_weather.invoke(call) for call in asked.tool_calls)]
    print(*(message.text for message in model.stream(messages)), sep="")
    print(model.with_structured_output(Weather).invoke("Paris has 21 degrees."))
