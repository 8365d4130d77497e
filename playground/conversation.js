// A conversation as OpenAI's messages, and streamed deltas folded into messages.

/** An assistant's message while it is streamed. Its calls are kept by their index. */
export class StreamedMessage {
  content = "";
  reasoning = "";
  calls = new Map();

  feed(delta) {
    this.content += delta.content ?? "";
    this.reasoning += reasoningOf(delta);
    for (const part of delta.tool_calls ?? []) {
      let call = this.calls.get(part.index);
      if (!call) this.calls.set(part.index, (call = { id: "", name: "", arguments: "" }));
      call.id ||= part.id ?? "";
      call.name ||= part.function?.name ?? "";
      call.arguments += part.function?.arguments ?? "";
    }
  }

  /** Return OpenAI's message, or null if there is nothing in it. */
  message({ hasCalls }) {
    const message = { role: "assistant", content: this.content || null };
    if (this.reasoning) message.reasoning_content = this.reasoning;
    if (this.calls.size && hasCalls) {
      message.tool_calls = [...this.calls.values()].map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      }));
    }
    return message.content || message.tool_calls ? message : null;
  }
}

/** Return the reasoning in a delta, whose field has two names. */
export function reasoningOf(delta) {
  return delta.reasoning_content ?? delta.reasoning ?? "";
}

/**
 * The entries of a conversation: what was sent or answered at once. An entry has its messages, the element that shows it
 * (null for results, which their calls' cards show), and whether the user sent it.
 */
export class Conversation {
  entries = [];

  get messages() {
    return this.entries.flatMap((entry) => entry.messages);
  }

  add(messages, shown, { isSent = false } = {}) {
    this.entries.push({ messages, shown, isSent });
  }

  /** Remove the entries from `start` on, with their elements. */
  cut(start) {
    for (const entry of this.entries.splice(start)) entry.shown?.remove();
  }

  /** Return the place of the last user message, or -1. */
  lastUser() {
    return this.entries.findLastIndex((entry) => entry.messages[0]?.role === "user");
  }

  /** Return the place after what the user sent last: a message, or results of calls. */
  afterLastSent() {
    return this.entries.findLastIndex((entry) => entry.isSent) + 1;
  }
}
