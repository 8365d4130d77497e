"""Uses instructor: typed answers over chat completions and over Messages, whole and streamed.

Run `make serve` in one terminal. In another, run `pip install instructor anthropic`,
`export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none`,
`export ANTHROPIC_BASE_URL=http://localhost:8000 ANTHROPIC_API_KEY=none` and `python3 examples/instructor_answer.py`.
"""

import instructor
from pydantic import BaseModel


class Weather(BaseModel):
    city: str
    degrees: int


request = {"messages": [{"role": "user", "content": "Paris has 21 degrees."}], "response_model": Weather}
for model in ("openai/functionary", "anthropic/functionary"):
    client = instructor.from_provider(model)
    print(client.create(**request, max_tokens=60))
    *_, last = client.create_partial(**request, max_tokens=60)
    print(last)
