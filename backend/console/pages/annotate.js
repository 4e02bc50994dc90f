/** Pictures become training data: uploaded, described, reviewed by a person, and made into a data set. */
import { download, get, post, postForm, upload } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { bytes, number, t, time } from "../shared/i18n.js";
import { cancel, follow } from "../shared/jobs.js";
import { busy, button, card, dialog, empty, field, iconButton, load, notice, options, pageHead, problem, table, tabs, tellError, working } from "../shared/parts.js";
import { dropPlace, onPastedPictures } from "../shared/pictures.js";
import { keep, recall } from "../shared/storage.js";
import { drawReview } from "../annotate/review.js";

export async function show({ root, signal, rest }) {
  if (rest[0]) return drawReview(root, signal, rest[0], { onDataset: (one) => makeDataset(one) });
  const list = h("div", {});
  put(root, pageHead(t("page.annotate"), t("annotate.about")), maker(signal), card(t("annotate.earlier"), null, list));
  return load(list, () => drawList(signal), { signal });
}

/** First the pictures, then who describes them. */
function maker(signal) {
  let kept = [];
  const told = h("div", { "aria-live": "polite" });
  const names = h("ul", { class: "list" });
  const endpoint = h("input", { type: "url", placeholder: "https://…/v1/chat/completions", value: recall("annotate.endpoint") ?? "" });
  const key = h("input", { type: "password", autocomplete: "off" });
  const model = h("input", { placeholder: t("annotate.model_example"), value: recall("annotate.model") ?? "" });
  const system = h("textarea", { rows: 3, value: t("annotate.system_example") });
  const prompt = h("textarea", { rows: 2, placeholder: t("annotate.prompt_example") });
  const form = h("select", {}, options([["openai", "OpenAI"], ["sharegpt", "ShareGPT"], ["llava", "LLaVA"], ["alpaca", "Alpaca"]], "openai"));
  const together = h("input", { type: "number", min: 1, max: 64, value: 8 });
  const temperature = h("input", { type: "number", min: 0, max: 2, step: 0.1, placeholder: t("field.auto") });
  const remote = h("div", { class: "stack", hidden: true }, field(t("annotate.endpoint"), endpoint, t("annotate.endpoint_hint")), h("div", { class: "halves" }, field(t("annotate.key"), key), field(t("models.model"), model)));
  let mode = "demo";
  const way = tabs(t("annotate.way"), [["demo", t("annotate.demo")], ["endpoint", t("annotate.remote")]], mode, (name) => { mode = name; remote.hidden = name !== "endpoint"; about.textContent = t(`annotate.${name}_about`); });
  const about = h("p", { class: "small muted" }, t("annotate.demo_about"));
  const go = h("button", { type: "submit", class: "primary", disabled: true }, icon("tag"), t("annotate.describe"));

  function drawNames() {
    put(names, kept.map((one) => h("li", { class: "row between" }, h("span", {}, one.original_name), h("span", { class: "small muted number" }, `${one.width} × ${one.height} · ${bytes(one.size)}`))));
    go.disabled = !kept.length;
  }

  async function take(files) {
    const data = new FormData();
    for (const file of files) data.append("files", file);
    const bar = working(t("data.uploading"), null);
    put(told, bar);
    try {
      const answer = await upload("/api/upload", data, { signal, onProgress: (part) => bar.tell(part * 100) });
      kept = [...kept, ...answer.files];
      put(told, answer.errors.map((error) => problem({ message: `${error.name}: ${error.detail}` })));
    } catch (error) {
      put(told, problem(error));
    }
    drawNames();
  }

  function asked() {
    const data = new FormData();
    const told = { api_endpoint: mode === "demo" ? "demo" : endpoint.value.trim(), api_key: mode === "demo" ? "" : key.value, model: mode === "demo" ? "" : model.value.trim(), system_prompt: system.value, prompt: prompt.value, temperature: temperature.value, format: form.value, concurrency: together.value, file_names: JSON.stringify(kept.map((one) => one.name)) };
    for (const [name, value] of Object.entries(told)) data.append(name, value);
    return data;
  }

  async function submit(event) {
    event.preventDefault();
    keep("annotate.endpoint", endpoint.value);
    keep("annotate.model", model.value);
    await busy(go, async () => {
      try {
        const { task_id: id } = await postForm("/api/annotations", asked(), { headers: { Prefer: "respond-async" }, signal });
        const bar = working(t("annotate.describing"), () => cancel(id).catch(tellError));
        put(told, bar);
        const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : null) });
        if (job.error) put(told, problem(job.error));
        else location.hash = `#/annotate/${id}`;
      } catch (error) {
        if (!signal.aborted) put(told, problem(error));
      }
    });
  }

  onPastedPictures(signal, take);
  return h("form", { class: "card stack", onsubmit: submit }, h("h2", {}, t("annotate.new")), h("div", { class: "halves" }, h("div", { class: "stack" }, dropPlace(t("annotate.pictures"), { multiple: true, hint: t("annotate.pictures_hint"), onFiles: take }), names), h("div", { class: "stack" }, way, about, remote, field(t("annotate.system"), system), field(t("annotate.prompt"), prompt), h("details", { class: "more" }, h("summary", {}, t("field.more")), h("div", { class: "halves" }, field(t("annotate.format"), form), field(t("annotate.together"), together), field(t("annotate.temperature"), temperature))))), told, h("div", { class: "row end" }, go));
}

async function drawList(signal) {
  const { annotations } = await get("/api/annotations?limit=100", signal);
  if (!annotations.length) return empty("tag", t("annotate.empty"), t("annotate.empty_about"));
  const rows = annotations.reverse().map((one) => [
    h("a", { href: `#/annotate/${one.id}` }, time(one.created_at)), one.demo ? h("span", { class: "tag" }, t("annotate.demo")) : one.model,
    number(one.succeeded), number(one.failed), `${number(one.accepted)} / ${number(one.rejected)}`,
    h("div", { class: "row" }, one.output_file ? iconButton("down", t("do.download"), { onclick: () => download(`/api/download/${one.output_file}?images=true`, "annotations.zip").catch(tellError) }) : null, h("a", { class: "button small", href: `#/annotate/${one.id}` }, t("annotate.review"))),
  ]);
  return table(t("annotate.earlier"), [[t("field.when"), "lead"], [t("models.model"), ""], [t("annotate.described"), "number"], [t("annotate.failed"), "number"], [t("annotate.verdicts"), "number"], ["", "actions"]], rows);
}

function makeDataset(one) {
  return dialog(t("annotate.make"), (close) => {
    const name = h("input", { required: true, maxlength: 200 });
    const told = h("div", {});
    const go = h("button", { type: "submit", class: "primary" }, t("annotate.make"));
    async function submit(event) {
      event.preventDefault();
      await busy(go, async () => {
        try {
          const made = await post(`/api/annotations/${one.id}/dataset`, { name: name.value.trim() });
          close(made);
          notice(t("annotate.made", { n: made.samples_count }));
          location.hash = `#/datasets/${made.id}`;
        } catch (error) {
          put(told, problem(error));
        }
      });
    }
    return h("form", { class: "stack", onsubmit: submit }, h("p", { class: "muted" }, t("annotate.make_about")), field(t("data.name"), name), told, h("div", { class: "row end" }, button(t("do.cancel"), { onclick: () => close(null) }), go));
  });
}
