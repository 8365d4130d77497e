"""Calls a function without a server. Run `python3 -m examples.standalone` in the project's folder."""

from inference import generate, load_model

model = load_model()  # or load_model("musabgultekin/functionary-7b-v1", device="cuda")
message = generate(
    model,
    [{"role": "user", "content": "Remind me to water the plants at 6 pm."}],
    functions=[
        {
            "name": "set_reminder",
            "description": "Set a reminder",
            "parameters": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "time": {"type": "string", "description": "HH:MM"}},
                "required": ["text", "time"],
            },
        }
    ],
    function_call={"name": "set_reminder"},
)
print(message)
