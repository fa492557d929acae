"""An MCP server that speaks stdio, and does what a test asks for by the name of the method."""

import json
import os
import signal
import subprocess
import sys

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
cancelled, subscriptions, asking, opened = [], [], {}, []


def write(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}))


def answer(id, result):
    say(id=id, result=result)


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return True


def initialize(id, params):
    opened.append(params["capabilities"])
    result = {"protocolVersion": params["protocolVersion"], "capabilities": {}, "asked": params, "n": 1.0}
    answer(id, result | {"serverInfo": {"name": "test", "version": "1", "unknown": True}})


def discover(id, params):
    asked = params["_meta"]["io.modelcontextprotocol/protocolVersion"]
    if "legacy" in sys.argv:
        say(id=id, error={"code": -32601, "message": "no such method"})
    elif "strict" in sys.argv and asked != "2026-07-28":
        say(id=id, error={"code": -32602, "message": "no such revision"})
    elif "mute" not in sys.argv:
        answer(id, {"supportedVersions": ["2026-07-28"], "capabilities": {}})


def progress(id, params):
    token = params["_meta"]["progressToken"]
    say(method="notifications/progress", params={"progressToken": token, "progress": 0.5, "unknown": [1.0]})
    answer(id, {"told": True})


def die(id, params):
    if "_meta" in params and "progressToken" in params["_meta"]:
        token = params["_meta"]["progressToken"]
        say(method="notifications/progress", params={"progressToken": token, "progress": 0})
    os.kill(os.getpid(), signal.SIGKILL)


def garbage(id, params):
    write("Welcome to the test server!")
    write('{"jsonrpc":"2.0","id":' + str(id) + "}")
    sys.stdout.buffer.write(b"\xff\xfe\n")
    answer(id, "after the garbage")


def ask(id, params):
    asking["q-1"] = id
    say(id="q-1", method="sampling/createMessage", params={"messages": []})


def listen(id, params):
    subscriptions.append(id)
    say(method="notifications/subscriptions/acknowledged", params={"_meta": {SUBSCRIPTION: id}, "notifications": {}})


def poke(id, params):
    for subscription in subscriptions:
        say(method="notifications/resources/updated", params={"_meta": {SUBSCRIPTION: subscription}, "uri": "a:b"})
    answer(id, len(subscriptions))


def shout(id, params):
    say(method="notifications/message", params={"level": "info", "data": params["text"]})
    say(method="notifications/tools/list_changed", params={"text": params["text"]})
    answer(id, None)


def deafen(id, params):
    answer(id, None)
    signal.pause()


def grandchild(id, params):
    answer(id, subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid)


def unknown(id, params):
    say(id=id, error={"code": -32601, "message": "no such method", "data": {"kept": 1.0}})


METHODS = {
    "initialize": initialize,
    "server/discover": discover,
    "subscriptions/listen": listen,
    "progress": progress,
    "die": die,
    "garbage": garbage,
    "ask": ask,
    "poke": poke,
    "shout": shout,
    "deafen": deafen,
    "opened": lambda id, params: answer(id, opened),
    "grandchild": grandchild,
    "never": lambda id, params: None,
    "echo": lambda id, params: write('{"id": %s , "jsonrpc":"2.0","result":%s}' % (id, json.dumps(params))),
    "huge": lambda id, params: answer(id, "x" * params["size"]),
    "pid": lambda id, params: answer(id, os.getpid()),
    "directory": lambda id, params: answer(id, os.getcwd()),
    "environment": lambda id, params: answer(id, dict(os.environ)),
    "cancelled": lambda id, params: answer(id, cancelled),
    "stubborn": lambda id, params: answer(id, stubborn()),
    "mutter": lambda id, params: (print("muttered\x1b[2J", file=sys.stderr, flush=True), answer(id, None)),
}

for line in sys.stdin:
    message = json.loads(line)
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        if id in asking:
            answer(asking.pop(id), message["result"])
    elif id is not None:
        METHODS.get(method, unknown)(id, params)
    elif method == "notifications/cancelled":
        cancelled.append(params["requestId"])

if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
    signal.pause()
