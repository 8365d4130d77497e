// Uses the AI SDK with the default settings of @ai-sdk/openai: a tool, whole and streamed, and a typed answer.
//
// Run `make serve` in one terminal. In another, run `npm install ai @ai-sdk/openai zod`,
// `export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none` and `node examples/ai_sdk.mjs`.

import { openai } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const model = openai("functionary");
const get_weather = tool({
  description: "Weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});
const request = { model, tools: { get_weather }, stopWhen: stepCountIs(3), prompt: "What is the weather in Paris?" };
const { text, steps } = await generateText(request);
console.log(steps[0].toolResults[0].output);
console.log(text);

for await (const delta of streamText(request).textStream) process.stdout.write(delta);
console.log();

const schema = z.object({ city: z.string(), degrees: z.number().int() });
const typed = await generateText({ model, prompt: "Paris has 21 degrees.", output: Output.object({ schema }) });
console.log(typed.output);
