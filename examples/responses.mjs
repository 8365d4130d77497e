// Uses the openai client: a tool call and its result over Responses, whole and streamed, and a parsed answer.
//
// Run `make serve` in one terminal. In another, run `npm install openai zod`,
// `export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none` and `node examples/responses.mjs`.

import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI();
const model = "functionary";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", name: "get_weather", description: "Weather of a city", parameters }];
const asked = await client.responses.create({
  model, tools, tool_choice: "required", input: "What is the weather in Paris?",
});
const call = asked.output.find((item) => item.type === "function_call");
console.log(call.name, call.arguments);

const output = { type: "function_call_output", call_id: call.call_id, output: "21 degrees" };
const stream = client.responses.stream({ model, tools, previous_response_id: asked.id, input: [output] });
stream.on("response.output_text.delta", (event) => process.stdout.write(event.delta));
console.log("\n" + (await stream.finalResponse()).output_text);

const format = zodTextFormat(z.object({ city: z.string(), degrees: z.number().int() }), "weather");
const parsed = await client.responses.parse({ model, input: "Paris has 21 degrees.", text: { format } });
console.log(parsed.output_parsed);
