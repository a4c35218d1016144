// Owns the question by when a channel can be promised a quantity of a SKU.

import { read } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { Panel, problemBox, table } from "./panel.js";
import { Source } from "./source.js";
import { count, name, time } from "./text.js";

function answer(found) {
  const rows = found.promises.map((promise) => ({ key: String(promise.at), cells: [time(promise.at), count(promise.available_to_promise)] }));
  const isNow = found.promised_at !== null && found.available >= found.quantity;
  const said =
    found.promised_at === null
      ? [icon("attention", "tone-attention"), `${count(found.quantity)} cannot be promised: `, el("b", {}, count(found.available)), " are available now."]
      : [icon("ok", "tone-ok"), isNow ? "At once: " : ["By ", el("b", {}, time(found.promised_at)), ": "], `${count(found.quantity)} for `, name(found.channel), ` (${count(found.available)} are available now).`];
  return [el("p", { class: "note" }, said), rows.length > 0 && table("What can be promised by when", ["By", ["Units in all", "number"]], rows)];
}

/** Return the panel that asks. */
export function promises(model) {
  const asked = new Source(null);
  const ask = async (event) => {
    event.preventDefault();
    try {
      const { body, behindMs } = await read("/v1/promises", { sku: model.sku, channel: channel.value.trim(), quantity: quantity.value });
      asked.push({ found: body }, behindMs);
    } catch (problem) {
      asked.push({ problem });
    }
  };
  const channel = el("input", { id: "promise-channel", required: true, maxlength: 32, value: "default", autocomplete: "off", spellcheck: "false" });
  const quantity = el("input", { id: "promise-quantity", type: "number", min: 1, max: 1_000_000_000, required: true, value: 1 });
  const form = el(
    "form",
    { class: "filters", onsubmit: ask, "data-key": "form", "data-own": true },
    el("label", { for: "promise-channel" }, "Channel", channel),
    el("label", { for: "promise-quantity" }, "Units", quantity),
    el("button", { type: "submit" }, "By when?"),
  );
  asked.start = () => () => {};
  asked.staleMs = 60_000;
  asked.push({});
  const panel = new Panel({
    title: "Promises",
    kind: "half",
    source: asked,
    body: ({ found, problem }) => el("div", { "data-key": "answer" }, found ? answer(found) : problem ? problemBox(problem) : el("p", { class: "note small" }, "By when a channel can be promised so many.")),
  });
  panel.element.insertBefore(form, panel.content);
  panel.drawAge = () => {
    panel.element.dataset.state = "filled";
  };
  return panel;
}
