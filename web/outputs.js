// The outputs of a stream: the list, and the form for a new one.

import { make, onClick, openDialog, post, remove, sentences } from "./api.js";
import { SentTrunk } from "./trunk.js";

// Settings of a trunk that are left out when their field is empty.
const TEXTS = ["token", "ca"], NUMBERS = ["max_kbps", "video_kbps"];

function newOutput(fields) {
  const type = fields.type.value, id = fields.id.value;
  if (type === "record") return { id, type };
  const output = { id, type, url: fields.url.value };
  if (type === "push") return output;
  output.video = fields.video.value;
  output.delay_ms = Number(fields.delay_ms.value);
  output.aic = fields.aic.value === "share" ? Number(fields.aic_percent.value) / 100 : fields.aic.value === "true";
  for (const name of TEXTS) if (fields[name].value) output[name] = fields[name].value;
  for (const name of NUMBERS) if (fields[name].value) output[name] = Number(fields[name].value);
  return output;
}

// Asks for a new output of the stream at this path.
export function askForOutput(path, added) {
  openDialog("output", (fields, dialog) => {
    // A part that is not shown is not asked for either.
    const part = (id, shown) => { const box = dialog.querySelector(id); box.hidden = box.disabled = !shown; };
    const fit = () => {
      const type = fields.type.value, trunk = type === "trunk", url = fields.url.value;
      part("#output-url", type !== "record");
      part("#output-trunk", trunk);
      part("#output-share", trunk && fields.aic.value === "share");
      part("#output-video-kbps", trunk && fields.video.value !== "off");
      dialog.querySelector("#output-url-name").textContent = trunk ? "WHIP address of the stream there" : "Address, with its key";
      dialog.querySelector("#output-where").hidden = !trunk;
      fields.url.pattern = trunk ? "https?://.+" : "(srt|rtmps?)://.+";
      fields.url.title = trunk ? "begins with https:// or http://" : "begins with srt://, rtmp:// or rtmps://";
      fields.url.placeholder = trunk ? "https://host:8080/whip/stream" : "rtmp://server/app/key";
      dialog.querySelector("#output-clear").hidden = !trunk || !/^http:\/\/(?!localhost\b|127\.|\[::1\])/i.test(url);
    };
    dialog.oninput = fit;
    fit();
  }, async (fields) => {
    await post(path + "/outputs", newOutput(fields));
    await added();
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
    const toggle = make("button", { className: "plain" }), away = make("button", { className: "plain danger", textContent: "Remove", hidden: from_preset });
    let enabled = false;
    onClick(toggle, async () => { await post(`${at}/${enabled ? "stop" : "start"}`); await this.refresh(); });
    onClick(away, async () => { if (confirm(`Remove output “${id}”?`)) { await remove(at); await this.refresh(); } });
    const trunk = kind === "trunk" ? new SentTrunk(at) : null;
    return {
      trunk,
      element: make("li", {},
        make("div", { className: "bar" }, make("b", { textContent: id }), state, target, make("span", { className: "grow" }), toggle, away),
        error, ...(trunk ? [trunk.element] : [])),
      show(output) {
        enabled = output.enabled;
        toggle.textContent = enabled ? "Stop" : "Start";
        state.textContent = output.state;
        state.className = "pill " + output.state;
        target.textContent = kind === "record" ? output.target : `${kind} to ${output.target}`;
        const retry = output.retry_in_s == null ? "" : ` Next try in ${Math.ceil(output.retry_in_s)} s.`;
        error.textContent = output.error ? sentences(output.error, output.error_hint) + retry : "";
        error.title = output.error_at ? `since ${new Date(output.error_at).toLocaleString()}` : "";
        trunk?.show(output);
      },
    };
  }
}
