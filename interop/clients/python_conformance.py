"""A client for MCP's conformance suite, by the Python SDK: python_conformance.py URL, with the token TOKEN if there is one.

It does all that a server offers. Whether that goes well is for the suite to say.
"""

import asyncio
import json
import os
import sys

from httpx2 import AsyncClient
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

TOKEN = os.environ.get("TOKEN")
SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
REVISION = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
CALLS = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")).get("toolCalls")
SAMPLES = {"string": "text", "number": 5, "integer": 5, "boolean": True}


async def elicited(_context, params) -> ElicitResult:
    properties = params.requested_schema["properties"]
    content = {name: schema.get("default", SAMPLES[schema["type"]]) for name, schema in properties.items()}
    return ElicitResult(action="accept", content=content)


def calls(tools: list) -> list[dict]:
    """What the suite asks for, or else what each tool needs."""
    if CALLS:
        return CALLS

    def sample(name: str, schema: dict) -> object:
        return tools[0].input_schema if name == "schema" else SAMPLES.get(schema.get("type"))

    properties = {tool.name: tool.input_schema.get("properties", {}) for tool in tools}
    return [
        {"name": tool, "arguments": {name: sample(name, schema) for name, schema in wanted.items()}}
        for tool, wanted in properties.items()
    ]


async def main(url: str) -> None:
    # The stream that a session has besides. The SDK opens it and waits for nothing, so a server that asks there may ask nobody.
    stream = asyncio.Event()

    async def watch(response) -> None:
        if response.request.method == "GET":
            stream.set()

    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    mode = "auto" if REVISION >= "2026" else "legacy"
    async with (
        AsyncClient(headers=headers, timeout=30, event_hooks={"response": [watch]}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, elicitation_callback=elicited) as client,
    ):
        if SCENARIO.startswith("elicitation"):
            await stream.wait()
        for call in calls((await client.list_tools()).tools):
            try:
                await client.call_tool(call["name"], call["arguments"])
            except Exception as error:  # noqa: BLE001
                print(call["name"], error, file=sys.stderr)
        offered = client.server_capabilities
        if offered.resources:
            for resource in (await client.list_resources()).resources:
                await client.read_resource(str(resource.uri))
        if offered.prompts:
            for prompt in (await client.list_prompts()).prompts:
                await client.get_prompt(prompt.name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
