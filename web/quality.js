// The menu of qualities of a stream with a ladder, over the data channel `quality`: the README says how.

import { kbps, make } from "./api.js";

const NAMES = { auto: "what the line carries", source: "as published" };

export class QualityMenu {
  constructor(menu) {
    this.menu = menu;
    menu.onchange = () => {
      if (this.channel?.readyState === "open") this.channel.send(JSON.stringify({ quality: menu.value }));
    };
  }

  // The channel of a connection; null when it has ended.
  attach(channel) {
    this.channel = channel;
    this.menu.parentElement.hidden = true;
    if (channel) channel.onmessage = ({ data }) => this.show(JSON.parse(data));
  }

  show({ qualities, chosen, playing }) {
    if (!qualities) return;
    const name = (quality) => NAMES[quality] ?? quality;
    const now = chosen === "auto" ? ` (now ${name(playing)})` : "";
    const option = (value, text) => make("option", { value, textContent: text });
    const rate = (quality) => quality.kbps ? `, ${kbps(quality.kbps)}` : "";
    this.menu.replaceChildren(option("auto", `${name("auto")}${now}`), ...qualities.map((q) => option(q.name, `${name(q.name)}${rate(q)}`)));
    this.menu.value = chosen;
    this.menu.parentElement.hidden = qualities.length < 2;
  }
}
