"""A person who signs in to the demo: sign-in, consent, refusal and error pages, in Chromium."""

import http.server
import json
import re
import threading
import time
import unittest

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from chromium import SIGN_IN, Person
from oauth import Client, query, send
from programs import demo

APPROVE, DENY = re.compile("allow|approve|continue", re.I), re.compile("deny|cancel|decline", re.I)
ACCEPT, GO_ON, REMOVE = (re.compile(word, re.I) for word in ("accept", "go on", "remove"))
# Users of the pretend Entra.
BOB, GRACE = "bob@contoso.onmicrosoft.com", "grace@contoso.onmicrosoft.com"


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


class Browser(Person):
    @classmethod
    def setUpClass(cls):
        cls.landing = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Landing)
        threading.Thread(target=cls.landing.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.landing.server_close)
        cls.addClassCleanup(cls.landing.shutdown)
        cls.ready = cls.enterClassContext(demo())
        cls.username, cls.password = cls.ready["username"], cls.ready["password"]
        cls.redirect_uri = f"http://127.0.0.1:{cls.landing.server_port}/callback"

    def setUp(self):
        super().setUp()
        self.client = Client(self.ready["mcp_url"], self.redirect_uri)

    # ---- What a person does ----

    def is_back(self) -> bool:
        return self.driver.current_url.startswith(self.redirect_uri)

    def approve(self) -> None:
        """Allows as a person does, who looks before the click."""
        button = self.button(APPROVE)
        self.point_at(button)
        self.wait(lambda _: self.takes_clicks(button))
        self.leave(button.click)

    def consent(self) -> None:
        """Lets Entra have what it asks for, if it asks."""
        if not self.is_back() and not self.asked_for_second_factor() and (button := self.button(ACCEPT)):
            self.leave(button.click)

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
