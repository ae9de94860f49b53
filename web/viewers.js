// Who watches a stream by WebRTC, and what reaches them.

import { ago, bytes, get, kbps, make, onClick, remove } from "./api.js";

// More rows say no more to a person, and cost the page.
const ROWS_MAX = 100;

// The name of a program in its `User-Agent`: browsers call themselves Mozilla first.
const program = (agent) => agent?.match(/(Edg|Firefox|Chrome|Version)\/\d+/)?.[0].replace("Version", "Safari") ?? agent?.split(" ")[0] ?? "";

const percent = (share) => share == null ? "" : `${(share * 100).toFixed(1)} % lost`;
const ms = (time, what) => time == null ? "" : `${Math.round(time)} ms ${what}`;

// A table in a section that is hidden while nobody watches; returns how to refresh it.
export function viewersTable(section, path) {
  const body = section.querySelector("tbody"), title = section.querySelector("h2");
  const row = (v) => {
    const away = make("button", { className: "plain danger operates", textContent: "Disconnect", ariaLabel: `Disconnect ${v.address}` });
    onClick(away, async () => { await remove(`${path}/viewers/${v.id}`); away.blur(); await refresh(); });
    const reaches = [v.kbps != null && kbps(v.kbps), v.estimate_kbps && `of ${kbps(v.estimate_kbps)} that its line carries`, percent(v.loss), ms(v.rtt_ms, "away"), ms(v.jitter_ms, "jitter")];
    return make("tr", {}, make("td", { textContent: `${v.address}${v.transport === "tcp" ? " by TCP" : ""}` }),
      make("td", { textContent: program(v.agent), title: v.agent ?? "" }),
      make("td", { textContent: `for ${ago(v.since)}${v.sent_bytes ? `, ${bytes(v.sent_bytes)}` : ""}` }),
      make("td", { textContent: v.codecs.join(", ") }),
      make("td", { textContent: reaches.filter(Boolean).join(", ") || "not measured" }),
      make("td", {}, away));
  };
  async function refresh() {
    const { viewers } = await get(`${path}/viewers`);
    section.hidden = !viewers.length;
    title.textContent = `Viewers by WebRTC: ${viewers.length}`;
    // Rows with the focus inside are kept as they are until it leaves, for those who use the keyboard.
    if (!body.contains(document.activeElement)) body.replaceChildren(...viewers.slice(0, ROWS_MAX).map(row));
  }
  return refresh;
}
