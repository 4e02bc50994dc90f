/** Chat: one model, or two side by side with the same question. */
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { t } from "../shared/i18n.js";
import { chatGroups, picker, prefer } from "../shared/models.js";
import { button, load, notice, tellError } from "../shared/parts.js";
import { asDataUrl, onPastedPictures } from "../shared/pictures.js";
import { keep, recall } from "../shared/storage.js";
import { Talk } from "../chat/talk.js";

const MOST_PICTURE_BYTES = 12 * 2 ** 20;

export async function show({ root, signal, query }) {
  const place = h("div", { class: "stack grow", style: { minHeight: "0" } });
  put(root, h("h1", { class: "only-heard", tabindex: "-1" }, t("page.chat")), place);
  await load(place, async () => build(root, await chatGroups(signal), signal, query), { signal });
}

function build(root, groups, signal, query) {
  const talks = [0, 1].map((n) => new Talk({ name: `talk-${n}`, picker: picker(groups, `chat-${n}`, t("models.automatic")), signal }));
  if (query.get("model")) prefer(talks[0].picker, query.get("model"));
  let isSplit = recall("chat.split") ?? false;
  const board = h("div", { class: "talks" });
  const split = button(t("chat.split"), { name: "split", kind: "quiet", onclick: () => { isSplit = !isSplit; keep("chat.split", isSplit); draw(); } });
  const fresh = button(t("chat.new"), { name: "plus", kind: "quiet", onclick: () => { for (const talk of talks) talk.clear(); composer.focus(); } });
  const composer = makeComposer({ onSend: (content) => shown().map((talk) => talk.say(content)), onStop: () => shown().forEach((talk) => talk.stop()), signal });
  const shown = () => (isSplit ? talks : talks.slice(0, 1));
  for (const talk of talks) talk.onBusy = () => composer.setBusy(talks.some((one) => one.isBusy));

  function draw() {
    split.setAttribute("aria-pressed", String(isSplit));
    board.classList.toggle("two", isSplit);
    put(board, shown().map((talk, n) => talk.draw(isSplit ? t("chat.side", { n: n + 1 }) : t("page.chat"))));
  }
  draw();
  signal.addEventListener("abort", () => talks.forEach((talk) => talk.stop()));
  const head = h("div", { class: "row between" }, h("div", { class: "chat-pickers" }, h("span", { class: "only-heard" }, t("models.model")), talks[0].picker, talks[1].picker), h("div", { class: "row" }, split, fresh));
  const second = () => { talks[1].picker.hidden = !isSplit; };
  split.addEventListener("click", second);
  second();
  setTimeout(() => signal.aborted || composer.focus());
  return h("div", { class: "stack grow", style: { minHeight: "0" } }, head, board, composer.box);
}

/** Where a question is written: Enter sends, Shift+Enter makes a line, Escape stops. */
function makeComposer({ onSend, onStop, signal }) {
  const pictures = [];
  const thumbs = h("div", { class: "thumbs" });
  const text = h("textarea", { rows: 1, placeholder: t("chat.ask"), "aria-label": t("chat.ask"), "aria-describedby": "chat-keys" });
  const send = h("button", { type: "submit", class: "primary square", "aria-label": t("chat.send"), title: t("chat.send") }, icon("send"));
  const stop = h("button", { type: "button", class: "square", "aria-label": t("chat.stop"), title: t("chat.stop"), hidden: true, onclick: onStop }, icon("stop"));
  const clip = h("label", { class: "button quiet square", title: t("chat.attach") }, icon("clip"), h("input", { type: "file", class: "only-heard", accept: "image/*", multiple: true, "aria-label": t("chat.attach"), onchange: (event) => { attach([...event.target.files]); event.target.value = ""; } }));
  const form = h("form", { class: "composer", onsubmit: submit }, thumbs, text, h("div", { class: "row between" }, h("div", { class: "row" }, clip, h("span", { id: "chat-keys", class: "small muted" }, t("chat.keys"))), h("div", { class: "row" }, stop, send)));

  async function attach(files) {
    for (const file of files.filter((one) => one.type.startsWith("image/"))) {
      if (file.size > MOST_PICTURE_BYTES) notice(t("chat.too_large", { name: file.name }), "bad");
      else pictures.push({ name: file.name, url: await asDataUrl(file) });
    }
    drawThumbs();
    text.focus();
  }

  function drawThumbs() {
    put(thumbs, pictures.map((picture, n) => h("div", { class: "thumb" }, h("img", { src: picture.url, alt: picture.name }), h("button", { type: "button", "aria-label": t("chat.detach", { name: picture.name }), onclick: () => { pictures.splice(n, 1); drawThumbs(); } }, icon("close")))));
  }

  function submit(event) {
    event?.preventDefault();
    const words = text.value.trim();
    if ((!words && !pictures.length) || !stop.hidden) return;
    const parts = pictures.map(({ url }) => ({ type: "image_url", image_url: { url } }));
    const content = parts.length ? [...parts, ...(words ? [{ type: "text", text: words }] : [])] : words;
    Promise.all(onSend(content)).catch(tellError);
    pictures.length = 0;
    drawThumbs();
    text.value = "";
    grow();
  }

  function grow() {
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
  }

  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    // Enter also ends a word in an input method; that one is not meant for us.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !stop.hidden) onStop(); }, { signal });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => { event.preventDefault(); attach([...event.dataTransfer.files]); });
  onPastedPictures(signal, attach);
  return {
    box: form,
    focus: () => text.focus(),
    setBusy(isBusy) {
      stop.hidden = !isBusy;
      send.disabled = isBusy;
    },
  };
}
