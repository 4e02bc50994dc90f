/**
 * Markdown as nodes. It reads text and makes elements one by one, so that markup in it is text and stays text.
 * A link leads to http, https or mailto alone; a picture is shown as a link, since loading it would tell others.
 */
import { h } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./i18n.js";

const SAFE = /^(https?:|mailto:)/i;
const MOST_DEPTH = 6;
const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|(!?)\[([^\]\n]{1,500})\]\(([^()\s]{1,2000}(?:\([^()\s]*\)[^()\s]*)?)(?:\s+"[^"\n]*")?\)|\*\*(?=\S)([\s\S]+?\S)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])|~~(?=\S)([^~]+)~~|(https?:\/\/[^\s<>"'`]{1,2000}[^\s<>"'`.,;:!?)\]}])/g;

/** *text* as nodes in a `div.prose`. */
export function markdown(text) {
  return h("div", { class: "prose" }, blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0));
}

function blocks(lines, depth) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const reader = READERS.find((one) => one.begins(lines[at], lines[at + 1] ?? ""));
    const [node, next] = reader.read(lines, at, depth);
    if (node) found.push(node);
    at = next;
  }
  return found;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])\s+/;
const TABLE_RULE = /^\s*\|?\s*:?-{1,}:?\s*(\|\s*:?-{1,}:?\s*)*\|?\s*$/;

const READERS = [
  { begins: (line) => !line.trim(), read: (_, at) => [null, at + 1] },
  { begins: (line) => FENCE.test(line), read: readFence },
  { begins: (line) => HEADING.test(line), read: readHeading },
  { begins: (line) => RULE.test(line), read: (_, at) => [h("hr"), at + 1] },
  { begins: (line) => QUOTE.test(line), read: readQuote },
  { begins: (line) => ITEM.test(line), read: readList },
  { begins: (line, next) => line.includes("|") && next.includes("|") && TABLE_RULE.test(next), read: readTable },
  { begins: () => true, read: readParagraph },
];

function readFence(lines, at) {
  const [, fence, name] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  return [codeBlock(lines.slice(at + 1, end).join("\n"), name), end + 1];
}

function codeBlock(text, name) {
  const copy = h("button", { type: "button", class: "quiet small", onclick: () => navigator.clipboard?.writeText(text) }, icon("copy"), t("do.copy"));
  return h("div", {}, h("div", { class: "row between small muted" }, h("span", {}, name), copy), h("pre", { tabindex: "0" }, h("code", {}, text)));
}

function readHeading(lines, at) {
  const [, marks, text] = HEADING.exec(lines[at]);
  // The page has the first two levels.
  return [h(`h${Math.min(6, marks.length + 2)}`, {}, inline(text)), at + 1];
}

function readQuote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [h("blockquote", {}, nested(inner, depth)), end];
}

function nested(lines, depth) {
  return depth < MOST_DEPTH ? blocks(lines, depth + 1) : lines.join("\n");
}

function readList(lines, at, depth) {
  const ordered = /\d/.test(ITEM.exec(lines[at])[2]);
  const start = ordered ? parseInt(ITEM.exec(lines[at])[2], 10) : null;
  const items = [];
  let end = at;
  while (end < lines.length) {
    const begins = ITEM.exec(lines[end]);
    if (begins && /\d/.test(begins[2]) === ordered) items.push([lines[end].slice(begins[0].length)]);
    else if (items.length && (/^\s{2,}\S/.test(lines[end]) || (!lines[end].trim() && /^(\s{2,}\S)/.test(lines[end + 1] ?? "")))) items.at(-1).push(lines[end].replace(/^\s{2,4}/, ""));
    else if (!lines[end].trim() && ITEM.test(lines[end + 1] ?? "") && /\d/.test(ITEM.exec(lines[end + 1])[2]) === ordered) { end += 1; continue; }
    else break;
    end += 1;
  }
  const rows = items.map((inner) => h("li", {}, inner.length === 1 ? inline(inner[0]) : nested(inner, depth)));
  return [h(ordered ? "ol" : "ul", { start: start !== null && start !== 1 ? start : null }, rows), end];
}

function readTable(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|") && lines[end].trim()) end += 1;
  const head = h("thead", {}, h("tr", {}, cells(lines[at]).map((cell) => h("th", {}, inline(cell)))));
  const rows = lines.slice(at + 2, end).map((line) => h("tr", {}, cells(line).map((cell) => h("td", {}, inline(cell)))));
  return [h("div", { class: "scroll", tabindex: "0" }, h("table", {}, head, h("tbody", {}, rows))), end];
}

function readParagraph(lines, at) {
  let end = at + 1;
  const interrupts = (n) => READERS.slice(0, -1).some((one) => one.begins(lines[n], lines[n + 1] ?? ""));
  while (end < lines.length && !interrupts(end)) end += 1;
  return [h("p", {}, inline(lines.slice(at, end).join("\n"))), end];
}

function inline(text, depth = 0) {
  if (depth > MOST_DEPTH) return [text];
  const found = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    found.push(text.slice(at, match.index), span(match, depth + 1));
    at = match.index + match[0].length;
  }
  return [...found, text.slice(at)];
}

function span(match, depth) {
  const [whole, ticks, code, , label, target, strong, emphasis, struck, bare] = match;
  if (ticks) return h("code", {}, code);
  if (label !== undefined) return SAFE.test(target) ? link(target, inline(label, depth)) : whole;
  if (strong) return h("strong", {}, inline(strong, depth));
  if (emphasis) return h("em", {}, inline(emphasis, depth));
  if (struck) return h("del", {}, inline(struck, depth));
  return link(bare, [bare]);
}

function link(target, words) {
  return h("a", { href: target, rel: "noopener noreferrer nofollow", target: "_blank" }, words);
}
