/** Films from words, or from a picture that begins to move. */
import { get, post, postForm } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { t, time } from "../shared/i18n.js";
import { cancel, follow } from "../shared/jobs.js";
import { modelPicker } from "../shared/models.js";
import { busy, card, empty, field, load, notice, options, pageHead, problem, tabs, tellError, working } from "../shared/parts.js";
import { dropPlace } from "../shared/pictures.js";

export async function show({ root, signal }) {
  const stage = h("div", { "aria-live": "polite" }, card(null, null, empty("video", t("video.empty"), t("video.empty_about"))));
  const gallery = h("div", {});
  const refresh = () => load(gallery, () => drawGallery(signal), { signal });
  put(root, pageHead(t("page.video"), t("video.about")), h("div", { class: "columns" }, makeForm({ signal, stage, refresh }), h("div", { class: "stack" }, stage, card(t("video.gallery"), null, gallery))));
  await refresh();
}

function makeForm({ signal, stage, refresh }) {
  let mode = "words";
  let source = null;
  let model = null;
  const prompt = h("textarea", { rows: 4, placeholder: t("video.prompt_example") });
  const seconds = h("select", {}, options([[1, "1"], [2, "2"], [3, "3"], [5, "5"]].map(([n, words]) => [String(n), t("time.seconds", { n: words })]), "3"));
  const fps = h("select", {}, options([8, 12, 16, 24].map((n) => [String(n), String(n)]), "8"));
  const seed = h("input", { inputmode: "numeric", placeholder: t("images.seed_any") });
  const modelPlace = h("div", {}, h("span", { class: "skeleton" }));
  const sourcePlace = h("div", { class: "stack" });
  const go = h("button", { class: "primary", type: "submit" }, icon("video"), t("video.film"));

  async function drawModel() {
    model = await modelPicker(mode === "words" ? "text-to-video" : "image-to-video", `video-${mode}`, { signal });
    put(modelPlace, field(t("models.model"), model));
  }

  function drawSource() {
    sourcePlace.hidden = mode !== "picture";
    const shown = source ? h("img", { src: URL.createObjectURL(source), alt: source.name, style: { maxHeight: "12rem", borderRadius: "8px" } }) : null;
    put(sourcePlace, shown, dropPlace(t(source ? "field.other_picture" : "field.picture"), { onFiles: ([file]) => { source = file; drawSource(); } }));
  }

  function start() {
    const told = { prompt: prompt.value.trim(), num_frames: Number(seconds.value) * Number(fps.value), fps: Number(fps.value), seed: seed.value.trim() || undefined, model_id: model?.value || undefined };
    if (mode === "words") return post("/api/text-to-video/generate", told, { signal });
    const form = new FormData();
    for (const [name, value] of Object.entries(told)) if (value !== undefined) form.append(name, value);
    form.append("image", source);
    return postForm("/api/image-to-video/generate", form, { signal });
  }

  async function submit(event) {
    event.preventDefault();
    if (mode === "picture" && !source) return notice(t("images.no_source"), "bad");
    return busy(go, async () => {
      try {
        const { task_id: id } = await start();
        const bar = working(t("video.working"), () => cancel(id).catch(tellError));
        put(stage, card(null, null, h("div", { class: "stack" }, h("span", { class: "skeleton placeholder-picture" }), bar)));
        const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : null) });
        put(stage, job.status === "completed" ? fresh(job.result) : job.error ? problem(job.error) : card(null, null, h("p", {}, t("status.canceled"))));
        refresh();
      } catch (error) {
        if (!signal.aborted) put(stage, problem(error));
      }
    });
  }

  drawSource();
  drawModel().catch((error) => put(modelPlace, problem(error)));
  const way = tabs(t("images.way"), [["words", t("images.from_words")], ["picture", t("images.from_picture")]], mode, (name) => { mode = name; drawSource(); drawModel().catch(tellError); });
  return h("form", { class: "card stack", onsubmit: submit }, way, sourcePlace, field(t("video.prompt"), prompt), modelPlace, h("div", { class: "halves" }, field(t("video.length"), seconds), field(t("video.fps"), fps)), h("details", { class: "more" }, h("summary", {}, t("field.more")), field(t("images.seed"), seed, t("images.seed_hint"))), go);
}

function player(result) {
  return h("video", { src: result.files[0].url, controls: true, loop: true, playsinline: true, preload: "metadata", "aria-label": result.parameters?.prompt || t("video.result") });
}

function fresh(result) {
  return card(null, null, h("div", { class: "fresh" }, player(result), h("p", { class: "small muted" }, [result.model, `${result.width} × ${result.height}`, result.seed === null ? null : `${t("images.seed")} ${result.seed}`].filter(Boolean).join(" · "))));
}

async function drawGallery(signal) {
  const { jobs } = await get("/api/jobs?kind=video.generate&status=completed&limit=12", signal);
  const films = jobs.filter((job) => job.result?.files?.length);
  if (!films.length) return empty("video", t("video.no_history"), t("video.no_history_about"));
  return h("ul", { class: "gallery" }, films.map((job) => h("li", { class: "piece" }, player(job.result), h("div", { class: "under" }, h("p", {}, job.result.parameters?.prompt || "–"), h("div", { class: "row between" }, h("span", { class: "small muted" }, time(job.created_at)), h("a", { class: "button quiet small square", href: job.result.files[0].url, download: "", "aria-label": t("do.download"), title: t("do.download") }, icon("down")))))));
}
