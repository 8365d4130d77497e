// The entries of a conversation as elements.

import { CallCard } from "./call_card.js";
import { element, GrowingText } from "./dom.js";

function author(name) {
  return element("div", { class: "author", text: name });
}

/** Make the element of a user's message. */
export function userEntry(text) {
  return element("article", { class: "entry user" }, author("You"), element("div", { class: "text", text }));
}

/** Make the element of an error: its message, and what a report of it needs. */
export function errorEntry(error) {
  const known = [];
  if (error.status) known.push(`status ${error.status}`);
  if (error.param) known.push(`field ${error.param}`);
  if (error.requestId) known.push(`request ${error.requestId}`);
  const facts = element("div", { class: "facts", text: known.join(" · ") });
  return element("article", { class: "entry error", role: "alert" }, element("div", { text: error.message }), facts);
}

/** An answer on the page: its texts and the cards of its calls, in the order in which they arrive. */
export class AssistantEntry {
  element = element("article", { class: "entry assistant" }, author("Model"));
  #kind = "";
  #growing = null;

  /** Add to a text: `kind` is text or reasoning. The line breaks before a text are not shown. */
  write(kind, text) {
    if (this.#kind !== kind) {
      text = text.trimStart();
      if (!text) return;
      this.#close();
      const shown = element("div", { class: `${kind} is-writing` });
      this.element.append(shown);
      this.#kind = kind;
      this.#growing = new GrowingText(shown);
    }
    this.#growing.append(text);
  }

  addCard() {
    this.#close();
    const card = new CallCard();
    this.element.append(card.element);
    return card;
  }

  /** Show that nothing more comes, and facts about the answer. */
  end(facts) {
    this.#close();
    if (facts) this.element.append(element("div", { class: "facts", text: facts }));
  }

  #close() {
    this.#growing?.flush();
    this.element.querySelector(":scope > .is-writing")?.classList.remove("is-writing");
    this.#growing = null;
    this.#kind = "";
  }
}
