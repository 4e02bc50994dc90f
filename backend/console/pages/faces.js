/** Faces: found with their landmarks, registered by name, and recognized. */
import { get, postForm, remove } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { percent, t, time } from "../shared/i18n.js";
import { busy, card, confirmed, empty, field, iconButton, load, notice, pageHead, problem, tabs, tellError } from "../shared/parts.js";
import { dropPlace, onPastedPictures, overlay } from "../shared/pictures.js";

export async function show({ root, signal }) {
  let mode = "recognize";
  let file = null;
  const told = h("div", { "aria-live": "polite" });
  const people = h("div", {});
  const refresh = () => load(people, () => drawPeople(signal, refresh), { signal });

  async function look() {
    if (!file) return put(told, card(null, null, empty("face", t("faces.empty"), t("faces.empty_about"))));
    const stage = overlay(h("img", { src: URL.createObjectURL(file), alt: file.name }));
    const answer = h("div", {}, h("div", { class: "row muted" }, h("span", { class: "spinner" }), t("recognition.looking")));
    put(told, card(null, null, h("div", { class: "stack" }, stage, answer)));
    const form = new FormData();
    form.append("image", file);
    try {
      const found = await postForm(`/api/face-recognition/${mode}`, form, { signal });
      stage.draw(found.width, found.height, found.faces.map(drawnFace));
      put(answer, said(found.faces));
    } catch (error) {
      if (!signal.aborted) put(answer, problem(error, look));
    }
    return undefined;
  }

  const take = ([one]) => { file = one; look(); };
  const way = tabs(t("faces.way"), [["recognize", t("faces.recognize")], ["detect", t("faces.detect")]], mode, (name) => { mode = name; look(); });
  onPastedPictures(signal, take);
  const side = h("div", { class: "stack" }, h("div", { class: "card stack" }, way, dropPlace(t("field.picture"), { hint: t("field.picture_hint"), onFiles: take, name: "face" })), registration(signal, () => { refresh(); look(); }));
  put(root, pageHead(t("page.faces"), t("faces.about")), h("div", { class: "columns" }, side, h("div", { class: "stack" }, told, card(t("faces.people"), null, people))));
  look();
  await refresh();
}

function drawnFace(face) {
  const points = Object.values(face.landmarks ?? {});
  const name = face.name === "unknown" ? t("faces.stranger") : face.name;
  return { bbox: face.bbox, points, words: `${name ?? ""} ${percent(face.confidence)}`.trim() };
}

function said(faces) {
  if (!faces.length) return h("p", {}, t("faces.none"));
  const rows = faces.map((face) => h("li", { class: "row between" }, h("span", {}, face.name === "unknown" ? t("faces.stranger") : (face.name ?? t("faces.face"))), h("span", { class: "small muted number" }, percent(face.confidence))));
  return h("div", { class: "stack tight" }, h("h2", {}, t("faces.found", { n: faces.length })), h("ul", { class: "list" }, rows));
}

function registration(signal, done) {
  const photos = [];
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off" });
  const chosen = h("p", { class: "small muted", role: "status" });
  const go = h("button", { type: "submit", class: "primary" }, icon("plus"), t("faces.register"));
  const drop = dropPlace(t("faces.photos"), { multiple: true, hint: t("faces.photos_hint"), onFiles: (files) => { photos.push(...files); chosen.textContent = t("faces.chosen", { n: photos.length }); } });

  async function register() {
    for (const photo of photos.splice(0)) {
      const form = new FormData();
      form.append("image", photo);
      form.append("name", name.value.trim());
      try {
        const made = await postForm("/api/face-recognition/register", form, { signal });
        notice(t("faces.registered", { name: made.name, n: made.photos }));
      } catch (error) {
        notice(`${photo.name}: ${error.message}`, "bad");
      }
    }
    chosen.textContent = "";
    done();
  }

  async function submit(event) {
    event.preventDefault();
    if (!photos.length) notice(t("faces.no_photo"), "bad");
    else await busy(go, register);
  }
  return h("form", { class: "card stack", onsubmit: submit }, h("h2", {}, t("faces.register_title")), field(t("faces.name"), name), drop, chosen, go);
}

async function drawPeople(signal, refresh) {
  const { faces } = await get("/api/face-recognition/faces?limit=100", signal);
  if (!faces.length) return empty("users", t("faces.nobody"), t("faces.nobody_about"));
  const forget = async (person) => {
    if (await confirmed(t("faces.forget_sure", { name: person.name }), t("faces.forget"))) await remove(`/api/face-recognition/faces/${person.face_id}`).then(refresh, tellError);
  };
  return h("ul", { class: "list" }, faces.map((person) => h("li", { class: "row between" }, h("div", { class: "stack tight" }, h("b", {}, person.name), h("span", { class: "small muted" }, `${t("faces.photo_count", { n: person.photos })} · ${time(person.created_at)}`)), iconButton("bin", t("faces.forget_name", { name: person.name }), { kind: "quiet small square danger", onclick: () => forget(person) }))));
}
