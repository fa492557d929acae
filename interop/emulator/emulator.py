"""An emulator of its own for each test case, and a person with a browser."""

import html.parser
import json
import logging
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest
import urllib.parse

import requests

# What the libraries log is what the tests provoke.
logging.disable(logging.CRITICAL)

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "crates" / "entra-emulator" / "fixtures"

TENANT = "10000000-0000-4000-8000-000000000001"
CLIENT_ID = "30000000-0000-4000-8000-000000000001"
CLIENT_SECRET = "mcp~8Q.a-public_test-secret_0123456789ab"
API = f"api://{CLIENT_ID}"
SCOPES = [f"{API}/mcp.read"]
DAEMON_ID = "30000000-0000-4000-8000-000000000004"
DAEMON_SECRET = "daemon~5R.a-public_test-secret_012345678"
DAEMON_KEY = (FIXTURES / "daemon.key.pem").read_text()
DAEMON_CERTIFICATE = (FIXTURES / "daemon.crt.pem").read_text()
PUBLIC_ID = "30000000-0000-4000-8000-000000000007"
DOWNSTREAM = "api://downstream.contoso.onmicrosoft.com"
UNCONSENTED = "api://unconsented.contoso.onmicrosoft.com"
GRAPH = "https://graph.microsoft.com"
ALICE = "alice@contoso.onmicrosoft.com"
ALICE_OID = "20000000-0000-4000-8000-000000000001"
PASSWORD = "password"
CUSTOMERS_TENANT = "10000000-0000-4000-8000-000000000003"
CUSTOMERS_ID = "30000000-0000-4000-8000-000000000010"
CUSTOMERS_SECRET = "cust~3Y.a-public_test-secret_0123456789a"
CAROL = "carol@customer.example"
CAROL_OID = "20000000-0000-4000-8000-000000000010"
B2C_TENANT = "10000000-0000-4000-8000-000000000004"
B2C_DOMAIN = "contosob2c.onmicrosoft.com"
B2C_ID = "30000000-0000-4000-8000-000000000011"
B2C_SECRET = "b2c~2X.a-public_test-secret_0123456789ab"
B2C_API = "https://contosob2c.onmicrosoft.com/mcp"
BELLA = "bella@customer.example"
BELLA_OID = "20000000-0000-4000-8000-000000000011"
REDIRECT_URI = "http://localhost:8123/auth/callback"


class Form(html.parser.HTMLParser):
    """The only form of a page."""

    def __init__(self, markup: str):
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "form":
            self.action = attributes["action"]
        elif tag == "input" and attributes.get("type") != "checkbox":
            self.fields[attributes["name"]] = attributes.get("value", "")


class EmulatorCase(unittest.TestCase):
    """Starts the emulator over HTTPS before each test and stops it after."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.ca = os.path.join(folder.name, "ca.pem")
        process = subprocess.Popen(
            [os.environ["ENTRA_EMULATOR"], "--ca-file", self.ca], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(self.stop, process)
        ready = json.loads(process.stdout.readline())
        self.url = ready["https_url"]
        self.host = ready["authority_host"]
        self.authority = f"{self.url}/{TENANT}"

    def stop(self, process: subprocess.Popen):
        process.send_signal(signal.SIGTERM)
        try:
            self.assertEqual(process.wait(timeout=10), 0)
        finally:
            process.kill()
            process.stdout.close()

    def control(self, action: str, **arguments) -> dict:
        answer = requests.post(f"{self.url}/control/{action}", json=arguments, verify=self.ca, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def get(self, url: str, token: str) -> requests.Response:
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, verify=self.ca, timeout=10)

    def browse(self, url: str, username: str = ALICE) -> dict[str, str]:
        """Walks an authorization request like a person, and gives the parameters of the redirect."""
        with self.browser() as session:
            return self.walk(session, session.get(url, allow_redirects=False, timeout=10), username)

    def enter_user_code(self, user_code: str):
        """Types the code of a device into the page for it, and signs in."""
        with self.browser() as session:
            page = session.post(
                f"{self.url}/devicelogin", data={"user_code": user_code}, allow_redirects=False, timeout=10
            )
            parameters = self.walk(session, page)
            session.get(f"{self.url}/devicelogin/done", params=parameters, timeout=10)

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.verify = self.ca
        return session

    def walk(self, session: requests.Session, page: requests.Response, username: str = ALICE) -> dict[str, str]:
        answers = {"username": username, "password": PASSWORD, "otc": "123456"}
        for _ in range(5):
            if page.status_code == 302:
                query = urllib.parse.urlsplit(page.headers["location"]).query
                return dict(urllib.parse.parse_qsl(query))
            form = Form(page.text)
            self.assertTrue(form.action, page.text)
            fields = {name: answers.get(name, value) for name, value in form.fields.items()}
            action = urllib.parse.urljoin(page.url, form.action)
            page = session.post(action, data={**fields, "answer": "accept"}, allow_redirects=False, timeout=10)
        raise AssertionError(f"no redirect: {page.text}")
