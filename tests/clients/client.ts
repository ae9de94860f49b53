// A program with the types that openapi-typescript generates from docs/openapi.json. It is
// compiled, not run. Each `@ts-expect-error` is a mistake that the types must detect.
import type { components, paths } from "./api";

type Schemas = components["schemas"];
type Refusal =
  paths["/api/v1/streams"]["get"]["responses"]["4XX"]["content"]["application/json"];
type Body<Path extends keyof paths> = paths[Path] extends
  { get: { responses: { 200: { content: { "application/json": infer B } } } } } ? B : never;

export async function liveStreams(base: string, token: string): Promise<string[]> {
  const path: keyof paths = "/api/v1/streams";
  const answer = await fetch(base + path, { headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) {
    const problem: Refusal = await answer.json();
    throw new Error(`${problem.code}: ${problem.message}. ${problem.hint}`);
  }
  const list: Body<"/api/v1/streams"> = await answer.json();
  return list.streams.filter((stream) => stream.state === "live").map((stream) => stream.name);
}

// The settings of each job have their own type.
export const captions: Schemas["CaptionSettings"] = { enabled: true, language: "en", translate: ["es"] };
export const denoise: Schemas["DenoiseSettings"] = { enabled: true, mix: 0.5 };
export const record: Schemas["OutputKind"] = { type: "record", split_s: 3600 };
export const trunk: Schemas["OutputKind"] = { type: "trunk", url: "https://b.example.net/whip/a", aic: 0.5 };

// @ts-expect-error: captions have no bitrate
export const wrong: Schemas["CaptionSettings"] = { video_kbps: 1500 };
// @ts-expect-error: a trunk goes somewhere
export const nowhere: Schemas["TrunkSettings"] = {};
