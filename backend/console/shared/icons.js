/** Line icons, drawn on a grid of 24. */
import { s } from "./dom.js";

const PATHS = {
  chat: "M4 5h16v11H9l-5 4z",
  image: "M4 5h16v14H4z M4 16l5-5 4 4 3-3 4 4 M15.5 9.5h.01",
  video: "M3 6h12v12H3z M15 10l6-3v10l-6-3",
  voice: "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3z M5 11a7 7 0 0 0 14 0 M12 18v3",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z M12 9.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  face: "M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z M9 10h.01 M15 10h.01 M8.5 14.5c2 2 5 2 7 0",
  camera: "M3 8h4l2-3h6l2 3h4v11H3z M12 10a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7z",
  data: "M12 3c4.4 0 8 1.3 8 3s-3.6 3-8 3-8-1.3-8-3 3.6-3 8-3z M4 6v12c0 1.700 3.600 3 8 3s8-1.300 8-3V6 M4 12c0 1.700 3.600 3 8 3s8-1.300 8-3",
  tag: "M3 12V4h8l10 10-8 8z M7.500 8.500h.01",
  train: "M3 20h18 M4 5c2 9 7 11 16 12 M4 5v15",
  model: "M12 3l8 4.500v9L12 21l-8-4.500v-9z M4 7.500l8 4.500 8-4.500 M12 12v9",
  jobs: "M5 6h14 M5 12h14 M5 18h9",
  plug: "M9 3v5 M15 3v5 M6 8h12v3a6 6 0 0 1-12 0z M12 17v4",
  key: "M8 11a4 4 0 1 1 0 8 4 4 0 0 1 0-8z M11 12.500L20 4 M16 7.500l3 3",
  usage: "M5 20v-7 M12 20V4 M19 20v-11",
  users: "M9 4.500a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7z M2.500 20c0-4 3-6 6.500-6s6.500 2 6.500 6 M16 5a3.500 3.500 0 0 1 0 6.500 M18 14.500c2 .800 3.500 2.600 3.500 5.500",
  account: "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8z M4 21c0-4.500 3.500-7 8-7s8 2.500 8 7",
  menu: "M4 7h16 M4 12h16 M4 17h16",
  close: "M6 6l12 12 M18 6L6 18",
  send: "M12 19V5 M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  plus: "M12 5v14 M5 12h14",
  again: "M4 12a8 8 0 1 1 2.500 5.800 M4 18v-5h5",
  down: "M12 4v12 M7 11l5 5 5-5 M5 20h14",
  up: "M12 16V4 M7 9l5-5 5 5 M5 20h14",
  bin: "M5 7h14 M9 7V4h6v3 M7 7l1 13h8l1-13",
  copy: "M9 9h11v11H9z M5 15H4V4h11v1",
  check: "M5 12.500l4.500 4.500L19 7",
  alert: "M12 4l9 16H3z M12 10v4 M12 17h.01",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8z M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.500 1.500 M17.500 17.500L19 19 M19 5l-1.500 1.500 M6.500 17.500L5 19",
  moon: "M20 14.500A8 8 0 0 1 9.500 4 8 8 0 1 0 20 14.500z",
  out: "M10 4H5v16h5 M14 8l4 4-4 4 M18 12H9",
  split: "M4 5h16v14H4z M12 5v14",
  play: "M8 5l11 7-11 7z",
  clip: "M8 12l5-5a3 3 0 0 1 4.500 4.500l-7 7a5 5 0 0 1-7-7l6.500-6.500",
};

/** The icon of that name; it says nothing to a screen reader. */
export function icon(name) {
  const paths = PATHS[name].split(/(?= M)/).map((d) => s("path", { d: d.trim() }));
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, paths);
}
