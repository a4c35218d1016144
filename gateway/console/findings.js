// Owns what is not right with stock: rows that are short, feeds that are late, and records that could not be read.

import { read } from "./api.js";
import { source } from "./source.js";
import { may, status } from "./status.js";
import { age, count, many, plain } from "./text.js";

const LATELY_MS = 3600_000;
export const MOST = 100;

/** The SKUs with a row of which more is reserved than there. */
export const shortfalls = source((signal) => read("/v1/skus", { shortfall: true, limit: MOST }, signal), { everyMs: 10_000 });

/** The feeds of counts. */
export const feeds = source((signal) => read("/v1/feeds", { limit: MOST }, signal), { everyMs: 15_000 });

/** The newest records that could not be read as commands. */
export const letters = source(
  async (signal) => (seesLetters() ? read("/v1/dead-letters", { limit: 20 }, signal) : { body: { items: [], next: null }, behindMs: 0 }),
  { everyMs: 30_000 },
);

/** Return whether the key in use may read them, as far as that is known. */
export const seesLetters = () => status.data === null || may("admin");

/** Return the rows of a SKU that are short, each with what the SKU's other warehouses could give. */
export function shortRows(items) {
  return items.flatMap((item) =>
    item.stock
      .filter((row) => row.reserved > row.on_hand)
      .map((row) => ({
        sku: item.sku,
        at: item.at,
        ...row,
        short: row.reserved - row.on_hand,
        elsewhere: item.stock.filter((other) => other.warehouse !== row.warehouse && other.available > 0),
      })),
  );
}

/** Return for how long a feed has been late (ms); 0 when it is not: it may miss its time once. */
export function lateBy(feed, now = Date.now()) {
  const passed = now - feed.as_of_at;
  return passed > 2 * feed.interval_ms ? passed - feed.interval_ms : 0;
}

/** Return how many rows are short: `{number, isMore}`. */
export function shortCount() {
  const { data } = shortfalls;
  return { number: data === null ? 0 : shortRows(data.items).length, isMore: Boolean(data?.next) };
}

/** Return how many feeds are late. */
export const lateFeeds = () => (feeds.data?.items ?? []).filter((feed) => lateBy(feed) > 0);

/** Return how many records could not be read in the last hour. */
export const lateLetters = () => (letters.data?.items ?? []).filter((letter) => letter.at > Date.now() - LATELY_MS);

/** Return what is to be said of it all, for the sentence of health. */
export function findings() {
  const found = [];
  const { number, isMore } = shortCount();
  if (number) {
    found.push({
      level: "attention",
      isOfStock: true,
      code: "shortfalls",
      text: `${isMore ? `More than ${count(number)} stock rows are` : number === 1 ? "1 stock row is" : `${count(number)} stock rows are`} short: more is reserved than is there.`,
      next: "Count again, or move goods or reservations to another warehouse.",
      href: "#/shortfalls",
      link: "Shortfalls",
    });
  }
  const late = lateFeeds();
  if (late.length) {
    const [first] = late;
    found.push({
      level: "attention",
      isOfStock: true,
      code: "feeds",
      text: `${late.length === 1 ? `The feed ${plain(first.id)} is` : `${many(late.length, "feed")} are`} late: the last counts are ${age(Date.now() - first.as_of_at)} old.`,
      next: "Look at the system that sends the counts.",
      href: "#/drift",
      link: "Drift",
    });
  }
  const unread = lateLetters();
  if (unread.length) {
    const more = letters.data.next !== null && unread.length === letters.data.items.length;
    found.push({
      level: "attention",
      isOfStock: true,
      code: "dead_letters",
      text: `${more ? "More than " : ""}${many(unread.length, "record")} could not be read as ${unread.length === 1 ? "a command" : "commands"} in the last hour.`,
      next: `Mend ${unread.length === 1 ? "it and send it again, and tell who sent it" : "them and send them again, and tell who sent them"}.`,
      href: "#/dead-letters",
      link: "Dead letters",
    });
  }
  return found;
}
