/** One conversation with one model: its turns, the answer as it comes, and what to do when it breaks off. */
import { ApiError, isAbort, Unreachable } from "../shared/api.js";
import { h, put } from "../shared/dom.js";
import { icon } from "../shared/icons.js";
import { number, t } from "../shared/i18n.js";
import { empty, iconButton, notice, problem, button } from "../shared/parts.js";
import { keep, recall } from "../shared/storage.js";
import { markdown } from "../shared/markdown.js";
import { answerOf } from "./stream.js";

const DRAW_MS = 60;
const MOST_KEPT = 400_000;

export class Talk {
  constructor({ name, picker, signal }) {
    Object.assign(this, { name, picker, leave: signal, isBusy: false, onBusy: () => {} });
    this.turns = recall(name) ?? [];
    this.list = h("ol", {});
    this.log = h("div", { class: "talk-log", tabindex: "0", role: "region" });
    this.heard = h("div", { class: "only-heard", role: "status", "aria-live": "polite" });
  }

  draw(label) {
    this.log.setAttribute("aria-label", label);
    put(this.list, this.turns.map((turn) => this.view(turn)));
    this.fillLog();
    const named = this.name === "talk-0" ? label : label;
    queueMicrotask(() => { this.log.scrollTop = this.log.scrollHeight; });
    return h("section", { class: "talk", "aria-label": named }, h("div", { class: "talk-name only-heard" }, label), this.log, this.heard);
  }

  fillLog() {
    put(this.log, this.turns.length ? this.list : empty("chat", t("chat.empty"), t("chat.empty_about")));
  }

  clear() {
    this.stop();
    this.turns = [];
    this.keep();
    put(this.list);
    this.fillLog();
  }

  keep() {
    // Pictures are too large to keep; their place is told.
    const kept = this.turns.map((turn) => ({ ...turn, content: textOf(turn.content) + (picturesOf(turn.content).length ? `\n[${t("chat.picture")}]` : "") }));
    if (JSON.stringify(kept).length < MOST_KEPT) keep(this.name, kept.length ? kept : null);
  }

  stop() {
    this.giveUp?.abort();
  }

  /** Ask, and show the answer as it comes. */
  say(content) {
    this.add({ role: "user", content });
    return this.answer({ role: "assistant", content: "", state: "coming" });
  }

  add(turn) {
    this.turns.push(turn);
    if (this.turns.length === 1) this.fillLog();
    this.list.append(this.view(turn));
    this.log.scrollTop = this.log.scrollHeight;
    this.keep();
    return turn;
  }

  async answer(turn, { goesOn = false } = {}) {
    const messages = this.messages(turn, goesOn);
    const before = goesOn ? turn.content : "";
    if (!goesOn) this.add(turn);
    Object.assign(turn, { state: "coming", error: null });
    this.setBusy(true);
    this.giveUp = new AbortController();
    this.redraw(turn);
    const began = performance.now();
    try {
      for await (const piece of answerOf({ model: this.picker.value || undefined, messages }, this.giveUp.signal)) {
        turn.first ??= performance.now() - began;
        turn.content += piece.content ?? "";
        turn.thoughts = (turn.thoughts ?? "") + (piece.reasoning_content ?? "");
        turn.reason = piece.finish_reason ?? turn.reason;
        this.redrawSoon(turn);
      }
      turn.state = "done";
      this.heard.textContent = textOf(turn.content).slice(before.length);
    } catch (error) {
      this.fail(turn, error);
    }
    turn.seconds = (performance.now() - began) / 1000;
    this.setBusy(false);
    this.redraw(turn);
    this.keep();
  }

  fail(turn, error) {
    if (isAbort(error)) turn.state = "stopped";
    else if (error instanceof ApiError) Object.assign(turn, { state: "failed", error: { message: error.message, requestId: error.requestId, details: error.details } });
    else Object.assign(turn, { state: "broken", error: error instanceof Unreachable ? { message: error.message } : null });
  }

  messages(turn, goesOn) {
    const before = goesOn ? this.turns.slice(0, this.turns.indexOf(turn) + 1) : this.turns;
    const told = before.filter((one) => textOf(one.content) || picturesOf(one.content).length).map(({ role, content }) => ({ role, content }));
    return goesOn && turn.content ? [...told, { role: "user", content: t("chat.go_on_prompt") }] : told;
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.log.setAttribute("aria-busy", String(isBusy));
    this.onBusy();
  }

  redrawSoon(turn) {
    this.later ??= setTimeout(() => {
      this.later = null;
      this.redraw(turn);
    }, DRAW_MS);
  }

  redraw(turn) {
    clearTimeout(this.later);
    this.later = null;
    const isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
    const old = this.list.children[this.turns.indexOf(turn)];
    old?.replaceWith(this.view(turn));
    if (isAtEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  view(turn) {
    if (turn.role === "user") return mine(turn);
    const isComing = turn.state === "coming" && this.isBusy;
    const said = turn.content ? markdown(turn.content) : isComing ? h("div", { class: "row muted" }, h("span", { class: "spinner" }), t("chat.waiting")) : null;
    if (isComing && turn.content) (said.lastElementChild ?? said).classList.add("caret");
    const thoughts = turn.thoughts ? h("details", { class: "more" }, h("summary", {}, t("chat.thoughts")), h("div", { class: "thoughts" }, turn.thoughts)) : null;
    return h("li", { class: "turn" }, h("span", { class: "only-heard" }, t("chat.model_says")), thoughts, h("div", { class: "said" }, said), isComing ? null : this.foot(turn));
  }

  foot(turn) {
    const isLast = turn === this.turns.at(-1);
    const told = turn.state === "failed" && turn.error ? problem(turn.error) : null;
    const broken = turn.state === "broken" || turn.state === "coming" ? this.brokenOff(turn, isLast) : null;
    const copy = turn.content ? iconButton("copy", t("do.copy"), { onclick: () => copyText(turn.content) }) : null;
    const again = isLast ? iconButton("again", t("chat.again"), { onclick: () => this.again(turn) }) : null;
    const words = [turn.state === "stopped" ? t("chat.stopped") : null, turn.reason === "length" ? t("chat.cut") : null, turn.seconds ? t("chat.took", { s: number(turn.seconds, 1) }) : null].filter(Boolean).join(" · ");
    return [told, broken, h("div", { class: "turn-foot" }, copy, again, h("span", {}, words))];
  }

  brokenOff(turn, isLast) {
    const ways = isLast ? h("div", { class: "row" }, turn.content ? button(t("chat.go_on"), { name: "play", kind: "small", onclick: () => this.answer(turn, { goesOn: true }) }) : null, button(t("chat.again"), { name: "again", kind: "small", onclick: () => this.again(turn) })) : null;
    return h("div", { class: "advice", role: "alert" }, icon("alert"), h("div", { class: "stack tight" }, h("p", {}, turn.error?.message ?? t("chat.broken")), ways));
  }

  again(turn) {
    if (this.isBusy) return;
    this.turns.splice(this.turns.indexOf(turn), 1);
    this.list.lastElementChild.remove();
    this.answer({ role: "assistant", content: "", state: "coming" });
  }
}

function mine(turn) {
  const pictures = picturesOf(turn.content).map((url) => h("img", { src: url, alt: t("chat.picture") }));
  const text = textOf(turn.content);
  return h("li", { class: "turn mine" }, h("span", { class: "only-heard" }, t("chat.you_say")), pictures.length ? h("div", { class: "pictures" }, pictures) : null, text ? h("div", { class: "said" }, text) : null);
}

const textOf = (content) => (typeof content === "string" ? content : content.filter((part) => part.type === "text").map((part) => part.text).join(""));
const picturesOf = (content) => (typeof content === "string" ? [] : content.filter((part) => part.type === "image_url").map((part) => part.image_url.url));

async function copyText(text) {
  await navigator.clipboard?.writeText(text);
  notice(t("do.copied"));
}
