/** Providers: configurations with their keys, which are shown by their ends alone, and a button that tries them. */
import { ask, get, post, remove } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { t } from "../shared/i18n.js";
import { busy, button, card, check, confirmed, dialog, empty, field, iconButton, load, notice, options, pageHead, problem, tellError } from "../shared/parts.js";

const PROVIDERS = [["dashscope", "DashScope · 通义千问"], ["ark", "Volcengine Ark · 豆包"], ["openai", "OpenAI"], ["anthropic", "Anthropic"], ["openai_like", "vLLM, Ollama, …"]];
const ALIASES = { qwen: "dashscope", doubao: "ark" };

export async function show({ root, signal }) {
  const place = h("div", {});
  const refresh = () => load(place, () => drawAll(signal, refresh), { signal });
  put(root, pageHead(t("page.providers"), t("providers.about"), button(t("providers.add"), { name: "plus", kind: "primary", onclick: () => edit(null, refresh) })), place);
  await refresh();
}

async function drawAll(signal, refresh) {
  const { configs } = await get("/api/config", signal);
  if (!configs.length) return card(null, null, empty("plug", t("providers.empty"), t("providers.empty_about"), button(t("providers.add"), { name: "plus", onclick: () => edit(null, refresh) })));
  return h("div", { class: "halves" }, configs.map((one) => drawOne(one, refresh)));
}

function label(provider) {
  return PROVIDERS.find(([name]) => name === (ALIASES[provider] ?? provider))?.[1] ?? provider;
}

function drawOne(one, refresh) {
  const told = h("div", { role: "status" });
  const tryOut = button(t("providers.test"), { name: "play", kind: "small", onclick: () => busy(tryOut, async () => {
    put(told, h("span", { class: "row muted small" }, h("span", { class: "spinner" }), t("providers.testing")));
    put(told, verdict(await post("/api/config/test", { config_id: one.id }).catch((error) => ({ ok: false, detail: error.message }))));
  }) });
  const use = one.is_active ? null : button(t("providers.use"), { kind: "small", onclick: (event) => busy(event.currentTarget, async () => { await ask(`/api/config/${one.id}`, { method: "PUT", json: { is_active: true } }); refresh(); }) });
  const forget = async () => {
    if (await confirmed(t("providers.forget_sure", { name: one.name }), t("do.delete"))) await remove(`/api/config/${one.id}`).then(refresh, tellError);
  };
  return h("article", { class: "card stack", "aria-label": one.name },
    h("div", { class: "row between" }, h("div", {}, h("h2", {}, one.name), h("p", { class: "small muted" }, label(one.provider))), one.is_active ? h("span", { class: "tag good" }, t("providers.active")) : null),
    h("div", { class: "small" }, [one.model, one.api_key, one.base_url].filter(Boolean).map((text) => h("div", {}, h("code", {}, text)))), told,
    h("div", { class: "row" }, tryOut, use, button(t("do.edit"), { kind: "small quiet", onclick: () => edit(one, refresh) }), iconButton("bin", t("do.delete"), { kind: "quiet small square danger", onclick: forget })));
}

function verdict({ ok, latency_ms: latency, detail }) {
  return h("div", { class: "stack tight" }, h("span", { class: `tag ${ok ? "good" : "bad"}`, style: { width: "fit-content" } }, ok ? t("providers.works", { ms: latency }) : t("providers.fails")), detail ? h("p", { class: "small muted" }, detail) : null);
}

function edit(one, refresh) {
  dialog(t(one ? "providers.edit" : "providers.add"), (close) => {
    const name = h("input", { required: true, maxlength: 100, value: one?.name ?? "" });
    const chosen = ALIASES[one?.provider] ?? one?.provider ?? "dashscope";
    const provider = h("select", {}, options(PROVIDERS, chosen));
    const key = h("input", { type: "password", autocomplete: "off", placeholder: one?.api_key || "sk-…" });
    const model = h("input", { value: one?.model ?? "", placeholder: "qwen-plus", spellcheck: "false" });
    const base = h("input", { type: "url", value: one?.base_url ?? "", placeholder: "https://…/v1" });
    const active = check(t("providers.is_active"), { checked: one?.is_active ?? true });
    const told = h("div", { "aria-live": "polite" });
    const go = h("button", { type: "submit", class: "primary" }, t("do.save"));
    const asked = () => ({ name: name.value.trim(), provider: provider.value, model: model.value.trim(), base_url: base.value.trim(), ...(key.value ? { api_key: key.value } : {}) });
    const tryOut = button(t("providers.test"), { onclick: () => busy(tryOut, async () => {
      const body = one && !key.value ? { config_id: one.id } : asked();
      put(told, verdict(await post("/api/config/test", body).catch((error) => ({ ok: false, detail: error.message }))));
    }) });
    async function submit(event) {
      event.preventDefault();
      await busy(go, async () => {
        try {
          const body = { ...asked(), is_active: active.box.checked };
          await ask(one ? `/api/config/${one.id}` : "/api/config", { method: one ? "PUT" : "POST", json: body });
          close(true);
          notice(t("do.saved"));
          refresh();
        } catch (error) {
          put(told, problem(error));
        }
      });
    }
    return h("form", { class: "stack", onsubmit: submit }, field(t("data.name"), name, t("providers.name_hint")), field(t("providers.provider"), provider), field(t("annotate.key"), key, t("providers.key_hint")), field(t("models.model"), model), field(t("providers.base_url"), base, t("providers.base_hint")), active, told, h("div", { class: "row between" }, tryOut, h("div", { class: "row" }, button(t("do.cancel"), { onclick: () => close(null) }), go)));
  });
}
