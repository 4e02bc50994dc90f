/** Words in the reader's language; which one is chosen, else the browser's. */
import en from "../i18n/en.js";
import zh from "../i18n/zh.js";
import { recall, keep } from "./storage.js";

const WORDS = { en, zh };

function guess() {
  const told = (navigator.languages ?? [navigator.language]).map((tag) => tag.toLowerCase().slice(0, 2));
  return told.find((tag) => tag in WORDS) ?? document.documentElement.dataset.language ?? "en";
}

let chosen = recall("language") ?? guess();
if (!(chosen in WORDS)) chosen = "en";

export function language() {
  return chosen;
}

/** Change the language; whoever shows words draws itself again. */
export function chooseLanguage(name) {
  chosen = name;
  keep("language", name);
  markDocument();
}

export function markDocument() {
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
}

/** The words of *key*, with what stands in braces filled in. */
export function t(key, values = {}) {
  const words = WORDS[chosen][key] ?? WORDS.en[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The words of *key*, or *other* where there are none: for what the server may name anew. */
export function tOr(key, other) {
  return WORDS[chosen][key] ?? other;
}

const tag = () => (chosen === "zh" ? "zh-CN" : "en-GB");

export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return new Intl.NumberFormat(tag(), { maximumFractionDigits: digits }).format(value);
}

export function percent(value) {
  return new Intl.NumberFormat(tag(), { style: "percent", maximumFractionDigits: 1 }).format(value);
}

export function time(value) {
  if (!value) return "–";
  return new Intl.DateTimeFormat(tag(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  const units = ["KB", "MB", "GB"];
  let value = size / 1024;
  let unit = 0;
  while (value >= 1024 && unit < 2) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value, value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return t("time.seconds", { n: whole });
  if (whole < 3600) return t("time.minutes", { n: Math.floor(whole / 60), s: whole % 60 });
  return t("time.hours", { n: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60) });
}
