/** Descriptions reviewed one by one: changed, accepted or rejected. A accepts the row one is in, R rejects it. */
import { ask, get, objectUrl } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, t } from "../shared/i18n.js";
import { busy, button, empty, field, load, notice, pageHead, problem, skeletons, statusTag, tabs, tellError } from "../shared/parts.js";

const PAGE = 20;

export async function drawReview(root, signal, id, { onDataset }) {
  put(root, skeletons(5));
  try {
    const one = await get(`/api/annotations/${id}`, signal);
    build(root, signal, one, onDataset);
  } catch (error) {
    if (!signal.aborted) put(root, pageHead(t("page.annotate")), problem(error), back());
  }
}

const back = () => h("a", { class: "small", href: "#/annotate" }, t("annotate.back"));

function build(root, signal, one, onDataset) {
  const rows = h("div", {});
  const counted = h("p", { class: "small muted", role: "status" });
  const make = button(t("annotate.make"), { name: "data", kind: "primary", onclick: () => onDataset(one) });
  const state = { accepted: one.accepted, rejected: one.rejected };
  const tell = () => {
    counted.textContent = t("annotate.counted", { all: number(one.total), accepted: number(state.accepted), rejected: number(state.rejected) });
    make.disabled = !state.accepted;
  };
  const draw = (verdict) => load(rows, () => drawRows(one, signal, verdict === "all" ? null : verdict, state, tell), { signal });
  tell();
  put(root, back(), pageHead(t("annotate.review"), t("annotate.review_about"), make), h("div", { class: "row between" }, tabs(t("annotate.show"), [["all", t("annotate.all")], ["pending", t("status.pending")], ["accepted", t("status.accepted")], ["rejected", t("status.rejected")]], "all", draw), counted), rows);
  draw("all");
  root.querySelector("h1").focus({ preventScroll: true });
}

async function drawRows(one, signal, verdict, state, tell) {
  const list = h("div", {});
  const more = h("div", { class: "row end" });
  let after = 0;
  async function draw() {
    const page = await get(`/api/annotations/${one.id}/rows?limit=${PAGE}&after=${after}${verdict ? `&review=${verdict}` : ""}`, signal);
    if (!page.rows.length && !after) return put(list, empty("tag", t("annotate.no_rows"), ""));
    list.append(...page.rows.map((row) => drawRow(one, row, signal, state, tell)));
    after = page.next;
    put(more, after ? button(t("do.more"), { onclick: (event) => busy(event.currentTarget, draw) }) : null);
    return undefined;
  }
  await draw();
  return h("div", { class: "card" }, list, more);
}

function drawRow(one, row, signal, state, tell) {
  const picture = h("div", {}, h("span", { class: "skeleton", style: { height: "8rem" } }));
  showPicture(picture, row, signal);
  const text = h("textarea", { rows: 4, value: row.description ?? "" });
  const verdict = h("span", {}, statusTag(row.review));
  const change = async (control, body) => busy(control, async () => {
    const now = await ask(`/api/annotations/${one.id}/rows/${row.number}`, { method: "PATCH", json: body });
    if (row.review in state) state[row.review] -= 1;
    if (now.review in state) state[now.review] += 1;
    Object.assign(row, now);
    put(verdict, statusTag(row.review));
    tell();
  });
  const changed = () => (text.value.trim() && text.value !== row.description ? { description: text.value } : {});
  const accept = button(t("annotate.accept"), { name: "check", kind: "small", onclick: () => change(accept, { ...changed(), review: "accepted" }) });
  const reject = button(t("annotate.reject"), { name: "close", kind: "small danger", onclick: () => change(reject, { review: "rejected" }) });
  const save = button(t("do.save"), { kind: "small", onclick: () => (Object.keys(changed()).length ? change(save, changed()).then(() => notice(t("do.saved"))) : null) });
  if (row.status !== "completed") accept.disabled = true;
  const keys = (event) => {
    if (event.target === text || event.ctrlKey || event.metaKey) return;
    if (event.key === "a") accept.click();
    if (event.key === "r") reject.click();
  };
  return h("article", { class: "review", "aria-label": `${row.number}. ${row.original_name}`, onkeydown: keys }, picture, h("div", { class: "stack tight" }, h("div", { class: "row between" }, h("b", {}, `${row.number}. ${row.original_name}`), verdict), row.error ? problem({ message: row.error }) : null, field(t("annotate.description"), text), h("div", { class: "row" }, accept, reject, save)));
}

async function showPicture(place, row, signal) {
  try {
    const url = await objectUrl(`/api/uploads/${row.file_name}`, signal);
    signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    put(place, h("img", { src: url, alt: row.original_name }));
  } catch (error) {
    if (!signal.aborted) put(place, h("div", { class: "empty small" }, icon("image"), t("annotate.no_picture")));
    if (error.status !== 404) tellError(error);
  }
}
