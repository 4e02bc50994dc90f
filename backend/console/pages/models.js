/** Models: what can do what, what is here, what can be pulled, and what was trained. */
import { ask, download, get, post, remove } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, t, tOr, time } from "../shared/i18n.js";
import { cancel, follow } from "../shared/jobs.js";
import { mayManage } from "../shared/models.js";
import { button, card, confirmed, dialog, empty, facts, field, iconButton, load, notice, options, pageHead, problem, table, tellError, working } from "../shared/parts.js";
import { isLoggedIn } from "../shared/session.js";

export async function show({ root, signal }) {
  const catalog = h("div", {});
  const trained = h("div", {});
  const pulls = h("div", { class: "stack", "aria-live": "polite" });
  const refresh = () => load(catalog, () => drawCatalog(signal, (id) => pull(id)), { signal });

  async function pull(id, existing) {
    try {
      const task = existing ?? (await post("/api/models/pull", { model: id }, { signal })).task_id;
      const bar = working(t("models.pulling", { id }), () => cancel(task).catch(tellError));
      const box = card(null, null, bar);
      pulls.append(box);
      const job = await follow(task, { signal, onChange: (now) => bar.tell(now.progress || null, pullWords(id, now)) });
      box.remove();
      if (job.status === "completed") notice(t("models.pulled", { id }));
      else if (job.error) pulls.append(problem(job.error));
      refresh();
    } catch (error) {
      if (!signal.aborted) pulls.append(problem(error));
    }
  }

  put(root, pageHead(t("page.models"), t("models.about")), mayManage() ? byName(pull) : null, pulls, isLoggedIn() ? card(t("models.trained"), null, trained) : null, catalog);
  if (mayManage()) underWay(signal, pull);
  await Promise.all([refresh(), isLoggedIn() ? load(trained, () => drawTrained(signal, trained), { signal, count: 1 }) : null]);
}

function pullWords(id, job) {
  if (job.away) return t("state.away");
  const stage = job.metrics?.stage;
  return [t("models.pulling", { id }), stage ? tOr(`models.stage.${stage}`, stage) : null].filter(Boolean).join(" · ");
}

/** Pulls that began elsewhere, or before the page was loaded again, are shown too. */
async function underWay(signal, pull) {
  const { jobs } = await get("/api/jobs?kind=models.pull&status=running&limit=10", signal).catch(() => ({ jobs: [] }));
  for (const job of jobs) pull(job.metrics?.model ?? t("page.models"), job.id);
}

function byName(pull) {
  const name = h("input", { required: true, placeholder: "whisper-small  ·  owner/name", spellcheck: "false", autocapitalize: "none" });
  const submit = (event) => {
    event.preventDefault();
    pull(name.value.trim());
    name.value = "";
  };
  return h("form", { class: "card", onsubmit: submit }, h("div", { class: "row start" }, h("div", { class: "grow" }, field(t("models.by_name"), name, t("models.by_name_hint"))), h("button", { class: "primary", type: "submit", style: { marginTop: "1.65rem" } }, icon("down"), t("models.pull"))));
}

async function drawCatalog(signal, pull) {
  const { models } = await get("/api/models/catalog", signal);
  const abilities = [...new Set(models.flatMap((model) => model.abilities))];
  const wanted = h("select", { "aria-label": t("models.filter") }, options([["", t("models.all")], ...abilities.map((one) => [one, tOr(`ability.${one}`, one)])], ""));
  const here = h("select", { "aria-label": t("models.filter_where") }, options([["", t("models.anywhere")], ["installed", t("models.installed")], ["local", t("models.here")]], ""));
  const place = h("div", {});
  const draw = () => {
    const rows = models.filter((model) => (!wanted.value || model.abilities.includes(wanted.value)) && (here.value !== "installed" || model.installed) && (here.value !== "local" || model.pullable || isHere(model)));
    put(place, rows.length ? table(t("page.models"), [[t("models.model"), "lead"], [t("models.can"), ""], [t("models.provider"), ""], [t("models.size"), "number"], [t("models.state"), ""], ["", "actions"]], rows.map((model) => catalogRow(model, pull))) : empty("model", t("models.none"), t("models.none_about")));
  };
  wanted.addEventListener("change", draw);
  here.addEventListener("change", draw);
  draw();
  return h("div", { class: "stack" }, h("div", { class: "row" }, h("h2", { class: "grow" }, t("models.catalog")), h("div", { class: "row" }, h("div", {}, wanted), h("div", {}, here))), place);
}

const isHere = (model) => ["Local", "local", "本地"].includes(model.provider);

function catalogRow(model, pull) {
  const state = model.available ? h("span", { class: "tag good" }, t("models.ready")) : h("span", { class: `tag ${model.installed ? "warn" : ""}` }, t(model.installed ? "models.no_key" : "models.not_installed"));
  const act = model.pullable && !model.installed && mayManage() ? button(t("models.pull"), { name: "down", kind: "small", "aria-label": t("models.pull_name", { id: model.id }), onclick: (event) => { event.currentTarget.disabled = true; pull(model.id); } }) : null;
  return [h("div", {}, h("div", {}, model.name), h("code", { class: "muted" }, model.id), model.description ? h("div", { class: "small muted" }, model.description) : null), model.abilities.map((one) => tOr(`ability.${one}`, one)).join(", "), isHere(model) ? t("models.here") : model.provider, model.size_mb ? `${number(model.size_mb)} MB` : "–", state, h("div", { class: "row" }, act)];
}

async function drawTrained(signal, place) {
  const [all, catalog] = await Promise.all([get("/api/v1/models", signal), get("/api/models/catalog", signal)]);
  // That list also has what was pulled, which stands in the catalog below.
  const pulled = new Set(catalog.models.map((model) => model.id));
  const models = all.models.filter((model) => !pulled.has(model.id));
  if (!models.length) return empty("train", t("models.no_trained"), t("models.no_trained_about"), h("a", { class: "button", href: "#/training" }, t("page.training")));
  const again = () => load(place, () => drawTrained(signal, place), { signal, count: 1 });
  const forget = async (model) => {
    if (await confirmed(t("models.forget_sure", { name: model.name }), t("do.delete"))) await remove(`/api/v1/models/${encodeURIComponent(model.id)}`).then(again, tellError);
  };
  const rows = models.map((model) => [h("button", { type: "button", class: "link", onclick: () => showCard(model.id) }, model.name), model.base_model, `${number(model.size_mb, 1)} MB`, time(model.created_at), h("div", { class: "row" }, h("a", { class: "button small", href: `#/chat?model=${encodeURIComponent(model.id)}` }, t("page.chat")), iconButton("down", t("do.download"), { onclick: () => download(`/api/v1/models/${encodeURIComponent(model.id)}/download`, `${model.name}.zip`).catch(tellError) }), iconButton("bin", t("do.delete"), { kind: "quiet small square danger", onclick: () => forget(model) }))]);
  return table(t("models.trained"), [[t("data.name"), "lead"], [t("train.base"), ""], [t("models.size"), "number"], [t("field.when"), ""], ["", "actions"]], rows);
}

function showCard(id) {
  dialog(t("models.card"), (close) => {
    const place = h("div", {});
    const told = (value) => (value && typeof value === "object" ? h("pre", { class: "mono" }, JSON.stringify(value, null, 1)) : value === null ? null : String(value));
    load(place, async () => facts(Object.entries(await ask(`/api/v1/models/${encodeURIComponent(id)}`)).filter(([, value]) => value !== null && value !== "" && !(typeof value === "object" && !Object.keys(value).length)).map(([name, value]) => [tOr(`card.${name}`, name), told(value)])));
    return h("div", { class: "stack" }, place, h("div", { class: "row end" }, button(t("do.close"), { onclick: () => close(null) })));
  });
}
