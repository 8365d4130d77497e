// The prompt of the next answer, token by token, coloured by who wrote each token.

import { byId, element } from "./dom.js";

const BLOCK = 500; // tokens that are drawn in one frame
const KINDS = new Map([
  ["markup", "template"],
  ["caller", "caller"],
  ["model", "model"],
]);

export class PromptView {
  #server;
  #number = 0; // of the newest request; an answer to an older one is dropped

  constructor(server) {
    this.#server = server;
  }

  /** Show the prompt of a request. */
  async show(body) {
    const number = ++this.#number;
    if (!body.messages.length) {
      this.#clear("Write a message first.");
      return;
    }
    let prompt;
    try {
      prompt = await this.#server.json("chat/completions/render", body);
    } catch (error) {
      if (number === this.#number) this.#clear(error.message);
      return;
    }
    if (number !== this.#number) return;
    this.#clear("");
    this.#showLegend(prompt);
    this.#draw(prompt.tokens, 0, number);
  }

  #clear(message) {
    byId("prompt-status").textContent = message;
    byId("legend").replaceChildren();
    byId("tokens").replaceChildren();
  }

  #showLegend(prompt) {
    const counts = new Map([...KINDS.keys()].map((kind) => [kind, 0]));
    for (const { kind } of prompt.tokens) counts.set(kind, counts.get(kind) + 1);
    const parts = [...KINDS].map(([kind, name]) => element("span", { class: kind, text: `${name} ${counts.get(kind)}` }));
    byId("legend").replaceChildren(...parts);
    byId("prompt-status").textContent = `${prompt.prompt_tokens} tokens in the format ${prompt.template}.`;
  }

  #draw(tokens, start, number) {
    if (number !== this.#number || start >= tokens.length) return;
    const block = element("span", { class: "token-block" });
    for (const token of tokens.slice(start, start + BLOCK)) block.append(tokenElement(token));
    byId("tokens").append(block);
    requestAnimationFrame(() => this.#draw(tokens, start + BLOCK, number));
  }
}

function tokenElement({ id, text, kind }) {
  const made = element("span", { class: `token ${KINDS.has(kind) ? kind : ""}`, text, title: `${id} · ${KINDS.get(kind)}` });
  if (text.includes("\n")) made.classList.add("newline");
  if (text === "") made.classList.add("partial");
  return made;
}
