"""An MCP server from the Python SDK that speaks stdio, and both kinds of conversation."""

import asyncio
import json
import os

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("Interop")


@server.tool()
def echo(message: str) -> str:
    return message


@server.tool()
def environment() -> str:
    """What this process was told of its user."""
    return json.dumps({name: value for name, value in os.environ.items() if name.startswith("ENTRADA_")})


@server.tool()
async def count(context: Context) -> str:
    """Reports progress."""
    for step in range(3):
        await context.report_progress(step + 1, 3)
        await asyncio.sleep(0.1)
    return "done"


server.run("stdio")
