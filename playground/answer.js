// One streamed answer: what arrives, when it arrives, and the messages that it becomes.

import { AssistantEntry } from "./chat_view.js";
import { reasoningOf, StreamedMessage } from "./conversation.js";

/** An answer, with the calls that the server ran for it (its trace). */
export class Answer {
  entry = new AssistantEntry();
  #message = new StreamedMessage();
  #trace = new Map(); // by index: a StreamedMessage with calls, or a result {id, content}
  #cards = new Map(); // by StreamedMessage: its cards by the index of the call
  #usage = null;
  #finishReason = null;
  #startedAt = performance.now();
  #firstAt = null;

  get isEmpty() {
    return this.#firstAt === null;
  }

  get isAtLimit() {
    return this.#finishReason === "length";
  }

  /** The calls that wait for results by hand: pairs of a call and its card. */
  get pending() {
    return [...this.#message.calls].map(([index, call]) => ({ call, card: this.#cards.get(this.#message).get(index) }));
  }

  feed(chunk) {
    this.#usage = chunk.usage ?? this.#usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    this.#finishReason = choice.finish_reason ?? this.#finishReason;
    const { content, tool_calls, trace = [] } = choice.delta;
    const thought = reasoningOf(choice.delta);
    if (content || thought || tool_calls?.length || trace.length) this.#firstAt ??= performance.now();
    if (thought) this.entry.write("reasoning", thought);
    if (content) this.entry.write("text", content);
    this.#feedMessage(this.#message, choice.delta);
    for (const part of trace) this.#feedTrace(part);
  }

  /** End the answer, complete or not, and return its messages. */
  end({ isStopped }) {
    const isCut = isStopped || this.isAtLimit;
    for (const card of this.#cards.get(this.#message)?.values() ?? []) card.end(isCut ? "not finished" : "called");
    this.entry.end(this.#facts(isStopped));
    const last = this.#message.message({ hasCalls: !isCut }); // the arguments of a cut call are incomplete
    return [...this.#tracedMessages(), ...(last ? [last] : [])];
  }

  #feedMessage(message, delta) {
    message.feed(delta);
    for (const part of delta.tool_calls ?? []) {
      if (!this.#cards.has(message)) this.#cards.set(message, new Map());
      const cards = this.#cards.get(message);
      if (!cards.has(part.index)) cards.set(part.index, this.entry.addCard());
      cards.get(part.index).feed(part);
    }
  }

  #feedTrace(part) {
    if (part.role === "tool") {
      this.#trace.set(part.index, { id: part.tool_call_id, content: part.content });
      const card = this.#tracedCard(part.tool_call_id);
      card?.end("running");
      card?.showResult(part.content, part.is_error ? "failed on the server" : "ran on the server");
      return;
    }
    if (!this.#trace.has(part.index)) this.#trace.set(part.index, new StreamedMessage());
    this.#feedMessage(this.#trace.get(part.index), part);
  }

  #tracedCard(id) {
    for (const [message, cards] of this.#cards) {
      for (const [index, call] of message.calls) if (call.id === id && message !== this.#message) return cards.get(index);
    }
    return undefined;
  }

  /** Return the messages of the trace, without calls that have no result because the answer was stopped. */
  #tracedMessages() {
    const steps = [...this.#trace.values()];
    const results = new Map(steps.filter((step) => "id" in step).map((step) => [step.id, step.content]));
    const messages = [];
    for (const step of steps.filter((one) => one instanceof StreamedMessage)) {
      for (const [index, call] of step.calls) {
        if (results.has(call.id)) continue;
        this.#cards.get(step).get(index).end("not finished");
        step.calls.delete(index);
      }
      const message = step.message({ hasCalls: true });
      if (!message) continue;
      messages.push(message);
      for (const { id } of message.tool_calls) messages.push({ role: "tool", tool_call_id: id, content: results.get(id) });
    }
    return messages;
  }

  #facts(isStopped) {
    const now = performance.now();
    const facts = [];
    if (isStopped) facts.push("stopped");
    if (this.isAtLimit) facts.push("cut at the token limit");
    if (this.#firstAt !== null) facts.push(`first token after ${seconds(this.#firstAt - this.#startedAt)}`);
    if (this.#usage) {
      const { prompt_tokens, completion_tokens, prompt_tokens_details } = this.#usage;
      const duration = now - this.#startedAt;
      facts.push(
        `${completion_tokens} tokens in ${seconds(duration)} (${((completion_tokens * 1000) / duration).toFixed(1)}/s)`,
        `prompt ${prompt_tokens} tokens, ${prompt_tokens_details?.cached_tokens ?? 0} cached`,
      );
    }
    return facts.join(" · ");
  }
}

function seconds(duration) {
  return `${(duration / 1000).toFixed(duration < 9950 ? 2 : 0)} s`;
}
