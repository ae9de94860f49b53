// Forms from the API's own description (OpenAPI), so that a new kind of source needs no code here.

import { get, make } from "./api.js";

let schemas = null;

// A type by name or reference, with what the reference itself says of it.
function resolve(schema) {
  if (!schema.$ref) return schema;
  return { ...schemas[schema.$ref.split("/").pop()], ...schema };
}

// The fields of an object, required ones first: name, JSON type, description, options of an enum, an example.
function fieldsOf(schema) {
  const { properties = {}, required = [] } = resolve(schema);
  const fields = Object.entries(properties).map(([name, of]) => {
    const { type, description, example, ...field } = resolve(of);
    const options = field.enum ?? field.oneOf?.flatMap((one) => one.enum ?? []);
    return { name, type: [type].flat()[0], options, description, example, required: required.includes(name) };
  });
  return fields.sort((one, other) => other.required - one.required);
}

// The kinds of a type that `type` distinguishes: each with its description and its fields.
export async function kindsOf(name) {
  schemas ??= (await get("/openapi.json")).components.schemas;
  return schemas[name].oneOf.map((kind) => {
    const parts = kind.allOf ?? [kind];
    const type = parts.map((part) => part.properties?.type?.enum?.[0]).find(Boolean);
    const fields = parts.flatMap(fieldsOf).filter((field) => field.name !== "type");
    return { type, description: kind.description, fields };
  });
}

const plain = (text) => (text ?? "").replaceAll("`", "").replace(/\s+/g, " ");

// `listen_port` is labelled "Listen port".
const labelOf = (name) => name === "url" ? "URL" : name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

function inputFor({ name, type, options, description, example, required }) {
  const about = { name: `field-${name}`, title: plain(description), required };
  if (options?.length) {
    const input = make("select", about, ...options.map((value) => make("option", { value, textContent: value })));
    // The first option of a select is no default: the API has its own.
    if (!required) input.prepend(make("option", { value: "", textContent: "default", selected: true }));
    return input;
  }
  if (type === "boolean") return make("input", { ...about, type: "checkbox", required: false });
  const shown = { integer: "number", number: "number" }[type] ?? (/passphrase|token|secret/.test(name) ? "password" : "text");
  return make("input", { ...about, type: shown, placeholder: example ?? "", autocomplete: "off", spellcheck: false });
}

// What was entered, as the API takes it; `undefined` if nothing was.
function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.value === "") return undefined;
  return input.type === "number" ? input.valueAsNumber : input.value;
}

// Inputs for the fields of a kind; `read()` returns what was entered, without what was left empty.
export function inputsFor(kind) {
  const inputs = kind.fields.map((field) => [field.name, inputFor(field)]);
  const labels = inputs.map(([name, input]) => make("label", {}, labelOf(name) + " ", input, make("small", { className: "quiet", textContent: input.title })));
  return { labels, read: () => Object.fromEntries(inputs.map(([name, input]) => [name, valueOf(input)])) };
}
