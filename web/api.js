// Calls to the appliance. Every refusal becomes an Error whose message says what to do.

export class Refused extends Error {
  constructor(status, problem) {
    super(sentences(problem.message, problem.hint));
    this.status = status;
    this.code = problem.code;
  }
}

// What is wrong and what to do about it, as a person would say it.
export const sentences = (...texts) =>
  texts.filter(Boolean).map((text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`).join(" ");

export async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch("/api/v1" + path, options);
  } catch {
    throw new Refused(0, { message: "The appliance does not answer", hint: "check that it runs and try again" });
  }
  if (response.status === 204) return null;
  const json = await response.json().catch(() => ({ message: `${response.status} ${response.statusText}` }));
  if (!response.ok) {
    if (response.status === 401) dispatchEvent(new Event("signed-out"));
    throw new Refused(response.status, json);
  }
  return json;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const patch = (path, body) => call("PATCH", path, body);
export const remove = (path) => call("DELETE", path);

// Follows what changes; `changed(stream)` is called with the name, or null when anything may have.
export function follow(changed, connected) {
  const source = new EventSource("/api/v1/events");
  source.onopen = () => { connected(true); changed(null); };
  source.onerror = () => connected(false);
  source.addEventListener("lagged", () => changed(null));
  for (const type of ["stream_created", "stream_removed", "state_changed", "stream_changed", "node_failed"])
    source.addEventListener(type, (event) => changed(JSON.parse(event.data).stream));
  return () => source.close();
}

// Text from outside goes through textContent only, never through innerHTML.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function toast(error) {
  const box = make("div", { textContent: error.message ?? String(error) });
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), 9000);
}

// Runs an action of a button: disabled meanwhile, refusals as a toast.
export function onClick(button, action) {
  button.onclick = async () => {
    button.disabled = true;
    try { await action(); } catch (error) { toast(error); } finally { button.disabled = false; }
  };
}

// Opens a dialog from a template; `submit(form)` may throw, which keeps it open with the words.
export function openDialog(template, prepare, submit) {
  const dialog = document.getElementById(template).content.firstElementChild.cloneNode(true);
  const form = dialog.querySelector("form"), words = dialog.querySelector(".error");
  // Not a submit button: Enter would press it, as the first one.
  form.elements.cancel.onclick = () => dialog.close();
  // A field that is folded away cannot say what is wrong with it.
  form.addEventListener("invalid", (event) => { event.target.closest("details")?.setAttribute("open", ""); }, true);
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (form.inert) return;
    form.inert = true;
    try { await submit(form.elements); dialog.close(); } catch (error) { words.textContent = error.message; words.hidden = false; words.scrollIntoView({ block: "nearest" }); }
    form.inert = false;
  };
  dialog.onclose = () => dialog.remove();
  document.body.append(dialog);
  prepare(form.elements, dialog);
  dialog.showModal();
}

export const bytes = (n) => n >= 1e9 ? (n / 1e9).toFixed(2) + " GB" : n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : Math.round(n / 1e3) + " kB";
export const kbps = (n) => n >= 1000 ? (n / 1000).toFixed(1) + " Mbit/s" : Math.round(n) + " kbit/s";
export function ago(time) {
  const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  return s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
}
