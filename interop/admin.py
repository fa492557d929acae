"""An operator at the pages of `entrada serve`, in Chromium: grants, clients and keys, seen and ended."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from selenium.webdriver.common.by import By

from chromium import Person
from oauth import Client, send
from programs import ARTEFACTS, DEBUG, emulator, free_port, stop, wait_for
from tenant import CLIENT_ID, CLIENT_SECRET, PASSWORD, TENANT, USERNAME

BOB = "bob@contoso.onmicrosoft.com"
HOSTILE = "<b>Payroll</b>"


class Admin(Person):
    username, password = USERNAME, PASSWORD
    # The pretend Entra has an authority of its own.
    flags = ["--ignore-certificate-errors"]

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        directory = subprocess.run([DEBUG / "entra-emulator", "--print-directory"], capture_output=True, text=True, check=True)
        registered = '"http://localhost/auth/callback",'
        (cls.folder / "directory.toml").write_text(
            directory.stdout.replace(registered, f'{registered} "http://localhost/admin/callback",', 1)
        )
        entra = emulator("--ca-file", cls.folder / "ca.pem", "--directory", cls.folder / "directory.toml")
        cls.entra = cls.enterClassContext(entra)
        (cls.folder / "secret").write_text(CLIENT_SECRET + "\n")
        # The person at the command line trusts it; the gateway must learn of it by its own configuration.
        environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
        os.environ["SSL_CERT_FILE"] = cls.entra["ca_file"]
        port, cls.admin_port = free_port(), free_port()
        cls.base_url = f"http://127.0.0.1:{port}"
        settings = {
            "upstream": "http://127.0.0.1:9/mcp",
            "base-url": cls.base_url,
            "listen": f"127.0.0.1:{port}",
            "tenant-id": TENANT,
            "client-id": CLIENT_ID,
            "client-secret-file": cls.folder / "secret",
            "required-scopes": "mcp.read",
            "authority-host": cls.entra["authority_host"],
            "ca-file": cls.entra["ca_file"],
            "data-dir": cls.folder / "data",
            "admin-listen": f"127.0.0.1:{cls.admin_port}",
            "admin-role": "Mcp.Admin",
        }
        flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        ARTEFACTS.mkdir(exist_ok=True)
        with open(ARTEFACTS / "admin-entrada.log", "ab") as log:
            process = subprocess.Popen(
                [DEBUG / "entrada", "serve", *flags], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        cls.addClassCleanup(stop, process)
        wait_for(port, process)
        wait_for(cls.admin_port, process)

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
