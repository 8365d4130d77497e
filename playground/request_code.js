// A request as a command for curl and as a Python program. Neither has the API key.

const EXTRA = new Set(["server_tools"]); // fields that the Python client takes in extra_body

/** Return the command for curl, for a POSIX shell. */
export function asCurl(baseUrl, body) {
  return [
    `curl ${shellQuoted(`${baseUrl}/chat/completions`)} \\`,
    '  -H "Authorization: Bearer $OPENAI_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d ${shellQuoted(JSON.stringify(body, null, 2))}`,
  ].join("\n");
}

/** Return the program in Python, with OpenAI's client. */
export function asPython(baseUrl, body) {
  const fields = Object.entries(body).filter(([name]) => !EXTRA.has(name));
  const extra = Object.entries(body).filter(([name]) => EXTRA.has(name));
  if (extra.length) fields.push(["extra_body", Object.fromEntries(extra)]);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonLiteral(baseUrl)}, api_key=os.environ.get("OPENAI_API_KEY", "none"))`,
    "completion = client.chat.completions.create(",
    ...fields.map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},`),
    ")",
    "print(completion.choices[0].message)",
    "",
  ].join("\n");
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Return JSON as a Python expression. A JSON string is a Python string too. */
function pythonLiteral(value, indent = "") {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((item) => `${inner}${pythonLiteral(item, inner)},`)
    : Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pythonLiteral(item, inner)},`);
  return items.length ? [open, ...items, `${indent}${close}`].join("\n") : open + close;
}

/** Copy the text of an element, or select it where the browser does not permit copying. Tell so on the button. */
export async function copy(source, button) {
  let told = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    told = "Selected: now copy it";
  }
  button.textContent = told;
  setTimeout(() => (button.textContent = "Copy"), 2500);
}
