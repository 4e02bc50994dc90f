/** API keys: made, shown once, and revoked. */
import { get, post, remove } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { t, time } from "../shared/i18n.js";
import { busy, button, card, confirmed, dialog, empty, field, load, notice, options, pageHead, table, tellError } from "../shared/parts.js";

export async function show({ root, signal }) {
  const place = h("div", {});
  const refresh = () => load(place, () => drawKeys(signal, refresh), { signal });
  put(root, pageHead(t("page.keys"), t("keys.about")), maker(refresh), place, card(t("keys.use"), null, h("p", { class: "muted" }, t("keys.use_about")), h("pre", { class: "mono", tabindex: "0" }, `from openai import OpenAI\n\nclient = OpenAI(base_url="${location.origin}/v1", api_key="sk-…")`)));
  await refresh();
}

function maker(refresh) {
  const name = h("input", { required: true, maxlength: 64, placeholder: t("keys.name_example") });
  const days = h("select", {}, options([["", t("keys.forever")], ["7", t("keys.days", { n: 7 })], ["30", t("keys.days", { n: 30 })], ["90", t("keys.days", { n: 90 })], ["365", t("keys.days", { n: 365 })]], "90"));
  const go = h("button", { type: "submit", class: "primary" }, icon("plus"), t("keys.make"));
  const submit = async (event) => {
    event.preventDefault();
    const made = await busy(go, () => post("/api/auth/keys", { name: name.value.trim(), expires_days: days.value ? Number(days.value) : null }));
    if (!made) return;
    name.value = "";
    await showOnce(made.key);
    refresh();
  };
  return h("form", { class: "card stack", onsubmit: submit }, h("div", { class: "halves" }, field(t("data.name"), name), field(t("keys.ends"), days)), h("div", { class: "row end" }, go));
}

function showOnce(key) {
  return dialog(t("keys.once"), (close) => h("div", { class: "stack" }, h("p", { class: "muted" }, t("keys.once_about")), h("div", { class: "secret" }, h("code", {}, key), button(t("do.copy"), { name: "copy", onclick: () => navigator.clipboard?.writeText(key).then(() => notice(t("do.copied"))) })), h("div", { class: "row end" }, button(t("do.done"), { kind: "primary", onclick: () => close(true) }))));
}

async function drawKeys(signal, refresh) {
  const { keys } = await get("/api/auth/keys?limit=100", signal);
  if (!keys.length) return card(null, null, empty("key", t("keys.empty"), t("keys.empty_about")));
  const revoke = async (one) => {
    if (await confirmed(t("keys.revoke_sure", { name: one.name }), t("keys.revoke"))) await remove(`/api/auth/keys/${one.id}`).then(refresh, tellError);
  };
  const rows = keys.map((one) => [one.name, h("code", {}, `${one.prefix}…`), one.last_used ? time(one.last_used) : t("keys.never"), one.expires_at ? time(one.expires_at) : t("keys.forever"), button(t("keys.revoke"), { kind: "small danger", "aria-label": t("keys.revoke_name", { name: one.name }), onclick: () => revoke(one) })]);
  return table(t("page.keys"), [[t("data.name"), "lead"], [t("keys.begins"), ""], [t("keys.last_used"), ""], [t("keys.ends"), ""], ["", "actions"]], rows);
}
