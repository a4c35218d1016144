// Owns the page of records that could not be read as commands: why, what they held, and sending them again, mended.

import { read } from "./api.js";
import { el } from "./dom.js";
import { letters } from "./findings.js";
import { Panel, emptyBox, problemBox, table } from "./panel.js";
import { may } from "./status.js";
import { count, name, plain, since } from "./text.js";
import { done, work } from "./work.js";

const AT_ONCE = 20;
const SHOWN = 90;
const MEANING = {
  malformed: "It is no JSON object.",
  invalid_field: "A field is missing, unknown, of the wrong type or out of range.",
  wrong_partition: "It stands in a partition that is not its SKU's: its sender counts partitions differently.",
  batch_too_large: "A whole batch of records that unpacks to more than 16 MiB; none of them was read.",
  batch_unreadable: "A whole batch of records that cannot be unpacked; none of them was read.",
};

/** Return what a reason means; behind `invalid_field:` stands which field. */
const meaning = (reason) => MEANING[reason.split(":")[0]] ?? "";
const where = (letter) => `${letter.partition}:${letter.offset}`;
const place = (letter) => (letter.last_offset === undefined ? where(letter) : `${where(letter)} to ${letter.last_offset}`);
const cut = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);

function indented(value) {
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}

function mend(letter) {
  const isText = letter.encoding !== "base64";
  const area = el("textarea", { id: "mended", rows: 12, spellcheck: "false", required: true, value: isText ? indented(letter.value ?? "") : "" });
  const wrong = el("span", { class: "hint tone-bad", id: "mended-wrong", role: "alert" });
  area.setAttribute("aria-describedby", "mended-wrong");
  const check = () => {
    try {
      const found = JSON.parse(area.value);
      const isObject = found !== null && typeof found === "object" && !Array.isArray(found);
      area.setCustomValidity(isObject ? "" : "A command is a JSON object.");
    } catch (error) {
      area.setCustomValidity(`Not JSON yet: ${error.message}`);
    }
    wrong.textContent = area.validationMessage;
  };
  area.oninput = check;
  const form = el(
    "form",
    { class: "form" },
    el("p", { class: "about" }, `Record ${where(letter)}: `, el("code", {}, name(letter.reason)), ". ", meaning(letter.reason)),
    !isText && el("p", { class: "small" }, "Its value is no text, so nothing is filled in."),
    letter.cut_value && el("p", { class: "small" }, `Its value was cut: it had ${count(letter.cut_value)} bytes.`),
    el("label", { for: "mended" }, "The command, mended", area, wrong),
    el("div", { class: "row end" }, el("button", { type: "submit", class: "main" }, "Go on")),
  );
  check();
  work({
    title: "Mend and send again",
    form,
    ask() {
      const command = JSON.parse(area.value);
      const said = ["Send this ", el("code", {}, plain(command.type ?? "command")), command.sku === undefined ? "" : [" for ", name(command.sku)], "?"].flat();
      return { path: "/v1/commands", document: { commands: [command] }, said, yes: "Send" };
    },
    done: () => done("The ledger took it."),
  });
}

/** Show the page; the returned function ends it. */
export function deadLetters(page) {
  let more = [];
  let next;
  let problem = null;
  async function goOn(cursor) {
    try {
      const { body } = await read("/v1/dead-letters", { limit: AT_ONCE, cursor });
      more = [...more, ...body.items];
      next = body.next;
      problem = null;
    } catch (error) {
      problem = error;
    }
    panel.draw();
  }
  const line = (letter) => ({
    key: where(letter),
    cells: [
      since(letter.at),
      [el("code", {}, name(letter.reason)), el("span", { class: "small" }, " ", meaning(letter.reason))],
      letter.key === null ? el("span", { class: "none" }, "no key") : name(cut(letter.key)),
      letter.value === null
        ? el("span", { class: "none" }, "no value")
        : el("details", { class: "value" }, el("summary", {}, el("code", {}, plain(cut(letter.value)))), el("pre", { tabindex: "0" }, letter.encoding === "base64" ? letter.value : indented(letter.value).split("\n").map(plain).join("\n"))),
      place(letter),
      may("admin") && el("button", { type: "button", onclick: () => mend(letter) }, "Mend", el("span", { class: "for-ears" }, ` the record ${where(letter)} and send it again`)),
    ],
  });
  const panel = new Panel({
    title: "Records that could not be read",
    source: letters,
    kind: "wide",
    bones: 6,
    isEmpty: (data) => data.items.length === 0,
    empty: () => emptyBox("Every record could be read.", "A record of inventory.commands that is no valid command is kept, and stands here with the reason."),
    body(data) {
      const known = new Set(data.items.map(where));
      const rows = [...data.items, ...more.filter((letter) => !known.has(where(letter)))];
      const goesOn = next === undefined ? data.next : next;
      return [
        table("Dead letters, newest first", [["When", "when"], ["Reason", "why all"], ["Key", "whose"], ["Value", "all"], ["Place", "number place"], ["", "tools"]], rows.map(line), { kind: "roomy letters" }),
        problem && problemBox(problem),
        goesOn && el("p", { class: "more" }, el("button", { type: "button", onclick: () => goOn(goesOn) }, "More records")),
      ];
    },
  });
  page.append(
    el("p", { class: "lead" }, "Nothing of these was applied. Mend the value and send it as a new command; and tell whoever sent it, or it comes again."),
    panel.element,
  );
  return panel.mount();
}
