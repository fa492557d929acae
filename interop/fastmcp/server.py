"""An MCP server from FastMCP, which verifies who calls: server.py PORT ISSUER AUDIENCE"""

import asyncio
import json
import sys

import jwt
from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_http_headers

port, issuer, audience = sys.argv[1:]
keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
server = FastMCP("FastMCP")
go_on = asyncio.Event()
cancelled = 0


@server.tool
def echo(message: str) -> str:
    return message


@server.tool
def whoami() -> str:
    """Who calls, as the gateway vouches for it."""
    assertion = get_http_headers(include_all=True)["x-entrada-assertion"]
    claims = jwt.decode(
        assertion,
        keys.get_signing_key_from_jwt(assertion),
        algorithms=["ES256", "EdDSA"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )
    assert jwt.get_unverified_header(assertion)["typ"] == "entrada-caller+jwt"
    return json.dumps(claims)


@server.tool
async def count(context: Context) -> str:
    """Goes on once `proceed` is called by whoever saw that it began."""
    await context.report_progress(1, 2)
    await go_on.wait()
    go_on.clear()
    await context.report_progress(2, 2)
    return "done"


@server.tool
async def proceed() -> str:
    go_on.set()
    return "proceeding"


@server.tool
async def wait(context: Context) -> str:
    """Has no end of its own."""
    global cancelled
    await context.report_progress(1, 2)
    try:
        await asyncio.Event().wait()
    finally:
        cancelled += 1
    return "never"


@server.tool
async def cancellations() -> str:
    return str(cancelled)


@server.resource("note://today")
def note() -> str:
    return "a note"


@server.prompt
def greet(name: str) -> str:
    return f"Greet {name}."


server.run("http", host="127.0.0.1", port=int(port), show_banner=False)
