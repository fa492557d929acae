"""The server of python_stdio.py over a WebSocket, one message a frame, and what opened it: python_websocket.py PORT"""

import asyncio
import json
import pathlib
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

SERVER = pathlib.Path(__file__).with_name("python_stdio.py")


async def mcp(websocket: WebSocket) -> None:
    """Passes lines between the client and a process of its own."""
    await websocket.accept(subprotocol="mcp")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, SERVER, stdin=pipe, stdout=pipe, limit=16 << 20)

    async def answer() -> None:
        async for line in server.stdout:
            await websocket.send_text(line.decode().rstrip("\n"))

    answering = asyncio.create_task(answer())
    try:
        while True:
            server.stdin.write((await websocket.receive_text()).encode() + b"\n")
            await server.stdin.drain()
    except WebSocketDisconnect:
        pass
    finally:
        answering.cancel()
        server.kill()
        await server.wait()


async def echo(websocket: WebSocket) -> None:
    """Tells the headers it was opened with, then whatever it is told."""
    await websocket.accept()
    await websocket.send_text(json.dumps(dict(websocket.headers)))
    try:
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())
    except WebSocketDisconnect as ended:
        print("closed", ended.code, flush=True)


app = Starlette(routes=[WebSocketRoute("/ws", mcp), WebSocketRoute("/echo", echo)])
uvicorn.run(app, port=int(sys.argv[1]), ws="wsproto", ws_max_size=16 << 20)
