// Owns how data is written: strings of callers with nothing hidden, quantities, times and ages.

import { el } from "./dom.js";

// Characters that show nothing, or that change the direction or the width of what stands beside them.
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}|^ | (?= |$)/gu;

const escaped = (character) => `\\u{${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}}`;

/** Return a caller's string as plain text, hidden characters as \u{202E}. */
export const plain = (text) => String(text).replace(HIDDEN, escaped);

/** Return a caller's string as nodes, hidden characters marked as what they are. */
export function written(text) {
  const nodes = [];
  let from = 0;
  for (const found of String(text).matchAll(HIDDEN)) {
    nodes.push(String(text).slice(from, found.index));
    nodes.push(el("span", { class: "hidden-character" }, escaped(found[0])));
    from = found.index + found[0].length;
  }
  return [...nodes, String(text).slice(from)];
}

/** Return a SKU, kept apart from the direction of the text around it. */
export const bdi = (sku) => el("bdi", { class: "sku", dir: "auto" }, written(sku));

/** Return a name of a caller: a warehouse, a reservation, a reason. */
export const name = (text) => (text === null || text === undefined || text === "" ? dash() : el("bdi", {}, written(text)));

/** Return what stands where there is no value. */
export const dash = () => el("span", { class: "none", title: "none" }, "–");

const WHOLE = new Intl.NumberFormat("en-GB");
const TENTHS = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

/** Return a number of units or records. */
export const count = (number) => WHOLE.format(number).replace("-", "−");

/** Return a number for an axis or a badge. */
export const brief = (number) => (Math.abs(number) < 10_000 ? count(number) : SHORT.format(number).replace("-", "−"));

/** Return a difference with its sign. */
export const signed = (number) => (number > 0 ? `+${count(number)}` : count(number));

/** Return a rate: tenths below ten. */
export const rate = (number) => (number > 0 && number < 9.95 ? TENTHS.format(number) : WHOLE.format(Math.round(number)));

/** Return a duration in ms as a person says it. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 9.95) return `${TENTHS.format(ms)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return age(ms);
}

/** Return how long ago something was, in one unit. */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 100 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${count(Math.round(seconds / 86_400))} d`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

/** Return a moment as text: the time of day, with the date when it is not today. */
export const moment = (ms) => (Math.abs(Date.now() - ms) < 12 * 3600_000 ? CLOCK : DAY).format(ms);

/** Return a moment (ms since the Unix epoch) as an element that also says it in full. */
export function time(ms, said = moment(ms)) {
  if (ms === null || ms === undefined) return dash();
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return el("span", {}, count(ms));
  return el("time", { datetime: date.toISOString(), title: FULL.format(date) }, said);
}

/** Return a moment as how long ago it was, or how long it is off. */
export function since(ms) {
  if (ms === null || ms === undefined) return dash();
  const passed = Date.now() - ms;
  return time(ms, passed >= 0 ? `${age(passed)} ago` : `in ${age(-passed)}`);
}

/** Return a word with its number: `1 row`, `3 rows`. */
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

/** Return `a, b and c`. */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
