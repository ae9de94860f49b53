// Forms from the API's own description (OpenAPI), so that a new kind of source needs no code here.

import { get, make } from "./api.js";

let schemas = null;

// A type by name or reference, with what the reference itself says of it.
function resolve(schema) {
  if (!schema.$ref) return schema;
  return { ...schemas[schema.$ref.split("/").pop()], ...schema };
}

// The fields of an object: name, description, options of an enum, an example, whether they must be there.
function fieldsOf(schema) {
  const { properties = {}, required = [] } = resolve(schema);
  return Object.entries(properties).map(([name, of]) => {
    const field = resolve(of);
    const options = field.enum ?? field.oneOf?.flatMap((one) => one.enum ?? []);
    return { name, options, description: field.description, example: field.example, required: required.includes(name) };
  });
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

// Inputs for the fields of a kind; `read()` returns what was typed, without what was left empty.
export function inputsFor(kind) {
  const inputs = kind.fields.map(({ name, options, description, example, required }) => {
    const about = { name: `field-${name}`, title: plain(description), required };
    const input = options?.length
      ? make("select", about, ...options.map((value) => make("option", { value, textContent: value })))
      : make("input", { ...about, type: /passphrase|token|secret/.test(name) ? "password" : "text", placeholder: example ?? "", autocomplete: "off", spellcheck: false });
    // The first option of a select is no default: the API has its own.
    if (options?.length && !required) input.prepend(make("option", { value: "", textContent: "default", selected: true }));
    return [name, input];
  });
  const labels = inputs.map(([name, input]) => make("label", {}, name.replaceAll("_", " ") + " ", input, make("small", { className: "quiet", textContent: input.title })));
  return { labels, read: () => Object.fromEntries(inputs.filter(([, input]) => input.value).map(([name, input]) => [name, input.value])) };
}
