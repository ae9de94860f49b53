// The appliances that share streams, their load, and which streams come from where.

import { ago, get, make, toast } from "./api.js";

const number = (n, unit) => `${n} ${unit}${n === 1 ? "" : "s"}`;

// What an appliance carries, of what it can take.
function carries(load) {
  const { streams_live, streams_from_origins, viewers, viewers_max, cpus, cpu_percent } = load;
  const brought = streams_from_origins ? `, ${streams_from_origins} from others` : "";
  return [`${number(streams_live, "stream")} on air${brought}`, `${viewers} of ${viewers_max} viewers`,
    `${Math.round(cpu_percent)} % of ${number(cpus, "processor")}`];
}

function applianceRow({ url, reachable, problem, load }, index) {
  const state = make("span", { className: `pill ${reachable ? "live" : "failed"}`, textContent: reachable ? "answers" : "does not answer" });
  const name = index > 0 ? make("a", { href: url, textContent: url, rel: "noreferrer" }) : "this appliance";
  const cells = load ? carries(load).map((text) => make("td", { textContent: text })) : [make("td", { colSpan: 3, className: "error", textContent: problem ?? "" })];
  return make("tr", {}, make("td", {}, name), make("td", {}, state), ...cells, make("td", { className: "quiet", textContent: load?.version ?? "" }));
}

function streamRow({ stream, origin, state, viewers }) {
  return make("tr", {}, make("td", {}, make("a", { href: "#/" + encodeURIComponent(stream), textContent: stream })),
    make("td", {}, make("span", { className: "pill " + state, textContent: state })),
    make("td", { textContent: origin ? `from ${origin}` : "its origin is looked for" }), make("td", { textContent: number(viewers, "viewer") }));
}

// Where the appliances find each other.
const redisText = ({ url, reachable, since, problem }) =>
  `They find each other by Redis at ${url}, which has ${reachable ? "" : "not "}answered for ${ago(since)}${problem ? `: ${problem}` : ""}.`;

// What does not answer costs seconds, and no view waits for it.
const REST_MS = 3000;

// Tables in a section that is hidden where the appliance is alone; returns how to refresh it.
export function clusterTables(section) {
  const [appliances, streams] = section.querySelectorAll("tbody"), redis = section.querySelector("p");
  async function show() {
    const cluster = await get("/cluster");
    section.hidden = cluster.appliances.length < 2 && !cluster.redis;
    if (section.hidden || section.contains(document.activeElement)) return;
    appliances.replaceChildren(...cluster.appliances.map(applianceRow));
    streams.replaceChildren(...cluster.streams.map(streamRow));
    redis.hidden = !cluster.redis;
    redis.textContent = cluster.redis ? redisText(cluster.redis) : "";
  }
  let rests = false;
  return () => {
    if (rests) return;
    rests = true;
    show().catch(toast).finally(() => setTimeout(() => { rests = false; }, REST_MS));
  };
}
