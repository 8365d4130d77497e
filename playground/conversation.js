// A conversation as OpenAI's messages, and streamed chunks folded into messages.

/** An assistant's message while it is streamed. Its calls are kept by their index. */
export class StreamedMessage {
  content = "";
  reasoning = "";
  calls = new Map();

  feed(delta) {
    this.content += delta.content ?? "";
    this.reasoning += delta.reasoning_content ?? delta.reasoning ?? "";
    for (const part of delta.tool_calls ?? []) {
      let call = this.calls.get(part.index);
      if (!call) this.calls.set(part.index, (call = { id: "", name: "", arguments: "" }));
      call.id ||= part.id ?? "";
      call.name ||= part.function?.name ?? "";
      call.arguments += part.function?.arguments ?? "";
    }
  }

  /** Return OpenAI's message, without calls if the answer was cut, since their arguments may be incomplete. */
  message({ isCut }) {
    const message = { role: "assistant", content: this.content || null };
    if (this.reasoning) message.reasoning_content = this.reasoning;
    if (this.calls.size && !isCut) {
      message.tool_calls = [...this.calls.values()].map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      }));
    }
    return message.content || message.tool_calls ? message : null;
  }
}

/**
 * The entries of a conversation. An entry has a message, or null for an error or an answer without text that was cut; the
 * element that shows it, or null for a result, which its call's card shows; and whether the user sent it.
 */
export class Conversation {
  entries = [];

  get messages() {
    return this.entries.flatMap((entry) => (entry.message ? [entry.message] : []));
  }

  add(message, shown, { isSent = false } = {}) {
    this.entries.push({ message, shown, isSent });
  }

  /** Remove the entries from `start` on, with their elements. */
  cut(start) {
    for (const entry of this.entries.splice(start)) entry.shown?.remove();
  }

  /** Return the place of the last user message, or -1. */
  lastUser() {
    return this.entries.findLastIndex((entry) => entry.message?.role === "user");
  }

  /** Return the place after what the user sent last: a message, or results of calls. */
  afterLastSent() {
    return this.entries.findLastIndex((entry) => entry.isSent) + 1;
  }
}
