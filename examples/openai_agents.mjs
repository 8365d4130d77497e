// Uses @openai/agents with its default settings: an agent with a tool, run as a whole and as a stream.
//
// Run `make serve` in one terminal. In another, run `npm install @openai/agents zod`,
// `export OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none OPENAI_AGENTS_DISABLE_TRACING=1` and
// `node examples/openai_agents.mjs`.

import { Agent, run, tool } from "@openai/agents";
import { z } from "zod";

const get_weather = tool({
  name: "get_weather",
  description: "Weather of a city",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});
const agent = new Agent({
  name: "guide", model: "functionary", instructions: "Answer in one sentence.", tools: [get_weather],
});
const whole = await run(agent, "What is the weather in Paris?");
console.log(whole.finalOutput);

const streamed = await run(agent, "What is the weather in Paris?", { stream: true });
for await (const text of streamed.toTextStream()) process.stdout.write(text);
await streamed.completed;
console.log();
