/** What was used: by model, day or user, and how much of the disk is taken. */
import { get } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { number, t } from "../shared/i18n.js";
import { mayManage } from "../shared/models.js";
import { card, empty, figure, load, options, pageHead, table, tabs } from "../shared/parts.js";

export async function show({ root, signal }) {
  let by = "model";
  const place = h("div", {});
  const days = h("select", { "aria-label": t("usage.days") }, options([7, 30, 90, 365].map((n) => [String(n), t("usage.last_days", { n })]), "30"));
  const draw = () => load(place, async () => drawUsage(await get(`/api/usage?by=${by}&days=${days.value}`, signal), by), { signal });
  days.addEventListener("change", draw);
  const ways = [["model", t("usage.by_model")], ["day", t("usage.by_day")], ...(mayManage() ? [["user", t("usage.by_user")]] : [])];
  put(root, pageHead(t("page.usage"), t("usage.about"), days), tabs(t("usage.by"), ways, by, (name) => { by = name; draw(); }), place);
  await draw();
}

function drawUsage(found, by) {
  const sum = (name) => found.usage.reduce((total, row) => total + row[name], 0);
  const quota = found.quota_mb ? h("div", { class: "stack tight" }, h("progress", { max: found.quota_mb, value: found.stored_mb, "aria-label": t("usage.stored") }), h("p", { class: "small muted" }, t("usage.quota", { used: number(found.stored_mb, 1), all: number(found.quota_mb) }))) : null;
  const head = card(null, null, h("div", { class: "stack" }, h("div", { class: "figures" }, figure(number(sum("calls")), t("usage.calls")), figure(number(sum("total_tokens")), t("usage.tokens")), figure(number(sum("errors")), t("usage.errors")), figure(`${number(found.stored_mb, 1)} MB`, t("usage.stored"))), quota));
  if (!found.usage.length) return h("div", { class: "stack" }, head, card(null, null, empty("usage", t("usage.empty"), t("usage.empty_about"))));
  const rows = [...found.usage].sort((a, b) => (by === "day" ? b.key.localeCompare(a.key) : 0));
  const cells = rows.map((row) => [row.key, number(row.calls), number(row.prompt_tokens), number(row.completion_tokens), number(row.errors), row.average_first_token_ms === null ? "–" : `${number(row.average_first_token_ms)} ms`]);
  return h("div", { class: "stack" }, head, by === "day" && rows.length > 1 ? card(null, null, bars(rows.slice().reverse())) : null, table(t("page.usage"), [[t(`usage.by_${by}`), "lead"], [t("usage.calls"), "number"], [t("usage.prompt"), "number"], [t("usage.completion"), "number"], [t("usage.errors"), "number"], [t("usage.first"), "number"]], cells));
}

function bars(rows) {
  const most = Math.max(...rows.map((row) => row.calls), 1);
  return h("div", { class: "bars", "aria-hidden": "true" }, rows.map((row) => h("i", { title: `${row.key}: ${number(row.calls)}`, style: { height: `${(row.calls / most) * 100}%` } })));
}
