"""The Compose project, as Compose reads it."""

import json
import subprocess

import gateway

DEPLOY = gateway.ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
EXAMPLE = DEPLOY / ".env.example"


def compose(*arguments, env_file=EXAMPLE):
    """What Compose says; it needs no engine for this."""
    command = ["docker-compose", "--file", COMPOSE, "--env-file", env_file, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=DEPLOY)


def project():
    """The whole project."""
    done = compose("config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
