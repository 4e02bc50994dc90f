/** Models to choose from: what was trained, what runs here, and what runs elsewhere. */
import { get } from "./api.js";
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { isLoggedIn } from "./session.js";
import { keep, recall } from "./storage.js";

const isLocal = (model) => ["local", "Local", "本地"].includes(model.provider);

/** The groups of a picker for chat: `[words, [[value, words, usable]…]]`; empty ones are left out. */
export async function chatGroups(signal) {
  const [{ models }, catalog, own] = await Promise.all([get("/api/models", signal), get("/api/models/catalog", signal), configurations(signal)]);
  const known = new Set(catalog.models.map((model) => model.id));
  const usable = models.filter((model) => !model.retired);
  const trained = usable.filter((model) => isLocal(model) && !known.has(model.id));
  const here = usable.filter((model) => isLocal(model) && known.has(model.id));
  const vendors = groupBy(usable.filter((model) => !isLocal(model)));
  return [
    [t("models.trained"), trained.map(choice)],
    [t("models.here"), here.map(choice)],
    [t("models.own"), own.filter((one) => one.model).map((one) => [`${one.name}/${one.model}`, `${one.name} · ${one.model}`, true])],
    ...[...vendors].map(([vendor, rows]) => [vendor, rows.map(choice)]),
  ].filter(([, rows]) => rows.length);
}

function groupBy(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.provider, [...(found.get(row.provider) ?? []), row]);
  return found;
}

async function configurations(signal) {
  return (await get("/api/config", signal).catch(() => ({ configs: [] }))).configs;
}

function choice(model) {
  const why = model.available ? "" : ` · ${t(model.installed ? "models.no_key" : "models.not_installed")}`;
  return [model.id, `${model.name}${why}`, model.available];
}

/** The catalog's rows that have *ability*. */
export async function able(ability, signal) {
  const { models } = await get("/api/models/catalog", signal);
  return models.filter((model) => model.abilities.includes(ability));
}

/** A picker for one ability; what is not usable can be seen and not chosen. */
export async function modelPicker(ability, name, { signal, also = [] } = {}) {
  const rows = [...also, ...(await able(ability, signal)).map(choice)];
  return picker([["", rows]], name, t("models.automatic"));
}

/** A `<select>` of groups that remembers under *name* what was chosen. */
export function picker(groups, name, automatic) {
  const remembered = recall(`model.${name}`) ?? "";
  const rows = groups.map(([words, choices]) => {
    const found = choices.map(([value, text, usable]) => h("option", { value, disabled: !usable, selected: usable && value === remembered }, text));
    return words ? h("optgroup", { label: words }, found) : found;
  });
  const select = h("select", { "aria-label": t("models.model") }, automatic ? h("option", { value: "" }, automatic) : null, rows);
  select.addEventListener("change", () => keep(`model.${name}`, select.value));
  return select;
}

/** Let a select choose *value* if it may. */
export function prefer(select, value) {
  const option = [...select.options].find((one) => one.value === value && !one.disabled);
  if (option) select.value = value;
  return Boolean(option);
}

export const mayManage = () => isLoggedIn() && recall("me")?.role === "admin";
