// The functions of the page: pasted ones, those of an example, and the server's own tools.

import { button, byId, element } from "./dom.js";

export class Functions {
  #byName = new Map(); // a Map, since a function may be called `constructor` or `__proto__`
  #server;
  #changed;

  /** `changed` is called after each change. */
  constructor(server, changed) {
    this.#server = server;
    this.#changed = changed;
    byId("add").addEventListener("click", () => this.#addPasted());
    byId("remove-all").addEventListener("click", () => this.replace([]));
    byId("use-server-tools").addEventListener("change", () => this.#changed());
    byId("paste").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#addPasted();
    });
    this.#show();
  }

  get all() {
    return [...this.#byName.values()];
  }

  get usesServerTools() {
    return !byId("server-tools").hidden && byId("use-server-tools").checked;
  }

  /** Take these functions instead of all others. */
  replace(functions) {
    this.#byName.clear();
    byId("paste-result").replaceChildren();
    this.#add(functions);
  }

  /** Show the tools that the server can run, if it has some. */
  async loadServerTools() {
    let tools = [];
    try {
      tools = (await this.#server.json("tools")).data;
    } catch {
      // a server without tools has no such route
    }
    byId("server-tools").hidden = tools.every((tool) => tool.needs_confirmation); // which the server can ask nobody for
    byId("server-tool-list").replaceChildren(...tools.map(serverTool));
    this.#changed();
  }

  #add(functions) {
    for (const one of functions) this.#byName.set(one.name, one);
    this.#show();
    this.#changed();
  }

  async #addPasted() {
    const field = byId("paste");
    if (!field.value.trim()) {
      field.focus();
      return;
    }
    byId("add").disabled = true;
    try {
      const { functions, rejected } = await this.#server.json("functions", { text: field.value });
      this.#add(functions);
      const added = functions.length === 1 ? "Added 1 function." : `Added ${functions.length} functions.`;
      const reasons = rejected.map(({ name, reason }) => element("p", { class: "error", text: `${name}: ${reason}` }));
      byId("paste-result").replaceChildren(element("p", { class: "note", text: added }), ...reasons);
      if (!rejected.length) field.value = "";
    } catch (error) {
      byId("paste-result").replaceChildren(element("p", { class: "error", text: error.message }));
    }
    byId("add").disabled = false;
  }

  #show() {
    byId("function-count").textContent = String(this.#byName.size);
    byId("remove-all").hidden = this.#byName.size === 0;
    byId("function-list").replaceChildren(...this.all.map((one) => this.#item(one)));
  }

  #item(one) {
    const remove = button("Remove", "quiet", () => {
      this.#byName.delete(one.name);
      this.#show();
      this.#changed();
    });
    remove.setAttribute("aria-label", `Remove ${one.name}`);
    const head = element("div", { class: "function-head" }, element("span", { class: "name", text: one.name }), remove);
    const details = element("details", {}, element("summary", { text: "Definition" }));
    details.addEventListener("toggle", () => {
      if (details.childElementCount === 1) details.append(element("pre", { text: JSON.stringify(one, null, 2) }));
    });
    return element("li", {}, head, element("div", { class: "description", text: one.description ?? "" }), details);
  }
}

function serverTool(tool) {
  const head = element("div", { class: "function-head" }, element("span", { class: "name", text: tool.name }));
  head.append(element("span", { class: "tag", text: tool.needs_confirmation ? "not run here: needs a confirmation" : tool.source }));
  return element("li", {}, head, element("div", { class: "description", text: tool.description ?? "" }));
}
