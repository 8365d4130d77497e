"""Uses the openai client 0.28 with the older `functions`: gets one answer as a whole and another as a stream.

Run `make serve` in one terminal. In another, run `pip install openai==0.28.1` and `python3
examples/weather_openai_028.py`.
"""

import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "functionary"

request = {
    "model": "functionary",
    "messages": [{"role": "user", "content": "What is the weather for Istanbul?"}],
    "functions": [
        {
            "name": "get_current_weather",
            "description": "Get the current weather",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string", "description": "The city, e.g. San Francisco"}},
                "required": ["location"],
            },
        }
    ],
    "function_call": {"name": "get_current_weather"},
}
answer = openai.ChatCompletion.create(**request)
print(answer.choices[0].message.function_call)

for chunk in openai.ChatCompletion.create(**request, stream=True):
    call = chunk.choices[0].delta.get("function_call", {})
    print(call.get("name", ""), call.get("arguments", ""), sep="", end="", flush=True)
print()
