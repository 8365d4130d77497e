// Examples for a first visit: functions, a question, and what the functions might return.

const text = (description) => ({ type: "string", description });

export const EXAMPLES = [
  {
    title: "Weather",
    question: "What is the weather in Istanbul?",
    functions: [
      {
        name: "get_current_weather",
        description: "Get the current weather in a given location",
        parameters: {
          type: "object",
          properties: {
            location: text("The city and state, e.g. San Francisco, CA"),
            unit: { type: "string", enum: ["celsius", "fahrenheit"] },
          },
          required: ["location"],
        },
      },
    ],
    results: new Map([["get_current_weather", '{"temperature": 21, "unit": "celsius", "sky": "partly cloudy"}']]),
  },
  {
    title: "Calendar",
    question: "Add a meeting with Dana on Friday at 3 pm, please.",
    functions: [
      {
        name: "create_event",
        description: "Create an event in the user's calendar",
        parameters: {
          type: "object",
          properties: { title: text("The title of the event"), day: text("The day"), time: text("The time of day") },
          required: ["title", "day", "time"],
        },
      },
      {
        name: "list_events",
        description: "List the events of a day in the user's calendar",
        parameters: { type: "object", properties: { day: text("The day") }, required: ["day"] },
      },
    ],
    results: new Map([
      ["create_event", '{"id": 17, "status": "created"}'],
      ["list_events", '[{"title": "Lunch with Sam", "time": "12:30"}]'],
    ]),
  },
  {
    title: "Lights",
    question: "Turn on the lights in the kitchen and set them to 40 percent.",
    functions: [
      {
        name: "set_lights",
        description: "Switch the lights of a room on or off, and set their brightness",
        parameters: {
          type: "object",
          properties: {
            room: text("The room"),
            state: { type: "string", enum: ["on", "off"] },
            brightness: { type: "integer", description: "The brightness in percent", minimum: 0, maximum: 100 },
          },
          required: ["room", "state"],
        },
      },
    ],
    results: new Map([["set_lights", '{"status": "ok"}']]),
  },
  {
    title: "Currency",
    question: "How much is 250 euros in Japanese yen?",
    functions: [
      {
        name: "convert_currency",
        description: "Convert an amount of money from one currency to another",
        parameters: {
          type: "object",
          properties: {
            amount: { type: "number", description: "The amount of money" },
            from_currency: text("The currency of the amount, e.g. USD"),
            to_currency: text("The currency to convert to, e.g. GBP"),
          },
          required: ["amount", "from_currency", "to_currency"],
        },
      },
    ],
    results: new Map([["convert_currency", '{"amount": 40512.5, "currency": "JPY"}']]),
  },
];
