// One streamed answer: what arrives, when it arrives, and the messages that it becomes.

import { AssistantEntry } from "./chat_view.js";

/** An answer, with the calls that the server ran before it (its trace). */
export class Answer {
  usage = null;
  finishReason = null;
  #show;
  #steps = new Map(); // by index: AssistantEntry, or a result {id, content}
  #last = null;
  #startedAt = performance.now();
  #firstAt = null;
  #endedAt = null;

  /** `show` puts an element on the page. */
  constructor(show) {
    this.#show = show;
  }

  /** The calls that wait for results by hand: pairs of a call and its card. */
  get pending() {
    if (!this.#last) return [];
    return [...this.#last.streamed.calls].map(([index, call]) => ({ call, card: this.#last.cards.get(index) }));
  }

  feed(chunk) {
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    this.finishReason = choice.finish_reason ?? this.finishReason;
    for (const part of choice.delta.trace ?? []) this.#feedTrace(part);
    const { content, reasoning_content, reasoning, tool_calls } = choice.delta;
    if (content || reasoning_content || reasoning || tool_calls?.length) {
      this.#arrived();
      this.#last ??= this.#entry();
      this.#last.feed(choice.delta);
    }
  }

  /** End the answer. Return its entries: {message, shown}, where a message may be null. */
  end({ isStopped }) {
    this.#endedAt = performance.now();
    const isCut = isStopped || this.finishReason === "length";
    const entries = this.#tracedEntries();
    if (this.#last) {
      this.#last.end({ isCut });
      entries.push({ message: this.#last.streamed.message({ isCut }), shown: this.#last.element });
    }
    const shown = this.#last ?? [...this.#steps.values()].findLast((step) => step instanceof AssistantEntry);
    shown?.showFacts(this.#facts(isStopped));
    return entries;
  }

  #entry() {
    const made = new AssistantEntry();
    this.#show(made.element);
    return made;
  }

  #arrived() {
    this.#firstAt ??= performance.now();
  }

  #feedTrace(part) {
    this.#arrived();
    const known = this.#steps.get(part.index);
    if (part.role === "tool" || (known && !(known instanceof AssistantEntry))) {
      const result = known ?? { id: part.tool_call_id, content: "" };
      result.content += part.content ?? "";
      this.#steps.set(part.index, result);
      if (!known) this.#endSteps();
      this.#card(result.id)?.showResult(result.content, "ran on the server");
      return;
    }
    const entry = known ?? this.#entry();
    this.#steps.set(part.index, entry);
    entry.feed(part);
  }

  #endSteps() {
    for (const step of this.#steps.values()) if (step instanceof AssistantEntry && !step.isOver) step.end({ isCut: false });
  }

  #card(id) {
    for (const step of this.#steps.values()) {
      const card = step instanceof AssistantEntry ? step.card(id) : undefined;
      if (card) return card;
    }
    return undefined;
  }

  /** Return the entries of the trace. A message loses its calls if a result is missing, since the API needs all. */
  #tracedEntries() {
    const results = new Map();
    for (const step of this.#steps.values()) if (!(step instanceof AssistantEntry)) results.set(step.id, step.content);
    const entries = [];
    for (const step of this.#steps.values()) {
      if (!(step instanceof AssistantEntry)) continue;
      const ids = [...step.streamed.calls.values()].map((call) => call.id);
      const isCut = !ids.every((id) => results.has(id));
      if (!step.isOver) step.end({ isCut });
      entries.push({ message: step.streamed.message({ isCut }), shown: step.element });
      if (isCut) continue;
      for (const id of ids) entries.push({ message: { role: "tool", tool_call_id: id, content: results.get(id) }, shown: null });
    }
    return entries;
  }

  #facts(isStopped) {
    const facts = [];
    if (isStopped) facts.push("stopped");
    if (this.finishReason === "length") facts.push("cut at the token limit");
    if (this.#firstAt !== null) facts.push(`first token after ${seconds(this.#firstAt - this.#startedAt)}`);
    if (this.usage) {
      const { prompt_tokens, completion_tokens, prompt_tokens_details } = this.usage;
      const duration = this.#endedAt - this.#startedAt;
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
