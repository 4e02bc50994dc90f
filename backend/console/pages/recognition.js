/** What a picture shows, and where: classes with how sure they are, or boxes drawn on it. */
import { postForm } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { percent, t } from "../shared/i18n.js";
import { modelPicker } from "../shared/models.js";
import { card, empty, field, pageHead, problem, slider, tabs, tellError } from "../shared/parts.js";
import { dropPlace, onPastedPictures, overlay } from "../shared/pictures.js";

export async function show({ root, signal }) {
  let mode = "classify";
  let file = null;
  let run = null;
  let model = null;
  const modelPlace = h("div", {}, h("span", { class: "skeleton" }));
  const threshold = slider(t("recognition.threshold"), { min: 0.05, max: 0.95, step: 0.05, value: 0.5 });
  const labels = h("input", { placeholder: t("recognition.labels_example") });
  const labelsField = field(t("recognition.labels"), labels, t("recognition.labels_hint"));
  const told = h("div", { class: "stack", "aria-live": "polite" }, card(null, null, empty("eye", t("recognition.empty"), t("recognition.empty_about"))));

  async function drawModel() {
    model = await modelPicker(mode === "classify" ? "image-classification" : "object-detection", `recognition-${mode}`, { signal });
    model.addEventListener("change", look);
    put(modelPlace, field(t("models.model"), model));
    threshold.hidden = labelsField.hidden = mode === "classify";
  }

  async function look() {
    if (!file) return;
    run?.abort();
    run = new AbortController();
    const mine = run;
    const picture = h("img", { src: URL.createObjectURL(file), alt: file.name });
    const stage = overlay(picture);
    const answer = h("div", {}, h("div", { class: "row muted" }, h("span", { class: "spinner" }), t("recognition.looking")));
    put(told, card(null, null, h("div", { class: "stack" }, stage, answer)));
    const form = new FormData();
    form.append("image", file);
    if (model?.value) form.append("model", model.value);
    if (mode === "classify") form.append("top_k", "5");
    else {
      form.append("threshold", threshold.input.value);
      if (labels.value.trim()) form.append("labels", labels.value.trim());
    }
    try {
      const found = await postForm(`/api/image-recognition/${mode}`, form, { signal: mine.signal });
      if (mode === "detect") stage.draw(found.width, found.height, found.detections.map(({ bbox, label, confidence }) => ({ bbox, words: `${label} ${percent(confidence)}` })));
      put(answer, mode === "classify" ? classes(found) : things(found));
    } catch (error) {
      if (!mine.signal.aborted) put(answer, problem(error, look));
    }
  }

  const take = ([one]) => { file = one; look(); };
  const way = tabs(t("recognition.way"), [["classify", t("recognition.classify")], ["detect", t("recognition.detect")]], mode, async (name) => {
    mode = name;
    await drawModel().catch(tellError);
    look();
  });
  threshold.input.addEventListener("change", look);
  labels.addEventListener("change", look);
  onPastedPictures(signal, take);
  signal.addEventListener("abort", () => run?.abort());
  const side = h("div", { class: "card stack" }, way, dropPlace(t("field.picture"), { hint: t("field.picture_hint"), onFiles: take }), modelPlace, threshold, labelsField);
  put(root, pageHead(t("page.recognition"), t("recognition.about")), h("div", { class: "columns" }, side, told));
  await drawModel().catch((error) => put(modelPlace, problem(error)));
}

function classes({ classifications, model }) {
  const bars = classifications.map(({ label, confidence }) => h("li", { class: "bar" }, h("span", {}, label), h("progress", { max: 1, value: confidence, "aria-label": label }), h("span", { class: "value" }, percent(confidence))));
  return h("div", { class: "stack" }, h("ol", { class: "list stack tight", "aria-label": t("recognition.classify") }, bars), h("p", { class: "small muted" }, model));
}

function things({ detections, model }) {
  if (!detections.length) return h("p", {}, t("recognition.nothing"));
  const rows = detections.map(({ label, confidence, bbox }) => h("li", { class: "row between" }, h("span", {}, label), h("span", { class: "small muted number" }, `${percent(confidence)} · ${bbox.map(Math.round).join(", ")}`)));
  return h("div", { class: "stack" }, h("h2", {}, t("recognition.found", { n: detections.length })), h("ul", { class: "list" }, rows), h("p", { class: "small muted" }, model));
}
