"""Uses the openai client's Responses API: a tool call and its result, a streamed answer, and a parsed answer.

Run `make serve` in one terminal. In another, run `pip install openai`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none` and `python3 examples/responses.py`.
"""

from openai import OpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


client = OpenAI()
parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = [{"type": "function", "name": "get_weather", "description": "Weather of a city", "parameters": parameters}]
asked = client.responses.create(
    model="functionary", input="What is the weather in Paris?", tools=tools, tool_choice="required"
)
call = next(item for item in asked.output if item.type == "function_call")
print(call.name, call.arguments)

result = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}
with client.responses.stream(
    model="functionary", previous_response_id=asked.id, input=[result], max_output_tokens=60
) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
print()

parsed = client.responses.parse(model="functionary", input="Paris has 21 degrees.", text_format=Weather)
print(parsed.output_parsed)
