/** Files that a person hands over, and boxes drawn on a picture. */
import { freshId, h, put, s } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

/** A place to drop, choose or paste files; *onFiles* gets an array. */
export function dropPlace(label, { accept = "image/*", multiple = false, hint = "", onFiles, name = "image" }) {
  const input = h("input", { type: "file", accept, multiple, id: freshId("file"), "aria-label": label });
  const box = h("div", { class: "drop" }, icon(name), h("span", { "aria-hidden": "true" }, label), hint ? h("span", { class: "small muted" }, hint) : null, input);
  input.addEventListener("change", () => {
    if (input.files.length) onFiles([...input.files]);
    input.value = "";
  });
  for (const kind of ["dragenter", "dragover"]) box.addEventListener(kind, (event) => { event.preventDefault(); box.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) box.addEventListener(kind, () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (files.length) onFiles(multiple ? files : files.slice(0, 1));
  });
  return box;
}

/** Pictures pasted anywhere on the page, until *signal* ends. */
export function onPastedPictures(signal, onFiles) {
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length) onFiles(files);
  }, { signal });
}

/** A file as a data URL. */
export function asDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(t("error.unreadable", { name: file.name })));
    reader.readAsDataURL(file);
  });
}

/** A picture or film with boxes over it: `draw(width, height, boxes)`, each `{bbox, words, points}` in its pixels. */
export function overlay(media) {
  const drawing = s("svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
  const box = h("div", { class: "overlay" }, media, drawing);
  box.draw = (width, height, boxes) => {
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    put(drawing, boxes.map((one) => drawn(one, width, Math.max(width, height) / 460)));
  };
  return box;
}

function drawn({ bbox, words, points = [] }, width, unit) {
  const [x1, y1, x2, y2] = bbox;
  const size = 13 * unit;
  const wide = Math.min(width, (words.length + 1) * size * 0.6 + words.replace(/[ -~]/g, "").length * size * 0.42);
  const left = Math.max(0, Math.min(x1, width - wide));
  const top = y1 > size * 1.5 ? y1 - size * 1.5 : y1;
  const shape = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1), rx: 3 * unit };
  return s("g", {},
    s("rect", { class: "box", "stroke-width": 4 * unit, ...shape }),
    s("rect", { class: "box-in", "stroke-width": 2 * unit, ...shape }),
    points.map(([x, y]) => s("circle", { cx: x, cy: y, r: 2.4 * unit, "stroke-width": unit })),
    words ? s("rect", { class: "box-back", x: left, y: top, width: wide, height: size * 1.5, rx: 3 * unit }) : null,
    words ? s("text", { class: "box-text", x: left + size * 0.35, y: top + size * 1.08, "font-size": size }, words) : null);
}
