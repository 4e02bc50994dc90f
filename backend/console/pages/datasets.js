/** Data sets: uploaded with their progress, read row by row, counted, and made ready for training. */
import { download, get, post, remove, upload } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, t, tOr, time } from "../shared/i18n.js";
import { follow } from "../shared/jobs.js";
import { busy, button, card, check, confirmed, dialog, empty, facts, field, iconButton, load, notice, options, pageHead, problem, skeletons, table, tabs, tellError, working } from "../shared/parts.js";
import { dropPlace } from "../shared/pictures.js";

const ACCEPT = ".json,.jsonl,.csv,.gz,.zip,application/json,text/csv,application/zip";

export async function show({ root, signal, rest }) {
  if (rest[0]) return showOne(root, signal, rest[0]);
  const list = h("div", {});
  const refresh = () => load(list, () => drawList(signal, refresh), { signal });
  put(root, pageHead(t("page.datasets"), t("data.about")), h("div", { class: "columns" }, uploader(signal), list));
  return refresh();
}

const address = (id) => `#/datasets/${encodeURIComponent(id)}`;
const path = (id, more = "") => `/api/v1/datasets/${encodeURIComponent(id)}${more}`;

function uploader(signal) {
  let file = null;
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off" });
  const about = h("input", { maxlength: 2000 });
  const skip = check(t("data.skip"));
  const told = h("div", { "aria-live": "polite" });
  const chosen = h("p", { class: "small muted", role: "status" });
  const go = h("button", { class: "primary", type: "submit" }, icon("up"), t("data.upload"));
  const drop = dropPlace(t("data.file"), { accept: ACCEPT, name: "data", hint: t("data.file_hint"), onFiles: ([one]) => {
    file = one;
    chosen.textContent = one.name;
    name.value ||= one.name.replace(/\.(jsonl?|csv|zip)(\.gz)?$|\.gz$/i, "");
  } });

  async function submit(event) {
    event.preventDefault();
    if (!file) return notice(t("data.no_file"), "bad");
    const form = new FormData();
    form.append("file", file);
    form.append("name", name.value.trim());
    form.append("description", about.value.trim());
    if (skip.box.checked) form.append("on_error", "skip");
    const giveUp = new AbortController();
    signal.addEventListener("abort", () => giveUp.abort());
    const bar = working(t("data.uploading"), () => giveUp.abort());
    put(told, bar);
    return busy(go, async () => {
      try {
        const answer = await upload("/api/v1/datasets/upload", form, { signal: giveUp.signal, onProgress: (part) => bar.tell(part < 1 ? part * 100 : null, part < 1 ? t("data.uploading") : t("data.reading")) });
        const made = answer.id ? answer : (await finished(answer.task_id, bar, signal)).result;
        location.hash = address(made.id);
      } catch (error) {
        put(told, giveUp.signal.aborted ? null : uploadProblem(error));
      }
    });
  }
  return h("form", { class: "card stack", onsubmit: submit }, h("h2", {}, t("data.upload_title")), drop, chosen, field(t("data.name"), name), field(t("data.description"), about), skip, told, go);
}

/** A file that has a bad line says which one. */
function uploadProblem(error) {
  const { line, row } = error.details ?? {};
  const box = problem(error);
  if (line ?? row) box.querySelector(".stack").append(h("p", { class: "small" }, t("data.bad_line", { n: line ?? row })));
  return box;
}

async function finished(id, bar, signal) {
  const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : null) });
  if (job.status !== "completed") throw Object.assign(new Error(job.error?.message ?? t("status.canceled")), job.error ?? {});
  return job;
}

async function drawList(signal, refresh) {
  const { datasets } = await get("/api/v1/datasets", signal);
  if (!datasets.length) return card(null, null, empty("data", t("data.empty"), t("data.empty_about"), h("a", { class: "button", href: "#/annotate" }, icon("tag"), t("page.annotate"))));
  const rows = datasets.reverse().map((one) => [
    h("a", { href: address(one.id) }, one.name), h("span", { class: "tag" }, tOr(`data.kind.${one.kind}`, one.kind)), tOr(`data.format.${one.format}`, one.format), number(one.samples_count), time(one.created_at), rowActions(one, refresh),
  ]);
  return table(t("page.datasets"), [[t("data.name"), "lead"], [t("data.kind"), ""], [t("data.format"), ""], [t("data.rows"), "number"], [t("field.when"), ""], ["", "actions"]], rows);
}

function rowActions(one, refresh) {
  const forget = async () => {
    if (await confirmed(t("data.forget_sure", { name: one.name }), t("do.delete"))) await remove(path(one.id)).then(refresh, tellError);
  };
  return h("div", { class: "row" }, iconButton("down", t("do.download"), { onclick: () => download(path(one.id, "/download"), `${one.name}.zip`).catch(tellError) }), iconButton("bin", t("do.delete"), { kind: "quiet small square danger", onclick: forget }));
}

async function showOne(root, signal, id) {
  put(root, skeletons(5));
  try {
    const one = await get(path(id), signal);
    drawOne(root, signal, one);
  } catch (error) {
    if (!signal.aborted) put(root, pageHead(t("page.datasets")), problem(error), h("a", { href: "#/datasets" }, t("data.back")));
  }
}

function drawOne(root, signal, one) {
  const place = h("div", {});
  const show = (name) => load(place, () => (name === "rows" ? drawRows(one, signal) : drawStats(one, signal)), { signal });
  const train = h("a", { class: "button", href: `#/training?dataset=${encodeURIComponent(one.id)}&format=${encodeURIComponent(one.format)}` }, icon("train"), t("data.train"));
  const ready = button(t("data.process"), { name: "again", kind: "primary", onclick: () => processDialog(one, signal) });
  put(root, h("a", { class: "small", href: "#/datasets" }, t("data.back")), pageHead(one.name, one.description || null, train, ready),
    card(null, null, facts([["ID", h("code", {}, one.id)], [t("data.path"), h("code", {}, one.path)], [t("data.format"), tOr(`data.format.${one.format}`, one.format)], [t("data.rows"), number(one.samples_count)], [t("data.size"), one.size_mb < 0.01 ? "< 0.01 MB" : `${number(one.size_mb, 2)} MB`], [t("data.splits"), one.splits ? Object.entries(one.splits).map(([name, n]) => `${name} ${number(n)}`).join(" · ") : null], [t("data.version"), one.kind === "processed" ? String(one.version) : null], [t("data.bad_rows"), one.bad_rows?.count ? number(one.bad_rows.count) : null], [t("field.when"), time(one.created_at)]])),
    tabs(t("data.look"), [["rows", t("data.rows")], ["stats", t("data.stats")]], "rows", show), place);
  show("rows");
  root.querySelector("h1").focus({ preventScroll: true });
}

async function drawRows(one, signal) {
  let after = 0;
  const body = h("div", {});
  const nav = h("div", { class: "row end" });
  const before = [];
  async function draw() {
    const page = await get(path(one.id, `/rows?limit=20&after=${after}`), signal);
    if (!page.rows.length) return put(body, empty("data", t("data.no_rows"), ""));
    const names = [...new Set(page.rows.flatMap(({ row }) => Object.keys(row)))].slice(0, 8);
    const rows = page.rows.map(({ number: n, split, row }) => [[String(n), split ? h("span", { class: "tag" }, split) : null], ...names.map((name) => h("div", { class: "cell" }, asText(row[name])))]);
    put(body, table(t("data.rows"), [[t("data.row"), ""], ...names.map((name) => [name, ""])], rows));
    put(nav, h("span", { class: "small muted number" }, `${number(page.rows[0].number)}–${number(page.rows.at(-1).number)} / ${number(page.count)}`),
      button(t("do.back"), { kind: "small", disabled: !before.length, onclick: () => { after = before.pop(); draw().catch(tellError); } }),
      button(t("do.next"), { kind: "small", disabled: page.next === null, onclick: () => { before.push(after); after = page.next; draw().catch(tellError); } }));
    return undefined;
  }
  await draw();
  return h("div", { class: "stack" }, body, nav);
}

const asText = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 1));

async function drawStats(one, signal) {
  const stats = await get(path(one.id, "/stats"), signal);
  const names = [...new Set(stats.columns.flatMap((column) => Object.keys(column)))];
  const rows = stats.columns.map((column) => names.map((name, n) => (n ? h("div", { class: "cell" }, asText(column[name])) : h("b", {}, asText(column[name])))));
  return h("div", { class: "stack" }, table(t("data.stats"), names.map((name, n) => [tOr(`data.stat.${name}`, name), n ? "" : "lead"]), rows), stats.splits ? card(t("data.splits"), null, facts(Object.entries(stats.splits).map(([name, value]) => [name, h("code", {}, asText(value))]))) : null, stats.counts ? card(t("data.counts"), null, facts(Object.entries(stats.counts).map(([name, value]) => [tOr(`data.count.${name}`, name), asText(value)]))) : null);
}

function processDialog(one, signal) {
  dialog(t("data.process"), (close) => {
    const name = h("input", { required: true, value: `${one.name}_processed`.replace(/[^\w.-]+/g, "_").slice(0, 100), pattern: "[A-Za-z0-9._\\-]+" });
    const parts = [["train_ratio", 0.8], ["val_ratio", 0.1], ["test_ratio", 0.1]].map(([key, value]) => [key, h("input", { type: "number", min: 0, max: 1, step: "any", value })]);
    const template = h("textarea", { rows: 4, class: "mono", placeholder: "### Instruction:\n{instruction}\n\n### Response:\n{response}" });
    const dedupe = check(t("data.dedupe"));
    const skip = check(t("data.skip"));
    const group = h("select", {}, options([["", t("data.no_group")], ...one.columns.map((column) => [column, column])], ""));
    const told = h("div", { "aria-live": "polite" });
    const go = h("button", { type: "submit", class: "primary" }, t("data.process"));
    async function submit(event) {
      event.preventDefault();
      const asked = { dataset_id: one.id, output_name: name.value.trim(), template: template.value || null, dedupe: dedupe.box.checked, group_by: group.value || null, on_error: skip.box.checked ? "skip" : "fail", ...Object.fromEntries(parts.map(([key, input]) => [key, Number(input.value)])) };
      await busy(go, async () => {
        const bar = working(t("data.processing"), null);
        put(told, bar);
        try {
          const answer = await post("/api/v1/datasets/process", asked, { signal });
          const id = answer.output_id ?? (await finished(answer.task_id, bar, signal)).result.id;
          close(true);
          notice(t("data.processed"));
          location.hash = address(id);
        } catch (error) {
          put(told, problem(error));
        }
      });
    }
    return h("form", { class: "stack", onsubmit: submit }, field(t("data.output_name"), name), h("div", { class: "thirds" }, parts.map(([key, input]) => field(t(`data.${key}`), input))), field(t("data.template"), template, t("data.template_hint", { columns: one.columns.map((column) => `{${column}}`).join(" ") })), field(t("data.group_by"), group), dedupe, skip, told, h("div", { class: "row end" }, button(t("do.cancel"), { onclick: () => close(null) }), go));
  });
}
