// Examples for a first visit: functions, a question, and what each function might return, call by call.

const text = (description) => ({ type: "string", description });

const WEATHER = {
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
};

export const EXAMPLES = [
  {
    title: "Weather",
    question: "What is the weather in Istanbul?",
    functions: [WEATHER],
    results: new Map([["get_current_weather", ['{"temperature": 21, "unit": "celsius", "sky": "partly cloudy"}']]]),
  },
  {
    title: "Two calls at once",
    question: "What is the weather in Paris and in Rome?",
    functions: [WEATHER],
    results: new Map([["get_current_weather", ['{"temperature": 14, "sky": "rain"}', '{"temperature": 26, "sky": "sunny"}']]]),
  },
  {
    title: "Two functions",
    question: "Remind me to call Dana at 3 pm, and what is the weather in Paris?",
    functions: [
      WEATHER,
      {
        name: "set_reminder",
        description: "Set a reminder",
        parameters: {
          type: "object",
          properties: { text: text("What to remind of"), time: text("When to remind") },
          required: ["text", "time"],
        },
      },
    ],
    results: new Map([
      ["get_current_weather", ['{"temperature": 14, "sky": "rain"}']],
      ["set_reminder", ['{"status": "set"}']],
    ]),
  },
  {
    title: "Calendar",
    question: "Put lunch with Dana on Friday at 12:30 into my calendar.",
    functions: [
      {
        name: "create_event",
        description: "Create a calendar event",
        parameters: {
          type: "object",
          properties: {
            title: text("The title of the event"),
            date: text("The date of the event"),
            time: text("When the event starts"),
          },
          required: ["title", "date", "time"],
        },
      },
      {
        name: "list_events",
        description: "List the events of one day",
        parameters: { type: "object", properties: { date: text("The day") }, required: ["date"] },
      },
    ],
    results: new Map([
      ["create_event", ['{"status": "created"}']],
      ["list_events", ['[{"title": "Lunch with Sam", "time": "12:30"}]']],
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
    results: new Map([["set_lights", ['{"status": "ok"}']]]),
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
    results: new Map([["convert_currency", ['{"amount": 40512.5, "currency": "JPY"}']]]),
  },
];
