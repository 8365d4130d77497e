// What a request has besides its messages: model, system message, functions and parameters.

import { byId, element } from "./dom.js";

const MODES = ["auto", "none", "required"];

/** List the models to choose from. */
export function showModels(names) {
  byId("model").replaceChildren(...names.map((name) => element("option", { value: name, text: name })));
}

/** List what `tool_choice` may be. The choice made before is kept if it still exists. */
export function showChoices(functionNames) {
  const select = byId("tool-choice");
  const before = select.value;
  const modes = MODES.map((mode) => element("option", { value: `mode ${mode}`, text: mode }));
  const names = functionNames.map((name) => element("option", { value: `name ${name}`, text: name }));
  select.replaceChildren(...modes, ...names);
  if ([...select.options].some((option) => option.value === before)) select.value = before;
}

/** Return the body of a request that is not streamed. */
export function requestBody(messages, functions, usesServerTools) {
  const system = byId("system").value.trim();
  const body = { model: byId("model").value, messages: system ? [{ role: "system", content: system }, ...messages] : messages };
  if (functions.length) body.tools = functions.map((one) => ({ type: "function", function: one }));
  if (usesServerTools) body.server_tools = true;
  const choice = toolChoice();
  if (choice !== "auto" && (functions.length || usesServerTools)) body.tool_choice = choice;
  const numbers = [["temperature", "temperature"], ["max_tokens", "max-tokens"], ["seed", "seed"]];
  for (const [name, id] of numbers) {
    if (byId(id).value !== "") body[name] = Number(byId(id).value);
  }
  if (byId("reasoning").value) body.reasoning_effort = byId("reasoning").value;
  return body;
}

function toolChoice() {
  const [kind, ...words] = byId("tool-choice").value.split(" ");
  const word = words.join(" ");
  return kind === "mode" ? word : { type: "function", function: { name: word } };
}
