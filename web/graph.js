// The graph as a picture: boxes are nodes, lines are feeds, columns follow the longest path.

import { kbps } from "./api.js";

const NS = "http://www.w3.org/2000/svg", BOX = { width: 168, height: 46 }, GAP = { x: 128, y: 20 };

export function drawGraph(stream) {
  const nodes = new Map();
  const node = (name, state, what) => {
    if (!nodes.has(name)) nodes.set(name, { name, state, what, from: new Set() });
    return nodes.get(name);
  };
  // All viewers of a protocol are one box: there may be hundreds.
  const box = (name) => { const head = name.split(".")[0]; return head in stream.viewers ? head : name; };
  for (const n of stream.nodes) {
    const count = stream.viewers[box(n.name)];
    // A trunk that runs says how: its rung; the receiving end says who sends it.
    const what = n.facts.trunk ? n.what.replace(/^whip/, "trunk") : n.facts.rung ?? n.what;
    node(box(n.name), n.state, count ? `${count} viewers` : n.last_error && n.state === "waiting" ? n.last_error : what);
  }
  const edges = [];
  // Feeds of captions have no format and no bytes: they are drawn by their language and words.
  const captions = stream.cues.map((c) => ({ name: c.name, words: c.words, language: c.language, readers: c.readers, consumers: [] }));
  for (const feed of [...stream.feeds, ...captions]) {
    const writers = stream.nodes.filter((n) => n.outputs.includes(feed.name)).map((n) => n.name);
    if (!writers.length) { node("source", "standby", "publisher"); writers.push("source"); }
    const readers = new Set(stream.nodes.filter((n) => n.inputs.includes(feed.name)).map((n) => box(n.name)));
    for (const { node: name } of feed.consumers) {
      readers.add(box(name));
      node(box(name), "running", stream.viewers[box(name)] ? `${stream.viewers[box(name)]} viewers` : "");
    }
    if (feed.readers && !readers.size) {
      node("readers", "running", "of captions");
      readers.add("readers");
    }
    for (const from of writers) for (const to of readers) {
      if (from === to) continue;
      edges.push({ from, to, feed });
      nodes.get(to).from.add(from);
    }
  }
  const place = layout(nodes, edges);
  const svg = element("svg", { width: place.width + 12, viewBox: `-6 -6 ${place.width + 12} ${place.height + 12}`, role: "img" });
  svg.append(element("title", {}, `graph of ${stream.name}: ` + edges.map((e) => `${e.from} to ${e.to} by ${e.feed.name}`).join(", ")));
  const labels = [];
  for (const { from, to, feed, lanes } of edges) {
    const a = nodes.get(from), b = nodes.get(to);
    // The feeds of one box leave it apart from each other, each with its label once.
    const own = [...new Set(edges.filter((e) => e.from === from).map((e) => e.feed))];
    const shift = (own.indexOf(feed) - (own.length - 1) / 2) * 22;
    const x1 = a.x + BOX.width, y1 = a.y + BOX.height / 2 + shift, x2 = b.x, y2 = b.y + BOX.height / 2 + shift / 2;
    const text = "words" in feed, dry = text ? !feed.words : feed.kbps < 0.1;
    let [x, y] = [x1, y1], d = `M${x} ${y}`;
    const bend = (toX, toY) => {
      const half = Math.max(40, (toX - x) / 2);
      d += `C${x + half} ${y} ${toX - half} ${toY} ${toX} ${toY}`;
      [x, y] = [toX, toY];
    };
    for (const lane of lanes) {
      bend(lane.x, lane.y + BOX.height / 2);
      d += `H${x = lane.x + BOX.width}`;
    }
    bend(x2, y2);
    svg.append(element("path", { d, class: `${dry ? "dry" : ""} ${text ? "text" : ""}` }));
    if (edges.find((e) => e.feed === feed && e.from === from).to === to)
      labels.push(element("text", { x: x1 + 6, y: y1 - 4, class: "small label" }, text ? `${feed.language} ${feed.words} words` : `${short(feed)} ${dry ? "" : kbps(feed.kbps)}`));
  }
  svg.append(...labels);
  for (const n of nodes.values()) {
    const group = element("g", { class: n.state, transform: `translate(${n.x} ${n.y})` });
    group.append(
      element("title", {}, `${n.name}: ${n.state}. ${n.what ?? ""}`),
      element("rect", { width: BOX.width, height: BOX.height, rx: 8 }),
      element("text", { x: 10, y: 19 }, clip(n.name, 12)),
      element("text", { x: 10, y: 36, class: "small" }, clip(`${n.state}${n.what ? " · " + n.what : ""}`, 10.5)),
    );
    svg.append(group);
  }
  return svg;
}

// Column = longest path from a box without inputs; rows in order of appearance. A feed that passes
// columns has a lane of its own in each, so that it does not seem to go through a box.
function layout(nodes, edges) {
  const column = (n, path = new Set()) => {
    if (n.column !== undefined) return n.column;
    if (path.has(n)) return 0;
    path.add(n);
    return (n.column = Math.max(0, ...[...n.from].map((name) => column(nodes.get(name), path) + 1)));
  };
  const rows = [], lanes = new Map();
  const put = (place, c) => {
    rows[c] = (rows[c] ?? 0) + 1;
    return Object.assign(place, { column: c, row: rows[c] - 1 });
  };
  for (const n of nodes.values()) put(n, column(n));
  for (const edge of edges) {
    edge.lanes = [];
    for (let c = nodes.get(edge.from).column + 1; c < nodes.get(edge.to).column; c += 1) {
      const key = JSON.stringify([edge.from, edge.feed.name, c]);
      if (!lanes.has(key)) lanes.set(key, put({}, c));
      edge.lanes.push(lanes.get(key));
    }
  }
  const tallest = Math.max(1, ...rows.filter(Boolean));
  for (const n of [...nodes.values(), ...lanes.values()]) {
    n.x = n.column * (BOX.width + GAP.x);
    n.y = (n.row + (tallest - rows[n.column]) / 2) * (BOX.height + GAP.y);
  }
  return { width: rows.length * (BOX.width + GAP.x) - GAP.x, height: tallest * (BOX.height + GAP.y) - GAP.y };
}

const short = (feed) => feed.format ? `${feed.format.codec}` : feed.name;

// As much of a text of this size as a box has room for.
const ruler = document.createElement("canvas").getContext("2d");
function clip(text, size) {
  ruler.font = `${size}px system-ui, sans-serif`;
  const fits = (part) => ruler.measureText(part).width <= BOX.width - 18;
  if (fits(text)) return text;
  let end = text.length;
  while (end && !fits(text.slice(0, end) + "…")) end -= 1;
  return text.slice(0, end) + "…";
}

// An element of SVG.
export function element(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
