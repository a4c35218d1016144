// Owns the frame: navigation, the address of each page, the key, and what is said to screen readers.

import { credential } from "./api.js";
import { deadLetters } from "./dead_letters.js";
import { el, show } from "./dom.js";
import { drift } from "./drift.js";
import { feeds, findings, lateFeeds, lateLetters, letters, seesLetters, shortCount, shortfalls } from "./findings.js";
import { healthOf } from "./health.js";
import { icon } from "./icons.js";
import { keyPage, openKey } from "./key.js";
import { healthLink, overview } from "./overview.js";
import { onKeyWanted } from "./panel.js";
import { openWork } from "./actions.js";
import { shortfallPage } from "./shortfalls.js";
import { skuPage } from "./sku.js";
import { skuList } from "./skus.js";
import { status, wantsKey } from "./status.js";
import { brief, plain } from "./text.js";

const SPEAKS_EVERY_MS = 5000;

const PLACES = [
  { href: "#/", icon: "overview", title: "Overview", page: overview },
  { href: "#/skus", icon: "skus", title: "SKUs", page: skuList },
  {
    href: "#/shortfalls",
    icon: "shortfalls",
    title: "Shortfalls",
    page: shortfallPage,
    badge: () => {
      const { number, isMore } = shortCount();
      return { number, text: `${brief(number)}${isMore ? "+" : ""}`, said: "short" };
    },
  },
  { href: "#/drift", icon: "drift", title: "Drift", page: drift, badge: () => ({ number: lateFeeds().length, said: "late" }) },
  { href: "#/dead-letters", icon: "letters", title: "Dead letters", page: deadLetters, badge: () => ({ number: lateLetters().length, said: "in the last hour" }), isShown: seesLetters },
];

const main = el("main", { id: "main", tabindex: "-1" });
const places = el("ul", { class: "places" });
const top = el("div", { class: "beside" });
const announcer = document.getElementById("announcer");
let leave = null;
let current = null;

/** Return what an address means: the place, its title, and how its page begins. */
function addressed(hash) {
  if (wantsKey()) return { place: null, title: "A key is needed", begin: keyPage, heading: "This gateway needs a key" };
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  if (path.startsWith("/skus/")) {
    const sku = decodeURIComponent(path.slice("/skus/".length));
    return { place: "#/skus", title: plain(sku), begin: (page) => skuPage(page, sku), heading: null };
  }
  const found = PLACES.find((place) => place.href === `#${path || "/"}`) ?? PLACES[0];
  return { place: found.href, title: found.title, begin: (page) => found.page(page, parameters), heading: found.title };
}

function navigate() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  let next;
  try {
    next = addressed(location.hash || "#/");
  } catch {
    next = addressed("#/skus"); // an address that is no percent-encoded UTF-8
  }
  const isFirst = current === null;
  leave?.();
  current = next;
  document.title = `${next.title} · Holdfast console`;
  main.replaceChildren();
  if (next.heading !== null) main.append(el("h1", { tabindex: "-1" }, next.heading));
  leave = next.begin(main);
  drawPlaces();
  if (!isFirst) {
    scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

function drawPlaces() {
  show(
    places,
    PLACES.filter((place) => place.isShown?.() ?? true).map((place) => {
      const { number = 0, text = brief(number), said = "" } = place.badge?.() ?? {};
      const badge = number > 0 && el("span", { class: "badge" }, text, el("span", { class: "for-ears" }, ` ${said}`));
      return el("li", {}, el("a", { href: place.href, "aria-current": place.href === current?.place ? "page" : null }, icon(place.icon), el("span", {}, place.title), badge));
    }),
  );
}

function drawTop() {
  const held = status.data?.credential;
  const said = wantsKey() ? "Enter a key" : held && held.id !== "open" ? plain(held.id) : "Key";
  const button = el("button", { type: "button", class: wantsKey() ? "main" : "quiet", onclick: openKey }, icon("key"), el("span", {}, said));
  show(top, current?.place === "#/" ? el("span", { class: "filler" }) : healthLink(), openWork(), button);
}

function find() {
  const field = el("input", { type: "search", id: "find", placeholder: "Find a SKU", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const submit = (event) => {
    event.preventDefault();
    location.hash = `#/skus?${new URLSearchParams({ prefix: field.value })}`;
    field.value = "";
  };
  return el("form", { class: "find", role: "search", onsubmit: submit }, el("label", { for: "find", class: "for-ears" }, "Find a SKU by how it begins"), icon("search"), field);
}

let spoken = "";
let spokeAt = 0;

function speak() {
  if ([status, shortfalls, feeds, letters].some((one) => one.data === null && one.error === null)) return;
  const { word, sentence, level } = healthOf(status, findings());
  const said = level === "ok" ? word : `${word}. ${sentence.replaceAll(/\d+ (?:s|min|h) ago/g, "some time ago")}`;
  if (said === spoken || Date.now() - spokeAt < SPEAKS_EVERY_MS || status.data === null) return;
  spoken = said;
  spokeAt = Date.now();
  announcer.textContent = said;
}

let askedForKey = false;

function redraw() {
  if (askedForKey !== wantsKey()) {
    askedForKey = wantsKey();
    navigate();
  }
  drawPlaces();
  drawTop();
  speak();
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

function begin() {
  document.querySelector(".skip").onclick = skip;
  const brand = el("a", { class: "brand", href: "#/" }, el("span", { class: "mark", "aria-hidden": "true" }), "Holdfast");
  const side = el("nav", { class: "side", "aria-label": "Pages" }, places);
  const head = el("header", { class: "top" }, brand, find(), top);
  document.getElementById("frame").replaceChildren(head, side, main);
  onKeyWanted(openKey);
  addEventListener("hashchange", navigate);
  navigate();
  for (const one of [status, shortfalls, feeds, letters]) one.subscribe(redraw);
  setInterval(redraw, 1000);
  credential.onChange(() => navigate());
}

begin();
