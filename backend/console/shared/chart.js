/** A curve of the loss as it falls, in SVG: its numbers are also told in words. */
import { s } from "./dom.js";
import { number, t } from "./i18n.js";

const HIGH = 260;
const EDGE = { left: 52, right: 14, top: 14, bottom: 30 };

/** The curve of `[{step, loss, val_loss}]`, *wide* units wide: as many as pixels, so that its letters can be read. */
export function lossCurve(history, wide = 720) {
  const train = history.filter((point) => Number.isFinite(point.loss)).map((point) => [point.step, point.loss]);
  const validation = history.filter((point) => Number.isFinite(point.val_loss)).map((point) => [point.step, point.val_loss]);
  const all = [...train, ...validation];
  const label = all.length ? t("train.curve_heard", { first: number(all[0][1], 4), last: number((train.at(-1) ?? all.at(-1))[1], 4), steps: number(all.at(-1)[0]) }) : t("train.curve_none");
  const chart = s("svg", { class: "curve", viewBox: `0 0 ${wide} ${HIGH}`, role: "img", "aria-label": label });
  if (!all.length) return chart;
  const axes = scales(all, wide);
  chart.append(...grid(axes), line(train, axes, "loss"), line(validation, axes, "validation"), ...validation.map((point) => dot(point, axes)));
  return chart;
}

function scales(points, wide) {
  const steps = points.map(([step]) => step);
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const bounds = { low: low - room < 0 && low >= 0 ? 0 : low - room, high: high + room, first, last: last === first ? first + 1 : last };
  return {
    ...bounds,
    right: wide - EDGE.right,
    x: (step) => EDGE.left + ((step - bounds.first) / (bounds.last - bounds.first)) * (wide - EDGE.left - EDGE.right),
    y: (value) => HIGH - EDGE.bottom - ((value - bounds.low) / (bounds.high - bounds.low)) * (HIGH - EDGE.top - EDGE.bottom),
  };
}

function grid(axes) {
  const marks = [0, 0.25, 0.5, 0.75, 1];
  const levels = marks.map((part) => axes.low + part * (axes.high - axes.low));
  const steps = marks.map((part) => axes.first + part * (axes.last - axes.first));
  return [
    ...levels.flatMap((value) => [
      s("line", { class: "grid", x1: EDGE.left, x2: axes.right, y1: axes.y(value), y2: axes.y(value) }),
      s("text", { x: EDGE.left - 8, y: axes.y(value) + 4, "text-anchor": "end" }, number(value, axes.high < 1 ? 3 : 2)),
    ]),
    ...steps.map((step) => s("text", { x: axes.x(step), y: HIGH - 9, "text-anchor": "middle" }, number(Math.round(step)))),
  ];
}

function line(points, axes, kind) {
  const d = points.map(([step, value], n) => `${n ? "L" : "M"}${axes.x(step).toFixed(1)} ${axes.y(value).toFixed(1)}`).join("");
  return s("path", { class: kind, d });
}

function dot([step, value], axes) {
  return s("circle", { class: "validation-dot", cx: axes.x(step), cy: axes.y(value), r: 3 });
}
