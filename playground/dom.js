// Makes elements from texts. Texts of models, tools and callers only ever become text nodes.

/** Find an element of the page by its id. */
export const byId = (id) => document.getElementById(id);

/** Make an element. `properties` are attributes, except `class` and `text`, the element's text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") made.textContent = value;
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Make a button that runs `press`. */
export function button(text, kind, press) {
  const made = element("button", { type: "button", class: kind, text });
  made.addEventListener("click", press);
  return made;
}

const SOFT_LIMIT = 2000; // characters of a block, from which the next line break ends it
const HARD_LIMIT = 20000; // characters of a block without line breaks
const changed = new Set();

function flushAll() {
  for (const text of changed) text.flush();
}

/** A text that grows. It is drawn once a frame, in blocks, so that a long text is not laid out again as a whole. */
export class GrowingText {
  #parent;
  #parts = [];
  #waiting = "";
  #node = null;

  constructor(parent) {
    this.#parent = parent;
  }

  get value() {
    return this.#parts.join("");
  }

  append(text) {
    if (!text) return;
    this.#parts.push(text);
    this.#waiting += text;
    if (changed.size === 0) requestAnimationFrame(flushAll);
    changed.add(this);
  }

  flush() {
    changed.delete(this);
    let text = this.#waiting;
    this.#waiting = "";
    while (text) {
      if (this.#node === null) {
        this.#node = document.createTextNode("");
        this.#parent.append(element("div", { class: "block" }, this.#node));
      }
      const size = this.#node.length;
      const line = text.indexOf("\n", Math.max(0, SOFT_LIMIT - size));
      const end = Math.min(line < 0 ? Infinity : line + 1, Math.max(1, HARD_LIMIT - size), text.length);
      this.#node.appendData(text.slice(0, end));
      if (size + end >= SOFT_LIMIT && (end === line + 1 || size + end >= HARD_LIMIT)) this.#node = null;
      text = text.slice(end);
    }
  }
}
