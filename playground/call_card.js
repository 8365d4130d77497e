// The card of one call: its name, its arguments while they grow, and its result.

import { element, GrowingText } from "./dom.js";

export class CallCard {
  #name = element("span", { class: "name" });
  #state = element("span", { class: "tag", text: "writing" });
  #arguments;
  #field = null;

  constructor() {
    const text = element("pre", { class: "arguments is-writing", tabindex: "0", "aria-label": "Arguments" });
    this.#arguments = new GrowingText(text);
    const head = element("div", { class: "call-head" }, this.#name, this.#state);
    this.element = element("div", { class: "call" }, head, text);
  }

  feed(part) {
    if (part.function?.name) this.#name.textContent = part.function.name;
    this.#arguments.append(part.function?.arguments ?? "");
  }

  /** Show that no further argument comes. `state` is a word for the reader. */
  end(state) {
    this.#arguments.flush();
    this.#state.textContent = state;
    this.element.querySelector(".arguments").classList.remove("is-writing");
  }

  /** Ask the user for the result. */
  askResult(example) {
    this.#state.textContent = "needs a result";
    this.#field = element("textarea", { rows: "2", spellcheck: "false", placeholder: "What does the function return?" });
    this.#field.value = example;
    const title = example ? "Result (an example: change it as you like)" : "Result";
    this.element.append(element("label", { text: title }, this.#field));
  }

  get result() {
    return this.#field?.value ?? "";
  }

  focus() {
    this.#field?.focus();
  }

  /** Show the result, in place of the field for it. `state` is a word for the reader. */
  showResult(text, state) {
    this.#field?.closest("label").remove();
    this.#field = null;
    this.#state.textContent = state;
    const shown = element("pre", { class: "result", tabindex: "0", "aria-label": "Result" });
    this.element.append(element("label", { text: "Result" }), shown);
    const growing = new GrowingText(shown);
    growing.append(text);
    growing.flush();
  }
}
