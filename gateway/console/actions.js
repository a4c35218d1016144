// Owns the two things that are done from here: adjusting a stock row, and releasing a reservation.

import { el } from "./dom.js";
import { may } from "./status.js";
import { bdi, count, name, plain, signed } from "./text.js";
import { done, work } from "./work.js";

export { openWork } from "./work.js";

const REASONS = ["receipt", "cycle_count", "damage", "shrinkage", "return", "correction", "erp_sync"];
const BUCKETS = [["on_hand", "on hand"], ["damaged", "damaged"], ["safety_stock", "safety stock"], ["quarantine", "quarantine"]];
const ACTOR = "holdfast.actor";
const MOST = 1_000_000_000;

/** Return whether stock may be adjusted with the key in use. */
export const mayAdjust = () => may("adjust");

/** Return whether reservations may be released with the key in use. */
export const mayRelease = () => may("reserve");

const spoken = (text) => text.replaceAll("_", " ");
const given = (document) => Object.fromEntries(Object.entries(document).filter(([, value]) => value !== "" && value !== null));
let number = 0;

function field(label, input, hint = null) {
  input.id = `field-${++number}`;
  return el("label", { for: input.id }, label, input, hint && el("span", { class: "hint" }, hint));
}

const text = (options = {}) => el("input", { type: "text", autocomplete: "off", spellcheck: "false", ...options });
const select = (options) => el("select", {}, options.map(([value, said]) => el("option", { value }, said)));

function actorField() {
  const input = text({ maxlength: 256, value: sessionStorage.getItem(ACTOR) ?? "" });
  input.onchange = () => sessionStorage.setItem(ACTOR, input.value);
  return input;
}

/** Adjust a stock row; `sku`, `warehouse` and `onHand` are filled in where they are known. */
export function openAdjust({ sku = null, warehouse = null, onHand = null, rows = [] }) {
  const which = text({ required: true, maxlength: 64, value: sku ?? "" });
  const where = text({ required: true, maxlength: 32, pattern: "[A-Za-z0-9._\\-]+", value: warehouse ?? "", list: "warehouses" });
  const known = el("datalist", { id: "warehouses" }, rows.map((row) => el("option", { value: row.warehouse })));
  const how = select([["delta", "Add or take away"], ["count", "Set to a count"]]);
  const units = el("input", { type: "number", required: true, step: 1, min: -MOST, max: MOST, inputmode: "numeric" });
  const bucket = select(BUCKETS);
  const reason = select(REASONS.map((it) => [it, spoken(it)]));
  const reference = text({ maxlength: 256 });
  const actor = actorField();
  const form = el(
    "form",
    { class: "form two" },
    sku === null ? field("SKU", which) : el("p", { class: "about" }, "SKU ", bdi(sku)),
    field("Warehouse", where),
    known,
    field("What", how),
    field("Units", units, "Taking away is written with a minus: -5"),
    field("Of", bucket),
    field("Reason", reason),
    field("Reference", reference, "A delivery note, a count sheet; may be empty"),
    field("Your name", actor, "Stands in the change as its actor; may be empty"),
    el("div", { class: "row end" }, el("button", { type: "submit", class: "main" }, "Go on")),
  );
  const expected = () => (where.value === warehouse ? onHand : (rows.find((row) => row.warehouse === where.value)?.on_hand ?? null));
  work({
    title: "Adjust stock",
    form,
    ask() {
      const document = given({ sku: which.value, warehouse: where.value, reason: reason.value, reference: reference.value, actor: actor.value });
      document[how.value] = Number(units.value);
      if (bucket.value !== "on_hand") document.bucket = bucket.value;
      const isCount = how.value === "count" && bucket.value === "on_hand";
      if (isCount && expected() !== null) document.expected_on_hand = expected();
      const of = spoken(bucket.value);
      const change = how.value === "delta" ? `Change ${of} by ${signed(document.delta)} for ` : `Set ${of} to ${count(document.count)} for `;
      const unless = document.expected_on_hand === undefined ? "" : ` Refused if it is no longer ${count(document.expected_on_hand)}.`;
      return { path: "/v1/adjustments", document, said: [change, bdi(document.sku), " in ", name(document.warehouse), ` (${spoken(document.reason)})?`, unless], yes: "Adjust" };
    },
    done(result) {
      const [row] = result.stock;
      return done(el("b", {}, name(row.warehouse)), ` now has ${count(row.on_hand)} on hand, ${count(row.reserved)} reserved, ${count(row.available)} available.`);
    },
  });
}

/** Release a reservation, or a part of it. */
export function openRelease({ sku, reservation, held }) {
  const most = held + (reservation.waiting ?? 0);
  const units = el("input", { type: "number", step: 1, min: 1, max: most, placeholder: `all ${count(most)}`, inputmode: "numeric" });
  const reason = text({ maxlength: 256 });
  const actor = actorField();
  const form = el(
    "form",
    { class: "form" },
    el("p", { class: "about" }, "Reservation ", name(reservation.reservation_id), " of ", bdi(sku)),
    field("Units", units, "Empty: all that it still holds"),
    field("Reason", reason, "Stands in the change; may be empty"),
    field("Your name", actor, "Stands in the change as its actor; may be empty"),
    el("div", { class: "row end" }, el("button", { type: "submit", class: "main" }, "Go on")),
  );
  work({
    title: "Release a reservation",
    form,
    ask() {
      const document = given({ sku, quantity: units.value === "" ? null : Number(units.value), reason: reason.value, actor: actor.value });
      const path = `/v1/reservations/${encodeURIComponent(reservation.reservation_id)}/release`;
      const amount = document.quantity === undefined ? `all ${count(most)} units` : `${count(document.quantity)} of ${count(most)} units`;
      return { path, document, said: [`Release ${amount} of `, name(reservation.reservation_id), "? Others may then reserve them."], yes: "Release" };
    },
    done: (result) => done(el("b", {}, name(result.reservation.reservation_id)), ` is now ${plain(result.reservation.state)}; ${count(result.reservation.released)} units of it were given back.`),
  });
}
