"""An MCP server that knows nothing of authorization, from the Python SDK: python_mcp.py PORT"""

import asyncio
import json
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("Interop")


@server.tool()
def echo(message: str) -> str:
    return message


@server.tool()
def headers(context: Context) -> str:
    """What this server was sent."""
    return json.dumps(dict(context.headers))


@server.tool()
async def count(context: Context) -> str:
    """Reports progress, slowly."""
    for step in range(3):
        await context.report_progress(step + 1, 3)
        await asyncio.sleep(0.5)
    return "done"


server.run("streamable-http", port=int(sys.argv[1]))
