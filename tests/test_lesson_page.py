"""The lesson page in a real browser: every control works, every number shown is the library's, and it can be read by all."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from etamu.lesson import fixtures as lesson

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)

PAGE = Path(lesson.__file__).with_name("page.html")
REFERENCE = json.loads((Path(__file__).parent / "reference" / "lesson_page.json").read_text(encoding="utf-8"))
FIGURES = ["fig1", "fig2", "fig3", "fig4"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 760}


# ---- the fixtures, without a browser ----------------------------------------------------------------------------------


def agree(found, wanted, path=""):
    """Whether two trees are equal, numbers to 1e-12."""
    assert type(found) is type(wanted) or {type(found), type(wanted)} <= {int, float}, path
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), path
        for key in wanted:
            agree(found[key], wanted[key], f"{path}/{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), path
        for k, (a, b) in enumerate(zip(found, wanted)):
            agree(a, b, f"{path}/{k}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12), path
    else:
        assert found == wanted, path


def test_reference_is_what_the_library_computes():
    agree(json.loads(json.dumps(lesson.fixtures())), REFERENCE)


def test_slopes_of_the_fixtures_to_fifty_digits():
    """The formulas behind figure 1, the truncated Poisson's above all, against derivatives in high precision."""
    mp = pytest.importorskip("mpmath")
    functions = {
        "gaussian": lambda t: t * t / 2,
        "bernoulli": lambda t: mp.log(1 + mp.exp(t)),
        "poisson": mp.exp,
        "gamma": lambda t: -mp.log(-t),
        "geometric": lambda t: -mp.log(1 - mp.exp(t)),
        "truncated": lambda t: mp.log(mp.exp(mp.exp(t)) - 1),
        "inverse-gaussian": lambda t: -mp.sqrt(-2 * t),
    }
    with mp.workdps(50):
        for name, (_, thetas) in lesson.PRESETS.items():
            slopes = lesson.slopes_of(name)
            for theta in thetas:
                for order, part in enumerate((slopes.value, slopes.mean, slopes.variance, slopes.third)):
                    exact = float(mp.diff(functions[name], mp.mpf(theta), order))
                    assert float(part(np.array([theta]))[0]) == pytest.approx(exact, rel=1e-9, abs=1e-12), (name, theta, order)


def test_page_embeds_the_data_of_the_fixtures():
    embedded = re.search(r'<script type="application/json" id="lesson-data">(.*?)</script>', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert json.loads(embedded.group(1)) == lesson.data()


def test_the_code_on_the_page_runs_and_agrees_with_logistic_regression(capsys):
    pytest.importorskip("sympy")
    code = re.search(r"<pre[^>]*><code>(.*?)</code></pre>", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    rows = lesson.data()["fig3"]
    names = {"X": np.array(rows["x"]), "y": np.array(rows["y"], dtype=float)}
    exec(re.sub(r"<[^>]+>", "", code), names)
    assert "sigmoid" in capsys.readouterr().out
    np.testing.assert_allclose(names["fit"].coef, names["em"].fit(names["X"], names["y"], family="binomial").coef, rtol=1e-8)


def test_page_stands_alone_and_runs_no_typed_code():
    source = PAGE.read_text(encoding="utf-8")
    assert not re.search(r"\beval\s*\(|\bFunction\s*\(|\bimport\s*\(|\bfetch\s*\(|XMLHttpRequest", source)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", source)
    assert not re.search(r"@import|url\((?!#|[`'\"]?#)", source)
    assert set(re.findall(r"https?://[^\"'\s)]+", source)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


# ---- a page in the browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no chromium or google-chrome on the path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright (pip install playwright)")
    with sync_api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """Pages of the lesson, and what they said on the console and asked the network for."""

    def __init__(self, browser):
        self.browser, self.contexts, self.said, self.asked = browser, [], [], []

    def new(self, viewport=WIDE, scheme="light", motion="reduce", touch=False):
        context = self.browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion=motion, has_touch=touch)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        return self.load(page)

    def load(self, page):
        page.goto(PAGE.as_uri())
        page.wait_for_selector("html[data-ready=true]")
        page.wait_for_function("[...document.querySelectorAll('figure svg')].every(n => n.hasAttribute('viewBox'))")
        return page

    def was_silent(self):
        assert self.said == []
        assert {url for url in self.asked if not url.startswith("data:")} <= {PAGE.as_uri()}

    def close(self):
        for context in self.contexts:
            context.close()


@pytest.fixture
def open_page(browser):
    """Opens the page as asked: width, colours, motion, touch."""
    watched = Watched(browser)
    yield watched.new
    watched.close()
    watched.was_silent()


@pytest.fixture(scope="module")
def one_page(browser):
    watched = Watched(browser)
    yield watched, watched.new()
    watched.close()


@pytest.fixture
def page(one_page):
    """The page at desktop width without motion, loaded anew."""
    watched, page = one_page
    page.set_viewport_size(WIDE)
    page.mouse.move(0, 0)
    yield watched.load(page)
    watched.was_silent()


PUT = """([id, value]) => {
  const node = document.getElementById(id);
  if (node.type === "radio") { node.click(); return; }
  node.value = String(value);
  node.dispatchEvent(new Event("input", { bubbles: true }));
}"""
SHOWN = "ids => ids.map(id => document.getElementById(id).dataset.value)"


def settled(page):
    page.wait_for_function("document.documentElement.dataset.moving === '0'")


def put(page, state):
    for moment in ("set", "then"):
        for name, value in state.get(moment, {}).items():
            page.evaluate(PUT, [name, value])
        settled(page)
    for name in state.get("press", []):
        page.evaluate("id => document.getElementById(id).click()", name)
        settled(page)


def shown(page, *ids):
    return [float(value) for value in page.evaluate(SHOWN, list(ids))]


def expect(page, wanted, hint=""):
    ids = list(wanted)
    for name, value in zip(ids, shown(page, *ids)):
        assert value == pytest.approx(wanted[name], rel=1e-9, abs=1e-9), (name, hint)


def verdict(page):
    return page.text_content("#fig1-verdict"), page.get_attribute("#fig1-expression", "aria-invalid") == "true"


def test_numbers_are_those_of_the_library(page):
    for figure in FIGURES:
        states = REFERENCE["figures"][figure]
        assert len(states) >= 6
        for state in states:
            put(page, state)
            expect(page, state["show"], f"{figure} {state.get('set')} {state.get('press')}")


def test_every_number_shown_is_the_rounding_of_its_value(page):
    for text, value in page.evaluate("[...document.querySelectorAll('.num')].map(n => [n.textContent, n.dataset.value])"):
        assert value is not None, text
        number = float(value)
        plain = text.replace("−", "-")
        if "×10" in plain:
            front, power = plain.split("×10")
            assert float(front) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))) == pytest.approx(number, rel=0.06)
        else:
            assert float(plain) == pytest.approx(number, abs=0.0501 if abs(number) >= 1000 else 0.000501)


def test_every_input_has_an_id_and_a_name(page):
    nameless = page.evaluate("[...document.querySelectorAll('input, button')].filter(n => !n.id || !(n.labels?.length || n.textContent || n.ariaLabel)).length")
    assert nameless == 0
    assert page.evaluate("[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map(n => n.id)).size")


# ---- figure 1 ---------------------------------------------------------------------------------------------------------


def test_presets_by_click_are_named(page):
    for name, word in [
        ("gaussian", "identity"),
        ("bernoulli", "sigmoid"),
        ("poisson", "exponential"),
        ("gamma", "−1/theta"),
        ("geometric", "geometric"),
        ("truncated", "truncated"),
        ("inverse-gaussian", "inverse Gaussian"),
    ]:
        page.locator(f".chip:has(#fig1-preset-{name})").click()
        settled(page)
        text, wrong = verdict(page)
        assert word in text
        assert not wrong
        assert page.is_checked(f"#fig1-preset-{name}")


LOG_PARTITIONS = [
    ("7*log(1+exp(theta))", "binomial distribution with 7 trials"),
    ("log(cosh(theta))", "−1 and 1"),
    ("4*theta^2/2", "variance 4"),
    ("3*exp(theta)", "exposure of 3"),
    ("exp(theta) + theta^2/2", "curves upwards everywhere"),
    ("log1p(expm1(theta)+1)", "sigmoid"),
]
NO_LOG_PARTITIONS = [
    ("theta^3", r"not convex: A″ = −\d+\.\d\d at theta = −\d\.\d\d"),
    ("sin(theta)", "“sin” is not known"),
    ("-theta^2", r"not convex: A″ = −2\.00"),
    ("theta^4", r"A″ = 0\.00 at theta = 0\.00\."),
    ("3*theta + 1", "straight line"),
    ("5", "straight line"),
    ("sqrt(-1)", "has no value for any theta"),
    ("log(theta - 100)", "has no value for any theta"),
    ("log(", "before the end"),
    ("log(theta", "Expected “)” before the end"),
    ("2theta", "before “theta”"),
    ("theta +", "before the end"),
    ("theta theta", "before “theta”"),
    ("alert(1)", "“alert” is not known"),
    ("constructor", "“constructor” is not known"),
    ("__proto__", "“__proto__” is not known"),
    ("<img src=x onerror=alert(1)>", "has no meaning here"),
    ("theta; alert(1)", "“;” has no meaning"),
    ("", "Type a function"),
    ("(" * 60 + "theta" + ")" * 60, "nested too deeply"),
    ("-" * 150 + "theta", "nested too deeply"),
    ("theta+" * 60 + "theta", "365 characters"),
]


def test_typed_functions_that_are_log_partitions(page):
    for typed, words in LOG_PARTITIONS:
        page.fill("#fig1-expression", typed)
        text, wrong = verdict(page)
        assert words in text
        assert not wrong
        assert all(np.isfinite(shown(page, "fig1-a", "fig1-mu", "fig1-variance", "fig1-back")))


def test_typed_text_that_is_no_log_partition_says_why(page):
    for typed, words in NO_LOG_PARTITIONS:
        page.fill("#fig1-expression", typed)
        text, wrong = verdict(page)
        assert wrong, typed
        assert words in text or re.search(words, text), typed
        assert np.isnan(shown(page, "fig1-back")).all()
        page.locator(".chip:has(#fig1-preset-poisson)").click()  # and the way back is open
        text, wrong = verdict(page)
        assert "exponential" in text
        assert not wrong


def test_numbers_are_steady_over_the_whole_slider(page):
    """Every place of every slider against the library: values, slopes, and theta found again from mu."""
    for name in lesson.PRESETS:
        slopes = lesson.slopes_of(name)
        page.evaluate(PUT, [f"fig1-preset-{name}", True])
        settled(page)
        thetas, found = page.evaluate(
            """() => {
              const slider = document.getElementById("fig1-theta"), thetas = [], found = [];
              const [low, high] = [Number(slider.min), Number(slider.max)];
              for (let i = 0; i <= 40; i++) {
                slider.value = String(low + (high - low) * i / 40);
                slider.dispatchEvent(new Event("input"));
                thetas.push(Number(slider.value));
                found.push(["fig1-a", "fig1-mu", "fig1-variance", "fig1-back"].map(id => Number(document.getElementById(id).dataset.value)));
              }
              return [thetas, found];
            }"""
        )
        at = np.array(thetas)
        wanted = np.c_[slopes.value(at), slopes.mean(at), slopes.variance(at), at]
        np.testing.assert_allclose(np.array(found)[:, :3], wanted[:, :3], rtol=2e-12, atol=1e-15)
        np.testing.assert_allclose(np.array(found)[:, 3], at, rtol=1e-11, atol=1e-11)


def test_points_of_figure_one_move_by_mouse_and_keys(page):
    before = shown(page, "fig1-show-theta")[0]
    page.focus("#fig1-point-a")
    page.keyboard.press("ArrowRight")
    assert shown(page, "fig1-show-theta")[0] == pytest.approx(before + 0.1)
    drag(page, "#fig1-point-mean", -90, 0)
    theta, mu = shown(page, "fig1-show-theta", "fig1-mu")
    assert theta < before
    assert mu == pytest.approx(1 / (1 + np.exp(-theta)), rel=1e-12)
    page.focus("#fig1-point-link")  # the link: from mu back to theta
    page.keyboard.press("ArrowRight")
    assert shown(page, "fig1-mu")[0] > mu
    page.focus("#fig1-theta")
    page.keyboard.press("End")
    assert shown(page, "fig1-show-theta")[0] == 8.0


# ---- figure 2 ---------------------------------------------------------------------------------------------------------


def drag(page, selector, dx, dy):
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(f"{selector} .dot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


def points(page):
    """The points of figure 2 as they are now."""
    pairs = page.evaluate(
        "[...Array(8).keys()].map(i => { const p = document.getElementById('fig2-point-' + i); return [Number(p.dataset.x), Number(p.dataset.y)]; })"
    )
    return [p[0] for p in pairs], [p[1] for p in pairs]


@pytest.mark.parametrize("model", ["linear", "logistic", "poisson"])
def test_dragged_points_change_the_sums_as_the_library_says(page, model):
    page.locator(f".chip:has(#fig2-model-{model})").click()
    settled(page)
    old = points(page)
    drag(page, "#fig2-point-2", 25, 160)
    drag(page, "#fig2-point-6", -30, -120)
    page.focus("#fig2-point-4")
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    x, y = points(page)
    assert (x[2], y[2]) != (old[0][2], old[1][2])
    assert x[6] != old[0][6]
    assert x[4] == pytest.approx(old[0][4] + 0.1 - 1.0)
    if model != "linear":
        assert all(v == int(v) for v in y)
    expect(page, lesson.sums_of_points(model, x, y, 0.0, 0.4))
    page.click("#fig2-reset")
    settled(page)
    assert points(page) == old


def test_separated_points_have_no_top(page):
    page.locator(".chip:has(#fig2-model-logistic)").click()
    page.focus("#fig2-point-2")
    page.keyboard.press("ArrowDown")  # now the last three are ones, and nothing else is
    page.click("#fig2-top")
    settled(page)
    assert "no top" in page.text_content("#fig2-note")
    assert shown(page, "fig2-show-b0", "fig2-show-b1") == [0.0, 0.4]


def test_a_rate_too_large_is_said(page):
    page.locator(".chip:has(#fig2-model-poisson)").click()
    put(page, {"set": {"fig2-b0": 3, "fig2-b1": 3, "fig2-rate": 0.15}, "press": ["fig2-step"]})
    assert "too large" in page.text_content("#fig2-note")


# ---- figure 3 and 4 ---------------------------------------------------------------------------------------------------


def test_both_methods_start_where_the_point_is_put(page):
    drag(page, "#fig3-start", -120, -60)
    x, y = (float(page.get_attribute("#fig3-start", name)) for name in ("data-x", "data-y"))
    assert x < 1.5
    assert y > -0.8
    assert shown(page, "fig3-ascent-b0", "fig3-newton-b0", "fig3-ascent-b1", "fig3-newton-b1") == [x, x, y, y]
    page.focus("#fig3-start")
    page.keyboard.press("ArrowLeft")
    assert shown(page, "fig3-ascent-b0")[0] == pytest.approx(x - 0.1)
    for _ in range(3):
        page.click("#fig3-step")
        settled(page)
    moved = float(page.get_attribute("#fig3-start", "data-x"))
    expect(page, lesson.hill((moved, y), 0.04, 3))


def test_newton_never_goes_down_from_any_corner(page):
    for keys in ("Shift+ArrowLeft", "Shift+ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"):
        page.focus("#fig3-start")
        for _ in range(7):
            page.keyboard.press(keys)
        before = shown(page, "fig3-newton-loglik")[0]
        for _ in range(3):
            page.click("#fig3-step")
            after = shown(page, "fig3-newton-loglik")[0]
            assert after >= before - 1e-9
            before = after
        page.click("#fig3-run")
        settled(page)
        assert shown(page, "fig3-newton-length")[0] < 1e-9


def test_a_rate_too_large_never_arrives(page):
    put(page, {"set": {"fig3-rate": 0.12}, "press": ["fig3-reset", "fig3-run"]})
    assert shown(page, "fig3-needed") == [np.inf]
    assert "overshoots" in page.text_content("#fig3-verdict")
    assert shown(page, "fig3-ascent-steps") == [2000.0]


def test_the_point_on_the_triangle_sets_the_thetas(page):
    before = shown(page, "fig4-show-theta1", "fig4-show-theta2", "fig4-show-theta3")
    drag(page, "#fig4-point", -60, -90)
    page.focus("#fig4-point")
    page.keyboard.press("ArrowUp")
    after = shown(page, "fig4-show-theta1", "fig4-show-theta2", "fig4-show-theta3")
    assert after != before
    assert sum(after) == pytest.approx(sum(before))  # of all thetas with these means, those with the sum as it was
    expect(page, lesson.softmax_of(after))
    drag(page, "#fig4-point", 900, 0)  # beyond a corner: held inside
    mu = shown(page, "fig4-mu1", "fig4-mu2", "fig4-mu3")
    assert min(mu) > 1e-4
    assert sum(mu) == pytest.approx(1)


# ---- motion, touch, width, colour -------------------------------------------------------------------------------------


def test_motion_ends_where_stillness_does(open_page):
    moving = open_page(motion="no-preference")
    for state in (REFERENCE["figures"]["fig1"][0], REFERENCE["figures"]["fig2"][6], REFERENCE["figures"]["fig3"][4]):
        put(moving, state)
        expect(moving, state["show"])
    moving.click("#fig2-step")
    assert moving.evaluate("document.documentElement.dataset.moving") != "0"
    settled(moving)


def test_touch_drags_and_presses_on_a_phone(open_page):
    phone = open_page(PHONE, touch=True)
    phone.locator(".chip:has(#fig2-model-linear)").tap()
    phone.locator("#fig2-step").tap()
    settled(phone)
    assert shown(phone, "fig2-show-b1")[0] != 0.4
    before = points(phone)
    phone.locator("#fig2-point-3").scroll_into_view_if_needed()
    box = phone.locator("#fig2-point-3 .dot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = phone.context.new_cdp_session(phone)
    for kind, at in (("touchStart", [(x, y)]), ("touchMove", [(x + 10, y + 20)]), ("touchMove", [(x + 20, y + 40)]), ("touchEnd", [])):
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in at]})
    phone.wait_for_function("before => Number(document.getElementById('fig2-point-3').dataset.x) > before", arg=before[0][3])
    x, y = points(phone)
    b0, b1 = shown(phone, "fig2-show-b0", "fig2-show-b1")
    expect(phone, lesson.sums_of_points("linear", x, y, b0, b1))


OUTSIDE = """() => [...document.querySelectorAll("main *, main svg text")].filter(n => {
  const box = n.getBoundingClientRect(), skip = n.closest(".sr, pre, [clip-path]");
  return !skip && n.checkVisibility() && box.width && n.textContent.trim() && (box.left < -1 || box.right > innerWidth + 1);
}).map(n => `${n.tagName} ${n.textContent.trim().slice(0, 40)}`)"""


def test_nothing_is_wider_than_the_screen_whatever_its_width(page):
    page.fill("#fig1-expression", "theta" + "+theta" * 30)
    for width in (1280, 768, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function("[...document.querySelectorAll('figure svg')].every(n => n.viewBox.baseVal.width === Math.floor(n.clientWidth))")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == [], width


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_controls_are_large_enough_for_a_finger(open_page, size):
    page = open_page(size)
    small = page.evaluate(
        "[...document.querySelectorAll('button, input, .handle .hit')].map(n => [n.id, n.getBoundingClientRect().height]).filter(([, h]) => h < 38)"
    )
    assert small == []


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const c = rgb(getComputedStyle(n).backgroundColor);
      if (c[3] === 255) return c;
    }
    return rgb("white");
  };
  const poor = [];
  let seen = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim());
    if (!own || ["SCRIPT", "STYLE"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const color = rgb(node.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [light(color), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    seen += 1;
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return [seen, poor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(open_page, scheme):
    page = open_page(scheme=scheme)
    page.fill("#fig1-expression", "theta^3")
    page.locator(".chip:has(#fig2-model-poisson)").click()
    page.click("#fig3-step")
    seen, poor = page.evaluate(CONTRAST)
    assert seen > 150
    assert poor == []


def test_colours_follow_the_system_and_the_button(open_page):
    page = open_page(scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    assert page.text_content("#theme-name") == "Light"
    page.click("#theme")
    light = page.evaluate(paper)
    assert light != dark
    assert page.evaluate(CONTRAST)[1] == []
    page.keyboard.press("Enter")  # the button keeps the focus
    assert page.evaluate(paper) == dark


def test_keyboard_reaches_everything_in_order_and_shows_where_it_is(page):
    focusable = page.evaluate("document.querySelectorAll('button, input:not([type=radio]), .handle, pre').length") + 2  # a group of radios is one stop
    page.keyboard.press("Tab")
    reached, seen = [], set()
    for _ in range(focusable + 5):
        name, visible = page.evaluate(
            """() => {
              const n = document.activeElement, s = getComputedStyle(n);
              const ring = n.querySelector?.(".ring"), chip = n.closest?.(".chip")?.querySelector("span");
              const outlined = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 1;
              const ringed = ring && getComputedStyle(ring).opacity === "1";
              return [n.id || n.tagName, outlined || ringed || (chip && getComputedStyle(chip).outlineStyle !== "none")];
            }"""
        )
        if name in seen or name == "BODY":
            break
        assert visible, name
        seen.add(name)
        reached.append(name)
        page.keyboard.press("Tab")
    assert len(reached) == focusable
    assert [name for name in reached if name in ("theme", "fig1-theta", "fig2-b0", "fig3-rate", "fig4-gauge")] == [
        "theme",
        "fig1-theta",
        "fig2-b0",
        "fig3-rate",
        "fig4-gauge",
    ]


def test_numbers_are_told_to_a_screen_reader(page):
    page.evaluate(PUT, ["fig1-theta", 2])
    page.wait_for_function("document.getElementById('fig1-live').textContent.includes('theta 2.000')")
    assert page.get_attribute("#fig1-live", "aria-live") == "polite"


# ---- pictures, to be looked at ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "375"])
def test_pictures(open_page, tmp_path, size, scheme):
    folder = Path(os.environ.get("ETAMU_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page = open_page(size, scheme)
    for _ in range(4):
        page.click("#fig3-step")
    stem = f"{size['width']}-{scheme}"
    page.screenshot(path=folder / f"{stem}-page.png", full_page=True)
    for figure in FIGURES:
        page.locator(f"#{figure}").screenshot(path=folder / f"{stem}-{figure}.png")
    assert len(list(folder.glob(f"{stem}-*.png"))) >= 5
