// Owns the key of the one who sits here: typed in, kept for this tab only.

import { credential } from "./api.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { status } from "./status.js";
import { listed, name, plain } from "./text.js";

function held() {
  const known = status.data?.credential;
  if (!known) return null;
  if (known.id === "open") return el("p", {}, "This gateway is open: it listens on this machine only, and needs no key.");
  const channels = known.channels ? listed(known.channels.map(plain)) : "all";
  return el("p", {}, "In use: ", el("b", {}, name(known.id)), `. Scopes: ${listed(known.scopes)}. Channels: ${channels}.`);
}

/** Return a dialog that is open, with a title and what stands in it; it is removed when it is closed. */
export function dialog(title, ...content) {
  const close = el("button", { type: "button", class: "quiet icon-only", onclick: () => box.close() }, icon("close"), el("span", { class: "for-ears" }, "Close"));
  const box = el("dialog", { "aria-labelledby": "dialog-title", onclose: () => box.remove() }, el("header", {}, el("h2", { id: "dialog-title" }, title), close), content);
  document.body.append(box);
  box.showModal();
  return box;
}

function keyForm(done) {
  const field = el("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const use = (event) => {
    event.preventDefault();
    done();
    credential.set(field.value.trim());
  };
  const forget = () => {
    done();
    credential.set(null);
  };
  return el(
    "form",
    { onsubmit: use, class: "form" },
    held(),
    el("label", { for: "key" }, "Key", field, el("span", { class: "hint" }, "Begins with hf_, or a JWT. It stays in this tab until the tab is closed, and goes to this gateway only.")),
    el(
      "div",
      { class: "row end" },
      credential.get() && el("button", { type: "button", onclick: forget }, "Forget the key"),
      el("button", { type: "submit", class: "main" }, "Use this key"),
    ),
  );
}

/** Ask for the key. */
export function openKey() {
  const box = dialog("Key", keyForm(() => box.close()));
  box.querySelector("#key").focus();
}

/** Show the page of a gateway that wants a key before anything else. */
export function keyPage(page) {
  const sorry = credential.get() && el("p", { class: "row tone-bad" }, icon("attention"), "The gateway does not take the key that was given: it is unknown, revoked or expired.");
  const form = el("div", { class: "content" }, keyForm(() => {}));
  page.append(
    el("p", { class: "lead" }, "Keys are made by whoever runs the gateway (holdfast keys new). What you may see and do follows from its scopes."),
    el("section", { class: "panel key-panel", "aria-label": "Key" }, sorry, form),
  );
  return () => {};
}
