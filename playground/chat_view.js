// The entries of a conversation as elements.

import { CallCard } from "./call_card.js";
import { StreamedMessage } from "./conversation.js";
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

/** An assistant's message on the page, which grows while it is streamed. */
export class AssistantEntry {
  streamed = new StreamedMessage();
  element = element("article", { class: "entry assistant" }, author("Model"));
  cards = new Map();
  isOver = false;
  #reasoning = null;
  #text = null;

  feed(delta) {
    this.streamed.feed(delta);
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (thought) (this.#reasoning ??= this.#grow("reasoning")).append(thought);
    if (delta.content) (this.#text ??= this.#grow("text")).append(delta.content);
    for (const part of delta.tool_calls ?? []) {
      if (!this.cards.has(part.index)) {
        const card = new CallCard();
        this.cards.set(part.index, card);
        this.element.append(card.element);
      }
      this.cards.get(part.index).feed(part);
    }
  }

  /** Show that nothing more comes. */
  end({ isCut }) {
    this.isOver = true;
    this.#reasoning?.flush();
    this.#text?.flush();
    for (const grown of this.element.querySelectorAll(".is-writing")) grown.classList.remove("is-writing");
    for (const card of this.cards.values()) card.end(isCut ? "not finished" : "called");
  }

  /** Return the card of the call with this id, if the message has it. */
  card(id) {
    for (const [index, call] of this.streamed.calls) if (call.id === id) return this.cards.get(index);
    return undefined;
  }

  showFacts(text) {
    if (text) this.element.append(element("div", { class: "facts", text }));
  }

  #grow(kind) {
    const shown = element("div", { class: `${kind} is-writing` });
    this.element.append(shown);
    return new GrowingText(shown);
  }
}
