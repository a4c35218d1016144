// Owns what every panel looks like: loading, empty, data with its age, stale, or an error that says what to do.

import { el, show } from "./dom.js";
import { icon } from "./icons.js";
import { age, plain } from "./text.js";

const SAID = {
  0: "No answer",
  401: "This needs a key",
  403: "Your key may not do this",
  404: "Not found",
  429: "Too many requests",
  503: "Not available at the moment",
  504: "No result in time",
};
let askForKey = () => {};

/** Say what the button `Enter a key` does. */
export const onKeyWanted = (action) => {
  askForKey = action;
};

/** Return what says a problem: its detail, and what can be done. */
export function problemBox(problem, again = null) {
  const small = [problem.code, problem.requestId && `request ${problem.requestId}`].filter(Boolean).join(" · ");
  const title = SAID[problem.status] ?? (problem.status >= 500 ? "The gateway failed" : "Refused");
  return el(
    "div",
    { class: "problem", "data-key": "problem" },
    icon(problem.status === 401 ? "key" : "attention", problem.status === 401 ? "" : "tone-bad"),
    el(
      "div",
      {},
      el("p", { class: "problem-title" }, title),
      el("p", {}, plain(problem.detail)),
      small && el("p", { class: "small" }, plain(small)),
      el(
        "p",
        { class: "row" },
        problem.status === 401 && el("button", { type: "button", class: "main", onclick: () => askForKey() }, "Enter a key"),
        again && el("button", { type: "button", onclick: again }, icon("again"), "Again"),
      ),
    ),
  );
}

/** Return what stands where there is no data yet to show: what that means, and what to do next. */
export const emptyBox = (what, next = null, name = "ok") =>
  el("div", { class: "empty" }, icon(name), el("div", {}, el("p", { class: "empty-title" }, what), next && el("p", {}, next)));

const bones = (rows) =>
  el("div", { class: "bones", "aria-hidden": "true" }, Array.from({ length: rows }, () => el("span", { class: "bone" })));

let number = 0;

/** One panel over one source. */
export class Panel {
  /**
   * @param {object} options
   * @param {string} options.title
   * @param {Source} options.source
   * @param {Function} options.body returns the nodes for the source's data.
   * @param {Function} [options.isEmpty] whether the data is empty, so that `empty` is shown.
   * @param {Function} [options.empty] returns what to say then.
   * @param {Function} [options.tools] returns what stands beside the title.
   * @param {number} [options.bones] how many lines to hint at while loading.
   * @param {boolean} [options.isLive] whether the data is pushed.
   * @param {string} [options.kind] a class of its own.
   */
  constructor({ title, source, body, isEmpty = () => false, empty = null, tools = () => [], bones = 3, isLive = false, kind = "" }) {
    Object.assign(this, { title, source, body, isEmpty, empty, tools, bones, isLive });
    this.id = `panel-${++number}`;
    this.heading = el("h2", { id: this.id }, title);
    this.beside = el("div", { class: "beside" });
    this.said = el("div", { class: "age" });
    this.content = el("div", { class: "content" });
    const head = el("header", {}, this.heading, this.said, this.beside);
    this.element = el("section", { class: `panel ${kind}`, "aria-labelledby": this.id }, head, this.content);
  }

  /** Begin to show; the returned function ends it. */
  mount() {
    const leave = this.source.subscribe(() => this.draw());
    // Times are relative, and what may be done follows from a key: both change without new data.
    const timer = setInterval(() => document.hidden || this.draw(), 1000);
    return () => {
      clearInterval(timer);
      leave();
    };
  }

  get state() {
    const { data, error, isStale } = this.source;
    if (data === null) return error === null ? "loading" : "error";
    if (isStale || error !== null) return "stale";
    return this.isEmpty(data) ? "empty" : "filled";
  }

  draw() {
    const { data, error } = this.source;
    const again = () => this.source.again();
    this.drawAge();
    show(this.beside, this.tools(data));
    if (this.state === "loading") {
      show(this.content, el("p", { class: "for-ears" }, "Loading"), bones(this.bones));
    } else if (data === null) {
      show(this.content, problemBox(error, again));
    } else {
      const body = this.isEmpty(data) ? this.empty(data) : this.body(data);
      show(this.content, error !== null && problemBox(error, again), el("div", { class: "data", "data-key": "data" }, body));
    }
  }

  drawAge() {
    const { state } = this;
    this.element.dataset.state = state;
    this.element.setAttribute("aria-busy", String(state === "loading"));
    const { at, behindMs } = this.source;
    const old = at === null ? 0 : Date.now() - at + (behindMs > 1000 ? behindMs : 0);
    if (state === "loading" || state === "error") show(this.said);
    else if (state === "stale") show(this.said, el("span", { class: "tag tone-attention" }, icon("stale"), `stale, ${age(old)} old`));
    else if (this.isLive && old < 4000) show(this.said, el("span", { class: "live" }, icon("live"), "live"));
    else show(this.said, `${age(old)} old`);
  }
}

/**
 * Return a table with its caption; `heads` are strings, or `[string, class]` such as `["units", "number"]`. On a narrow
 * screen each row becomes a card, so that nothing scrolls sideways; the roles keep it a table for those who listen.
 */
export function table(caption, heads, rows, { kind = "", foot = null } = {}) {
  const names = heads.map((head) => (Array.isArray(head) ? head[0] : head));
  const classes = heads.map((head) => (Array.isArray(head) ? head[1] : null));
  const first = names.map((name, index) => el("th", { scope: "col", role: "columnheader", class: classes[index] }, name || el("span", { class: "for-ears" }, "Actions")));
  const cellOf = (cell, index) => {
    // One element, so that on a narrow screen the column's name stands on one side and all of the cell on the other.
    const wrapped = cell === false || cell === null ? null : el("span", {}, cell);
    const attributes = { class: classes[index], "data-label": names[index] || null };
    return index === 0 ? el("th", { scope: "row", role: "rowheader", ...attributes }, wrapped) : el("td", { role: "cell", ...attributes }, wrapped);
  };
  const line = ({ key, cells, tone = null }) => el("tr", { role: "row", "data-key": key, class: tone }, cells.map(cellOf));
  return el(
    "div",
    // One that scrolls can be reached by keyboard.
    { class: "table-box", "data-key": caption, ...(kind === "tight" ? { tabindex: "0", role: "region", "aria-label": caption } : {}) },
    el(
      "table",
      { class: kind, role: "table" },
      el("caption", { class: "for-ears" }, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, first)),
      el("tbody", { role: "rowgroup" }, rows.map(line)),
      foot && el("tfoot", { role: "rowgroup" }, line(foot)),
    ),
  );
}
