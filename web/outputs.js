// The outputs of a stream: the list, and the form for a new one or a changed one.

import { make, onClick, openDialog, patch, post, remove, sentences } from "./api.js";
import { SentTrunk } from "./trunk.js";

// Settings of a trunk that are at their default when their field is empty.
const OPTIONAL = { ca: String, max_kbps: Number, video_kbps: Number };

// What the form asks for: an output, or what is to be changed of one.
function asked(fields, edited) {
  const type = fields.type.value, output = edited ? {} : { id: fields.id.value, type };
  if (type === "record") { output.format = fields.format.value; return output; }
  // Address and token are not known here: those that are not typed again stay.
  for (const name of type === "trunk" ? ["url", "token"] : ["url"]) if (fields[name].value) output[name] = fields[name].value;
  if (type === "push") return output;
  output.video = fields.video.value;
  output.delay_ms = Number(fields.delay_ms.value);
  output.aic = fields.aic.value === "share" ? Number(fields.aic_percent.value) / 100 : fields.aic.value === "true";
  for (const [name, read] of Object.entries(OPTIONAL)) if (fields[name].value || edited) output[name] = fields[name].value ? read(fields[name].value) : null;
  return output;
}

// Fills the form with what an output does.
function fill(fields, dialog, { id, kind, target, settings }) {
  dialog.querySelector("#output-title").textContent = `Output ${id}`;
  dialog.querySelector("button:not([type])").textContent = "Save";
  for (const note of dialog.querySelectorAll(".kept")) note.hidden = false;
  for (const [name, value] of [["id", id], ["type", kind]]) { fields[name].value = value; fields[name].disabled = true; }
  fields.url.required = false;
  dialog.querySelector("#output-kept").textContent = target;
  if (kind !== "trunk") return;
  const { aic, delay_ms } = settings;
  fields.video.value = settings.video;
  fields.aic.value = typeof aic === "number" ? "share" : String(aic);
  if (typeof aic === "number") fields.aic_percent.value = Math.round(aic * 1000) / 10;
  // The API takes any delay.
  if (![...fields.delay_ms.options].some((o) => o.value === String(delay_ms))) fields.delay_ms.append(new Option(`up to ${delay_ms} ms`, delay_ms));
  fields.delay_ms.value = delay_ms;
  for (const name of Object.keys(OPTIONAL)) fields[name].value = settings[name] ?? "";
}

// Asks for a new output of the stream at this path, or for what an output is to do from now on.
export function askForOutput(path, done, output) {
  openDialog("output", (fields, dialog) => {
    // A part that is not shown is not asked for either.
    const part = (id, shown) => { const box = dialog.querySelector(id); box.hidden = box.disabled = !shown; };
    const fit = () => {
      const type = fields.type.value, trunk = type === "trunk", url = fields.url.value || output?.target || "";
      part("#output-url", type !== "record");
      part("#output-trunk", trunk);
      part("#output-record", type === "record");
      part("#output-share", trunk && fields.aic.value === "share");
      part("#output-video-kbps", trunk && fields.video.value !== "off");
      dialog.querySelector("#output-url-name").textContent = trunk ? "WHIP address of the stream there" : "Address, with its key";
      dialog.querySelector("#output-where").hidden = !trunk;
      fields.url.pattern = trunk ? "https?://.+" : "(srt|rtmps?)://.+";
      fields.url.title = trunk ? "begins with https:// or http://" : "begins with srt://, rtmp:// or rtmps://";
      fields.url.placeholder = trunk ? "https://host:8080/whip/stream" : "rtmp://server/app/key";
      dialog.querySelector("#output-clear").hidden = !trunk || !/^http:\/\/(?!localhost\b|127\.|\[::1\])/i.test(url);
    };
    if (output) fill(fields, dialog, output);
    dialog.oninput = fit;
    fit();
  }, async (fields) => {
    const outputs = path + "/outputs";
    if (output) await patch(`${outputs}/${encodeURIComponent(output.id)}`, asked(fields, true));
    else await post(outputs, asked(fields, false));
    await done();
  });
}

// The list. Rows stay the same elements: buttons keep the focus, and text stays selected, while figures move.
export class Outputs {
  constructor(list, path, refresh) {
    Object.assign(this, { list, path, refresh, rows: new Map(), none: make("li", { className: "quiet", textContent: "None besides the viewers." }) });
  }

  show(outputs) {
    for (const [id, row] of this.rows) {
      if (outputs.some((o) => o.id === id)) continue;
      row.element.remove();
      row.trunk?.forget();
      this.rows.delete(id);
    }
    for (const output of outputs) {
      if (!this.rows.has(output.id)) {
        this.rows.set(output.id, this.makeRow(output));
        this.list.append(this.rows.get(output.id).element);
      }
      this.rows.get(output.id).show(output);
    }
    if (outputs.length) this.none.remove(); else this.list.append(this.none);
  }

  makeRow({ id, kind, from_preset }) {
    const at = `${this.path}/outputs/${encodeURIComponent(id)}`;
    const state = make("span", {}), target = make("span", { className: "quiet" }), error = make("p", { className: "error" });
    const toggle = make("button", { className: "plain operates" });
    // What is recorded has no settings here.
    const edit = make("button", { className: "plain operates", textContent: "Edit", hidden: kind === "record" });
    const away = make("button", { className: "plain danger operates", textContent: "Remove", hidden: from_preset });
    let shown = {};
    onClick(toggle, async () => { await post(`${at}/${shown.enabled ? "stop" : "start"}`); await this.refresh(); });
    onClick(edit, () => askForOutput(this.path, this.refresh, shown));
    onClick(away, async () => { if (confirm(`Remove output “${id}”?`)) { await remove(at); await this.refresh(); } });
    const trunk = kind === "trunk" ? new SentTrunk(at) : null;
    return {
      trunk,
      element: make("li", {},
        make("div", { className: "bar" }, make("b", { textContent: id }), state, target, make("span", { className: "grow" }), toggle, edit, away),
        error, ...(trunk ? [trunk.element] : [])),
      show(output) {
        shown = output;
        toggle.textContent = output.enabled ? "Stop" : "Start";
        state.textContent = output.state;
        state.className = "pill " + output.state;
        target.textContent = kind === "record" ? output.target : `${kind} to ${output.target}`;
        const retry = output.retry_in_s == null ? "" : ` Next try in ${Math.ceil(output.retry_in_s)} s.`;
        error.textContent = output.error ? sentences(output.error, output.error_hint) + retry : "";
        error.title = output.error_at ? new Date(output.error_at).toLocaleString() : "";
        trunk?.show(output);
      },
    };
  }
}
