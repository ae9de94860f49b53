// The page: signing in, the list of streams, and which view is shown.

import { ago, call, follow, get, make, onClick, openDialog, post, toast } from "./api.js";
import { clusterTables } from "./cluster.js";
import { inputsFor, kindsOf } from "./schema.js";
import { showStream } from "./stream.js";
import { tokensTable } from "./tokens.js";

const main = document.getElementById("main");
let role = null;
let view = null, stopFollowing = null, ticking = null;

function template(id) {
  main.replaceChildren(document.getElementById(id).content.cloneNode(true));
}

function showSignIn() {
  leave();
  stopFollowing?.();
  stopFollowing = null;
  clearInterval(ticking);
  for (const id of ["sign-out", "faults"]) document.getElementById(id).hidden = true;
  template("sign-in");
  const form = main.querySelector("form"), words = form.querySelector(".error");
  form.onsubmit = async (event) => {
    event.preventDefault();
    try { await post("/session", { token: form.elements.token.value }); await begin(); }
    catch (error) { words.textContent = error.message; words.hidden = false; }
  };
  form.elements.token.focus();
}

function leave() {
  view?.leave();
  view = null;
}

// Asks again at most twice a second, however fast events come.
let wanted = false, asking = false;
async function refresh() {
  wanted = true;
  if (asking) return;
  asking = true;
  while (wanted && view) {
    wanted = false;
    try { await Promise.all([view.refresh(), showFaults()]); } catch (error) {
      if (error.code === "unknown_stream") location.hash = "#/"; else if (error.status !== 401 && error.status !== 0) toast(error);
    }
    await new Promise((done) => setTimeout(done, 500));
  }
  asking = false;
}

// What does not work now, above every view. Streams say it on their tiles.
async function showFaults() {
  const { faults } = await get("/health"), shown = faults.filter((f) => !f.what.startsWith("stream "));
  const again = (f) => f.retry_in_ms === null ? "" : ` It starts again ${f.retry_in_ms ? `in ${Math.ceil(f.retry_in_ms / 1000)} s` : "now"}.`;
  const list = document.getElementById("faults");
  list.hidden = shown.length === 0;
  list.replaceChildren(...shown.map((f) => make("li", {}, make("b", { textContent: f.what }), `: ${f.reason}.${again(f)}`)));
}

function route() {
  leave();
  const name = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  view = name ? showStream(main, name) : showList();
  document.title = name ? `${name} – AuraLink` : "AuraLink";
  main.focus({ preventScroll: true });
  refresh();
}

function showList() {
  template("list");
  const tiles = new Map(), list = main.querySelector("#streams");
  const refreshCluster = clusterTables(main.querySelector("#cluster"));
  onClick(main.querySelector("#new-stream"), createStream);
  tokensTable(main.querySelector("#tokens"), role);
  showOff().catch(toast);
  const previews = setInterval(() => tiles.forEach((tile) => tile.reload()), 5000);
  return {
    leave() { clearInterval(previews); },
    async refresh() {
      refreshCluster();
      const { streams } = await get("/streams");
      main.querySelector("#no-streams").hidden = streams.length > 0;
      for (const [name, tile] of tiles) if (!streams.some((s) => s.name === name)) { tile.element.remove(); tiles.delete(name); }
      for (const stream of streams) {
        if (!tiles.has(stream.name)) {
          tiles.set(stream.name, makeTile(stream.name));
          list.append(tiles.get(stream.name).element);
        }
        tiles.get(stream.name).show(stream);
      }
    },
  };
}

function makeTile(name) {
  const image = make("img", { alt: "", hidden: true }), none = make("span", { textContent: "no video" });
  const state = make("span", {}), facts = make("span", { className: "quiet" });
  image.onload = () => { image.hidden = false; none.hidden = true; };
  image.onerror = () => { image.hidden = true; none.hidden = false; };
  let live = false;
  const reload = () => { if (live) image.src = `/api/v1/streams/${encodeURIComponent(name)}/thumbnail.jpg?${Date.now()}`; };
  const link = make("a", { href: "#/" + encodeURIComponent(name) }, make("div", { className: "preview" }, image, none),
    make("div", { className: "text" }, make("b", { textContent: name }), state, facts));
  return {
    element: make("li", {}, link), reload,
    show(stream) {
      const was = live;
      live = !["idle", "failed"].includes(stream.state);
      if (live && !was) reload();
      if (!live) image.onerror();
      state.textContent = stream.state;
      state.className = "pill " + stream.state;
      const viewers = Object.values(stream.viewers).reduce((a, b) => a + b, 0);
      facts.textContent = `${viewers} ${viewers === 1 ? "viewer" : "viewers"} · ${ago(stream.since)}` + (stream.last_error ? ` · ${ago(stream.last_error_at)} ago: ${stream.last_error}` : "");
    },
  };
}

async function showOff() {
  const system = await get("/system");
  document.getElementById("machine").textContent =
    `${system.version} · ${system.gpu_text} · processor ${Math.round(system.host.cpu_percent)} %`;
  const voice = main.querySelector("#voice"), codec = system.voice_codec;
  voice?.replaceChildren(`Voice on trunks: ${codec.text}. `, ...(codec.fix ? ["To turn it on: ", make("code", { textContent: codec.fix })] : []));
  const box = main.querySelector("#off");
  if (!box || !system.off.length) return;
  box.hidden = false;
  box.querySelector("summary").textContent = `${system.off.length} features are off on this machine`;
  box.querySelector("ul").replaceChildren(...system.off.map((o) => make("li", {}, `${o.feature} (${o.element}): `, make("code", { textContent: o.fix }))));
}

async function createStream() {
  const [{ presets }, kinds] = await Promise.all([get("/presets"), kindsOf("SourceSpec")]);
  let settings = null;
  openDialog("create", (fields, dialog) => {
    fields.preset.append(...presets.map((p) => make("option", { value: p.name, textContent: p.title })));
    const about = () => { dialog.querySelector("#preset-about").textContent = presets.find((p) => p.name === fields.preset.value)?.description ?? ""; };
    fields.preset.value = "passthrough";
    fields.preset.onchange = about;
    about();
    fields.source.append(...kinds.map((k) => make("option", { value: k.type, textContent: k.description.replace(/\.$/, "") })));
    fields.source.onchange = () => {
      settings = inputsFor(kinds.find((kind) => kind.type === fields.source.value));
      dialog.querySelector("#source-fields").replaceChildren(...settings.labels);
    };
    fields.source.onchange();
  }, async (fields) => {
    const source = { type: fields.source.value, ...settings.read() };
    await post("/streams", { name: fields.name.value, preset: fields.preset.value, source });
    location.hash = "#/" + encodeURIComponent(fields.name.value);
  });
}

async function begin() {
  const session = await get("/session");
  if (!session.signed_in) return showSignIn();
  role = session.role;
  // What the role may not do is hidden.
  document.body.dataset.role = role;
  const out = document.getElementById("sign-out"), lost = document.getElementById("link");
  out.hidden = session.open;
  onClick(out, async () => { await call("DELETE", "/session"); showSignIn(); });
  stopFollowing?.();
  stopFollowing = follow(() => refresh(), (up) => { lost.hidden = up; lost.className = "pill lost"; });
  // Figures move without events.
  clearInterval(ticking);
  ticking = setInterval(() => { if (!document.hidden) refresh(); }, 2000);
  route();
}

addEventListener("hashchange", () => { if (stopFollowing) route(); });
addEventListener("signed-out", () => { if (stopFollowing) showSignIn(); });
begin().catch(toast);
