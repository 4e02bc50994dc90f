/** A camera: frames go one after another over a socket, and boxes come back over the film. */
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, percent, t } from "../shared/i18n.js";
import { advice, card, empty, field, figure, options, pageHead, problem } from "../shared/parts.js";
import { overlay } from "../shared/pictures.js";
import { connect } from "../shared/socket.js";

const LONGEST_SIDE = 640;
const QUALITY = 0.8;

export async function show({ root, signal }) {
  let running = null;
  const mode = h("select", {}, options([["faces", t("camera.faces")], ["detect", t("camera.things")]], "faces"));
  const start = h("button", { type: "button", class: "primary", onclick: () => (running ? stop() : begin()) }, icon("camera"), t("camera.start"));
  const stage = h("div", {}, card(null, null, empty("camera", t("camera.empty"), t("camera.empty_about"))));
  const told = h("div", { "aria-live": "polite" });

  async function begin() {
    if (!navigator.mediaDevices?.getUserMedia) return put(stage, advice(h("p", {}, t("camera.insecure"))));
    const session = new AbortController();
    running = session;
    start.replaceChildren(icon("stop"), t("camera.stop"));
    try {
      const media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
      session.signal.addEventListener("abort", () => media.getTracks().forEach((track) => track.stop()));
      if (session.signal.aborted) return undefined;
      await watch(media, session.signal);
    } catch (error) {
      stop();
      put(stage, problem(new Error(t(error.name === "NotAllowedError" ? "camera.refused" : "camera.none"))));
    }
    return undefined;
  }

  function stop() {
    running?.abort();
    running = null;
    start.replaceChildren(icon("camera"), t("camera.start"));
  }

  async function watch(media, ends) {
    const film = h("video", { autoplay: true, muted: true, playsinline: true, "aria-label": t("camera.picture") });
    film.muted = true;
    film.srcObject = media;
    const view = overlay(film);
    view.classList.add("camera-stage");
    const line = h("div", {});
    put(stage, card(null, null, h("div", { class: "stack" }, view, line)));
    await film.play();
    const counted = { shown: 0, since: performance.now(), dropped: 0 };
    const nextFrame = grabber(film);
    const path = mode.value === "detect" ? "/ws/camera?mode=detect" : "/ws/camera";
    const sendNext = async (send) => { if (!ends.aborted) { const frame = await nextFrame(); if (frame) send(frame); } };
    connect(path, {
      signal: ends,
      onOpen: sendNext,
      onState: (state) => put(line, state === "away" ? advice(h("p", {}, t("state.away"))) : null),
      onMessage: (message, send) => {
        if (message.type === "ping") return;
        if (message.type === "error") put(line, problem(message.error ?? message));
        if (message.type === "result") {
          const found = message.faces ?? message.detections;
          const { width, height } = nextFrame.size;
          view.draw(width, height, found.map((one) => ({ bbox: one.bbox, words: `${words(one)} ${percent(one.confidence)}` })));
          tell(line, message, counted);
          const names = found.map(words).join(", ");
          if (told.textContent !== names) told.textContent = names;
        }
        sendNext(send);
      },
    });
  }

  mode.addEventListener("change", () => { if (running) { stop(); begin(); } });
  signal.addEventListener("abort", stop);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); }, { signal });
  told.className = "only-heard";
  put(root, pageHead(t("page.camera"), t("camera.about")), h("div", { class: "columns" }, h("div", { class: "card stack" }, field(t("camera.what"), mode), start, h("p", { class: "small muted" }, t("camera.privacy"))), h("div", { class: "stack" }, stage, told)));
}

function words(one) {
  return one.label ?? (one.name === "unknown" ? t("faces.stranger") : one.name);
}

function tell(place, { ms, dropped }, counted) {
  counted.shown += 1;
  counted.dropped += dropped;
  const seconds = (performance.now() - counted.since) / 1000;
  put(place, h("div", { class: "figures" }, figure(number(counted.shown / Math.max(seconds, 0.5), 1), t("camera.rate")), figure(`${number(ms)} ms`, t("camera.ms")), figure(number(counted.dropped), t("camera.dropped"))));
}

/** Gives the film's present frame as a JPEG file, made smaller; `size` is that of the last one. */
function grabber(film) {
  const canvas = h("canvas", {});
  async function grab() {
    const part = Math.min(1, LONGEST_SIDE / Math.max(film.videoWidth, film.videoHeight, 1));
    canvas.width = Math.max(1, Math.round(film.videoWidth * part));
    canvas.height = Math.max(1, Math.round(film.videoHeight * part));
    grab.size = { width: canvas.width, height: canvas.height };
    canvas.getContext("2d").drawImage(film, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/jpeg", QUALITY); });
  }
  return grab;
}
