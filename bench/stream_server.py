"""An MCP server that sends events: one to each stream at once, and then one every few seconds.

It notes when streams end. `GET /seen` gives, as JSON, how many events each was sent, and when it ended.
"""

import asyncio
import json
import sys
import time

EVERY = 3.0
# Of each stream by its name: how many events it was sent, and when its end was noticed.
sent: dict[str, int] = {}
ended: dict[str, float] = {}


def event(number: int) -> bytes:
    message = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": number}}
    text = f"event: message\nid: {number}\ndata: {json.dumps(message)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(text), text)


async def head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, path, _ = lines[0].split(" ")
    fields = (line.split(":", 1) for line in lines[1:] if line)
    return method, path, {name.lower(): value.strip() for name, value in fields}


def answer(status: str, body: bytes, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


async def stream(name: str, silent: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends events until the other side leaves; the first after `silent` seconds."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    # Nothing comes from a proxy after a request without a body but its end.
    leaving = asyncio.ensure_future(reader.read(1))
    wait, sent[name] = silent, 0
    while not leaving.done():
        await asyncio.wait([leaving], timeout=wait)
        if leaving.done():
            break
        writer.write(event(sent[name]))
        sent[name] += 1
        wait = EVERY
    ended[name] = time.time()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    opened = 0
    try:
        while asked := await head(reader):
            method, path, fields = asked
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            silent = float(fields.get("mcp-param-silent", 0))
            name = fields.get("mcp-param-name", "")
            if path == "/seen":
                writer.write(answer("200 OK", json.dumps({"sent": sent, "ended": ended}).encode()))
            elif method == "GET" or silent:
                await stream(name, silent, reader, writer)
                break
            else:
                result = json.dumps({"jsonrpc": "2.0", "id": json.loads(body).get("id"), "result": {}}).encode()
                opened += 1
                writer.write(answer("200 OK", result, f"mcp-session-id: {id(writer):x}-{opened}"))
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
