// Owns the page of stock rows that are short, with what other warehouses of the SKU could give.

import { mayAdjust, openAdjust } from "./actions.js";
import { el } from "./dom.js";
import { MOST, shortRows, shortfalls } from "./findings.js";
import { Panel, emptyBox, table } from "./panel.js";
import { bdi, count, dash, name, since } from "./text.js";

function elsewhere(row) {
  if (!row.elsewhere.length) return el("span", { class: "none" }, "nowhere");
  return row.elsewhere.map((other, index) => [index ? ", " : "", `${count(other.available)} in `, name(other.warehouse)]);
}

function line(row) {
  return {
    key: `${row.sku}/${row.warehouse}`,
    cells: [
      el("a", { href: `#/skus/${encodeURIComponent(row.sku)}` }, bdi(row.sku)),
      name(row.warehouse),
      el("b", { class: "tone-attention" }, count(row.short)),
      count(row.on_hand),
      count(row.reserved),
      elsewhere(row),
      row.at === null ? dash() : since(row.at),
      mayAdjust() && el("button", { type: "button", onclick: () => openAdjust({ sku: row.sku, warehouse: row.warehouse, onHand: row.on_hand }) }, "Adjust", el("span", { class: "for-ears" }, ` the stock of `, bdi(row.sku), " in ", name(row.warehouse))),
    ],
  };
}

const HEADS = ["SKU", "Warehouse", ["Short by", "number"], ["On hand", "number"], ["Reserved", "number"], "Available elsewhere", ["Changed", "wide-only"], ["", "tools"]];

/** Show the page; the returned function ends it. */
export function shortfallPage(page) {
  const panel = new Panel({
    title: "More is reserved than is there",
    source: shortfalls,
    kind: "wide",
    bones: 6,
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("No stock row is short.", "Everything that is reserved is there. A shortfall appears when a count finds less than was promised."),
    body: (data) => [
      table("Stock rows that are short", HEADS, shortRows(data.items).map(line), { kind: "roomy" }),
      data.next && el("p", { class: "more small" }, `These are the first ${MOST} SKUs; `, el("a", { href: "#/skus?shortfall=true" }, "list them all")),
    ],
  });
  page.append(
    el("p", { class: "lead" }, "These goods were promised and are not in the warehouse: count them again, receive what came, or move reservations to a warehouse that has some."),
    panel.element,
  );
  return panel.mount();
}
