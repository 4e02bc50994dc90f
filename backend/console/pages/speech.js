/** Speech to text, from a microphone or a file, and text to speech. */
import { ask, download, post, upload } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { duration, t } from "../shared/i18n.js";
import { cancel, follow } from "../shared/jobs.js";
import { able, modelPicker, picker } from "../shared/models.js";
import { busy, button, card, empty, field, notice, options, pageHead, problem, slider, tabs, tellError, working } from "../shared/parts.js";
import { dropPlace } from "../shared/pictures.js";
import { record } from "../speech/recorder.js";

const LANGUAGES = ["zh", "en", "ja", "ko", "de", "fr", "es", "it", "pt", "ru", "ar", "hi"];

export async function show({ root, signal, rest }) {
  const place = h("div", {});
  const draw = (name) => put(place, name === "say" ? saying(signal) : hearing(signal));
  const first = rest[0] === "say" ? "say" : "hear";
  put(root, pageHead(t("page.speech"), t("speech.about")), tabs(t("speech.way"), [["hear", t("speech.hear")], ["say", t("speech.say")]], first, draw), place);
  draw(first);
}

function languages(words) {
  const names = new Intl.DisplayNames([document.documentElement.lang], { type: "language" });
  return h("select", {}, options([["", words], ...LANGUAGES.map((code) => [code, names.of(code)])], ""));
}

function hearing(signal) {
  const told = h("div", { "aria-live": "polite" }, card(null, null, empty("voice", t("speech.hear_empty"), t("speech.hear_empty_about"))));
  const language = languages(t("speech.language_found"));
  const modelPlace = h("div", {}, h("span", { class: "skeleton" }));
  let model = null;
  modelPicker("transcription", "hear", { signal }).then((found) => { model = found; put(modelPlace, field(t("models.model"), found)); }, (error) => put(modelPlace, problem(error)));

  async function hear(file) {
    const form = new FormData();
    form.append("audio", file, file.name ?? "recording.webm");
    if (language.value) form.append("language", language.value);
    if (model?.value) form.append("model", model.value);
    const bar = working(t("data.uploading"), null);
    put(told, card(null, null, bar));
    try {
      const { task_id: id, ...answer } = await upload("/api/audio/transcribe", form, { signal, headers: { Prefer: "respond-async" }, onProgress: (part) => bar.tell(part * 100) });
      const result = answer.text !== undefined ? answer : await heard(id);
      if (result) put(told, transcript(result, id));
    } catch (error) {
      if (!signal.aborted) put(told, problem(error));
    }
  }

  async function heard(id) {
    const bar = working(t("speech.hearing"), () => cancel(id).catch(tellError));
    put(told, card(null, null, bar));
    const job = await follow(id, { signal, onChange: (now) => bar.tell(now.progress || null, now.away ? t("state.away") : null) });
    if (job.status === "completed") return ask(`/api/audio/transcribe/${id}`, { signal });
    put(told, job.error ? problem(job.error) : card(null, null, h("p", {}, t("status.canceled"))));
    return null;
  }

  const side = h("div", { class: "card stack" }, microphone(signal, hear), dropPlace(t("speech.file"), { accept: "audio/*,video/*", name: "up", onFiles: ([file]) => hear(file) }), field(t("speech.language"), language), modelPlace);
  return h("div", { class: "columns" }, side, told);
}

function microphone(signal, onSound) {
  const bars = h("div", { class: "level", hidden: true, "aria-hidden": "true" }, Array.from({ length: 28 }, () => h("i", {})));
  const clock = h("span", { class: "number muted", role: "timer" });
  const toggle = h("button", { type: "button", class: "primary", onclick: press }, icon("voice"), t("speech.record"));
  let recording = null;

  async function press() {
    if (recording) return finish();
    if (!navigator.mediaDevices?.getUserMedia) return notice(t("camera.insecure"), "bad");
    try {
      recording = await record({ onLevel: draw, onSecond: (n) => { clock.textContent = duration(n); } });
      put(toggle, icon("stop"), t("speech.finish"));
      bars.hidden = false;
    } catch {
      notice(t("speech.refused"), "bad");
    }
    return undefined;
  }

  async function finish() {
    const sound = await recording.stop();
    recording = null;
    bars.hidden = true;
    clock.textContent = "";
    put(toggle, icon("voice"), t("speech.record"));
    onSound(sound);
  }

  function draw(level) {
    const heights = [...bars.children].slice(1).map((bar) => bar.style.height || "8%");
    heights.push(`${Math.max(8, level * 100)}%`);
    [...bars.children].forEach((bar, n) => { bar.style.height = heights[n]; });
  }
  signal.addEventListener("abort", () => recording?.stop());
  return h("div", { class: "stack tight" }, h("div", { class: "row" }, toggle, clock), bars);
}

function transcript(result, id) {
  if (!result.text.trim()) return card(null, null, empty("voice", t("speech.silence"), t("speech.silence_about")));
  const stamp = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const lines = result.segments.map((segment) => h("li", {}, h("time", {}, stamp(segment.start)), h("span", {}, segment.text.trim())));
  const copy = button(t("do.copy"), { name: "copy", kind: "small", onclick: () => navigator.clipboard?.writeText(result.text).then(() => notice(t("do.copied"))) });
  const file = (form) => button(form.toUpperCase(), { name: "down", kind: "small", onclick: () => download(`/api/audio/transcribe/${id}?format=${form}`, `transcript.${form}`).catch(tellError) });
  return card(t("speech.transcript"), h("div", { class: "row" }, copy, file("srt"), file("vtt")), h("ol", { class: "segments" }, lines), h("p", { class: "small muted" }, [result.language, duration(result.duration), result.model].filter(Boolean).join(" · ")));
}

function saying(signal) {
  const told = h("div", { "aria-live": "polite" }, card(null, null, empty("play", t("speech.say_empty"), t("speech.say_empty_about"))));
  const text = h("textarea", { rows: 6, required: true, maxlength: 20000, placeholder: t("speech.text_example") });
  const voicePlace = h("div", {}, h("span", { class: "skeleton" }));
  const speed = slider(t("speech.speed"), { min: 0.5, max: 2, step: 0.1, value: 1 });
  const pitch = slider(t("speech.pitch"), { min: -12, max: 12, step: 1, value: 0 });
  const language = languages(t("speech.language_read"));
  const form = h("select", {}, options([["mp3", "MP3"], ["wav", "WAV"], ["ogg", "Ogg"]], "mp3"));
  const go = h("button", { type: "submit", class: "primary" }, icon("play"), t("speech.speak"));
  let voice = null;
  able("speech", signal).then((rows) => {
    const voices = rows.map((row) => [row.id, row.available ? row.name : `${row.name} · ${t("models.not_installed")}`, row.available]);
    voice = picker([["", [["default-female", t("speech.female"), true], ["default-male", t("speech.male"), true]]], [t("speech.voices"), voices]], "voice", t("models.automatic"));
    put(voicePlace, field(t("speech.voice"), voice));
  }, (error) => put(voicePlace, problem(error)));

  async function submit(event) {
    event.preventDefault();
    await busy(go, async () => {
      const body = { text: text.value, voice: voice?.value || undefined, language: language.value || undefined, speed: Number(speed.input.value), pitch: Number(pitch.input.value), format: form.value };
      put(told, card(null, null, working(t("speech.speaking"), null)));
      try {
        const started = await post("/api/audio/synthesize", body, { signal, headers: { Prefer: "wait=60" } });
        const done = started.status === "completed" ? started : await spoken(started.task_id);
        put(told, card(t("speech.spoken"), h("a", { class: "button small", href: done.audio_url, download: "" }, icon("down"), t("do.download")), h("audio", { src: done.audio_url, controls: true, autoplay: true }), h("p", { class: "small muted" }, [done.model, done.language, duration(done.duration)].filter(Boolean).join(" · "))));
      } catch (error) {
        if (!signal.aborted) put(told, problem(error));
      }
    });
  }

  async function spoken(id) {
    const job = await follow(id, { signal });
    if (job.error) throw Object.assign(new Error(job.error.message), job.error);
    return ask(`/api/audio/synthesize/${id}`, { signal });
  }

  const side = h("form", { class: "card stack", onsubmit: submit }, field(t("speech.text"), text), voicePlace, h("details", { class: "more" }, h("summary", {}, t("field.more")), h("div", { class: "stack" }, field(t("speech.language"), language), speed, pitch, field(t("speech.format"), form))), go);
  return h("div", { class: "columns" }, side, told);
}
