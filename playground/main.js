// Starts the page: connects its parts with each other and with the keyboard.

import { Chat } from "./chat.js";
import { button, byId, element } from "./dom.js";
import { EXAMPLES } from "./examples.js";
import { Functions } from "./functions.js";
import { PromptView } from "./prompt_view.js";
import { asCurl, asPython, copy } from "./request_code.js";
import { Server } from "./server.js";
import { requestBody, showChoices, showModels } from "./settings.js";

const TABS = ["chat", "prompt", "code"];
const PAUSE_MS = 300; // without a key press, after which the prompt is asked for

const server = new Server();
const functions = new Functions(server, changed);
const prompt = new PromptView(server);
const chat = new Chat(server, (messages) => requestBody(messages, functions.all, functions.usesServerTools), exampleResult);
let example = null;
let timer = 0;

/** Return what the function of an example might return at its call with this number. */
function exampleResult(name, number) {
  return example?.results.get(name)?.[number] ?? "";
}

/** Show what follows from a change of the request: the choices, and the open view. */
function changed() {
  showChoices(functions.all.map((one) => one.name));
  clearTimeout(timer);
  timer = setTimeout(showView, PAUSE_MS);
}

function showView() {
  clearTimeout(timer);
  const draft = byId("message").value.trim();
  const next = requestBody(chat.nextMessages(draft), functions.all, functions.usesServerTools);
  if (!byId("prompt").hidden && !chat.isBusy) prompt.show(next);
  const body = draft || !chat.lastBody ? next : chat.lastBody;
  byId("curl").textContent = asCurl(server.baseUrl, body);
  byId("python").textContent = asPython(server.baseUrl, body);
}

function openTab(name) {
  for (const one of TABS) {
    const tab = byId(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === name));
    tab.tabIndex = one === name ? 0 : -1;
    byId(one).hidden = one !== name;
  }
  showView();
}

function setUpTabs() {
  for (const [place, name] of TABS.entries()) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => openTab(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const other = TABS[(place + step + TABS.length) % TABS.length];
      openTab(other);
      byId(`tab-${other}`).focus();
    });
  }
}

function setUpComposer() {
  const field = byId("message");
  const send = async () => {
    const text = field.value.trim();
    if (!text || chat.isBusy) return;
    field.value = "";
    if (!(await chat.send(text))) field.value = text;
  };
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  byId("stop").addEventListener("click", () => {
    chat.stop();
    field.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") chat.stop();
  });
}

function setUpTurns() {
  byId("retry").addEventListener("click", () => chat.retry());
  byId("remove").addEventListener("click", () => {
    chat.removeTurn();
    byId("message").focus();
  });
  byId("edit").addEventListener("click", () => {
    byId("message").value = chat.removeTurn();
    byId("message").focus();
  });
  byId("reset").addEventListener("click", () => {
    chat.reset();
    openTab("chat");
    byId("message").focus();
  });
  byId("log-frame").addEventListener("changed", showView);
}

function setUpExamples() {
  for (const one of EXAMPLES) {
    const shown = button("", "", () => {
      example = one;
      functions.replace(one.functions);
      chat.send(one.question);
      byId("message").focus({ preventScroll: true });
    });
    shown.append(element("span", { class: "title", text: one.title }), element("span", { class: "question", text: one.question }));
    byId("examples").append(shown);
  }
}

/** Ask the server what it has. Without the right key, tell so. */
async function load() {
  try {
    showModels((await server.json("models")).data.map((one) => one.id));
    byId("status").textContent = "";
  } catch (error) {
    byId("status").textContent = error.message;
    if (error.status === 401) byId("key").focus();
    if (error.status === 503) setTimeout(load, 2000); // the model is loading
    return;
  }
  await functions.loadServerTools();
}

if (matchMedia("(max-width: 50rem)").matches) byId("functions-part").open = false;
setUpTabs();
setUpComposer();
setUpTurns();
setUpExamples();
for (const name of ["curl", "python"]) {
  byId(`copy-${name}`).addEventListener("click", (event) => copy(byId(name), event.target));
}
document.addEventListener("input", changed);
byId("key").addEventListener("change", () => {
  server.key = byId("key").value.trim();
  load();
});
load();
