/** What can be done with what a training became: asked beside its base, measured, merged, talked to. */
import { ask, get, post, postForm } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, percent, t, tOr } from "../shared/i18n.js";
import { follow } from "../shared/jobs.js";
import { busy, button, card, field, problem, table, working } from "../shared/parts.js";
import { dropPlace } from "../shared/pictures.js";

export function afterwards(state, signal) {
  const { model } = state;
  const isText = model.abilities.includes("chat");
  const head = h("div", { class: "row" }, isText ? h("a", { class: "button small", href: `#/chat?model=${encodeURIComponent(model.model)}` }, icon("chat"), t("train.talk")) : null);
  return h("div", { class: "stack" }, card(t("train.try"), head, isText ? tryText(state, signal) : tryPicture(state, signal)), measure(model, signal), isText ? merge(state, signal) : null);
}

/** The same question to the base and to what was trained. */
function tryText(state, signal) {
  const prompt = h("textarea", { rows: 2, required: true, placeholder: t("train.try_example") });
  const go = h("button", { type: "submit", class: "primary" }, t("train.ask_both"));
  const [base, tuned] = [h("div", {}), h("div", {})];
  const spinner = () => h("span", { class: "spinner" });

  async function fill(place, work) {
    put(place, spinner());
    try {
      put(place, h("p", { style: { whiteSpace: "pre-wrap" } }, await work()));
    } catch (error) {
      put(place, problem(error));
    }
  }

  async function submit(event) {
    event.preventDefault();
    const messages = [{ role: "user", content: prompt.value }];
    await busy(go, () => Promise.all([
      fill(tuned, async () => (await post("/api/llm-finetuning/test", { task_id: state.task_id, prompt: prompt.value, max_tokens: 256 }, { signal })).response),
      fill(base, async () => (await post("/api/chat/completions", { model: state.base_model, messages, max_tokens: 256 }, { signal })).content),
    ]));
  }
  prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); go.click(); } });
  return h("form", { class: "stack", onsubmit: submit }, field(t("train.try_prompt"), prompt), h("div", { class: "row end" }, go), h("div", { class: "answers", "aria-live": "polite" }, h("div", { class: "stack tight" }, h("h3", {}, state.base_model), base), h("div", { class: "stack tight" }, h("h3", {}, state.model.name), tuned)));
}

function tryPicture(state, signal) {
  const told = h("div", { "aria-live": "polite" });
  const look = async ([file]) => {
    const form = new FormData();
    form.append("image", file);
    form.append("model", state.model.model);
    try {
      const { classifications } = await postForm("/api/image-recognition/classify", form, { signal });
      put(told, h("ol", { class: "list" }, classifications.map((one) => h("li", { class: "bar" }, h("span", {}, one.label), h("progress", { max: 1, value: one.confidence, "aria-label": one.label }), h("span", { class: "value" }, percent(one.confidence))))));
    } catch (error) {
      put(told, problem(error));
    }
  };
  return h("div", { class: "stack" }, dropPlace(t("field.picture"), { onFiles: look }), told);
}

function measure(model, signal) {
  const told = h("div", { "aria-live": "polite" });
  const go = button(t("train.evaluate"), { name: "usage", kind: "small", onclick: () => busy(go, run) });
  async function run() {
    const bar = working(t("train.evaluating"), null);
    put(told, bar);
    try {
      const answer = await ask(`/api/v1/models/${encodeURIComponent(model.model)}/evaluate`, { method: "POST", json: {}, headers: { Prefer: "respond-async" }, signal });
      const found = answer.task_id && !answer.evaluation && !answer.tuned ? await finished(answer.task_id, bar, signal) : answer;
      put(told, sideBySide(found.evaluation ?? found));
    } catch (error) {
      put(told, problem(error));
    }
  }
  get(`/api/v1/models/${encodeURIComponent(model.model)}`, signal).then((known) => {
    if (Object.keys(known.evaluation ?? {}).length) put(told, sideBySide(known.evaluation));
  }, () => {});
  put(told, h("p", { class: "muted small" }, t("train.evaluate_about")));
  return card(t("train.measured"), go, told);
}

async function finished(id, bar, signal) {
  const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : null) });
  if (job.status !== "completed") throw Object.assign(new Error(job.error?.message ?? t("status.canceled")), job.error ?? {});
  return job.result;
}

/** What the base and the tuned model came to on rows that neither has seen. */
function sideBySide(found) {
  const { base = {}, tuned = {} } = found;
  const names = [...new Set([...Object.keys(base), ...Object.keys(tuned)])].filter((name) => typeof (tuned[name] ?? base[name]) === "number");
  if (!names.length) return h("pre", { class: "mono" }, JSON.stringify(found, null, 1));
  const rows = names.map((name) => [tOr(`measure.${name}`, name), number(base[name], 4), h("b", {}, number(tuned[name], 4))]);
  const words = found.rows ? h("p", { class: "small muted" }, t("train.on_rows", { n: number(found.rows), split: found.split ?? "" })) : null;
  return h("div", { class: "stack tight" }, table(t("train.measured"), [[t("train.measure"), "lead"], [t("train.base"), "number"], [t("train.tuned"), "number"]], rows), words);
}

function merge(state, signal) {
  const told = h("div", { "aria-live": "polite" });
  const output = h("input", { required: true, value: `models/merged/${state.model.name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}` });
  const go = h("button", { type: "submit", class: "small" }, t("train.merge"));
  async function submit(event) {
    event.preventDefault();
    await busy(go, async () => {
      const bar = working(t("train.merging"), null);
      put(told, bar);
      try {
        const answer = await post("/api/llm-finetuning/merge", { task_id: state.task_id, output_path: output.value.trim() }, { headers: { Prefer: "respond-async" }, signal });
        const done = ["completed", "failed"].includes(answer.status) ? answer : await finished(answer.task_id, bar, signal);
        put(told, h("p", {}, icon("check"), t("train.merged", { path: done.output_path ?? done.path ?? "" })), done.parity ? h("pre", { class: "mono" }, JSON.stringify(done.parity, null, 1)) : null);
      } catch (error) {
        put(told, problem(error));
      }
    });
  }
  return card(t("train.merge_title"), null, h("form", { class: "stack", onsubmit: submit }, h("p", { class: "small muted" }, t("train.merge_about")), field(t("train.output"), output), told, h("div", { class: "row end" }, go)));
}
