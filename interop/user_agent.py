"""A browser without a screen: it keeps cookies, follows redirects and fills in forms.

As a program it prints the URL at which it stopped:

    user_agent.py --username U --password P [--deny] [--deliver] AUTHORIZATION_URL
"""

import argparse
import html.parser
import http.cookiejar
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

HOPS = 25
APPROVE = re.compile(r"allow|approve|accept|continue|yes", re.I)
DENY = re.compile(r"deny|decline|cancel|refuse|no\b", re.I)
SIGN_IN = re.compile(r"sign.?in|log.?in|next|submit|verify", re.I)
# The code of everybody's second factor at the pretend Entra.
CODE = "123456"


@dataclass
class Form:
    action: str
    method: str
    fields: list[dict[str, str]] = field(default_factory=list)
    buttons: list[dict[str, str]] = field(default_factory=list)

    def asks_who(self) -> bool:
        return any(f["type"] in ("password", "text", "email") for f in self.fields)

    def button(self, wanted: re.Pattern[str]) -> dict[str, str] | None:
        return next((b for b in self.buttons if wanted.search(b["label"] + " " + b["value"])), None)


class Page(html.parser.HTMLParser):
    """The forms of a page and its visible text."""

    def __init__(self, markup: str):
        super().__init__()
        self.forms: list[Form] = []
        self.text = ""
        self._hidden = 0
        self._form: Form | None = None
        self._button: dict[str, str] | None = None
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        a = {name: value or "" for name, value in attrs}
        if tag in ("style", "script"):
            self._hidden += 1
        elif tag == "form":
            self._form = Form(a.get("action", ""), a.get("method", "get").lower())
            self.forms.append(self._form)
        elif self._form and tag in ("input", "button"):
            kind = a.get("type", "submit" if tag == "button" else "text").lower()
            control = {"type": kind, "name": a.get("name", ""), "value": a.get("value", ""), "label": ""}
            if kind == "submit":
                self._form.buttons.append(control)
                self._button = control if tag == "button" else None
            elif kind not in ("checkbox", "radio") or "checked" in a:
                self._form.fields.append(control)

    def handle_endtag(self, tag):
        if tag in ("style", "script"):
            self._hidden -= 1
        elif tag == "button":
            self._button = None
        elif tag == "form":
            self._form = None

    def handle_data(self, data):
        if self._button is not None:
            self._button["label"] += data
        if not self._hidden:
            self.text += data


@dataclass
class Answer:
    url: str
    status: int
    headers: dict[str, str]
    body: str


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class UserAgent:
    """One person at one browser."""

    def __init__(self, username: str, password: str, approves: bool = True):
        self.username, self.password = username, password
        self.answer_to_consent = APPROVE if approves else DENY
        self.pages: list[str] = []
        self._origin = "null"
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            NoRedirect(),
        )

    def fetch(self, url: str, form: dict[str, str] | None = None) -> Answer:
        request = urllib.request.Request(url, headers={"Accept": "text/html,*/*"})
        if form is not None:
            request.data = urllib.parse.urlencode(form).encode()
            request.add_header("Origin", self._origin)
        try:
            response = self._opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            # A page without a referrer sends its forms without an origin (Fetch §3.2).
            site = urllib.parse.urlsplit(url)
            hidden = headers.get("referrer-policy") == "no-referrer"
            self._origin = "null" if hidden else f"{site.scheme}://{site.netloc}"
            return Answer(url, response.status, headers, response.read().decode("utf-8", "replace"))

    def authorize(self, url: str) -> Answer:
        """Walks an authorization request to its redirect URI, which is not fetched, or to the page it ends on."""
        redirect_uri = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("redirect_uri", [""])[0]
        form = None
        for _ in range(HOPS):
            answer = self.fetch(url, form)
            if answer.status in (301, 302, 303, 307, 308):
                url = urllib.parse.urljoin(url, answer.headers["location"])
                form = form if answer.status in (307, 308) else None
                if redirect_uri and re.split("[?#]", url)[0] == redirect_uri:
                    return Answer(url, answer.status, {}, "")
                continue
            page = Page(answer.body)
            self.pages.append(page.text)
            if answer.status >= 400 or not page.forms:
                return answer
            url, form = self._submit(url, page)
        raise RuntimeError(f"still going round at {url}: {self.pages[-1:]}")

    def _submit(self, url: str, page: Page) -> tuple[str, dict[str, str] | None]:
        login = next((f for f in page.forms if f.asks_who()), None)
        if login:
            form, button = login, login.button(SIGN_IN)
        else:
            form = next((f for f in page.forms if f.button(self.answer_to_consent)), None)
            if form is None:
                raise RuntimeError(f"no button to press at {url}: {page.text}")
            button = form.button(self.answer_to_consent)
        filled = {f["name"]: self._fill(f) for f in form.fields if f["name"]}
        if button and button["name"]:
            filled[button["name"]] = button["value"]
        target = urllib.parse.urljoin(url, form.action or url)
        if form.method == "post":
            return target, filled
        return f"{target.split('?')[0]}?{urllib.parse.urlencode(filled)}", None

    def _fill(self, control: dict[str, str]) -> str:
        if control["type"] == "password":
            return self.password
        if control["name"] == "otc":
            return CODE
        return self.username if control["type"] in ("text", "email") else control["value"]

    def deliver(self, callback: str) -> None:
        """Hands the code to a client that listens at its redirect URI, which may not listen yet."""
        for attempt in range(100):
            try:
                self.fetch(callback)
                return
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or attempt == 99:
                    raise
                time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--username", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--deny", action="store_true")
    parser.add_argument("--deliver", action="store_true")
    parser.add_argument("url")
    args = parser.parse_args()
    agent = UserAgent(args.username, args.password, approves=not args.deny)
    answer = agent.authorize(args.url)
    if not 300 <= answer.status < 400:
        print(f"stopped at {answer.url} ({answer.status}): {agent.pages[-1]}", file=sys.stderr)
        return 1
    if args.deliver:
        agent.deliver(answer.url)
    print(answer.url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
