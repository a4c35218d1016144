// Owns the search for SKUs by how they begin.

import { read } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { Panel, emptyBox, problemBox, table } from "./panel.js";
import { mayAdjust, openAdjust } from "./actions.js";
import { source } from "./source.js";
import { bdi, count, dash, listed, many, plain, since } from "./text.js";

const AT_ONCE = 50;
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

/** Show the list of SKUs; the returned function ends it. */
export function skuList(page, parameters) {
  let more = [];
  let cursor = null;
  let problem = null;
  const asked = { prefix: parameters.get("prefix") ?? "", warehouse: parameters.get("warehouse") ?? "", shortfall: parameters.get("shortfall") === "true" };
  const query = () => ({ prefix: asked.prefix, warehouse: asked.warehouse, shortfall: asked.shortfall ? true : null, limit: AT_ONCE });
  const list = source((signal) => read("/v1/skus", query(), signal), { everyMs: 15_000 });

  async function goOn(data) {
    try {
      const { body } = await read("/v1/skus", { ...query(), cursor: cursor ?? data.next });
      more.push(...body.items);
      cursor = body.next ?? "";
      problem = null;
    } catch (error) {
      problem = error;
    }
    panel.draw();
  }

  const panel = new Panel({
    title: "Stock over all warehouses",
    source: list,
    kind: "wide",
    bones: 8,
    isEmpty: (data) => data.items.length === 0 && data.next === null,
    empty: () =>
      asked.prefix || asked.warehouse || asked.shortfall
        ? emptyBox("No SKU is like this.", "Letters count as they are written: a and A differ.", "search")
        : el("div", {}, emptyBox("There is no stock yet.", "Take in the first goods: a SKU begins with an adjustment.", "skus"), mayAdjust() && el("p", { class: "row" }, el("button", { type: "button", class: "main", onclick: () => openAdjust({}) }, "Adjust stock"))),
    body(data) {
      const known = new Set(data.items.map((item) => item.sku));
      const rows = [...data.items, ...more.filter((item) => !known.has(item.sku))].map(row);
      const left = cursor === null ? data.next : cursor;
      return [
        rows.length > 0 && table("SKUs with their stock over all warehouses", HEADS, rows, { kind: "roomy" }),
        problem && problemBox(problem),
        rows.length === 0 && el("p", { class: "note" }, "None among the SKUs that were looked at so far."),
        left
          ? el("p", { class: "more" }, el("button", { type: "button", onclick: () => goOn(data) }, "More SKUs"), el("span", { class: "small" }, ` ${many(rows.length, "SKU")} shown`))
          : el("p", { class: "more small" }, many(rows.length, "SKU")),
      ];
    },
  });

  let timer = null;
  function changed() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      Object.assign(asked, { prefix: prefix.value, warehouse: warehouse.value.trim(), shortfall: short.checked });
      more = [];
      cursor = null;
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
