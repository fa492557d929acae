"""A person at a real browser: sign-in, consent, refusal and error pages, in Chromium.

Screenshots stay in artefacts/.
"""

import http.server
import json
import pathlib
import re
import tempfile
import threading
import time
import unittest

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from oauth import Client, query, send
from programs import ARTEFACTS, demo

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1000,800
""".split()
# A headless browser says that it has no mouse, and the tests move one.
MOUSE = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
NARROW = 320
APPROVE, DENY = re.compile("allow|approve|continue", re.I), re.compile("deny|cancel|decline", re.I)
SIGN_IN = re.compile("sign in|log in|next|verify", re.I)
ACCEPT, GO_ON, REMOVE = (re.compile(word, re.I) for word in ("accept", "go on", "remove"))
# Users of the pretend Entra, and the code of everybody's second factor.
BOB, GRACE, CODE = "bob@contoso.onmicrosoft.com", "grace@contoso.onmicrosoft.com", "123456"
# The least contrast of text and its background (WCAG 2.2 §1.4.3).
CONTRAST = 4.5

# Every element with text of its own, and the contrast of that text against what is painted behind it.
POOR_CONTRAST = """
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const parse = (css) => css.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  throw new Error('nothing is painted behind the page');
};
const found = [];
for (const element of document.body.querySelectorAll('*')) {
  const text = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!text || !element.checkVisibility()) continue;
  const [a, b] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < arguments[0]) found.push(`${element.tagName} ${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return found;
"""


class Landing(http.server.BaseHTTPRequestHandler):
    """The client's redirect URI."""

    def do_GET(self):
        body = b"<!doctype html><title>Client</title><p>Back at the client."
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.landing = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Landing)
        threading.Thread(target=cls.landing.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.landing.server_close)
        cls.addClassCleanup(cls.landing.shutdown)
        cls.ready = cls.enterClassContext(demo())
        cls.redirect_uri = f"http://127.0.0.1:{cls.landing.server_port}/callback"

    def setUp(self):
        profile = self.enterContext(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, MOUSE, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.addCleanup(self.driver.quit)
        self.driver.set_page_load_timeout(30)
        self.client = Client(self.ready["mcp_url"], self.redirect_uri)

    # ---- What a person does ----

    def wait(self, condition):
        return WebDriverWait(self.driver, 15).until(condition)

    def is_back(self) -> bool:
        return self.driver.current_url.startswith(self.redirect_uri)

    def button(self, wanted: re.Pattern[str]):
        buttons = self.driver.find_elements(By.CSS_SELECTOR, "button, input[type=submit]")
        return next((b for b in buttons if wanted.search(b.text or b.get_attribute("value") or "")), None)

    def takes_clicks(self, button) -> bool:
        return button.value_of_css_property("pointer-events") == "auto"

    def point_at(self, element) -> None:
        webdriver.ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def double_click(self, element) -> None:
        webdriver.ActionChains(self.driver, duration=0).double_click(element).perform()

    def approve(self) -> None:
        """Allows as a person does, who looks before the click."""
        button = self.button(APPROVE)
        self.point_at(button)
        self.wait(lambda _: self.takes_clicks(button))
        self.leave(button.click)

    def asked_to_sign_in(self) -> bool:
        return bool(self.driver.find_elements(By.CSS_SELECTOR, "input[type=password]"))

    def leave(self, action) -> None:
        """Does something that loads another page, and waits for that page."""
        page = self.driver.find_element(By.TAG_NAME, "html")
        action()
        self.wait(lambda _: self.gone(page))
        self.wait(lambda d: d.execute_script("return document.readyState") == "complete")

    def gone(self, page) -> bool:
        try:
            page.is_enabled()
        except Exception:  # noqa: BLE001 - the driver has three names for this
            return True
        return False

    def sign_in(self, username: str | None = None) -> None:
        visible = "input:not([type=hidden]):not([type=password])"
        self.driver.find_element(By.CSS_SELECTOR, visible).send_keys(username or self.ready["username"])
        self.driver.find_element(By.CSS_SELECTOR, "input[type=password]").send_keys(self.ready["password"])
        self.leave(self.button(SIGN_IN).click)

    def second_factor(self) -> None:
        self.driver.find_element(By.NAME, "otc").send_keys(CODE)
        self.leave(self.button(SIGN_IN).click)

    def asked_for_second_factor(self) -> bool:
        return bool(self.driver.find_elements(By.NAME, "otc"))

    def choose(self, username: str) -> None:
        """Picks the account at Entra that is signed in already."""
        accounts = self.driver.find_elements(By.CSS_SELECTOR, "button")
        account = next(button for button in accounts if username in (button.text + (button.get_attribute("value") or "")))
        self.leave(account.click)

    def consent(self) -> None:
        """Lets Entra have what it asks for, if it asks."""
        if not self.is_back() and not self.asked_for_second_factor() and (button := self.button(ACCEPT)):
            self.leave(button.click)

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, wanted) -> None:
        """Moves the focus with the Tab key, as someone without a mouse does."""
        for _ in range(20):
            focused = self.driver.switch_to.active_element
            if wanted(focused):
                outline = focused.value_of_css_property("outline-style")
                shadow = focused.value_of_css_property("box-shadow")
                self.assertTrue(outline != "none" or shadow != "none", "the focus cannot be seen")
                return
            self.press(Keys.TAB)
        self.fail("the keyboard does not reach it")

    # ---- What a page must be ----

    def colour_scheme(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def assert_page_is_sound(self, name: str) -> None:
        """Readable in both colour schemes, not wider than the narrowest screen, and all our own."""
        script = self.driver.execute_script
        background = {}
        for scheme in ("light", "dark"):
            self.colour_scheme(scheme)
            self.width(1000)
            self.screenshot(f"{name}-{scheme}")
            background[scheme] = script("return getComputedStyle(document.body).backgroundColor + "
                                        "getComputedStyle(document.documentElement).backgroundColor")
            self.assertEqual(script(POOR_CONTRAST, CONTRAST), [], f"{name}, {scheme}")
        self.assertNotEqual(background["light"], background["dark"], name)
        self.colour_scheme("light")
        self.width(NARROW)
        self.screenshot(f"{name}-narrow")
        self.assertLessEqual(script("return document.documentElement.scrollWidth"), NARROW, name)
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

        self.assertTrue(self.driver.title, name)
        self.assertTrue(script("return document.documentElement.lang"), name)
        self.assertEqual(len(self.driver.find_elements(By.TAG_NAME, "h1")), 1, name)
        self.assertEqual(self.driver.find_elements(By.TAG_NAME, "script"), [], name)
        strangers = script("return performance.getEntriesByType('resource').map((e) => e.name)"
                           ".filter((url) => new URL(url).origin !== location.origin)")
        self.assertEqual(strangers, [], name)

    def screenshot(self, name: str) -> None:
        folder = ARTEFACTS / "browser"
        folder.mkdir(parents=True, exist_ok=True)
        shot = self.driver.get_screenshot_as_png()
        pathlib.Path(folder / f"{name}.png").write_bytes(shot)

    def assert_nothing_was_blocked(self) -> None:
        blocked = [entry["message"] for entry in self.driver.get_log("browser") if "Content Security" in entry["message"]]
        self.assertEqual(blocked, [])

    def error_page(self, name: str) -> str:
        self.assertTrue(self.driver.current_url.startswith(self.ready["issuer"]))
        self.assert_page_is_sound(name)
        text = self.driver.find_element(By.TAG_NAME, "body").text
        self.assertRegex(text, r"(?i)correlation|reference|request id", "nothing to give to support")
        return text

    # ---- Entra, and the client ----

    def demand_second_factor(self, username: str) -> None:
        """Makes Entra want one before anybody acts in the user's name."""
        told = json.dumps({"user": username, "demanded": True}).encode()
        reply = send(f"{self.ready['emulator_url']}/control/demand-mfa-at-obo", told)
        self.assertEqual(reply.status, 200, reply)

    def signed_in_without_second_factor(self, username: str) -> None:
        self.driver.get(self.client.authorization_url())
        self.approve()
        self.sign_in(username)
        self.consent()
        self.assertTrue(self.is_back(), self.driver.current_url)
        self.client.redeem(self.driver.current_url)

    def challenged(self) -> dict:
        refused = self.client.initialize()
        self.assertEqual(refused.status, 401, refused)
        self.assertIn('error="invalid_token"', refused.headers["www-authenticate"])
        return refused.json()

    # ---- The walks ----

    def test_approving_gives_a_code_that_works(self):
        self.driver.get(self.client.authorization_url())
        self.assertIsNotNone(self.button(APPROVE))
        self.assertIn("Interop", self.driver.find_element(By.TAG_NAME, "body").text)
        self.assert_page_is_sound("consent")
        self.approve()
        self.assertTrue(self.asked_to_sign_in())
        self.screenshot("sign-in")
        self.sign_in()
        self.assertTrue(self.is_back(), self.driver.current_url)
        self.assert_nothing_was_blocked()
        self.client.redeem(self.driver.current_url)
        self.assertIn(self.ready["username"], self.client.call("whoami"))

    def test_a_second_factor_that_only_a_call_meets_is_asked_for_and_the_call_works(self):
        self.demand_second_factor(BOB)
        self.signed_in_without_second_factor(BOB)
        self.challenged()
        # As clients do: refresh first, and sign in where that is refused.
        refused = self.client.refresh()
        self.assertEqual((refused.status, refused.json()["error"]), (400, "invalid_grant"))
        self.driver.get(self.client.authorization_url())
        self.approve()
        self.choose(BOB)
        self.assertTrue(self.asked_for_second_factor(), self.driver.current_url)
        self.screenshot("second-factor")
        self.second_factor()
        self.assertTrue(self.is_back(), self.driver.current_url)
        self.client.redeem(self.driver.current_url)
        self.assertTrue(self.client.call("list_mails"))
        self.assertIn(BOB, self.client.call("graph_me"))
        self.assert_nothing_was_blocked()

    def test_a_page_does_the_same_without_the_client(self):
        self.demand_second_factor(GRACE)
        self.signed_in_without_second_factor(GRACE)
        page = self.challenged()["error_uri"]
        self.driver.get(page)
        # Whoever has the link reads no more of the account than its user needs.
        shown = self.driver.find_element(By.TAG_NAME, "body").text
        self.assertIn(f"{GRACE[0]}…@{GRACE.partition('@')[2]}", shown)
        self.assertNotIn(GRACE, shown)
        self.assert_page_is_sound("sign-in-again")
        button = self.button(GO_ON)
        self.point_at(button)
        self.wait(lambda _: self.takes_clicks(button))
        self.leave(button.click)
        self.assertTrue(self.asked_for_second_factor(), self.driver.current_url)
        self.second_factor()
        self.assertIn("go back to your app", self.driver.find_element(By.TAG_NAME, "h1").text)
        self.assert_page_is_sound("signed-in-again")
        self.assert_nothing_was_blocked()
        # With the token of before.
        self.assertTrue(self.client.call("list_mails"))
        self.driver.get(page)
        self.error_page("nothing-to-do")

    def test_consent_is_remembered_for_whom_nobody_sent_and_can_be_taken_back(self):
        with demo("--remember-consent") as ready:
            client, user = Client(ready["mcp_url"], self.redirect_uri), ready["username"]
            self.driver.get(client.authorization_url())
            self.assertIn("90 days", self.driver.find_element(By.TAG_NAME, "body").text)
            self.approve()
            self.sign_in(user)
            self.consent()
            self.assertTrue(self.is_back(), self.driver.current_url)
            client.redeem(self.driver.current_url)
            # A page that the user opens goes straight to Entra, which asks for the account alone.
            self.driver.get(client.authorization_url())
            self.assertFalse(self.driver.current_url.startswith(ready["issuer"]), self.driver.current_url)
            self.choose(user)
            self.assertTrue(self.is_back(), self.driver.current_url)
            client.redeem(self.driver.current_url)
            # A link on a web page, even of this machine, does not.
            self.driver.get(self.redirect_uri)
            self.leave(lambda: self.driver.execute_script(f"location.href = {json.dumps(client.authorization_url())}"))
            self.assertTrue(self.driver.current_url.startswith(ready["issuer"]), self.driver.current_url)
            self.assertIsNotNone(self.button(APPROVE))

            self.driver.get(f"{ready['issuer']}/approved-apps")
            self.assert_page_is_sound("apps-sign-in")
            button = self.button(SIGN_IN)
            self.point_at(button)
            self.wait(lambda _: self.takes_clicks(button))
            self.leave(button.click)
            self.choose(user)
            shown = self.driver.find_element(By.TAG_NAME, "body").text
            for words in (user, "Interop", client.client_id):
                self.assertIn(words, shown)
            self.assert_page_is_sound("apps")
            self.leave(self.button(REMOVE).click)
            self.assertIn("There are none", self.driver.find_element(By.TAG_NAME, "body").text)
            self.assert_page_is_sound("no-apps")
            self.assert_nothing_was_blocked()
            refused = client.refresh()
            self.assertEqual((refused.status, refused.json()["error"]), (400, "invalid_grant"))
            self.driver.get(client.authorization_url())
            self.assertTrue(self.driver.current_url.startswith(ready["issuer"]), self.driver.current_url)

    def test_a_keyboard_is_enough(self):
        self.driver.get(self.client.authorization_url())
        self.tab_to(lambda e: e.tag_name == "button" and APPROVE.search(e.text))
        self.screenshot("consent-focus")
        self.assertFalse(self.takes_clicks(self.button(APPROVE)), "the keyboard was not alone")
        self.leave(lambda: self.press(Keys.ENTER))
        self.tab_to(lambda e: e.get_attribute("type") in ("text", "email"))
        self.press(self.ready["username"])
        self.tab_to(lambda e: e.get_attribute("type") == "password")
        self.leave(lambda: self.press(self.ready["password"], Keys.ENTER))
        self.assertTrue(self.is_back(), self.driver.current_url)
        self.assertIn("code", query(self.driver.current_url))

    def test_a_double_click_that_began_elsewhere_allows_nothing(self):
        for setting in ("no-preference", "reduce"):
            with self.subTest(reduced_motion=setting):
                features = [{"name": "prefers-reduced-motion", "value": setting}]
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                client = Client(self.ready["mcp_url"], self.redirect_uri)
                self.driver.get(client.authorization_url())
                consent = self.driver.current_url
                button = self.button(APPROVE)
                self.double_click(button)
                self.assertFalse(self.takes_clicks(button))
                # The page may lie open, below another, for as long as it takes.
                self.point_at(self.driver.find_element(By.TAG_NAME, "h1"))
                time.sleep(1)
                self.double_click(button)
                self.wait(lambda _: self.takes_clicks(button))
                self.assertEqual(self.driver.current_url, consent)
                # Had one of the early clicks counted, this one would come too late.
                self.approve()
                self.assertTrue(self.asked_to_sign_in())

    def test_a_screen_that_is_touched_is_enough(self):
        self.driver.get(self.client.authorization_url())
        self.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        self.driver.refresh()
        button = self.button(APPROVE)
        self.assertFalse(self.takes_clicks(button))
        self.wait(lambda _: self.takes_clicks(button))
        self.leave(button.click)
        self.assertTrue(self.asked_to_sign_in())

    def test_denying_is_told_to_the_client_and_is_final(self):
        self.driver.get(self.client.authorization_url())
        self.leave(self.button(DENY).click)
        self.assertTrue(self.is_back(), self.driver.current_url)
        self.assert_nothing_was_blocked()
        told = query(self.driver.current_url)
        self.assertEqual(told["error"], "access_denied")
        self.assertEqual(told["state"], self.client.state)
        self.assertEqual(told["iss"], self.ready["issuer"])
        self.assertNotIn("code", told)
        self.driver.back()
        if self.button(APPROVE):
            self.approve()
        self.error_page("denied-already")

    def test_a_hostile_name_stays_a_name(self):
        name = "<img src=x onerror=alert(1)>" + "W" * 120
        client = Client(self.ready["mcp_url"], f"{self.redirect_uri}/{'x' * 300}", name)
        self.driver.get(client.authorization_url())
        self.assertIn("<img src=x onerror", self.driver.find_element(By.TAG_NAME, "body").text)
        self.assertEqual(self.driver.find_elements(By.TAG_NAME, "img"), [])
        self.assert_page_is_sound("hostile-name")

    def test_an_unknown_client_meets_a_page_and_no_redirect(self):
        self.driver.get(self.client.authorization_url().replace(self.client.client_id, "nobody"))
        self.error_page("unknown-client")

    def test_a_callback_that_belongs_to_nobody_meets_a_page(self):
        self.driver.get(f"{self.ready['issuer']}/auth/callback?code=stolen&state=invented")
        text = self.error_page("unknown-callback")
        self.assertNotIn("stolen", text)
        self.assertNotIn("invented", text)

    def test_a_callback_with_another_state_meets_a_page(self):
        self.driver.get(self.client.authorization_url())
        self.approve()
        state = query(self.driver.current_url)["state"]
        tampered = ("A" if state[0] != "A" else "B") + state[1:]
        self.driver.get(f"{self.ready['issuer']}/auth/callback?code=stolen&state={tampered}")
        self.error_page("tampered-callback")


if __name__ == "__main__":
    unittest.main(verbosity=2)
