"""What the chart refuses, each with a message that says what is wrong: misspelt values by its schema, values that do not go
together by its templates."""

import json

import chart
import rules
import strict

POSTGRES = {"secrets": {"databaseUrl": {"existingSecret": "askd-database"}}}
SHARED = {"persistence": {"config": {"accessModes": ["ReadWriteMany"]}}}
TLS = {"tls": [{"secretName": "t", "hosts": ["a.example.com"]}]}
REPOSITORY = {"name": "shop", "url": "https://git.example.com/shop.git", "ref": "main"}

# What is changed in the least that must be given, and a part of the message.
CASES = [
    # Misspelt names, at every depth.
    ({"replica": 2}, "'replica' not allowed"),
    ({"image": {"repo": "x"}}, "'repo' not allowed"),
    ({"settings": {"max_concurent": 3}}, "'max_concurent' not allowed"),
    ({"persistence": {"data": {"sise": "1Gi"}}}, "'sise' not allowed"),
    ({"networkPolicy": {"egress": {"cidr": []}}}, "'cidr' not allowed"),
    ({"metrics": {"serviceMonitor": {"enable": True}}}, "'enable' not allowed"),
    ({"extraEnv": [{"name": "A", "valeu": "b"}]}, "'valeu' not allowed"),
    ({"tolerations": [{"kee": "a"}]}, "'kee' not allowed"),
    # Values that cannot be.
    ({"replicas": "3"}, "/replicas"),
    ({"settings": {"max_concurrent": "three"}}, "/settings/max_concurrent"),
    ({"settings": {"max_concurrent": 0}}, "/settings/max_concurrent"),
    ({"settings": {"shutdown_grace": "2 minutes"}}, "/settings/shutdown_grace"),
    ({"settings": {"max_memory": "2GB"}}, "/settings/max_memory"),
    ({"settings": {"log_format": "xml"}}, "/settings/log_format"),
    ({"isolation": {"policy": "on"}}, "/isolation/policy"),
    ({"runAsUser": 0}, "/runAsUser"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"image": {"tag": "a b"}}, "/image/tag"),
    ({"service": {"type": "ExternalName"}}, "/service/type"),
    ({"persistence": {"config": {"accessModes": ["ReadOnlyMany"]}}}, "/persistence/config/accessModes"),
    ({"persistence": {"workspaces": {"subPath": "../etc"}}}, "/persistence/workspaces/subPath"),
    # What the chart decides itself, and secrets, are no settings.
    ({"settings": {"listen": "0.0.0.0:80"}}, "'listen' not allowed"),
    ({"settings": {"api_key": "secret"}}, "'api_key' not allowed"),
    ({"settings": {"database_url": "postgres://"}}, "'database_url' not allowed"),
    ({"settings": {"isolation": "off"}}, "'isolation' not allowed"),
    ({"settings": {"allow_root": True}}, "'allow_root' not allowed"),
    # Repositories: no password in an address, no option in the place of a name.
    ({"repositories": [REPOSITORY | {"url": "https://me:secret@git.example.com/shop.git"}]}, "/repositories/0/url"),
    ({"repositories": [REPOSITORY | {"url": "http://git.example.com/shop.git"}]}, "/repositories/0/url"),
    ({"repositories": [REPOSITORY | {"url": "ext::sh -c x"}]}, "/repositories/0/url"),
    ({"repositories": [REPOSITORY | {"ref": "--upload-pack=x"}]}, "/repositories/0/ref"),
    ({"repositories": [REPOSITORY | {"name": "../../etc"}]}, "/repositories/0/name"),
    ({"repositories": [{"name": "shop", "url": "https://git.example.com/shop.git"}]}, "'ref'"),
    ({"repositories": [REPOSITORY, REPOSITORY]}, "two of them are called shop"),
    ({"repositories": [REPOSITORY | {"url": "ssh://git@git.example.com/shop.git"}]}, "no existingSecret"),
    # What must be given.
    ({"image": {"repository": ""}}, "image.repository is empty"),
    ({"secrets": {"apiKey": {"existingSecret": ""}}}, "there is no default key"),
    ({"secrets": {"apiKey": {"value": "a-key-for-trials-only"}}}, "both given"),
    ({"secrets": {"apiKey": {"existingSecret": "", "value": "short"}}}, "/secrets/apiKey/value"),
    # A server that would be killed while it ends its runs.
    ({"terminationGracePeriodSeconds": 60}, "too short"),
    ({"terminationGracePeriodSeconds": 164}, "up to 165 s"),
    ({"terminationGracePeriodSeconds": 165, "settings": {"drain_delay": "5001ms"}}, "up to 166 s"),
    ({"terminationGracePeriodSeconds": 300, "settings": {"stop_kill": "5m"}}, "too short"),
    # Several servers.
    ({"replicas": 2}, "needs PostgreSQL"),
    ({"autoscaling": {"enabled": True}}, "needs PostgreSQL"),
    ({"keda": {"enabled": True}}, "needs PostgreSQL"),
    ({"replicas": 2} | POSTGRES, "must be ReadWriteMany"),
    (chart.merged({"replicas": 2} | POSTGRES | SHARED, {"persistence": {"data": {"existingClaim": "one"}}}), "two servers cannot"),
    (chart.merged({"replicas": 2, "repositories": [REPOSITORY]} | POSTGRES | SHARED,
                  {"persistence": {"workspaces": {"existingClaim": "one"}}}), "clone into persistence.workspaces.existingClaim"),
    ({"autoscaling": {"enabled": True}, "keda": {"enabled": True}} | POSTGRES | SHARED, "both enabled"),
    ({"keda": {"enabled": True}} | POSTGRES | SHARED, "keda.serverAddress is empty"),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}} | POSTGRES | SHARED, "more than autoscaling.maxReplicas"),
    ({"autoscaling": {"enabled": True}, "metrics": {"enabled": False}} | POSTGRES | SHARED, "needs metrics.enabled"),
    # From outside.
    ({"ingress": {"enabled": True} | TLS}, "ingress.hosts is empty"),
    ({"ingress": {"enabled": True, "hosts": ["*.example.com"]} | TLS}, "/ingress/hosts/0"),
    ({"ingress": {"enabled": True, "hosts": ["https://a.example.com"]} | TLS}, "/ingress/hosts/0"),
    ({"ingress": {"enabled": True, "hosts": ["a.example.com"]}}, "in the clear"),
    ({"ingress": {"enabled": True, "hosts": ["a.example.com"], "basicAuth": {"existingSecret": "s"}} | TLS}, "knows no basic auth"),
    ({"ingress": {"enabled": True, "hosts": ["a.example.com", "b.example.com"]} | TLS}, "its hosts do not have b.example.com"),
    ({"service": {"type": "LoadBalancer"}}, "service.allowPlainHttp"),
    ({"service": {"type": "NodePort"}}, "service.allowPlainHttp"),
    ({"httpRoute": {"enabled": True}}, "needs parentRefs and hostnames"),
    ({"tls": {"clientCaSecret": "ca"}}, "needs tls.existingSecret"),
    ({"tls": {"existingSecret": "t", "clientCaSecret": "ca"}, "metrics": {"enabled": False}}, "probes have no certificate"),
    # What would not be reached.
    ({"networkPolicy": {"enabled": True}} | POSTGRES, "could not reach their database"),
    ({"networkPolicy": {"enabled": True}, "metrics": {"serviceMonitor": {"enabled": True}}}, "could not read the metrics"),
    ({"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}}, "needs metrics.enabled"),
    ({"metrics": {"port": 3000}}, "port of the API"),
    # Contradictions.
    ({"isolation": {"policy": "off", "layer": "bubblewrap"}}, "choose one"),
    ({"extraEnv": [{"name": "ASKD_LISTEN", "value": "x"}]}, "set by the chart"),
    ({"extraEnv": [{"name": "API_KEY", "value": "x"}]}, "set by the chart"),
    ({"extraEnv": [{"name": "ASKD_SHUTDOWN_GRACE", "value": "1h"}]}, "use settings.shutdown_grace"),
    ({"extraEnv": [{"name": "MAX_CONCURRENT", "value": "99"}]}, "use settings.max_concurrent"),
    ({"extraEnv": [{"name": "ASKD_TLS_CERT", "value": "/x"}]}, "use other values of the chart"),
    # Kubernetes would take the last of two, silently.
    ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName 'app.kubernetes.io/name'"),
    ({"podLabels": {"app.kubernetes.io/component": "x"}}, "invalid propertyName"),
    ({"podAnnotations": {"checksum/settings": "x"}}, "invalid propertyName"),
    ({"metrics": {"prometheusRule": {"labels": {"helm.sh/chart": "x"}}}}, "invalid propertyName"),
    ({"commonLabels": {"release": "a"}, "metrics": {"serviceMonitor": {"labels": {"release": "b"}}}}, "in commonLabels, too"),
    ({"extraEnv": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}, "there twice"),
]

# What is taken back with null, and other things that are odd and right.
TAKEN = [
    {"settings": None},
    {"settings": {"drain_delay": None, "shutdown_grace": 600_000}},
    {"settings": {"budget_margin": 0.25, "models": ["a", "b"], "queue_length": 1_000_000, "log": 'askd=debug,"<&>'}},
    {"resources": None},
    {"replicas": 0},
    {"networkPolicy": {"enabled": True, "ingress": {"from": []}, "egress": {"dns": None}}},
    {"terminationGracePeriodSeconds": 7200},
    {"service": {"type": "LoadBalancer"}, "tls": {"existingSecret": "askd-tls"}},
    {"ingress": {"enabled": True, "hosts": ["a.example.com", "b.example.com"], "allowPlainHttp": True} | TLS},
    {"extraEnv": [{"name": "CLAUDE_CODE_OAUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
    {"commonLabels": {"team": "a"}, "podLabels": {"team": "b"}, "podAnnotations": {"checksum/mine": "x"}},
    {"persistence": {"retention": {"whenDeleted": "Delete"}}},
]


def objects(schema, at=""):
    """Every part of the schema that is an object, and where."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield at, schema
        for key, value in schema.items():
            yield from objects(value, f"{at}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from objects(value, f"{at}/{index}")


def main():
    base = chart.values("default")
    assert chart.refusal(base) is None, chart.refusal(base)
    wrong = []
    for changes, words in CASES:
        said = chart.refusal(chart.merged(base, changes))
        if said is None or words not in said:
            wrong.append(f"{changes}\n  should be refused with {words!r}, and Helm says: {said}")
    for changes in TAKEN:
        try:
            rendered = chart.Rendered(chart.merged(base, changes))
            rules.toml(rendered)
            for found in rendered.objects:
                strict.validate(found)
        except Exception as error:
            wrong.append(f"{changes}\n  should be taken: {error}")
    # No place of the schema takes any name, but those that are maps, and those that Kubernetes itself checks.
    free = {
        "/definitions/kubernetes": "affinity and constraints",
        "/definitions/resources/properties/claims/items": "claims of devices",
        "/properties/global": "not used",
        "/properties/extraVolumes/items": "volumes",
        "/properties/extraInitContainers/items": "containers",
        "/properties/extraContainers/items": "containers",
    }
    schema = json.loads((chart.FOLDER / "values.schema.json").read_text())
    for at, part in objects(schema):
        if "additionalProperties" not in part and at not in free:
            wrong.append(f"values.schema.json takes any name at {at}")
    # Nothing that can be given is missing in the schema or in values.yaml.
    values = chart.yaml.safe_load((chart.FOLDER / "values.yaml").read_text())
    missing = set(schema["properties"]) ^ set(values) ^ {"global"}
    if missing:
        wrong.append(f"values.yaml and its schema differ in {sorted(missing)}")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(CASES)} wrong values are refused, each with its message")


if __name__ == "__main__":
    main()
