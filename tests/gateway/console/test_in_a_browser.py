"""The console in Debian's Chromium, against a real broker, worker and gateway."""

import json
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from ops.keys import make_key
from tests.gateway.console.place import CHROMIUM, HIDDEN, MARKUP, Place, fill

WAITS_MS = 15_000
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
PAGES = {
    "overview": "#/",
    "skus": "#/skus",
    "sku": "#/skus/mug-1",
    "shortfalls": "#/shortfalls",
    "drift": "#/drift",
    "dead-letters": "#/dead-letters",
}
FULLEST = {"overview", "sku"}
expect.set_options(timeout=WAITS_MS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    place = Place(tmp_path_factory.mktemp("console"))
    yield place
    place.end()


@pytest.fixture(scope="module")
def filled(place):
    """Bring about something for every panel; before that there is nothing."""
    fill(place)
    return place


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(place, chromium):
    """Return a function that opens the console; at the end no page may have asked elsewhere or broken a rule."""
    pages, wrong = [], []

    def watch(page, origin):
        def say(message):
            # A refusal is shown where it belongs; that it came, the browser notes as well.
            if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
                wrong.append(message.text)

        page.on("console", say)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith((origin, "data:")) or wrong.append(request.url))
        page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())

    def opened(hash_="", *, width=1280, height=800, scheme="light", url=None):
        origin = url or place.gateway.url
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        watch(page, origin)
        page.goto(f"{origin}/console{hash_}")
        pages.append((page, context))
        return page

    yield opened
    for _, context in pages:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


def panel(page, title):
    heading = page.get_by_role("heading", name=title, exact=True, level=2)
    return page.locator("section.panel").filter(has=heading)


def state_of(page, title, state):
    expect(panel(page, title)).to_have_attribute("data-state", state)
    return panel(page, title)


def rows_of(page, title):
    return panel(page, title).locator("tbody tr")


def test_an_empty_place_says_what_to_do_next(open_page, pictures):
    page = open_page()
    expect(page.locator(".word")).to_have_text("All is well")
    for title in ("Shortfalls", "Feeds of counts", "Dead letters"):
        state_of(page, title, "empty")
    expect(rows_of(page, "Partitions").filter(has_text="open")).to_have_count(4)
    page.screenshot(path=pictures / "overview-empty.png")
    page.goto(f"{page.url.partition('#')[0]}#/skus")
    nothing = state_of(page, "Stock over all warehouses", "empty")
    expect(nothing).to_contain_text("There is no stock yet")
    expect(nothing.get_by_role("button", name="Adjust stock")).to_be_visible()
    for hash_, title in (
        ("#/shortfalls", "More is reserved than is there"),
        ("#/drift", "Feeds of counts"),
        ("#/dead-letters", "Records that could not be read"),
    ):
        page.goto(f"{page.url.partition('#')[0]}{hash_}")
        state_of(page, title, "empty")
    page.goto(f"{page.url.partition('#')[0]}#/skus/nothing-yet")
    for title in (
        "By warehouse",
        "Course",
        "Open reservations",
        "Changes",
        "Backorders",
        "Announced goods",
        "By channel",
    ):
        state_of(page, title, "empty")
    assert violations(page) == []


@pytest.mark.usefixtures("filled")
def test_the_overview_says_how_all_is_and_where_it_is_not(open_page):
    page = open_page()
    expect(page.locator(".word")).to_have_text("Needs attention")
    expect(page.locator(".reasons li")).to_have_count(3)
    expect(page.locator(".reasons")).to_contain_text("1 stock row is short")
    expect(page.locator(".reasons")).to_contain_text("The feed wms-hull is late")
    expect(page.locator(".reasons")).to_contain_text("1 record could not be read as a command in the last hour")
    expect(rows_of(page, "Shortfalls")).to_have_text(re.compile("mug-2leeds3"))
    expect(page.locator("nav .badge")).to_have_text([re.compile("^1"), re.compile("^1"), re.compile("^1")])
    for title in ("Throughput", "Latency", "Waiting", "View of the stock"):
        tile = page.locator(".tile").filter(has=page.get_by_role("heading", name=title, exact=True))
        expect(tile.locator(".figure")).not_to_be_empty()
        tile.get_by_text("Figures", exact=True).click()
        expect(tile.locator("tbody tr").first).to_be_visible()
    expect(page.locator(".over-time")).to_contain_text("ready")
    expect(rows_of(page, "Partitions").filter(has_text="open")).to_have_count(4)
    expect(page.get_by_role("status")).to_contain_text("Needs attention")


@pytest.mark.usefixtures("filled")
def test_a_sku_is_found_by_how_it_begins(open_page):
    page = open_page("#/skus")
    expect(rows_of(page, "Stock over all warehouses")).to_have_count(4)
    page.get_by_label("Begins with").fill("mug-2")
    expect(rows_of(page, "Stock over all warehouses")).to_have_count(1)
    expect(panel(page, "Stock over all warehouses")).to_contain_text("short")
    page.get_by_label("Begins with").fill("no such")
    state_of(page, "Stock over all warehouses", "empty")
    page.get_by_label("Find a SKU").fill("mug-1")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="mug-1", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mug-1")
    assert page.url.endswith("#/skus/mug-1")


@pytest.mark.usefixtures("filled")
def test_the_page_of_a_sku_has_all_that_is_known_of_it(open_page):
    page = open_page("#/skus/mug-1")
    expect(rows_of(page, "By warehouse")).to_have_count(2)
    expect(panel(page, "By warehouse").locator("tfoot")).to_contain_text("52")
    expect(rows_of(page, "Open reservations")).to_have_count(20)
    panel(page, "Open reservations").get_by_role("button", name="More reservations").click()
    expect(rows_of(page, "Open reservations")).to_have_count(23)
    expect(rows_of(page, "Changes")).to_have_count(10)
    panel(page, "Changes").get_by_role("button", name="Earlier changes").click()
    expect(rows_of(page, "Changes").last).to_contain_text("receipt")
    expect(rows_of(page, "Announced goods")).to_contain_text("PO-1")
    expect(rows_of(page, "By channel")).to_contain_text("web")
    course = panel(page, "Course")
    expect(course.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile("on hand 52, reserved 23, available 29")
    )
    expect(course.locator(".canvas .line")).to_have_count(3)
    for line in course.locator(".canvas .line").all():
        assert re.fullmatch(r"M[\d.]+ [\d.]+(H[\d.]+V[\d.]+)+", line.get_attribute("d")), "stock does not slope"
    course.get_by_text("Figures", exact=True).click()
    expect(course.locator("tbody tr").first).to_contain_text("522329")
    panel(page, "Promises").get_by_label("Units").fill("35")
    panel(page, "Promises").get_by_role("button", name="By when?").click()
    expect(panel(page, "Promises")).to_contain_text("cannot be promised")
    page.goto(f"{page.url.partition('#')[0]}#/skus/mug-2")
    expect(rows_of(page, "Backorders")).to_contain_text("order-10")


def test_a_change_appears_by_itself(filled, open_page):
    page = open_page("#/skus/mug-1")
    expect(panel(page, "Changes")).to_contain_text("as they happen")
    expect(rows_of(page, "By warehouse").first).to_contain_text("leeds")
    filled.send("/v1/moves", {"sku": "mug-1", "warehouse": "leeds", "from": "on_hand", "to": "damaged", "quantity": 2})
    expect(rows_of(page, "Changes").first).to_contain_text("move")
    expect(panel(page, "By warehouse").locator("tfoot")).to_contain_text("50")
    expect(page.locator(".figures-row")).to_contain_text("On hand50")


@pytest.mark.usefixtures("filled")
def test_stock_is_adjusted_after_one_question_and_the_result_is_shown(open_page):
    page = open_page("#/skus/mug-2")
    rows_of(page, "By warehouse").get_by_role("button", name="Adjust").click()
    dialog = page.get_by_role("dialog", name="Adjust stock")
    expect(dialog.get_by_label("Warehouse")).to_have_value("leeds")
    dialog.get_by_label("What").select_option("Set to a count")
    dialog.get_by_label("Units").fill("8")
    dialog.get_by_label("Reason").select_option("cycle count")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog).to_contain_text("Set on hand to 8 for mug-2 in leeds (cycle count)? Refused if it is no longer 2.")
    dialog.get_by_role("button", name="Adjust").click()
    expect(dialog).to_contain_text("leeds now has 8 on hand")
    result = json.loads(dialog.locator("pre").inner_text())
    assert (result["status"], result["type"]) == ("accepted", "adjust")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(rows_of(page, "By warehouse")).to_contain_text("8")


@pytest.mark.usefixtures("filled")
def test_a_refusal_says_why_and_lets_one_change_it(open_page):
    page = open_page("#/skus/mug-2")
    page.get_by_role("button", name="Adjust stock").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Warehouse").fill("leeds")
    dialog.get_by_label("Units").fill("-500")
    dialog.get_by_role("button", name="Go on").click()
    dialog.get_by_role("button", name="Adjust").click()
    expect(dialog).to_contain_text("A quantity would fall below 0.")
    dialog.get_by_role("button", name="Change it").click()
    expect(dialog.get_by_label("Units")).to_have_value("-500")


@pytest.mark.usefixtures("filled")
def test_a_request_without_an_answer_is_sent_again_under_its_key_also_after_a_reload(open_page):
    page = open_page("#/skus/mug-1")
    sent = []

    def lose(route):
        sent.append((route.request.headers["idempotency-key"], route.request.post_data))
        route.fetch()  # the gateway gets it; the answer is lost
        route.abort()

    page.route("**/v1/adjustments", lose)
    page.get_by_role("button", name="Adjust stock").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Warehouse").fill("hull")
    dialog.get_by_label("Units").fill("6")
    dialog.get_by_role("button", name="Go on").click()
    dialog.get_by_role("button", name="Adjust").click()
    expect(dialog).to_contain_text("Whether it was done is not known")
    page.unroute("**/v1/adjustments")
    page.on("request", lambda request: request.method == "POST" and sent.append(key_and_body(request)))
    page.reload()
    page.get_by_role("button", name="1 request has no answer").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    expect(page.get_by_role("dialog")).to_contain_text('"replayed": true')
    assert sent[0] == sent[1]
    page.keyboard.press("Escape")
    expect(rows_of(page, "By warehouse").filter(has_text="hull")).to_contain_text("6")


def key_and_body(request):
    return request.headers["idempotency-key"], request.post_data


@pytest.mark.usefixtures("filled")
def test_a_reservation_is_released(open_page):
    page = open_page("#/skus/mug-1")
    rows_of(page, "Open reservations").filter(has_text="cart-05").get_by_role("button").click()
    dialog = page.get_by_role("dialog", name="Release a reservation")
    dialog.get_by_label("Reason").fill("the customer called")
    dialog.get_by_role("button", name="Go on").click()
    dialog.get_by_role("button", name="Release").click()
    expect(dialog).to_contain_text("is now released; 1 units of it were given back")
    page.keyboard.press("Escape")
    expect(rows_of(page, "Open reservations").filter(has_text="cart-05")).to_have_count(0)


@pytest.mark.usefixtures("filled")
def test_a_record_that_could_not_be_read_is_mended_and_sent_again(open_page):
    page = open_page("#/dead-letters")
    row = rows_of(page, "Records that could not be read").first
    expect(row).to_contain_text("invalid_field")
    row.get_by_role("button", name="Mend").click()
    dialog = page.get_by_role("dialog")
    area = dialog.get_by_label("The command, mended")
    mended = area.input_value().replace('"delta": "5"', '"delta": 5')
    area.fill(mended[:-1])
    expect(dialog.get_by_role("alert")).to_contain_text("Not JSON yet")
    area.fill(mended)
    dialog.get_by_role("button", name="Go on").click()
    dialog.get_by_role("button", name="Send").click()
    expect(dialog).to_contain_text("The ledger took it")
    page.goto(f"{page.url.partition('#')[0]}#/skus/mug-3")
    expect(rows_of(page, "By warehouse")).to_contain_text("hull")


@pytest.mark.parametrize(("sku", "shown"), [(MARKUP, MARKUP), (HIDDEN, "mug\\u{202E}-4\\u{200B}")])
@pytest.mark.usefixtures("filled")
def test_a_sku_is_text_whatever_stands_in_it(open_page, sku, shown):
    page = open_page("#/skus")
    page.get_by_label("Begins with").fill(sku[:4])
    link = page.get_by_role("link", name=shown, exact=True)
    expect(link).to_be_visible()
    assert link.locator("bdi").count() == 1
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shown)
    expect(rows_of(page, "By warehouse")).to_contain_text("7")
    expect(page).to_have_title(f"{shown} · Holdfast console")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")])
def test_every_page_fits_and_breaks_no_rule_of_accessibility(filled, open_page, pictures, width, scheme):
    # So high that nothing lies below the bar at the bottom: a target that is half covered would count as too small.
    page = open_page("#/", width=width, height=6000, scheme=scheme)
    for name, hash_ in PAGES.items():
        page.goto(f"{filled.gateway.url}/console{hash_}")
        expect(page.locator('section.panel[data-state="loading"]')).to_have_count(0)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} scrolls sideways"
        # Axe takes a second a page: all rules on each page once and at each width on the fullest; contrast always.
        is_checked = (width, scheme) == (1280, "dark") or ((width, scheme) == (360, "light") and name in FULLEST)
        assert violations(page, WCAG if is_checked else CONTRAST) == [], name
        page.screenshot(
            path=pictures / f"{name}-{width}-{scheme}.png", clip={"x": 0, "y": 0, "width": width, "height": 1600}
        )


def violations(page, rules=WCAG):
    found = Axe().run(page, options=rules).response["violations"]
    return [(it["id"], [node["html"][:200] for node in it["nodes"]][:3]) for it in found]


@pytest.mark.usefixtures("filled")
def test_stock_is_found_and_adjusted_by_keyboard_alone(open_page):
    page = open_page()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    tab_to(page, page.get_by_label("Find a SKU"))
    page.keyboard.type("mug-1")
    press("Enter")
    expect(rows_of(page, "Stock over all warehouses")).to_have_count(1)
    tab_to(page, page.get_by_role("link", name="mug-1", exact=True))
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    button = page.get_by_role("button", name="Adjust stock")
    expect(button).to_be_visible()
    tab_to(page, button)
    press("Enter")
    page.keyboard.type("york")
    press("Tab")
    press("Tab")
    page.keyboard.type("3")
    press("Enter")
    press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("york now has 15 on hand")
    assert violations(page) == []
    press("Escape")
    expect(button).to_be_focused()


def tab_to(page, target, most=60):
    """Press Tab until an element has the focus, which must be visible wherever it is."""
    for _ in range(most):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError("it cannot be reached")


@pytest.fixture(scope="module")
def locked(filled):
    """Return a gateway that wants keys, and a key that may only read."""
    file = filled.folder / "keys.json"
    limits = {"channels": None, "rate_per_s": None, "burst": None, "expires_at": None}
    key = make_key(file, id_="viewer", scopes="read", **limits)
    gateway = filled.serve("locked", keys_file=file)
    yield gateway.url, key
    gateway.end()


def test_a_key_is_asked_for_and_an_action_without_its_scope_is_not_shown(locked, open_page):
    url, key = locked
    page = open_page("#/skus/mug-1", url=url)
    expect(page.get_by_role("heading", level=1)).to_have_text("This gateway needs a key")
    assert violations(page) == []
    page.get_by_label("Key", exact=False).last.fill("hf_viewer_wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("main")).to_contain_text("does not take the key")
    page.locator("main #key").fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(rows_of(page, "By warehouse").first).to_be_visible()
    expect(page.locator("header.top")).to_contain_text("viewer")
    assert page.evaluate("[sessionStorage.length > 0, localStorage.length, document.cookie]") == [True, 0, ""]
    expect(page.get_by_role("button", name="Adjust")).to_have_count(0)
    expect(page.get_by_role("button", name="Release")).to_have_count(0)


def test_without_the_broker_the_console_says_so_and_shows_what_it_knew(filled, open_page, pictures):
    page = open_page("#/skus/mug-1")
    expect(rows_of(page, "By warehouse").first).to_be_visible()
    filled.broker.kill()
    pill = page.locator("header.top .pill")
    expect(pill).to_have_text("Not working", timeout=20_000)
    page.reload()
    expect(panel(page, "By warehouse")).to_contain_text("From this gateway's view", timeout=20_000)
    expect(rows_of(page, "By warehouse").first).to_contain_text("hull")
    wrong = panel(page, "Open reservations").locator(".problem")
    expect(wrong).to_contain_text("Kafka cannot be reached")
    expect(wrong.get_by_role("button", name="Again")).to_be_visible()
    pill.click()
    expect(page.locator(".word")).to_have_text("Not working")
    expect(page.locator(".reasons")).to_contain_text("Kafka cannot be reached: nothing can be reserved or changed.")
    state_of(page, "Dead letters", "error")
    assert violations(page) == []
    page.screenshot(path=pictures / "overview-error.png")
    filled.gateway.process.terminate()
    expect(page.locator(".word")).to_have_text("No contact", timeout=20_000)
    expect(panel(page, "Shortfalls")).to_have_attribute("data-state", "stale")
    assert violations(page) == []
