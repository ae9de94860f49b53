// Tokens of the API, for those who may make them.

import { ago, get, make, onClick, openDialog, post, remove, toast } from "./api.js";

const day = (time) => new Date(time).toLocaleDateString();

// Shows a new token once, in a dialog that stays until it is closed.
function showOnce({ name, role, token }) {
  openDialog("new-token", (fields, dialog) => {
    dialog.querySelector("p").textContent = `“${name}”, with the role ${role}. It is not shown again.`;
    fields.token.value = token;
    fields.token.onfocus = () => fields.token.select();
  }, async () => {});
}

// A list in a section that is hidden from others than admins.
export function tokensTable(section, role) {
  section.hidden = role !== "admin";
  if (section.hidden) return;
  const rows = section.querySelector("tbody");
  async function show() {
    const { tokens } = await get("/tokens");
    const row = (t) => {
      const away = make("button", { className: "plain danger", textContent: "Delete" });
      onClick(away, async () => {
        if (!confirm(`Delete the token “${t.name}”? What uses it is refused at once.`)) return;
        await remove("/tokens/" + encodeURIComponent(t.id));
        await show();
      });
      const expired = t.expires_at && new Date(t.expires_at) < new Date();
      const end = t.expires_at ? `${expired ? "expired" : "expires"} ${day(t.expires_at)}` : "does not expire";
      return make("tr", {}, make("td", { textContent: t.name }), make("td", {}, make("span", { className: "pill", textContent: t.role })),
        make("td", { className: expired ? "error" : "quiet", textContent: end }), make("td", { className: "quiet", textContent: `made ${ago(t.created_at)} ago` }),
        make("td", {}, away));
    };
    rows.replaceChildren(...tokens.map(row));
    section.querySelector("p").hidden = tokens.length > 0;
  }
  onClick(section.querySelector("button"), () => openDialog("token", () => {}, async (fields) => {
    const wish = { name: fields.name.value, role: fields.role.value, ...(fields.days.value ? { days: Number(fields.days.value) } : {}) };
    const made = await post("/tokens", wish);
    await show();
    showOnce(made);
  }));
  show().catch(toast);
}
