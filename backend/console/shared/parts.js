/** Pieces that pages are put together of: heads, fields, notices, empty places, errors and dialogs. */
import { isAbort } from "./api.js";
import { freshId, h, put } from "./dom.js";
import { icon } from "./icons.js";
import { t, tOr } from "./i18n.js";

const NOTICE_MS = 7000;

/** The head of a page: its name, what it is for, and what stands at its right. */
export function pageHead(title, about, ...right) {
  return h("div", { class: "page-head" }, h("div", {}, h("h1", { tabindex: "-1" }, title), about && h("p", {}, about)), right.length ? h("div", { class: "row" }, right) : null);
}

export function card(title, right, ...children) {
  const head = title ? h("header", {}, h("h2", {}, title), right) : null;
  return h("section", { class: "card" }, head, children);
}

/** A labelled control. *hint* says what it takes; `wrong()` on the result marks it. */
export function field(label, control, hint) {
  control.id ||= freshId("field");
  // The label that is seen is the one that is heard.
  control.removeAttribute("aria-label");
  const about = hint ? h("span", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  const wrong = h("span", { class: "wrong", id: `${control.id}-wrong`, hidden: true });
  if (about) control.setAttribute("aria-describedby", about.id);
  const box = h("div", { class: "field" }, h("label", { for: control.id }, label), control, about, wrong);
  box.wrong = (words) => {
    wrong.hidden = !words;
    wrong.textContent = words ?? "";
    control.toggleAttribute("aria-invalid", false);
    if (words) control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", [about?.id, words ? wrong.id : null].filter(Boolean).join(" "));
  };
  return box;
}

export function check(label, attributes = {}) {
  const box = h("input", { type: "checkbox", ...attributes });
  const row = h("label", { class: "check" }, box, h("span", {}, label));
  row.box = box;
  return row;
}

/** A slider with its number beside it. */
export function slider(label, { min, max, step, value, id }) {
  const input = h("input", { type: "range", min, max, step, value, id: id ?? freshId("range") });
  const shown = h("output", { for: input.id }, String(value));
  input.addEventListener("input", () => { shown.textContent = input.value; });
  const box = h("div", { class: "field" }, h("label", { for: input.id }, label), h("div", { class: "range" }, input, shown));
  box.input = input;
  return box;
}

export function options(values, chosen) {
  return values.map(([value, words]) => h("option", { value, selected: value === chosen }, words));
}

export function button(words, { name, kind = "", ...attributes } = {}) {
  return h("button", { type: "button", class: kind, ...attributes }, name ? icon(name) : null, words);
}

/** A button that shows an icon alone; *words* are for those who hear it, and under the pointer. */
export function iconButton(name, words, attributes = {}) {
  const { kind = "quiet small square", ...rest } = attributes;
  return h("button", { type: "button", class: kind, "aria-label": words, title: words, ...rest }, icon(name));
}

/** Tabs of one page; *show* gets the name that was chosen. Arrow keys move. */
export function tabs(label, names, chosen, show) {
  const buttons = names.map(([name, words]) => h("button", { type: "button", role: "tab", data: { name }, onclick: () => choose(name, true) }, words));
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: move }, buttons);
  function choose(name, isChange) {
    for (const one of buttons) {
      one.setAttribute("aria-selected", String(one.dataset.name === name));
      one.tabIndex = one.dataset.name === name ? 0 : -1;
    }
    if (isChange) show(name);
  }
  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = buttons.indexOf(document.activeElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus();
    choose(next.dataset.name, true);
  }
  choose(chosen, false);
  return list;
}

/** A place where nothing is yet, and what to do about it. */
export function empty(name, title, about, ...actions) {
  return h("div", { class: "empty" }, icon(name), h("h2", {}, title), h("p", {}, about), actions.length ? h("div", { class: "row" }, actions) : null);
}

export function skeletons(count = 3) {
  return h("div", { class: "stack", "aria-busy": "true" }, h("span", { class: "only-heard" }, t("state.loading")), Array.from({ length: count }, (_, n) => h("span", { class: "skeleton", style: { height: "2.6rem", width: `${100 - n * 9}%` } })));
}

// What an error says where a model is missing; the page of models can pull it.
const MISSING = new Set(["no_model", "model_not_installed"]);

/** An error in the server's own sentence, with a remedy where the console knows one, and the request's id. */
export function problem(error, again) {
  const id = error.requestId ? h("p", { class: "small" }, t("error.request", { id: error.requestId })) : null;
  const remedy = tOr(`remedy.${error.details?.reason}`, null);
  const command = MISSING.has(error.details?.reason) ? h("p", {}, h("a", { href: "#/models" }, t("remedy.models"))) : null;
  return h("div", { class: "problem", role: "alert" }, icon("alert"), h("div", { class: "stack tight grow" }, h("p", {}, error.message || String(error)), remedy ? h("p", {}, remedy) : null, command, id, again ? h("div", {}, button(t("do.again"), { name: "again", kind: "small", onclick: again })) : null));
}

export function advice(...words) {
  return h("div", { class: "advice" }, icon("alert"), h("div", { class: "stack tight" }, words));
}

/** Tell something shortly, at the edge and to screen readers. */
export function notice(words, kind = "") {
  const box = h("div", { class: `notice ${kind}` }, h("p", {}, words), iconButton("close", t("do.close"), { onclick: () => box.remove() }));
  document.getElementById("notices").append(box);
  setTimeout(() => box.remove(), NOTICE_MS);
}

export const tellError = (error) => isAbort(error) || notice(error.message || String(error), "bad");

/** Fill *place* with what *load* makes; skeletons before, and an error with a way to try again. */
export async function load(place, make, { count = 3, signal } = {}) {
  put(place, skeletons(count));
  try {
    put(place, await make());
  } catch (error) {
    if (isAbort(error) || signal?.aborted) return;
    put(place, problem(error, () => load(place, make, { count, signal })));
  }
}

/** Let *work* run once at a time from a button; its error is told. */
export async function busy(control, work) {
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    tellError(error);
    return undefined;
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
  }
}

/** A dialog; resolves to what *close* is given, null for Escape. */
export function dialog(title, build) {
  return new Promise((resolve) => {
    const id = freshId("dialog");
    const box = h("dialog", { "aria-labelledby": id });
    const close = (value) => {
      box.close();
      resolve(value);
      box.remove();
    };
    box.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    box.append(h("div", { class: "stack" }, h("h2", { id }, title), build(close)));
    document.body.append(box);
    box.showModal();
  });
}

/** Ask before something is lost; true for yes. */
export function confirmed(question, yes) {
  return dialog(question, (close) => h("div", { class: "row end" }, button(t("do.cancel"), { onclick: () => close(null), autofocus: true }), button(yes, { kind: "danger", onclick: () => close(true) })));
}

/** A table whose rows fold into cards on narrow screens. *columns* are `[label, class]`; a row is an array of cells. */
export function table(label, columns, rows) {
  const head = h("thead", {}, h("tr", {}, columns.map(([words, kind]) => h("th", { scope: "col", class: kind === "number" ? "number" : null }, words || h("span", { class: "only-heard" }, t("table.actions"))))));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, n) => h("td", { class: columns[n][1], data: { label: columns[n][0] } }, cell))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: "folds" }, head, h("tbody", {}, body)));
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function figure(value, words) {
  return h("div", { class: "figure" }, h("span", {}, words), h("b", {}, value));
}

const KINDS = { completed: "good", accepted: "good", failed: "bad", rejected: "bad", canceled: "warn", running: "good", queued: "" };

export function statusTag(status) {
  return h("span", { class: `tag ${KINDS[status] ?? ""}` }, tOr(`status.${status}`, status));
}

/** What is under way: a bar, words, and a way to give it up. */
export function working(words, onCancel) {
  const bar = h("progress", { max: 100, "aria-label": words });
  const text = h("span", { role: "status" }, words);
  const box = h("div", { class: "working" }, h("div", { class: "row between" }, text, onCancel ? button(t("do.cancel"), { kind: "small", onclick: onCancel }) : null), bar);
  box.tell = (percent, more) => {
    if (percent === null || percent === undefined) bar.removeAttribute("value");
    else bar.value = percent;
    if (more) text.textContent = more;
  };
  return box;
}
