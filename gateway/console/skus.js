// Owns the search for SKUs by how they begin.

import { read } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { Panel, emptyBox, table } from "./panel.js";
import { mayAdjust, openAdjust } from "./actions.js";
import { source } from "./source.js";
import { bdi, count, dash, listed, many, plain, since } from "./text.js";

const AT_ONCE = 50;
const MOST = 800;
const FIRST_PAGES = 5;
const AFTER_TYPING_MS = 200;

const total = (item, field) => item.stock.reduce((sum, row) => sum + row[field], 0);

function row(item) {
  const isShort = item.stock.some((each) => each.reserved > each.on_hand);
  return {
    key: item.sku,
    cells: [
      [el("a", { href: `#/skus/${encodeURIComponent(item.sku)}` }, bdi(item.sku)), " ", isShort && el("span", { class: "tag tone-attention" }, icon("attention"), "short")],
      el("b", {}, count(item.available)),
      count(total(item, "on_hand")),
      count(total(item, "reserved")),
      plain(listed(item.stock.map((each) => each.warehouse))) || dash(),
      since(item.at),
    ],
  };
}

const HEADS = ["SKU", ["Available", "number"], ["On hand", "number"], ["Reserved", "number"], ["Warehouses", "wide-only"], ["Changed", "wide-only"]];

/** Return the first SKUs that are asked for; a page of the gateway may have fewer than its limit and still go on. */
async function firstOf(asked, wanted, pages, signal) {
  const items = [];
  let cursor = null;
  let behindMs = 0;
  for (let page = 0; page < pages; page += 1) {
    const query = { ...asked, shortfall: asked.shortfall ? true : null, limit: wanted - items.length, cursor };
    const found = await read("/v1/skus", query, signal);
    items.push(...found.body.items);
    behindMs = found.behindMs;
    cursor = found.body.next;
    if (cursor === null || items.length >= wanted) break;
  }
  return { body: { items, next: cursor }, behindMs };
}

function nothing(asked) {
  if (asked.prefix || asked.warehouse || asked.shortfall) return emptyBox("No SKU is like this.", "Letters count as they are written: a and A differ.", "search");
  const begin = mayAdjust() && el("p", { class: "row" }, el("button", { type: "button", class: "main", onclick: () => openAdjust({}) }, "Adjust stock"));
  return el("div", {}, emptyBox("There is no stock yet.", "Take in the first goods: a SKU begins with an adjustment.", "skus"), begin);
}

/** Show the list of SKUs; the returned function ends it. */
export function skuList(page, parameters) {
  let wanted = AT_ONCE;
  let pages = FIRST_PAGES;
  const asked = { prefix: parameters.get("prefix") ?? "", warehouse: parameters.get("warehouse") ?? "", shortfall: parameters.get("shortfall") === "true" };
  const list = source((signal) => firstOf(asked, wanted, pages, signal), { everyMs: 15_000 });

  function goOn(data) {
    if (data.items.length >= wanted) wanted = Math.min(wanted * 2, MOST);
    else pages *= 4; // so far few of them were such
    return list.again();
  }

  const panel = new Panel({
    title: "Stock over all warehouses",
    source: list,
    kind: "wide",
    bones: 8,
    isEmpty: (data) => data.items.length === 0 && data.next === null,
    empty: () => nothing(asked),
    body(data) {
      const isFull = data.items.length >= MOST;
      return [
        data.items.length > 0 && table("SKUs with their stock over all warehouses", HEADS, data.items.map(row), { kind: "roomy" }),
        el(
          "p",
          { class: "more small row" },
          data.next !== null && !isFull && el("button", { type: "button", onclick: () => goOn(data) }, "More SKUs"),
          el("span", {}, data.items.length === 0 ? "None among those that were looked at so far." : `${many(data.items.length, "SKU")}${data.next === null ? "" : " shown"}`),
          data.next !== null && isFull && el("span", {}, "There are more: say how they begin."),
        ),
      ];
    },
  });

  let timer = null;
  function changed() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      Object.assign(asked, { prefix: prefix.value, warehouse: warehouse.value.trim(), shortfall: short.checked });
      wanted = AT_ONCE;
      pages = FIRST_PAGES;
      const written = new URLSearchParams(Object.entries({ prefix: asked.prefix, warehouse: asked.warehouse, shortfall: asked.shortfall ? "true" : "" }).filter(([, value]) => value));
      history.replaceState(null, "", `#/skus${written.size ? `?${written}` : ""}`);
      list.again();
    }, AFTER_TYPING_MS);
  }
  const prefix = el("input", { type: "search", id: "prefix", value: asked.prefix, oninput: changed, autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const warehouse = el("input", { type: "search", id: "warehouse", value: asked.warehouse, oninput: changed, autocomplete: "off", spellcheck: "false", maxlength: 32 });
  const short = el("input", { type: "checkbox", id: "short", checked: asked.shortfall, onchange: changed });
  const form = el(
    "form",
    { class: "filters", onsubmit: (event) => event.preventDefault(), "aria-label": "Filter" },
    el("label", { for: "prefix" }, "Begins with", prefix),
    el("label", { for: "warehouse" }, "In the warehouse", warehouse),
    el("label", { for: "short", class: "check" }, short, "Only short ones"),
  );
  page.append(form, panel.element);
  const end = panel.mount();
  return () => {
    clearTimeout(timer);
    end();
  };
}
