// The conversation on the page: sends messages and results, shows answers, and takes turns back.

import { Answer } from "./answer.js";
import { errorEntry, userEntry } from "./chat_view.js";
import { Conversation } from "./conversation.js";
import { button, byId } from "./dom.js";
import { ServerError } from "./server.js";

const NEAR = 80; // pixels from the end of the messages that count as the end

export class Chat {
  lastBody = null;
  #conversation = new Conversation();
  #pending = [];
  #sendResults = null;
  #stopper = null;
  #server;
  #request;
  #exampleResult;

  /** `request` makes the body for messages; `exampleResult` returns a text, perhaps empty, for a function's name and the
   *  number of its call. */
  constructor(server, request, exampleResult) {
    this.#server = server;
    this.#request = request;
    this.#exampleResult = exampleResult;
  }

  get isBusy() {
    return this.#stopper !== null;
  }

  /** Return the messages of the next request, if `draft` is the user's next message, perhaps empty. */
  nextMessages(draft) {
    const results = this.#pending.map(({ call, card }) => resultMessage(call, card));
    return [...this.#conversation.messages, ...results, ...(draft ? [{ role: "user", content: draft }] : [])];
  }

  /** Send the user's message. Return false if calls wait for their results first. */
  async send(text) {
    if (this.#pending.length) {
      say("First send the results of the calls, or remove the turn.");
      this.#pending[0].card.focus();
      return false;
    }
    const shown = userEntry(text);
    this.#show(shown);
    this.#conversation.add([{ role: "user", content: text }], shown, { isSent: true });
    await this.#run();
    return true;
  }

  stop() {
    this.#stopper?.abort();
  }

  async retry() {
    this.#cut(this.#conversation.afterLastSent());
    await this.#run();
  }

  /** Remove the last turn and return its message. */
  removeTurn() {
    const place = this.#conversation.lastUser();
    const text = this.#conversation.entries[place]?.messages[0].content ?? "";
    this.#cut(Math.max(0, place));
    this.#update();
    say("");
    return text;
  }

  reset() {
    this.stop();
    this.#stopper = null;
    this.#cut(0);
    this.lastBody = null;
    this.#update();
    say("");
  }

  async #run() {
    const stopper = new AbortController();
    const answer = new Answer();
    this.#stopper = stopper;
    this.lastBody = this.#request(this.#conversation.messages);
    this.#show(answer.entry.element);
    this.#update();
    say("Answering …");
    let failure = null;
    let ignored = null;
    try {
      const body = { ...this.lastBody, stream: true, stream_options: { include_usage: true } };
      const onHead = (headers) => (ignored = headers.get("x-ignored-fields"));
      for await (const chunk of this.#server.stream("chat/completions", body, stopper.signal, onHead)) {
        const isFollowed = isAtEnd();
        answer.feed(chunk);
        if (isFollowed) scrollToEnd();
      }
    } catch (error) {
      failure = error;
    }
    if (this.#stopper !== stopper) return; // the chat was reset meanwhile
    this.#stopper = null;
    const isFollowed = isAtEnd();
    this.#conversation.add(answer.end({ isStopped: failure !== null }), answer.entry.element);
    if (failure && answer.isEmpty) answer.entry.element.remove();
    if (failure && !stopper.signal.aborted) this.#showError(failure);
    if (!failure && !answer.isAtLimit) this.#askResults(answer.pending);
    this.#update();
    if (isFollowed) scrollToEnd();
    say(this.#outcome(failure, stopper.signal.aborted, ignored));
  }

  #outcome(failure, isStopped, ignored) {
    if (isStopped) return "Stopped.";
    if (failure) return "The answer failed.";
    if (this.#pending.length) return "The model calls a function. Enter its result and send it.";
    return ignored ? `Done. The server ignored: ${ignored}.` : "Done.";
  }

  #askResults(pending) {
    this.#pending = pending;
    if (!pending.length) return;
    const numbers = new Map();
    for (const { call, card } of pending) {
      const number = numbers.get(call.name) ?? 0;
      numbers.set(call.name, number + 1);
      card.askResult(this.#exampleResult(call.name, number));
    }
    this.#sendResults = button(pending.length > 1 ? "Send results" : "Send result", "send-results", () => this.#resume());
    pending.at(-1).card.element.after(this.#sendResults);
  }

  async #resume() {
    const results = this.#pending.map(({ call, card }) => resultMessage(call, card));
    for (const [place, { card }] of this.#pending.entries()) card.showResult(results[place].content, "result sent");
    this.#conversation.add(results, null, { isSent: true });
    this.#forgetCalls();
    byId("message").focus({ preventScroll: true });
    await this.#run();
  }

  #forgetCalls() {
    this.#pending = [];
    this.#sendResults?.remove();
    this.#sendResults = null;
  }

  #cut(start) {
    this.#forgetCalls();
    this.#conversation.cut(start);
  }

  #showError(error) {
    if (!(error instanceof ServerError)) console.error(error);
    const shown = errorEntry(error);
    this.#show(shown);
    this.#conversation.add([], shown);
  }

  #show(made) {
    byId("log").append(made);
    scrollToEnd();
  }

  #update() {
    const isEmpty = this.#conversation.entries.length === 0;
    byId("welcome").hidden = !isEmpty;
    byId("turn-buttons").hidden = isEmpty || this.isBusy;
    byId("send").hidden = this.isBusy;
    byId("stop").hidden = !this.isBusy;
    byId("log").setAttribute("aria-busy", String(this.isBusy));
    byId("log-frame").dispatchEvent(new CustomEvent("changed"));
  }
}

function resultMessage(call, card) {
  return { role: "tool", tool_call_id: call.id, content: card.result };
}

/** Return what scrolls the messages: their frame, or the whole page on a narrow screen. */
function scrolled() {
  const frame = byId("log-frame");
  return getComputedStyle(frame).overflowY === "visible" ? document.scrollingElement : frame;
}

/** Whether the end of the messages is in view, so that what comes next is followed. */
function isAtEnd() {
  const box = scrolled();
  return box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
}

function scrollToEnd() {
  const box = scrolled();
  box.scrollTop = box.scrollHeight;
}

/** Tell the user, also one who hears the page. */
function say(text) {
  byId("status").textContent = text;
}
