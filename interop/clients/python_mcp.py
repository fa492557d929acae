"""The Python SDK, package `mcp`: python_mcp.py auto|legacy"""

import asyncio
import json
import os
import sys
import urllib.parse
import urllib.request

from httpx2 import AsyncClient
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

DEMO = json.loads(os.environ["INTEROP_DEMO"])
AGENT = json.loads(os.environ["INTEROP_AGENT"])
STEPS_UP = os.environ["INTEROP_SCENARIO"] == "step_up"
# Where the document is that describes the client, if it need not register.
DOCUMENT = os.environ.get("INTEROP_CLIENT_DOCUMENT")
REDIRECT_URI = "http://127.0.0.1:39394/callback"


class SignedOut(Exception):
    pass


class Person:
    """The person at the browser, who signs in once and then leaves."""

    def __init__(self, most_sign_ins: int = 1):
        self.sign_ins, self.most_sign_ins = 0, most_sign_ins

    async def visit(self, url: str) -> None:
        if self.sign_ins >= self.most_sign_ins:
            raise SignedOut
        self.sign_ins += 1
        agent = await asyncio.create_subprocess_exec(*AGENT, url, stdout=asyncio.subprocess.PIPE)
        output, _ = await agent.communicate()
        assert agent.returncode == 0
        self.callback = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(output.decode().strip()).query))

    async def come_back(self) -> AuthorizationCodeResult:
        found = self.callback
        return AuthorizationCodeResult(code=found["code"], state=found["state"], iss=found["iss"])


class Memory:
    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


def flatten(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flatten(inner)]
    return [error] + (flatten(error.__cause__) if error.__cause__ else [])


async def use_tools(provider: OAuthClientProvider, mode: str, memory: Memory) -> None:
    async with (
        AsyncClient(auth=provider, timeout=30) as http,
        Client(streamable_http_client(DEMO["mcp_url"], http_client=http), mode=mode) as client,
    ):
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"echo", "whoami"} <= names, names
        echoed = await client.call_tool("echo", {"message": "hello"})
        assert not echoed.is_error and "hello" in echoed.content[0].text, echoed
        who = await client.call_tool("whoami")
        assert DEMO["username"] in who.content[0].text, who
        before = memory.tokens
        await asyncio.sleep(before.expires_in + 1)
        again = await client.call_tool("echo", {"message": "again"})
        assert "again" in again.content[0].text, again
        assert memory.tokens.access_token != before.access_token
        assert memory.tokens.refresh_token != before.refresh_token


async def list_mails(provider: OAuthClientProvider, mode: str) -> str:
    async with (
        AsyncClient(auth=provider, timeout=30) as http,
        Client(streamable_http_client(DEMO["mcp_url"], http_client=http), mode=mode) as client,
    ):
        return (await client.call_tool("list_mails")).content[0].text


async def step_up(provider: OAuthClientProvider, mode: str, person: Person) -> None:
    """Entra wants a second factor once the user is signed in: the client fetches its user again."""
    assert "Quarterly figures" in await list_mails(provider, mode)
    assert person.sign_ins == 2


def revoke(token: str, client_id: str) -> None:
    form = urllib.parse.urlencode({"token": token, "client_id": client_id}).encode()
    with urllib.request.urlopen(f"{DEMO['issuer']}/revoke", data=form, timeout=10) as reply:
        assert reply.status == 200


async def main(mode: str) -> None:
    memory, person = Memory(), Person(most_sign_ins=2 if STEPS_UP else 1)
    metadata = OAuthClientMetadata(
        client_name="Python mcp",
        redirect_uris=[REDIRECT_URI],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(
        DEMO["mcp_url"],
        metadata,
        memory,
        redirect_handler=person.visit,
        callback_handler=person.come_back,
        client_metadata_url=DOCUMENT,
    )
    if STEPS_UP:
        return await step_up(provider, mode, person)
    await use_tools(provider, mode, memory)
    assert person.sign_ins == 1
    assert DOCUMENT in (None, memory.client_info.client_id), memory.client_info

    revoke(memory.tokens.refresh_token, memory.client_info.client_id)
    await asyncio.sleep(memory.tokens.expires_in + 1)
    try:
        await use_tools(provider, mode, memory)
    except BaseException as error:
        if any(isinstance(leaf, SignedOut) for leaf in flatten(error)):
            return
        raise
    raise AssertionError("a revoked client was served")


asyncio.run(main(sys.argv[1]))
