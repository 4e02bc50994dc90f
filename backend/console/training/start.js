/** The form that starts a training: a LoRA of a language model, or a classifier of pictures. */
import { get, post } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { number, t } from "../shared/i18n.js";
import { able, picker, prefer } from "../shared/models.js";
import { advice, busy, button, check, dialog, field, notice, options, problem, skeletons, tabs } from "../shared/parts.js";
import { isLoggedIn } from "../shared/session.js";

const PICTURES = new Set(["image_label"]);

export function startDialog(signal, query, onStarted) {
  dialog(t("train.new"), (close) => {
    const place = h("div", {}, skeletons(5));
    choices(signal).then((found) => put(place, form(found, query, (id) => { close(id); onStarted(id); }, () => close(null))), (error) => put(place, problem(error)));
    return place;
  });
}

async function choices(signal) {
  const sets = isLoggedIn() ? get("/api/v1/datasets", signal).then((page) => page.datasets.reverse()) : Promise.resolve([]);
  const [datasets, texts, pictures] = await Promise.all([sets, able("chat", signal), able("image-classification", signal)]);
  const local = (rows) => rows.filter((row) => row.installed && ["Local", "local", "本地"].includes(row.provider)).map((row) => [row.id, row.name, true]);
  return { datasets, bases: { lora: local(texts), image_classifier: local(pictures) } };
}

function form({ datasets, bases }, query, done, cancelled) {
  let kind = PICTURES.has(query.get("format")) ? "image_classifier" : "lora";
  const basePlace = h("div", {});
  let base = null;
  const data = h("select", { required: true }, options([["", t("train.choose_data")], ...datasets.map((one) => [one.id, `${one.name} · ${number(one.samples_count)}`])], query.get("dataset") ?? ""));
  const byHand = h("input", { placeholder: "data/processed/sample" });
  const name = h("input", { maxlength: 64, placeholder: t("train.name_example") });
  const numbers = {
    epochs: h("input", { type: "number", min: 1, max: 1000, value: 3, required: true }),
    batch_size: h("input", { type: "number", min: 1, max: 1024, value: 4, required: true }),
    learning_rate: h("input", { type: "number", min: 0, max: 1, step: "any", value: 0.0002, required: true }),
    max_length: h("input", { type: "number", min: 8, max: 131072, value: 512, required: true }),
    lora_r: h("input", { type: "number", min: 1, max: 256, value: 8, required: true }),
    lora_alpha: h("input", { type: "number", min: 1, max: 4096, step: "any", value: 16, required: true }),
  };
  const fourBits = check(t("train.qlora"));
  const frozen = check(t("train.freeze"), { checked: true });
  const turned = check(t("train.augment"), { checked: true });
  const ofText = h("div", { class: "stack" }, h("div", { class: "thirds" }, field(t("train.max_length"), numbers.max_length), field("LoRA r", numbers.lora_r), field("LoRA alpha", numbers.lora_alpha)), fourBits);
  const ofPictures = h("div", { class: "stack" }, frozen, turned);
  const told = h("div", { "aria-live": "polite" });
  const go = h("button", { type: "submit", class: "primary" }, t("train.start"));

  function drawKind() {
    const rows = bases[kind];
    base = picker([["", rows]], `base-${kind}`, null);
    if (!base.value && rows[0]) prefer(base, rows[0][0]);
    put(basePlace, rows.length ? field(t("train.base"), base) : advice(h("p", {}, t("train.no_base")), h("a", { href: "#/models", onclick: cancelled }, t("page.models"))));
    ofText.hidden = kind !== "lora";
    ofPictures.hidden = kind === "lora";
    numbers.learning_rate.value = kind === "lora" ? 0.0002 : 0.001;
    numbers.epochs.value = kind === "lora" ? 3 : 10;
    numbers.batch_size.value = kind === "lora" ? 4 : 8;
    go.disabled = !rows.length;
  }

  async function submit(event) {
    event.preventDefault();
    await busy(go, async () => {
      try {
        const answer = await post(door(), body(), { headers: { "Idempotency-Key": key } });
        for (const words of answer.warnings ?? []) notice(words);
        done(answer.task_id);
      } catch (error) {
        key = newKey();
        put(told, problem(error));
      }
    });
  }

  const door = () => (kind === "lora" ? `/api/llm-finetuning/${fourBits.box.checked ? "qlora" : "lora"}/start` : "/api/training/start");

  function body() {
    const common = { base_model: base.value, dataset_path: byHand.value.trim() || data.value, epochs: Number(numbers.epochs.value), batch_size: Number(numbers.batch_size.value), learning_rate: Number(numbers.learning_rate.value), ...(name.value.trim() ? { name: name.value.trim() } : {}) };
    if (kind !== "lora") return { ...common, model_type: "image_classifier", freeze_backbone: frozen.box.checked, augmentation: turned.box.checked };
    return { ...common, max_length: Number(numbers.max_length.value), lora_r: Number(numbers.lora_r.value), lora_alpha: Number(numbers.lora_alpha.value) };
  }

  byHand.addEventListener("input", () => { data.required = !byHand.value.trim(); });
  let key = newKey();
  drawKind();
  const way = tabs(t("train.kind"), [["lora", t("train.lora")], ["image_classifier", t("train.classifier")]], kind, (chosen) => { kind = chosen; drawKind(); });
  const none = datasets.length ? null : advice(h("p", {}, t("train.no_data")), h("a", { href: "#/datasets", onclick: cancelled }, t("page.datasets")));
  return h("form", { class: "stack", onsubmit: submit }, way, basePlace, none, field(t("train.data"), data), field(t("train.name"), name), h("div", { class: "thirds" }, field(t("train.epochs"), numbers.epochs), field(t("train.batch"), numbers.batch_size), field(t("train.rate"), numbers.learning_rate)), h("details", { class: "more" }, h("summary", {}, t("field.more")), h("div", { class: "stack" }, ofText, ofPictures, field(t("train.by_path"), byHand, t("train.by_path_hint")))), told, h("div", { class: "row end" }, button(t("do.cancel"), { onclick: cancelled }), go));
}

const newKey = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
