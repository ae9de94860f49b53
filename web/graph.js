// The graph as a picture: boxes are nodes, lines are feeds, columns follow the longest path.

import { kbps } from "./api.js";

const NS = "http://www.w3.org/2000/svg", BOX = { width: 168, height: 46 }, GAP = { x: 128, y: 20 };

export function drawGraph(stream) {
  const nodes = new Map();
  const node = (name, state, what) => {
    if (!nodes.has(name)) nodes.set(name, { name, state, what, from: new Set() });
    return nodes.get(name);
  };
  for (const n of stream.nodes) node(n.name, n.state, n.last_error && n.state === "waiting" ? n.last_error : n.what);
  const edges = [];
  for (const feed of stream.feeds) {
    const writers = stream.nodes.filter((n) => n.outputs.includes(feed.name)).map((n) => n.name);
    if (!writers.length) { node("source", "standby", "publisher"); writers.push("source"); }
    const readers = new Set(stream.nodes.filter((n) => n.inputs.includes(feed.name)).map((n) => n.name));
    // All viewers of a protocol are one box: there may be hundreds.
    for (const consumer of feed.consumers) {
      const head = consumer.node.split(".")[0];
      readers.add(nodes.has(consumer.node) ? consumer.node : head);
      if (!nodes.has(consumer.node)) node(head, "running", stream.viewers[head] ? `${stream.viewers[head]} viewers` : "");
    }
    for (const from of writers) for (const to of readers) {
      if (from === to) continue;
      edges.push({ from, to, feed });
      nodes.get(to).from.add(from);
    }
  }
  const place = layout(nodes);
  const svg = element("svg", { viewBox: `-6 -6 ${place.width + 12} ${place.height + 12}`, role: "img" });
  svg.append(element("title", {}, `graph of ${stream.name}: ` + edges.map((e) => `${e.from} to ${e.to} by ${e.feed.name}`).join(", ")));
  const used = new Map();
  for (const { from, to, feed } of edges) {
    const a = nodes.get(from), b = nodes.get(to);
    // Several feeds between the same two boxes are drawn apart.
    const nth = used.get(from + to) ?? 0;
    used.set(from + to, nth + 1);
    const shift = nth * 20 - 8;
    const x1 = a.x + BOX.width, y1 = a.y + BOX.height / 2 + shift, x2 = b.x, y2 = b.y + BOX.height / 2 + shift;
    const bend = Math.max(40, (x2 - x1) / 2);
    const dry = feed.kbps < 0.1;
    svg.append(element("path", { d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, class: dry ? "dry" : "" }));
    if (edges.findIndex((e) => e.feed === feed && e.from === from) === edges.findIndex((e) => e.feed === feed && e.from === from && e.to === to))
      svg.append(element("text", { x: x1 + 8, y: y1 - 4, class: "small" }, `${short(feed)} ${dry ? "" : kbps(feed.kbps)}`));
  }
  for (const n of nodes.values()) {
    const group = element("g", { class: n.state, transform: `translate(${n.x} ${n.y})` });
    group.append(
      element("title", {}, `${n.name}: ${n.state}. ${n.what ?? ""}`),
      element("rect", { width: BOX.width, height: BOX.height, rx: 8 }),
      element("text", { x: 10, y: 19 }, clip(n.name, 24)),
      element("text", { x: 10, y: 36, class: "small" }, clip(`${n.state}${n.what ? " · " + n.what : ""}`, 30)),
    );
    svg.append(group);
  }
  return svg;
}

// Column = longest path from a box without inputs; rows in order of appearance.
function layout(nodes) {
  const column = (n, path = new Set()) => {
    if (n.column !== undefined) return n.column;
    if (path.has(n)) return 0;
    path.add(n);
    return (n.column = Math.max(0, ...[...n.from].map((name) => column(nodes.get(name), path) + 1)));
  };
  const rows = [];
  for (const n of nodes.values()) {
    const c = column(n);
    rows[c] = (rows[c] ?? 0) + 1;
    n.row = rows[c] - 1;
  }
  const tallest = Math.max(1, ...rows.filter(Boolean));
  for (const n of nodes.values()) {
    n.x = n.column * (BOX.width + GAP.x);
    n.y = (n.row + (tallest - rows[n.column]) / 2) * (BOX.height + GAP.y);
  }
  return { width: rows.length * (BOX.width + GAP.x) - GAP.x, height: tallest * (BOX.height + GAP.y) - GAP.y };
}

const short = (feed) => feed.format ? `${feed.format.codec}` : feed.name;
const clip = (text, max) => text.length > max ? text.slice(0, max - 1) + "…" : text;

function element(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
