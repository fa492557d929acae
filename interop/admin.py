"""An operator at the pages of `entrada serve`, in Chromium: grants, clients and keys, seen and ended."""

import pathlib
import re
import subprocess
import tempfile
import unittest

from selenium.webdriver.common.by import By

from chromium import Person
from oauth import Client, send
from programs import DEBUG, free_port
from serving import serve
from tenant import PASSWORD, USERNAME

BOB = "bob@contoso.onmicrosoft.com"
HOSTILE = "<b>Payroll</b>"


class Admin(Person):
    username, password = USERNAME, PASSWORD
    # The pretend Entra has an authority of its own.
    flags = ["--ignore-certificate-errors"]

    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        directory = subprocess.run([DEBUG / "entra-emulator", "--print-directory"], capture_output=True, text=True, check=True)
        registered = '"http://localhost/auth/callback",'
        (folder / "directory.toml").write_text(
            directory.stdout.replace(registered, f'{registered} "http://localhost/admin/callback",', 1)
        )
        cls.admin_port = free_port()
        gateway = serve(
            "admin-entrada",
            entra=["--directory", folder / "directory.toml"],
            upstream="http://127.0.0.1:9/mcp",
            admin_listen=f"127.0.0.1:{cls.admin_port}",
            admin_role="Mcp.Admin",
        )
        cls.base_url = cls.enterClassContext(gateway).base_url

    def setUp(self):
        super().setUp()
        self.clients = [self.signed_in(USERNAME), self.signed_in(BOB, HOSTILE)]

    def signed_in(self, username: str, name: str = "Assistant") -> Client:
        client = Client(f"{self.base_url}/mcp", name=name)
        client.sign_in(username, PASSWORD)
        return client

    def open(self, path: str) -> None:
        self.driver.get(f"http://localhost:{self.admin_port}{path}")

    def enter(self, username: str) -> None:
        self.open("/admin")
        self.leave(self.button(re.compile("Sign in with Microsoft")).click)
        self.sign_in(username)

    def press(self, words: str) -> None:
        self.leave(self.button(re.compile(words)).click)

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def test_an_operator_sees_who_is_signed_in_and_ends_it(self):
        self.open("/admin")
        self.assert_page_is_sound("admin-sign-in")
        self.enter(USERNAME)
        self.open("/admin")
        self.assertIn(USERNAME, self.text())
        self.assertIn(BOB, self.text())
        self.assertIn(HOSTILE, self.text())
        self.assert_page_is_sound("admin-grants")

        self.driver.find_element(By.NAME, "user").send_keys(BOB)
        self.press("Search|Find|Show")
        rows = self.driver.find_elements(By.CSS_SELECTOR, "tbody tr")
        self.assertTrue(rows and all(BOB in row.text for row in rows))
        self.press("End all.*this user")
        self.assertIn(BOB, self.text())
        self.assert_page_is_sound("admin-confirm")
        self.press("End|Yes")
        self.assertEqual(self.clients[1].refresh().json()["error"], "invalid_grant")
        self.assertEqual(self.clients[0].refresh().status, 200)
        self.assert_nothing_was_blocked()

    def test_an_operator_sees_clients_keys_and_numbers(self):
        self.enter(USERNAME)
        for page, words in (("clients", "Assistant"), ("keys", "signs with ES256"), ("live", "Grants that stand")):
            self.open(f"/admin/{page}")
            self.assertIn(words, self.text())
            self.assert_page_is_sound(f"admin-{page}")
        for number in ("Requests under way", "Signed in", "Memory"):
            self.assertRegex(self.text(), rf"{number}\n[1-9]")
        self.assert_nothing_was_blocked()

    def test_somebody_else_is_told_so(self):
        self.enter(BOB)
        self.assertNotIn(USERNAME, self.text())
        self.assert_page_is_sound("admin-refused")
        self.open("/admin")
        self.assertIsNotNone(self.button(re.compile("Sign in with Microsoft")))
        reply = send(f"{self.base_url}/admin")
        self.assertEqual(reply.status, 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
