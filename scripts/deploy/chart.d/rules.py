"""What must hold of the objects of every variant, whatever the values are. Each function is one rule, and its name says it."""

import json
import re
import sys
import tomllib
from pathlib import Path

import chart
import settings

MEBI = 1 << 20
UNITS = {"Ki": 1 << 10, "Mi": MEBI, "Gi": 1 << 30, "Ti": 1 << 40, "KiB": 1 << 10, "MiB": MEBI, "GiB": 1 << 30}


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def pods(rendered):
    """Every pod: its labels and what is specified of it."""
    template = rendered.server["spec"]["template"]
    yield template["metadata"]["labels"], template["spec"]
    for pod in rendered.of("Pod"):
        yield pod["metadata"]["labels"], pod["spec"]


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"]


def size(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(text)).groups()
    return int(number) * UNITS.get(unit, 1)


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)?", str(text)).groups()
    return int(number) * {"ms": 0.001, None: 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def toml(rendered):
    return tomllib.loads(rendered.one("ConfigMap", "-settings")["data"]["askd.toml"])


def default(key):
    """A setting's default, as the reference page has it."""
    return re.search(rf"^\| [^|]*\| `{key}` \| `([^`]+)` \|", settings.REFERENCE.read_text(), re.M)[1]


def env(rendered):
    return {variable["name"]: variable for variable in rendered.container["env"]}


def subset(selector, labels):
    return selector.items() <= labels.items()


def every_container_has_a_strict_security_context(name, rendered):
    for _, pod in pods(rendered):
        for container in containers(pod):
            context = container["securityContext"]
            where = f"container {container['name']}"
            check(context["allowPrivilegeEscalation"] is False, f"{where} may gain privileges")
            check(not context.get("privileged"), f"{where} is privileged")
            check(context["readOnlyRootFilesystem"] is True, f"{where} may write its image")
            check(context["runAsNonRoot"] is True, f"{where} may be root")
            check(context["capabilities"] == {"drop": ["ALL"]}, f"{where} has capabilities")
            wants_more = name == "bubblewrap" and container["name"] == "askd"
            profile = "Localhost" if wants_more else "RuntimeDefault"
            check(context["seccompProfile"]["type"] == profile, f"{where} is not under {profile}")
            check(context.get("procMount", "Default") == ("Unmasked" if wants_more else "Default"), f"{where} sees all of /proc")


def pods_share_nothing_with_the_node(name, rendered):
    for _, pod in pods(rendered):
        check(not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), "a pod shares namespaces of the node")
        check(pod["automountServiceAccountToken"] is False, "a pod has a token of the cluster")
        check(pod["enableServiceLinks"] is False, "services give variables to a pod")
        check(pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0, "a pod may be root")
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume.keys() - {"name"}}
        allowed = {"configMap", "projected", "secret", "emptyDir", "persistentVolumeClaim"}
        check(kinds <= allowed, f"a pod has volumes that the Pod Security Standard forbids: {kinds - allowed}")
    # A user namespace of the pod where bubblewrap makes further ones, and nowhere else: few clusters have it.
    check(rendered.pod.get("hostUsers", True) is (name != "bubblewrap"), "hostUsers")


def every_container_is_bounded(name, rendered):
    for _, pod in pods(rendered):
        for container in containers(pod):
            if container["name"] != "sidecar":
                check("memory" in container["resources"]["limits"], f"container {container['name']} has no limit of memory")
        for volume in pod.get("volumes", []):
            check("sizeLimit" in volume.get("emptyDir", {"sizeLimit": 0}), f"the volume {volume['name']} has no bound")


def the_limit_of_memory_holds_all_runs_and_the_server(name, rendered):
    given = toml(rendered)
    runs = int(given.get("max_concurrent", default("max_concurrent"))) * size(given.get("max_memory", default("max_memory")))
    limit = size(rendered.container["resources"]["limits"]["memory"])
    check(runs + 512 * MEBI <= limit, f"{runs // MEBI} MiB of runs do not fit into {limit // MEBI} MiB")
    check("does not hold all runs" not in rendered.notes, "the notes say that it does not")
    tight = chart.merged(chart.values(name), {"resources": {"limits": {"memory": f"{runs // MEBI + 511}Mi"}}})
    check("does not hold all runs" in chart.Rendered(tight).notes, "the notes say nothing of too little memory")


def the_grace_is_longer_than_the_drain(name, rendered):
    given = toml(rendered)
    keys = ["drain_delay", "shutdown_grace", "stop_soft", "stop_eof", "stop_term", "stop_kill"]
    needed = sum(seconds(given.get(key, default(key))) for key in keys)
    grace = rendered.pod["terminationGracePeriodSeconds"]
    check(grace >= needed + 10, f"a server that needs {needed} s is killed after {grace} s")
    check(grace <= needed + 30, f"a server that needs {needed} s hangs for {grace} s")


def no_secret_stands_anywhere_but_in_a_secret(name, rendered):
    value = chart.values(name)["secrets"]["apiKey"].get("value")
    made = rendered.of("Secret")
    check(bool(value) == bool(made), "a Secret is made if and only if the key is given")
    if value:
        check([made[0]["stringData"]["api-key"]] == [value], "the Secret does not have the key")
        others = [found for found in rendered.objects if found["kind"] != "Secret"]
        check(value not in json.dumps(others) and value not in rendered.notes, "the key stands outside of its Secret")
    files = [variable for variable in env(rendered) if variable.endswith("_FILE")]
    check("API_KEY_FILE" in files, "the server has no API key")
    secrets = {names[0] for names, _, _ in settings.rows() if any(found.endswith("_FILE") for found in names)}
    literal = [found["name"] for found in rendered.container["env"] if found["name"] in secrets and "value" in found]
    check(not literal, f"secrets stand in variables: {literal}")
    mounts = {mount["name"]: mount for mount in rendered.container["volumeMounts"]}
    check(mounts["secrets"]["mountPath"] == "/etc/askd/secrets" and mounts["secrets"]["readOnly"], "the files of secrets")
    volume = next(volume for volume in rendered.pod["volumes"] if volume["name"] == "secrets")
    check(volume["projected"]["defaultMode"] == 0o440, "the files of secrets can be read by others")
    paths = {item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]}
    named = {Path(env(rendered)[variable]["value"]).name for variable in files}
    check(paths == named, f"files {paths} and variables {named} differ")


def a_clone_sees_its_own_credentials_only(name, rendered):
    clones = [found for found in rendered.pod.get("initContainers", []) if found["name"].startswith("clone-")]
    check(len(clones) == len(chart.values(name).get("repositories", [])), "not every repository is cloned")
    for container in clones:
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        wanted = f"git-{container['name'].removeprefix('clone-')}"
        check(mounted <= {"clone", "clone-tmp", "workspaces", wanted}, f"{container['name']} sees {mounted}")
        own = next(mount["subPath"] for mount in container["volumeMounts"] if mount["name"] == "clone-tmp")
        check(own == container["name"], f"{container['name']} sees what others left in /tmp")
    server = {mount["name"] for mount in rendered.container["volumeMounts"]}
    check(not [found for found in server if found.startswith(("git-", "clone"))], "the server sees credentials of git")


def every_variable_is_one_of_askd_s(name, rendered):
    known = settings.variables() | {"POD_NAME", "POD_IP"}
    unknown = env(rendered).keys() - known
    check(not unknown, f"askd knows no {sorted(unknown)}")
    order = [variable["name"] for variable in rendered.container["env"]]
    check(order[:2] == ["POD_NAME", "POD_IP"], "variables that others refer to come first")
    check(len(order) == len(set(order)), "a variable is there twice")


def the_settings_file_says_what_the_values_say(name, rendered):
    wanted = chart.merged(chart.yaml.safe_load((chart.FOLDER / "values.yaml").read_text()), chart.values(name))["settings"]
    check(toml(rendered) == wanted, f"{toml(rendered)} is not {wanted}")
    check(env(rendered)["ASKD_CONFIG"]["value"] == "/etc/askd/settings/askd.toml", "ASKD_CONFIG")
    mounts = {mount["mountPath"]: mount["name"] for mount in rendered.container["volumeMounts"]}
    check(mounts["/etc/askd/settings"] == "settings", "the settings are not mounted where ASKD_CONFIG looks")


def the_folders_of_askd_are_volumes(name, rendered):
    mounts = {mount["mountPath"] for mount in rendered.container["volumeMounts"]}
    given = env(rendered)
    for variable in ("CONFIG_DIR", "WORKSPACE_DIR"):
        check(given[variable]["value"] in mounts, f"{variable} is no volume")
    # Below the volume's root: askd makes it itself, for itself alone.
    check(str(Path(given["ASKD_DATA_DIR"]["value"]).parent) in mounts, "ASKD_DATA_DIR lies in no volume")
    check("/tmp" in mounts, "/tmp cannot be written")
    for _, pod in pods(rendered):
        claims = {claim["metadata"]["name"] for claim in rendered.server["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims
        used = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
        check(used <= volumes, f"there is no volume {used - volumes}")
        check("volumes" not in pod or volumes == used, f"nothing uses the volumes {volumes - used}")


def probes_ask_what_there_is_where_it_is(name, rendered):
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    paths = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    known = json.loads(Path("docs/reference/openapi.json").read_text())["paths"]
    given = env(rendered)
    check(given["ASKD_LISTEN"]["value"].endswith(f":{ports['http']}"), "the port of the API")
    if "metrics" in ports:
        check(given["ASKD_METRICS_LISTEN"]["value"].endswith(f":{ports['metrics']}"), "the port of metrics")
    for probe, path in paths.items():
        asked = rendered.container[probe]["httpGet"]
        check(path in known, f"askd has no {path}")
        check(asked["path"] == path and asked["port"] in ports, f"{probe} asks {asked}")
        check(asked["httpHeaders"] == [{"name": "Host", "value": "localhost"}], f"{probe} would be refused by ASKD_ALLOWED_HOSTS")
        is_encrypted = asked["port"] == "http" and "ASKD_TLS_CERT" in given
        check((asked.get("scheme") == "HTTPS") == is_encrypted, f"{probe} asks in the wrong way")
        check("ASKD_TLS_CLIENT_CA" not in given or asked["port"] == "metrics", f"{probe} has no certificate")


def every_image_has_a_tag_or_a_digest(name, rendered):
    for _, pod in pods(rendered):
        for container in containers(pod):
            tag = re.search(r"(@sha256:[0-9a-f]{64}|:[\w][\w.-]*)$", container["image"])
            check(tag and tag[1] != ":latest", f"the image {container['image']}")


def selectors_find_the_servers_and_nothing_else(name, rendered):
    labels = rendered.server["spec"]["template"]["metadata"]["labels"]
    others = [found["metadata"]["labels"] for found in rendered.of("Pod")]
    selectors = [found["spec"]["selector"] for found in rendered.of("Service")]
    selectors += [rendered.server["spec"]["selector"]["matchLabels"]]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in rendered.of("PodDisruptionBudget")]
    selectors += [found["spec"]["podSelector"]["matchLabels"] for found in rendered.of("NetworkPolicy")]
    for selector in selectors:
        check(selector and subset(selector, labels), f"{selector} does not find the servers")
        check(not any(subset(selector, found) for found in others), f"{selector} finds the pod of helm test")
    ports = {port["name"] for port in rendered.container["ports"]}
    services = {found["metadata"]["name"]: found for found in rendered.of("Service")}
    for service in services.values():
        check(all(port["targetPort"] in ports for port in service["spec"]["ports"]), f"{service['metadata']['name']}: port")
    check(services[rendered.server["spec"]["serviceName"]]["spec"]["clusterIP"] == "None", "servers have no names")
    for monitor in rendered.of("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [service for service in services.values() if subset(wanted, service["metadata"]["labels"])]
        check(len(found) == 1, f"the ServiceMonitor finds {len(found)} Services")
        names = {port["name"] for port in found[0]["spec"]["ports"]}
        check({endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= names, "the ServiceMonitor's port")
    for policy in rendered.of("NetworkPolicy"):
        asked = services[re.search("//([^:]+):", rendered.of("Pod")[0]["spec"]["containers"][0]["command"][-1])[1]]
        port = asked["spec"]["ports"][0]["targetPort"]
        rules = [rule for rule in policy["spec"]["ingress"] if port in [found["port"] for found in rule["ports"]]]
        peers = [peer for rule in rules for peer in rule["from"]]
        allows = [peer for peer in peers if subset(peer.get("podSelector", {}).get("matchLabels", {"": ""}), others[0])]
        check(allows, "helm test could not reach the server")
        check(all(rule.get("from") for rule in policy["spec"]["ingress"]), "a rule lets everybody in")


def routes_and_scalers_name_what_there_is(name, rendered):
    services = {found["metadata"]["name"]: found for found in rendered.of("Service")}
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            backend = rule["http"]["paths"][0]["backend"]["service"]
            check(backend["port"]["name"] in [port["name"] for port in services[backend["name"]]["spec"]["ports"]], "Ingress")
        # A proxy that does not know that askd encrypts would speak to it in the clear, and be refused.
        encrypted = chart.merged(chart.values(name), {"tls": {"existingSecret": "askd-tls"}})
        told = json.dumps([found["metadata"].get("annotations") for found in chart.Rendered(encrypted).objects])
        check('backend-protocol": "HTTPS"' in told or 'serversscheme": "https"' in told, "the Ingress does not know of TLS")
    for route in rendered.of("HTTPRoute"):
        backend = route["spec"]["rules"][0]["backendRefs"][0]
        check(backend["port"] in [port["port"] for port in services[backend["name"]]["spec"]["ports"]], "HTTPRoute")
    for scaler in rendered.of("HorizontalPodAutoscaler") + rendered.of("ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        check((target["kind"], target["name"]) == ("StatefulSet", rendered.server["metadata"]["name"]), "scaleTargetRef")
        check("replicas" not in rendered.server["spec"], "Helm and the scaler both set the number of servers")
        check("ASKD_DATABASE_URL_FILE" in env(rendered), "several servers without PostgreSQL")
    for scaled in rendered.of("ScaledObject"):
        check(scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false", "ignoreNullValues")
    several = rendered.server["spec"].get("replicas", 2) > 1
    check(not several or "ASKD_DATABASE_URL_FILE" in env(rendered), "several servers without PostgreSQL")


def the_server_answers_under_its_names(name, rendered):
    hosts = env(rendered)["ASKD_ALLOWED_HOSTS"]["value"].split(",")
    services = [found["metadata"]["name"] for found in rendered.of("Service") if found["spec"].get("clusterIP") != "None"]
    wanted = services + [host for found in rendered.of("Ingress") for host in chart.values(name)["ingress"]["hosts"]]
    wanted += [host for found in rendered.of("HTTPRoute") for host in found["spec"]["hostnames"]]
    # By its address it is asked by Prometheus.
    wanted += ["[$(POD_IP)]" if name == "other" else "$(POD_IP)"]
    check(set(wanted) <= set(hosts), f"{set(wanted) - set(hosts)} is not allowed")


def metrics_exist(name, rendered):
    text = Path("docs/reference/metrics.md").read_text()
    known = set(re.findall(r"`((?:askd|process)_[a-z0-9_]+)`", text))
    ask = [found for kind in ("PrometheusRule", "HorizontalPodAutoscaler", "ScaledObject") for found in rendered.of(kind)]
    used = json.dumps(ask + [found for found in rendered.of("ConfigMap") if found["metadata"]["name"].endswith("-dashboard")])
    for metric in set(re.findall(r"\b((?:askd|process)_[a-z0-9_]+)", used)):
        check({metric, re.sub(r"_(bucket|sum|count)$", "", metric)} & known, f"there is no metric {metric}")


def what_the_operator_keeps_is_kept(name, rendered):
    check(set(rendered.server["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}, "claims are removed")
    for claim in rendered.of("PersistentVolumeClaim"):
        check(claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", "helm uninstall removes the configuration")


def objects_say_whose_they_are(name, rendered):
    seen = set()
    for found in rendered.objects:
        labels = found["metadata"]["labels"]
        check(labels["app.kubernetes.io/instance"] == chart.RELEASE, "instance")
        check({"app.kubernetes.io/name", "app.kubernetes.io/version", "helm.sh/chart"} <= labels.keys(), "labels")
        check("namespace" not in found["metadata"], "a namespace is written down")
        identity = (found["kind"], found["metadata"]["name"])
        check(identity not in seen, f"{identity} is there twice")
        seen.add(identity)
        check("claude-code" not in json.dumps([found["metadata"]]), "the name of somebody else's product")


def the_notes_say_what_does_not_isolate(name, rendered):
    policy = env(rendered)["ASKD_ISOLATION"]["value"]
    check(("isolation.policy is " in rendered.notes) == (policy != "required"), f"the notes on isolation, which is {policy}")
    off = chart.merged(chart.values(name), {"isolation": {"policy": "off", "layer": "landlock"}})
    check("isolation.policy is off" in chart.Rendered(off).notes, "the notes say nothing of isolation that is off")


def names_and_labels_are_such_as_kubernetes_takes(name, rendered):
    label = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
    dns = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
    labels = [found["metadata"]["labels"] for found in rendered.objects] + [labels for labels, _ in pods(rendered)]
    for found in labels:
        check(all(label.fullmatch(value) for value in found.values()), f"labels {found}")
    for found in rendered.objects:
        check(dns.fullmatch(found["metadata"]["name"]), f"the name {found['metadata']['name']}")
    for _, pod in pods(rendered):
        names = [container["name"] for container in containers(pod)] + [volume["name"] for volume in pod.get("volumes", [])]
        check(all(dns.fullmatch(found) for found in names) and len(names) == len(set(names)), f"names {names}")
        for container in containers(pod):
            places = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            check(len(places) == len(set(places)), f"{container['name']} mounts twice at one place")
            check(all(len(port["name"]) <= 15 for port in container.get("ports", [])), "the name of a port is too long")
            numbers = [port["containerPort"] for port in container.get("ports", [])]
            check(len(numbers) == len(set(numbers)), "a port is there twice")


def helm_test_asks_whether_it_is_ready(name, rendered):
    pod = rendered.one("Pod", "-test-ready")
    check(pod["metadata"]["annotations"]["helm.sh/hook"] == "test", "it is no test")
    command = pod["spec"]["containers"][0]["command"]
    check(command[:2] == ["askd", "healthcheck"], f"it runs {command}")
    scheme, host, port = re.fullmatch(r"(https?)://([a-z0-9-]+):(\d+)", command[-1]).groups()
    service = rendered.one("Service", host) if host.endswith("-metrics") else next(
        found for found in rendered.of("Service") if found["metadata"]["name"] == host)
    check(int(port) == service["spec"]["ports"][0]["port"], "it asks another port")
    check((scheme == "https") == ("ASKD_TLS_CERT" in env(rendered) and not host.endswith("-metrics")), "it asks in the wrong way")


RULES = [rule for rule in list(globals().values()) if callable(rule) and getattr(rule, "__code__", None) is not None
         and rule.__code__.co_varnames[:2] == ("name", "rendered") and rule.__module__ == __name__]


def main():
    assert len(RULES) >= 18, "rules are not found"
    wrong = 0
    for name in chart.names():
        for is_upgrade in (False, True):
            rendered = chart.Rendered(chart.values(name), is_upgrade=is_upgrade)
            for rule in RULES:
                try:
                    rule(name, rendered)
                except (AssertionError, KeyError, StopIteration) as error:
                    print(f"{name}: {rule.__name__.replace('_', ' ')}: {error!r}", file=sys.stderr)
                    wrong += 1
    if wrong:
        raise SystemExit(f"{wrong} rules are broken")
    for rule in RULES:
        print(rule.__name__.replace("_", " "))


if __name__ == "__main__":
    main()
