// Talks to the server: JSON answers, streamed answers and errors. The API key stays in this module's object.

/** An error that the server answered, or that kept it from answering. */
export class ServerError extends Error {
  constructor(message, { status = 0, param = null, requestId = "" } = {}) {
    super(message);
    this.status = status;
    this.param = param;
    this.requestId = requestId;
  }
}

export class Server {
  key = "";

  /** The base URL of clients of OpenAI's API. */
  baseUrl = new URL("v1", document.baseURI).href;

  /** Return the JSON that the server answers. With a body, send it as JSON. */
  async json(path, body) {
    return (await this.#fetch(path, body)).json();
  }

  /** Yield the chunks of a streamed answer. `onHead` gets the answer's headers first. */
  async *stream(path, body, signal, onHead) {
    const answer = await this.#fetch(path, body, signal);
    const requestId = answer.headers.get("x-request-id") ?? "";
    onHead(answer.headers);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith("data:")) continue;
        const data = event.slice("data:".length).trim();
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new ServerError(chunk.error.message, { param: chunk.error.param, requestId });
        yield chunk;
      }
    }
    throw new ServerError("The connection ended before the answer did.", { requestId });
  }

  async #fetch(path, body, signal) {
    const headers = new Headers();
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (this.key) headers.set("Authorization", `Bearer ${this.key}`);
    let answer;
    try {
      const method = body === undefined ? "GET" : "POST";
      answer = await fetch(`${this.baseUrl}/${path}`, { method, headers, signal, body: JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError("The server cannot be reached.");
    }
    if (answer.ok) return answer;
    throw await failure(answer);
  }
}

async function failure(answer) {
  const facts = { status: answer.status, requestId: answer.headers.get("x-request-id") ?? "" };
  try {
    const { error } = await answer.json();
    return new ServerError(String(error.message), { ...facts, param: error.param });
  } catch {
    return new ServerError(`The server answered with status ${answer.status}.`, facts);
  }
}
