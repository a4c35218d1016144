// Owns a request that changes something: it asks once, sends under one key, keeps the key until there is an answer, and
// shows the document that came back.

import { newKey, Problem, send } from "./api.js";
import { el, show } from "./dom.js";
import { icon } from "./icons.js";
import { dialog } from "./key.js";
import { problemBox } from "./panel.js";
import { plain } from "./text.js";

const KEPT = "holdfast.work";

/** Requests whose answer did not come: `{path, document, key, title, said}`, by key. */
function open() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {};
  }
}

function keep(work) {
  sessionStorage.setItem(KEPT, JSON.stringify({ ...open(), [work.key]: work }));
}

function settle(work) {
  const left = open();
  delete left[work.key];
  sessionStorage.setItem(KEPT, JSON.stringify(left));
}

/** Return a document as it came, with hidden characters written out. */
const pretty = (document) => JSON.stringify(document, null, 2).split("\n").map(plainLine).join("\n");
const plainLine = (line) => /^ */.exec(line)[0] + plain(line.trimStart());

const documentBox = (title, document) =>
  el("details", { class: "document", open: true }, el("summary", {}, title), el("pre", { tabindex: "0" }, pretty(document)));

/** Send a piece of work, and show in a box what became of it. */
async function carryOut(work, box, { again, done }) {
  keep(work);
  show(box, el("p", { class: "row", role: "status" }, el("span", { class: "spinner", "aria-hidden": "true" }), "Sent. Waiting for the answer …"));
  try {
    const { body } = await send(work.path, work.document, work.key);
    const [item] = body.results ?? [];
    if (item?.problem) throw new Problem({ ...item.problem, status: item.status });
    settle(work);
    show(box, done(body), documentBox("Result document", body), keyNote(work, false));
  } catch (problem) {
    // Who may not ask gets no answer either: what an earlier request left open stays open.
    work.isOpen = problem.leavesOpen || (work.isOpen && !problem.result && [401, 403, 408, 421].includes(problem.status));
    if (work.isOpen) keep(work);
    else settle(work);
    show(
      box,
      problemBox(problem),
      problem.result && documentBox("Result document", problem.result),
      keyNote(work, work.isOpen),
      el(
        "div",
        { class: "row end" },
        work.isOpen
          ? el("button", { type: "button", class: "main", onclick: () => carryOut(work, box, { again, done }) }, icon("again"), "Send again")
          : again && el("button", { type: "button", onclick: again }, "Change it"),
      ),
    );
  }
  box.querySelector("button, pre")?.focus();
}

const keyNote = (work, isOpen) =>
  el("p", { class: "small" }, isOpen ? "Whether it was done is not known. Sending it again under the same key is safe: " : "Idempotency key: ", el("code", {}, work.key), isOpen ? "." : "");

/** Return the sentence of a result that was accepted. */
export const done = (...said) => el("p", { class: "done" }, icon("ok", "tone-ok"), el("span", {}, said));

/**
 * Ask for what is to be done, then ask once whether it is right, and do it.
 *
 * @param {object} options
 * @param {string} options.title of the dialog.
 * @param {Node} options.form with its own submit button.
 * @param {Function} options.ask returns `{path, document, said, yes}` from the form as it is filled in: `said` is the
 *   question, `yes` the word on the button.
 * @param {Function} options.done returns the sentence for the answer's document.
 */
export function work({ title, form, ask, done: finished }) {
  const box = el("div", { class: "stage" });
  dialog(title, box);
  const fill = () => {
    box.replaceChildren(form);
    form.onsubmit = confirm;
    form.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  };
  const confirm = (event) => {
    event.preventDefault();
    const { path, document, said, yes } = ask();
    const key = newKey();
    const go = el("button", { type: "button", class: "main", onclick: () => carryOut({ path, document, key, title, said: plain(said.map((it) => it.textContent ?? it).join("")) }, box, { again: fill, done: finished }) }, yes);
    box.replaceChildren(el("p", { class: "question" }, said), el("div", { class: "row end" }, el("button", { type: "button", onclick: fill }, "Back"), go));
    go.focus();
  };
  fill();
}

/** Return what leads to requests whose answer did not come, also after the page was loaded again; null without any. */
export function openWork() {
  const left = Object.values(open());
  if (!left.length || document.querySelector("dialog[open]")) return null;
  const [first] = left;
  const resume = () => {
    const box = el("div", { class: "stage" });
    dialog(first.title, box);
    const forget = () => {
      settle(first);
      box.closest("dialog").close();
    };
    const again = el("button", { type: "button", class: "main", onclick: () => carryOut(first, box, { again: null, done: () => done("Answered.") }) }, icon("again"), "Send again");
    box.replaceChildren(el("p", { class: "question" }, plain(first.said)), keyNote(first, true), el("div", { class: "row end" }, el("button", { type: "button", onclick: forget }, "Forget it"), again));
    again.focus();
  };
  return el("button", { type: "button", class: "attention", onclick: resume }, icon("attention"), left.length === 1 ? "1 request has no answer" : `${left.length} requests have no answer`);
}
