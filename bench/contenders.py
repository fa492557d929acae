"""What is compared: how each is started before one MCP server, to take the same tokens."""

import base64
import contextlib
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from load import TICKS
from programs import ARTEFACTS, free_port, stop, wait_for

# Tokens that Envoy may remember: as many as we do, where it would take a hundred.
REMEMBERED = 10_000


@dataclass
class Kind:
    """Tokens of one issuer, and what verifies them."""

    name: str
    issuer: str
    audience: str
    algorithm: str
    scope: str
    jwks: pathlib.Path
    pem: pathlib.Path


@dataclass
class Contender:
    """A proxy that runs, with a port for each kind of token."""

    name: str
    process: subprocess.Popen
    ports: dict[str, int]

    def cpu_seconds(self) -> float:
        # The name, in parentheses, may hold spaces.
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident_mb(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s*(\d+)", status, re.M).group(1)) / 1024


# ---- Keys ----


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def pem(key: dict[str, str]) -> str:
    """A public key as HAProxy reads it: SubjectPublicKeyInfo (RFC 5480, RFC 3279)."""
    if key["kty"] == "EC":
        algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
        public = b"\x04" + _bytes(key["x"]) + _bytes(key["y"])
    else:
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        # A number whose first bit is set would be negative.
        numbers = [_bytes(key[name]) for name in ("n", "e")]
        public = _der(0x30, b"".join(_der(2, b"\0" * (number[0] >> 7) + number) for number in numbers))
    spki = _der(0x30, algorithm + _der(3, b"\0" + public))
    lines = re.findall(".{1,64}", base64.b64encode(spki).decode())
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


# ---- Starting ----


@contextlib.contextmanager
def running(name: str, command: list, ports: dict[str, int], **env: str) -> Iterator[Contender]:
    """A contender from when it listens. Its log goes through a pipe, as it would to whoever keeps it."""
    env = {**os.environ, "TOKIO_WORKER_THREADS": "1", **env}
    # That is for the person's browser, which is this process.
    env.pop("SSL_CERT_FILE", None)
    with open(ARTEFACTS / f"compare-{name.replace(' ', '-')}.log", "wb") as log:
        kept = subprocess.Popen(["tail", "-n", "100"], stdin=subprocess.PIPE, stdout=log)
    process = subprocess.Popen([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=kept.stdin, stderr=kept.stdin)
    kept.stdin.close()
    try:
        for port in ports.values():
            wait_for(port, process)
        yield Contender(name, process, ports)
    finally:
        stop(process)
        kept.wait(timeout=15)


def axum_proxy(program: pathlib.Path, backend: int, kinds: list[Kind]):
    ports = {kind.name: free_port() for kind in kinds}
    listeners = [
        {
            "address": f"127.0.0.1:{ports[kind.name]}",
            "issuer": kind.issuer,
            "audience": kind.audience,
            "jwks": str(kind.jwks),
            "scope": kind.scope,
        }
        for kind in kinds
    ]
    return running("axum", [program, f"http://127.0.0.1:{backend}", json.dumps(listeners)], ports)


def haproxy(folder: pathlib.Path, backend: int, kinds: list[Kind], quiet: bool = False):
    ports = {kind.name: free_port() for kind in kinds}
    frontends = "".join(
        f"""
frontend {kind.name}
  bind 127.0.0.1:{ports[kind.name]}
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str {kind.algorithm} }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {kind.issuer} }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {kind.audience} }}
  http-request set-var(txn.now) date()
  http-request set-var(txn.left) var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now)
  http-request deny deny_status 401 unless {{ var(txn.left) -m int gt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{kind.pem}") 1 }}
  http-request del-header authorization
  default_backend mcp
"""
        for kind in kinds
    )
    name = "haproxy quiet" if quiet else "haproxy"
    log = "" if quiet else "log stdout format raw local0\n  option httplog"
    config = folder / f"{name}.cfg"
    config.write_text(
        f"""global
  nbthread 1
  maxconn 1000
defaults
  mode http
  {log}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
{frontends}
backend mcp
  http-reuse always
  server mcp 127.0.0.1:{backend}
"""
    )
    return running(name, ["haproxy", "-db", "-f", config], ports)


def envoy(folder: pathlib.Path, backend: int, kinds: list[Kind], quiet: bool = False):
    ports = {kind.name: free_port() for kind in kinds}

    def address(port: int) -> dict:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def extension(name: str, kind: str, **settings) -> dict:
        return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **settings}}

    def listener(kind: Kind) -> dict:
        provider = {
            "issuer": kind.issuer,
            "audiences": [kind.audience],
            "local_jwks": {"filename": str(kind.jwks)},
            "jwt_cache_config": {"jwt_cache_size": REMEMBERED},
        }
        authn = extension(
            "jwt",
            "filters.http.jwt_authn.v3.JwtAuthentication",
            providers={kind.name: provider},
            rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": kind.name}}],
        )
        route = {"match": {"prefix": "/"}, "route": {"cluster": "mcp", "timeout": "0s"}}
        manager = extension(
            "http",
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix=kind.name,
            access_log=[] if quiet else [extension("log", "access_loggers.stream.v3.StdoutAccessLog")],
            route_config={"virtual_hosts": [{"name": "mcp", "domains": ["*"], "routes": [route]}]},
            http_filters=[authn, extension("router", "filters.http.router.v3.Router")],
        )
        return {"name": kind.name, "address": address(ports[kind.name]), "filter_chains": [{"filters": [manager]}]}

    endpoint = {"endpoint": {"address": address(backend)}}
    cluster = {
        "name": "mcp",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "mcp", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    name = "envoy quiet" if quiet else "envoy"
    config = folder / f"{name}.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener(kind) for kind in kinds], "clusters": [cluster]}}))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return running(name, [os.environ["ENVOY"], "-c", config, *options], ports)
