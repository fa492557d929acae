# Each recipe is a step of scripts/test, which is what runs before a merge.

# Every step.
all:
    ./scripts/test

# Formatting.
fmt:
    ./scripts/test fmt

# Lints, with every feature and with none.
clippy:
    ./scripts/test clippy clippy-minimal

# Unit and integration tests.
test:
    ./scripts/test test

# The code in the documentation.
doctest:
    ./scripts/test doctest

# The documentation builds without a warning, private items too.
doc:
    ./scripts/test doc

# Licences, banned crates, sources, advisories.
deny:
    ./scripts/test deny

# Every example, run against the emulator.
examples:
    ./scripts/test examples

# Tokens that msal gets from Entra itself, at a server that only verifies them.
direct:
    ./scripts/test direct

# `entrada serve` in front of an MCP server that knows nothing of authorization.
gateway:
    ./scripts/test gateway

# `entrada serve` in front of servers from FastMCP and from the TypeScript SDK, with both SDKs' clients.
servers:
    ./scripts/test servers

# `entrada serve` in front of MCP servers that speak stdio.
stdio:
    ./scripts/test stdio

# Microsoft's own client libraries against the emulator.
emulator:
    ./scripts/test emulator

# Real MCP clients against `entrada demo`.
clients:
    ./scripts/test clients

# MCP's conformance suite: the authorization server, and a server and clients with and without `entrada serve` in between.
conformance:
    ./scripts/test conformance

# Sign-in and consent in a real browser.
browser:
    ./scripts/test browser

# Image, systemd unit, Helm chart and Compose file, without an engine or a cluster.
deploy:
    ./scripts/test deploy

# A short run of each fuzz target.
fuzz:
    ./scripts/test fuzz
