"""The Helm chart, rendered as Helm does."""

import copy
import pathlib
import re

import helm_python as helm
import yaml

import gateway

CHART = gateway.ROOT / "deploy/helm/entrada"

# What nobody can leave out.
MINIMAL = {
    "image": {"repository": "registry.example.com/entrada"},
    "config": {
        "base_url": "https://mcp.example.com",
        "tenant_id": gateway.TENANT,
        "client_id": gateway.CLIENT_ID,
        "upstream": "http://mcp.apps.svc:3000/mcp",
        "required_scopes": ["mcp.read"],
    },
    "store": {"url": "redis://redis.data.svc:6379"},
    "secret": {"existing": "entrada-secrets"},
}


def with_values(*changes, base=MINIMAL):
    """`base` with each of `changes` laid over it."""
    values = copy.deepcopy(base)
    for change in changes:
        lay(values, change)
    return values


def lay(values, change):
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            lay(values[name], value)
        else:
            values[name] = copy.deepcopy(value)


ALONE = {"replicas": 1, "store": {"url": ""}}
TRIAL = {
    "secret": {
        "existing": "",
        "clientSecret": gateway.CLIENT_SECRET,
        "clientCertificate": "pem",
        "storePassword": "of the store",
        "keyEncryptionKey": "of the keys",
    }
}
# Each is installed by somebody.
INSTALLATIONS = {
    "three that share Redis": with_values(),
    "three that share PostgreSQL, without a password": with_values(
        {"store": {"url": "postgres://entrada@db.data.svc/entrada", "password": False}}
    ),
    "Redis with Sentinel, and a few servers": with_values(
        {
            "store": {"url": "redis+sentinel://a.svc:26379,b.svc:26379/mymaster"},
            "config": {
                "upstream": "",
                "route": [
                    {"path": "/mcp/mail", "upstream": "https://mail.example.com/mcp"},
                    {"path": "/mcp/orders", "upstream": "http://orders.svc:3001/mcp", "body_limit": "1MiB"},
                ],
            },
        }
    ),
    "one with a volume": with_values(ALONE),
    "one with nothing kept": with_values(ALONE, {"persistence": {"enabled": False}}),
    "with secrets of values": with_values(TRIAL),
    "with a certificate": with_values(TRIAL, {"credential": {"kind": "certificate"}}),
    "with an identity of the cluster's": with_values({"credential": {"kind": "workload-identity"}}),
    "with an identity, and nothing secret": with_values(ALONE, {"credential": {"kind": "workload-identity"}}),
    "with everything": with_values(
        {
            "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": [{"name": "pull"}]},
            "config": {"trusted_proxies": ["10.0.0.0/8"], "resource_name": "Orders"},
            "listenAddress": "[::]",
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "tlsSecret": "tls",
                "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
            },
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]},
            "autoscaling": {"enabled": True},
            "metrics": {
                "enabled": True,
                "annotations": True,
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            },
            "networkPolicy": {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
                "storeTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
                "upstreamTo": [{"podSelector": {"matchLabels": {"app": "mcp"}}}],
                "extraEgress": [{"ports": [{"port": 3128, "protocol": "TCP"}]}],
            },
            "serviceAccount": {"annotations": {"a/b": "c"}},
            "service": {"annotations": {"a/b": "c"}},
            "topologySpreadConstraints": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "maxSkew": 1,
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "entrada"}},
                }
            ],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
            "podAnnotations": {"a/b": "c"},
            "podLabels": {"team": "mcp"},
            "extraEnv": [{"name": "NO_PROXY", "value": "10.0.0.0/8"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
        }
    ),
}

# What cannot work, and words of what is said of it.
REFUSED = {
    r"metrics\.port: it must not be the port that everybody asks": {"metrics": {"enabled": True, "port": 8000}},
    r"metrics\.enabled: without it there is nothing to read": {"metrics": {"podMonitor": {"enabled": True}}},
    r"config\.metrics_listen: the chart itself sets this": {"config": {"metrics_listen": "0.0.0.0:1"}},
    r"store\.url: 3 replicas need a store that they share": {"store": {"url": ""}},
    r"store\.url: replicas that come and go need a store": {**ALONE, "autoscaling": {"enabled": True}},
    r"store\.url: a store that pods share begins with redis://": {"store": {"url": "memory:"}},
    r"store\.url: a store that pods share begins": {"store": {"url": "file:grants.redb"}, "replicas": 1},
    r"store\.url: take the password out of it": {"store": {"url": "redis://:hunter2@redis:6379"}},
    r"store\.url: take the password out": {"store": {"url": "postgres://entrada:hunter2@db/entrada"}},
    r"store\.url: take the password out of it,": {"store": {"url": "postgres://entrada@db/entrada?password=hunter2"}},
    r"store\.url: take the password out of it, for": {
        "store": {"url": "redis+sentinel://a/main?db=1&sentinel_password=hunter2"}
    },
    r"config\.upstream: say where the MCP server is": {"config": {"upstream": ""}},
    r"config\.base_url: it must be set": {"config": {"base_url": ""}},
    r"config\.tenant_id: it must be set": {"config": {"tenant_id": ""}},
    r"config\.client_id: it must be set": {"config": {"client_id": ""}},
    r"config\.listen: the chart itself sets this": {"config": {"listen": "0.0.0.0:1"}},
    r"config\.store: the chart itself sets this": {"config": {"store": "redis://redis"}},
    r"config\.client_secret: the chart itself sets this": {"config": {"client_secret": "x"}},
    r"image\.repository: say where": {"image": {"repository": ""}},
    r"secret\.existing: name a Secret that has the key client-secret": {"secret": {"existing": ""}},
    r"secret\.existing: name a Secret that has the key key-encryption-key": {
        "secret": {"existing": "", "clientSecret": "x"}
    },
    r"secret\.existing: name a Secret that has the key store-password": {
        "secret": {"existing": "", "clientSecret": "x", "keyEncryptionKey": "y"}
    },
    r"serviceAccount\.name: say which": {"serviceAccount": {"create": False}},
    r"httpRoute\.parentRefs: name the Gateway": {"httpRoute": {"enabled": True}},
    r"autoscaling\.minReplicas: there would be more": {"autoscaling": {"enabled": True, "minReplicas": 11}},
    # Those that follow the schema refuses.
    r"at '/replicas': minimum": {"replicas": 0},
    r"additional properties 'replica_count' not allowed": {"replica_count": 3},
    r"at '/credential/kind': value must be one of": {"credential": {"kind": "password"}},
    r"at '/port': minimum: got 80, want 1,024": {"port": 80},
    r"invalid propertyName 'Required_Scopes'": {"config": {"Required_Scopes": "x"}},
}


def rendered(values, name="entrada"):
    """The objects that the chart makes of `values`."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace="mcp")
    found = []
    for path, text in files.items():
        if pathlib.PurePath(path).suffix == ".yaml":
            found += [thing for thing in yaml.safe_load_all(text) if thing]
    return found


def of_kind(kind, objects):
    """The one object of `kind`, or None."""
    found = [thing for thing in objects if thing["kind"] == kind]
    assert len(found) < 2, found
    return found[0] if found else None


def workspace_version():
    """The version of the workspace."""
    manifest = (gateway.ROOT / "Cargo.toml").read_text()
    return re.search(r'\[workspace\.package\]\nversion = "([^"]+)"', manifest)[1]
