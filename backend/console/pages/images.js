/** Pictures from words, or from words and a picture; what was made before stands below, and can be made again. */
import { get, post, postForm, remove } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, t, time } from "../shared/i18n.js";
import { cancel, follow } from "../shared/jobs.js";
import { modelPicker } from "../shared/models.js";
import { busy, button, card, confirmed, empty, facts, field, iconButton, load, notice, options, pageHead, problem, slider, tabs, tellError, working, dialog } from "../shared/parts.js";
import { dropPlace, onPastedPictures } from "../shared/pictures.js";

const PAGE = 24;
const SIZES = [["", "—"], ["512x512", "512 × 512"], ["768x512", "768 × 512"], ["512x768", "512 × 768"], ["1024x1024", "1024 × 1024"], ["1280x720", "1280 × 720"]];

export async function show({ root, signal }) {
  const stage = h("div", { class: "stack", "aria-live": "polite" });
  const gallery = h("div", {});
  const refresh = () => load(gallery, () => drawGallery(signal, refresh, paintAgain), { signal });
  const maker = makeForm({ signal, stage, refresh });
  const paintAgain = (row) => maker.replay(row);
  put(root, pageHead(t("page.images"), t("images.about")), h("div", { class: "columns" }, maker.box, h("div", { class: "stack" }, stage, card(t("images.gallery"), null, gallery))));
  put(stage, card(null, null, empty("image", t("images.empty"), t("images.empty_about"))));
  await Promise.all([maker.ready, refresh()]);
}

function makeForm({ signal, stage, refresh }) {
  let source = null;
  let mode = "words";
  const prompt = h("textarea", { rows: 4, required: true, placeholder: t("images.prompt_example"), name: "prompt" });
  const negative = h("textarea", { rows: 2 });
  const size = h("select", {}, options([["", t("images.size_auto")], ...SIZES.slice(1)], ""));
  const count = h("select", {}, options([1, 2, 3, 4].map((n) => [String(n), String(n)]), "1"));
  const seed = h("input", { inputmode: "numeric", placeholder: t("images.seed_any") });
  const steps = h("input", { type: "number", min: 1, max: 150, placeholder: t("field.auto") });
  const guidance = h("input", { type: "number", min: 0, max: 50, step: 0.5, placeholder: t("field.auto") });
  const strength = slider(t("images.strength"), { min: 0.05, max: 1, step: 0.05, value: 0.8 });
  const modelPlace = h("div", {}, h("span", { class: "skeleton" }));
  const sourcePlace = h("div", { class: "stack" });
  let model = null;

  async function drawModel() {
    model = await modelPicker(mode === "words" ? "text-to-image" : "image-to-image", `images-${mode}`, { signal });
    put(modelPlace, field(t("models.model"), model));
  }

  function drawSource() {
    sourcePlace.hidden = mode !== "picture";
    const shown = source ? h("img", { src: URL.createObjectURL(source), alt: source.name, onload: (event) => URL.revokeObjectURL(event.target.src), style: { maxHeight: "12rem", borderRadius: "8px" } }) : null;
    put(sourcePlace, shown, dropPlace(t(source ? "field.other_picture" : "field.picture"), { onFiles: ([file]) => { source = file; drawSource(); } }), strength);
  }

  function asked() {
    const [width, height] = size.value ? size.value.split("x").map(Number) : [];
    const told = { prompt: prompt.value.trim(), negative_prompt: negative.value.trim(), width, height, n: Number(count.value), seed: seed.value.trim(), num_inference_steps: steps.value, guidance_scale: guidance.value, model_id: model?.value };
    return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== "" && value !== undefined && value !== null));
  }

  async function submit(event) {
    event.preventDefault();
    if (mode === "picture" && !source) return notice(t("images.no_source"), "bad");
    const headers = { Prefer: "respond-async", "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
    await busy(go, () => watch(() => {
      if (mode === "words") return post("/api/text-to-image/generate", asked(), { headers, signal });
      const form = new FormData();
      for (const [name, value] of Object.entries({ ...asked(), strength: strength.input.value })) form.append(name, value);
      form.append("image", source);
      return postForm("/api/image-to-image/generate", form, { headers, signal });
    }, "image"));
  }

  async function watch(start) {
    try {
      const { task_id: id } = await start();
      const bar = working(t("images.working"), () => cancel(id).catch(tellError));
      put(stage, card(null, null, h("div", { class: "stack" }, h("span", { class: "skeleton placeholder-picture" }), bar)));
      const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : stateWords(now)) });
      if (job.status !== "completed") return put(stage, job.error ? problem(job.error) : card(null, null, h("p", {}, t("status.canceled"))));
      put(stage, freshPictures(job.result));
      refresh();
    } catch (error) {
      if (!signal.aborted) put(stage, problem(error));
    }
    return undefined;
  }

  const go = h("button", { class: "primary", type: "submit" }, icon("image"), t("images.paint"));
  const way = tabs(t("images.way"), [["words", t("images.from_words")], ["picture", t("images.from_picture")]], mode, (name) => { mode = name; drawSource(); drawModel().catch(tellError); });
  const box = h("form", { class: "card stack", onsubmit: submit }, way, sourcePlace, field(t("images.prompt"), prompt), modelPlace,
    h("div", { class: "halves" }, field(t("images.size"), size), field(t("images.count"), count)),
    h("details", { class: "more" }, h("summary", {}, t("field.more")), h("div", { class: "stack" }, field(t("images.negative"), negative), h("div", { class: "halves" }, field(t("images.steps"), steps), field(t("images.guidance"), guidance)), field(t("images.seed"), seed, t("images.seed_hint")))), go);
  drawSource();
  prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) box.requestSubmit(); });
  onPastedPictures(signal, ([file]) => { if (mode === "picture") { source = file; drawSource(); } });
  const replay = (row) => watch(() => post(`/api/history/${row.id}/replay`, {}, { headers: { Prefer: "respond-async" }, signal }));
  return { box, replay, ready: drawModel().catch((error) => put(modelPlace, problem(error, () => drawModel()))) };
}

function stateWords(job) {
  return job.status === "queued" && job.queue_position ? t("state.queued", { n: job.queue_position }) : t("images.working");
}

function freshPictures(result) {
  return card(null, null, h("div", { class: "fresh" }, result.files.map((file) => h("a", { href: file.url, target: "_blank" }, h("img", { src: file.url, alt: result.parameters?.prompt ?? t("images.result"), width: file.width, height: file.height }))),
    h("p", { class: "small muted" }, [result.model, `${result.width} × ${result.height}`, result.seed === null ? null : `${t("images.seed")} ${result.seed}`].filter(Boolean).join(" · "))));
}

async function drawGallery(signal, refresh, paintAgain) {
  const first = await get(`/api/history?limit=${PAGE}`, signal);
  if (!first.history.length) return empty("image", t("images.no_history"), t("images.no_history_about"));
  const list = h("ul", { class: "gallery" }, first.history.map((row) => piece(row, refresh, paintAgain)));
  const more = h("div", { class: "row end" });
  let next = first.next;
  const drawMore = () => put(more, next ? button(t("do.more"), { onclick: (event) => busy(event.currentTarget, async () => {
    const page = await get(`/api/history?limit=${PAGE}&after=${next}`, signal);
    list.append(...page.history.map((row) => piece(row, refresh, paintAgain)));
    next = page.next;
    drawMore();
  }) }) : null);
  drawMore();
  return h("div", { class: "stack" }, h("p", { class: "small muted" }, t("images.count_made", { n: number(first.count) })), list, more);
}

function piece(row, refresh, paintAgain) {
  const look = h("button", { type: "button", class: "picture", "aria-label": t("images.look", { prompt: row.prompt }), onclick: () => showPiece(row) }, h("img", { src: row.image_urls[0], alt: "", loading: "lazy" }));
  const forget = async () => {
    if (!(await confirmed(t("images.forget_sure"), t("do.delete")))) return;
    await remove(`/api/history/${row.id}`).then(refresh, tellError);
  };
  return h("li", { class: "piece" }, look, h("div", { class: "under" }, h("p", {}, row.prompt), h("span", { class: "small muted" }, row.model), h("div", { class: "row" },
    iconButton("again", t("images.replay"), { onclick: () => { paintAgain(row); scrollTo({ top: 0, behavior: "smooth" }); } }),
    h("a", { class: "button quiet small square", href: row.image_urls[0], download: "", "aria-label": t("do.download"), title: t("do.download") }, icon("down")),
    iconButton("bin", t("do.delete"), { onclick: forget, kind: "quiet small square danger" }))));
}

function showPiece(row) {
  const simple = Object.entries(row.parameters ?? {}).filter(([name, value]) => value !== null && value !== "" && typeof value !== "object" && name !== "prompt");
  dialog(row.prompt.slice(0, 120), (close) => h("div", { class: "stack" }, row.image_urls.map((url) => h("img", { src: url, alt: row.prompt })), facts([[t("models.model"), row.model], [t("field.when"), time(row.timestamp)], ...simple.map(([name, value]) => [name, String(value)])]), h("div", { class: "row end" }, button(t("do.close"), { onclick: () => close(null) }))));
}
