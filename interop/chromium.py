"""A person at a real browser: Chromium, and what a page of ours must be in it.

Screenshots stay in artefacts/.
"""

import pathlib
import re
import tempfile
import unittest

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from programs import ARTEFACTS

FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --window-size=1000,800
""".split()
# A headless browser says that it has no mouse, and the tests move one.
MOUSE = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
NARROW = 320
SIGN_IN = re.compile("sign in|log in|next|verify", re.I)
# Everybody's second factor.
CODE = "123456"
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


class Person(unittest.TestCase):
    username, password = "", ""
    # More that Chromium is told.
    flags: list[str] = []

    def setUp(self):
        profile = self.enterContext(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [*FLAGS, *self.flags, MOUSE, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        self.addCleanup(self.driver.quit)
        self.driver.set_page_load_timeout(30)
        # Without a screen a page of another site begins as if nobody looked at it, and shows no focus.
        self.driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})

    # ---- What a person does ----

    def wait(self, condition):
        return WebDriverWait(self.driver, 15).until(condition)

    def button(self, wanted: re.Pattern[str]):
        buttons = self.driver.find_elements(By.CSS_SELECTOR, "button, input[type=submit]")
        return next((b for b in buttons if wanted.search(b.text or b.get_attribute("value") or "")), None)

    def takes_clicks(self, button) -> bool:
        return button.value_of_css_property("pointer-events") == "auto"

    def point_at(self, element) -> None:
        webdriver.ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def double_click(self, element) -> None:
        webdriver.ActionChains(self.driver, duration=0).double_click(element).perform()

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
        self.driver.find_element(By.CSS_SELECTOR, visible).send_keys(username or self.username)
        self.driver.find_element(By.CSS_SELECTOR, "input[type=password]").send_keys(self.password)
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
