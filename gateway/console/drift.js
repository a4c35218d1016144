// Owns the page of feeds: counts that other systems send again and again, and whether they still come.

import { el } from "./dom.js";
import { feeds, lateBy } from "./findings.js";
import { icon } from "./icons.js";
import { Panel, emptyBox, table } from "./panel.js";
import { age, count, name, since, time } from "./text.js";

function line(feed) {
  const late = lateBy(feed);
  const state = late ? ["tone-attention", "stale", `late by ${age(late)}`] : ["tone-ok", "open", "in time"];
  return {
    key: feed.id,
    cells: [
      name(feed.id),
      el("span", { class: `tag ${state[0]}` }, icon(state[1]), state[2]),
      since(feed.as_of_at),
      `every ${age(feed.interval_ms)}`,
      count(feed.rows),
      feed.refused ? el("b", { class: "tone-attention" }, count(feed.refused)) : count(0),
      time(feed.at),
    ],
  };
}

const HEADS = ["Feed", "State", "Counts are of", "Comes", ["Rows", "number"], ["Refused", "number"], ["Received", "wide-only"]];

/** Show the page; the returned function ends it. */
export function drift(page) {
  const panel = new Panel({
    title: "Feeds of counts",
    source: feeds,
    kind: "wide",
    bones: 4,
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("No feed has sent counts yet.", ["Bring the counts of a warehouse system in with ", el("code", {}, "holdfast reconcile"), ". Each feed then stands here, with its age."], "unknown"),
    body: (data) => table("Feeds of counts, with their age", HEADS, data.items.map(line), { kind: "roomy" }),
  });
  page.append(
    el("p", { class: "lead" }, "Drift is what a count has more or less than the ledger had at that time. A row whose drift is above the feed's tolerance is refused: somebody has to look at it."),
    panel.element,
  );
  return panel.mount();
}
