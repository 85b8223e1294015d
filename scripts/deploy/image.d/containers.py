"""The image, started as the compose files say, with Docker's own filter of system calls or ours, and asked."""

import json
import os
import select
import shlex
import shutil
import subprocess
from pathlib import Path

import commands
import compose
from database import Database
from engine import Container, get, post, until

USER = 1000
PAGE = Path("docs/install/docker.md")
IMAGE, WITHOUT_CLI = "localhost/askd:test", "localhost/askd:without-cli"

# What a run tries, and what it finds. The folders that the server has are not there, and the system is read-only.
TRIES = """
echo "uid $(id -u) capabilities $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
git --version >/dev/null && rg --version >/dev/null && echo tools work
for file in /run/secrets/api-key /home/node/.claude/settings.json /var/lib/askd/askd.db /workspace/other/secret.txt; do
    cat $file >/dev/null 2>&1 && echo "reads $file"
done
for file in /etc/x /opt/claude/x /usr/local/bin/x /workspace/other/x; do
    touch $file 2>/dev/null && echo "writes $file"
done
setsid sleep 987 >/dev/null 2>&1 &
"""
FINDS = ["uid 1000 capabilities 0000000000000000", "tools work"]


def check(engine):
    with Model() as model:
        world = World(engine, model)
        _as_compose_says(world)
        _with_bubblewrap(world)
        _with_postgres(world)
        _by_hand(world)
        _without_the_cli(world)


class Model:
    """The scripted model of askd, which plays the real one."""

    def __enter__(self):
        program = Path("target/deploy/image/prebuilt/askd")
        self.process = subprocess.Popen(
            [program, "demo", "--only-model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert select.select([self.process.stdout], [], [], 30)[0], "the scripted model does not start"
        self.address = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def _of_page(begin):
    """The commands of the page that begin with these words, from top to bottom."""
    every = [command for block in commands.blocks(PAGE.read_text()) for command in commands.commands(block.text)]
    found = [command for command in every if command.startswith(begin)]
    assert found, f"{PAGE} has no command that begins with {begin}"
    return found


def _by_page(begin, folder):
    """Runs the only command of the page that begins so, as it stands there, and gives the JSON that it prints."""
    (command,) = _of_page(begin)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    commands.ran(PAGE, command)
    return json.loads(done.stdout)


def _secrets_of_page(folder):
    """Makes the secrets as the page does."""
    blocks = [block.text for block in commands.blocks(PAGE.read_text()) if "> secrets/" in block.text]
    assert len(blocks) == 2, f"{PAGE} makes secrets in {len(blocks)} places"
    for block in blocks:
        environment = os.environ | {"ANTHROPIC_API_KEY": "sk-ant-x"}
        subprocess.run(["bash", "-euc", block], cwd=folder, check=True, env=environment)
        commands.ran(PAGE, block)


class Server:
    """Options for podman, the folders behind them, the key, its health check, and how long a stop may take."""

    def __init__(self, options, folder, service):
        self.options, self.folder = options, folder
        self.grace = compose.seconds(service["stop_grace_period"])
        self.health = service["healthcheck"]["test"][1:]
        self.key = (folder / "secrets/api-key").read_text().strip()


class World:
    """Folders that stand for volumes and secrets, and the options of a service for podman."""

    def __init__(self, engine, model):
        self.engine, self.model = engine, model
        self.docker = engine.work / "seccomp-docker.json"
        self.docker.write_text(json.dumps(_of_docker()))

    def service(self, name, *files, **environment):
        """The service askd of these files, with volumes of its own in a folder that is called `name`."""
        service = compose.load(*files, variables={"ASKD_ISOLATION": "required"})["services"]["askd"]
        folder = self.engine.work / "volumes" / name
        _node_layout(folder)
        _secrets_of_page(folder)
        service["environment"] |= {"ANTHROPIC_BASE_URL": self.model.address, **environment}
        volumes = {volume: folder / volume for volume in ("config", "workspace", "data")}
        options = compose.podman_options(service, folder / "secrets", volumes, os.getcwd())
        if not any(option.startswith("--security-opt=seccomp=") for option in options):
            options.append(f"--security-opt=seccomp={self.docker}")
        return Server(options, folder, service)


def _of_docker():
    """Docker's own filter in what matters here: ours, without namespaces and mounts. (checked: moby, default.json)"""
    filter = json.loads(Path("deploy/image/seccomp.json").read_text())
    calls = filter["syscalls"][0]["names"]
    for name in ["clone", "clone3", "unshare", "mount", "umount2", "pivot_root"]:
        calls.remove(name)
    namespaces = 0x7E020000
    masked = {"index": 0, "value": namespaces, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    filter["syscalls"].append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked]})
    filter["syscalls"].append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    return filter


def _node_layout(folder):
    """Volumes as a server of the Node image leaves them, and an empty one for askd."""
    shutil.rmtree(folder, ignore_errors=True)
    texts = {
        "config/CLAUDE.md": "Be brief.\n",
        "config/settings.json": '{"permissions": {"deny": ["Bash(rm:*)"]}}\n',
        "config/agents/reviewer.md": "---\nname: reviewer\ndescription: Reads changes\n---\nRead the change.\n",
        "config/skills/greet/SKILL.md": "---\nname: greet\ndescription: Greets\n---\nSay hello.\n",
        "config/rules/style.md": "Write plain words.\n",
        "config/projects/-workspace/6f1c2f0e-0f5e-4c0e-9d29-0b8b3a2f7d11.jsonl": '{"type": "summary"}\n',
        "workspace/shop/tries.sh": TRIES,
        "workspace/other/secret.txt": "another workspace\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "data").mkdir()
    for place, names, files in os.walk(folder):
        for name in [".", *names, *files]:
            os.chown(os.path.join(place, name), USER, USER)


def _tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def _a_run(server, layer):
    """One run through the real CLI, which tries what it should not reach, and says truthfully what confines it."""
    prompt = f"Look. [[tool:Bash {json.dumps({'command': 'sh tries.sh > found.txt 2>&1'})}]][[then]][[text:I looked.]]"
    status, run = post("/v1/runs?wait=60", {"prompt": prompt, "cwd": "shop", "allowed_tools": ["Bash"]}, server.key)
    assert status == 200 and run["state"] == "completed" and run["result"] == "I looked.", run
    found = (server.folder / "workspace/shop/found.txt").read_text().splitlines()
    assert found == FINDS, f"a run under {layer} finds {found}"
    assert run["isolation"]["layer"] == layer, run["isolation"]

    told = get("/v1/isolation", server.key)[1]
    assert told["layer"] == layer and told["policy"] == "required", told
    assert told["user"]["uid"] == USER and told["user"]["root"] is False, told["user"]
    assert {"unprivileged_user", "no_new_privileges", "private_files", "read_only_system"} <= set(told["in_force"]), (
        told["in_force"]
    )
    by_name = {entry["name"]: entry for entry in told["layers"]}
    assert (by_name["bubblewrap"]["available"] is True) == (layer == "bubblewrap"), by_name
    # The CLI's own sandbox works where there are namespaces.
    assert told["nested_namespaces"] is (layer == "bubblewrap"), told["nested_namespaces"]
    return run


def _healthy(container, server):
    """By the image's own check, and by that of the compose file."""
    for check in (["healthcheck", "run", container.name], ["exec", container.name, *server.health]):
        done = container.engine.call(*check, check=False)
        assert done.returncode == 0, f"{check} fails: {done.stdout}{done.stderr}"


def _nothing_left(container):
    """Process 1 is askd; what runs leave behind is ended, and reaped."""
    assert container.inside("cat", "/proc/1/comm").strip() == "askd"
    processes = "for p in /proc/[0-9]*/stat; do read -r line < $p && echo $line; done 2>/dev/null"

    def left():
        lines = container.inside("sh", "-c", processes).splitlines()
        return [line for line in lines if ") Z " in line or "(sleep)" in line]

    until(lambda: not left(), "nothing of a run is left in the container")


def _stops(container, grace):
    container.engine.call("kill", "--signal=TERM", container.name)
    code, took = container.until_ended(grace)
    assert code == 0, f"it ended with {code}: {container.log()}"
    return took


def _as_compose_says(world):
    server = world.service("compose", "compose.yaml", ASKD_SHUTDOWN_GRACE="1s")
    before = _tree(server.folder / "config")
    with Container(world.engine, "compose", IMAGE, server.options) as container:
        container.until_ready()
        _healthy(container, server)
        status = container.inside("cat", "/proc/1/status")
        for line in [
            "NoNewPrivs:\t1",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "Seccomp:\t2",
            "Uid:\t1000\t1000",
        ]:
            assert line in status, f"{line} is not in {status}"
        touched = world.engine.call("exec", "compose", "touch", "/etc/x", "/opt/claude/x", "/home/node/x", check=False)
        assert touched.stderr.count("Read-only file system") == 3, touched.stderr

        run = _a_run(server, "landlock")
        _nothing_left(container)
        assert _by_page("curl -s http://127.0.0.1:3000/readyz", server.folder)["status"] == "ready"
        answer = _by_page("curl -s http://127.0.0.1:3000/ask", server.folder)
        assert answer["is_error"] is False and answer["result"], answer
        told = _by_page("curl -s http://127.0.0.1:3000/v1/isolation", server.folder)
        assert told["layer"] == "landlock" and told["in_force"], told
        agents = get("/config/agents", server.key)[1]
        assert "reviewer" in json.dumps(agents), f"the agents of the Node image's volume are not there: {agents}"
        # It is the server that the health check asks.
        nobody = world.engine.call("exec", "--env=ASKD_LISTEN=127.0.0.1:3999", "compose", *server.health, check=False)
        assert nobody.returncode == 1, nobody

        # A run is under way when the container is stopped.
        hanging = {"prompt": "Wait. [[hang]]", "cwd": "shop"}
        late = post("/v1/runs", hanging, server.key)[1]
        until(lambda: get(f"/v1/runs/{late['id']}", server.key)[1]["state"] == "running", "the run has begun")
        took = _stops(container, server.grace)
        assert server.key not in container.log(), "the key is in the log"
        assert _tree(server.folder / "config") == before, "the volume of the Node image was changed"
    with Container(world.engine, "compose", IMAGE, server.options) as container:
        container.until_ready()
        assert get(f"/v1/runs/{run['id']}", server.key)[1]["result"] == "I looked.", (
            "the run is gone with the container"
        )
        assert get(f"/v1/runs/{late['id']}", server.key)[1]["finished_at"], "nobody knows how the run ended"
        doctor = world.engine.call("exec", "compose", "askd", "doctor", "--offline", check=False)
        assert doctor.returncode == 0 and "isolated by landlock" in doctor.stdout, doctor.stdout + doctor.stderr
    print(f"as compose.yaml says, under Docker's filter: a run under landlock; stopped beside another in {took:.1f} s")


def _with_bubblewrap(world):
    server = world.service("bubblewrap", "compose.yaml", "compose.bubblewrap.yaml")
    with Container(world.engine, "bubblewrap", IMAGE, server.options) as container:
        container.until_ready()
        _a_run(server, "bubblewrap")
        _nothing_left(container)
        # Root of a namespace of one's own is still nobody to the rest of the kernel's calls.
        refused = "unshare --user --map-root-user chroot / true"
        assert world.engine.call("exec", "bubblewrap", *refused.split(), check=False).returncode != 0, refused
    print("with compose.bubblewrap.yaml: a run under bubblewrap")


def _with_postgres(world):
    if not (programs := Database.programs()):
        commands.not_run("compose.postgres.yaml", "PostgreSQL's programs are not on this machine")
        return
    server = world.service("postgres", "compose.yaml", "compose.postgres.yaml")
    url = (server.folder / "secrets/database-url").read_text().strip()
    with Database(programs, world.engine.work / "postgres", url) as database:
        # The name that compose gives to the other container.
        with Container(
            world.engine, "postgres", IMAGE, ["--add-host=postgres:127.0.0.1", *server.options]
        ) as container:
            container.until_ready()
            run = _a_run(server, "landlock")
            assert database.ask(f"select count(*) from runs where id = '{run['id']}'") == "1", (
                "the run is not in PostgreSQL"
            )
            assert not list((server.folder / "data").glob("askd.db*")), "there is an embedded store besides"
    print("with compose.postgres.yaml: a run is kept in PostgreSQL")


def _by_hand(world):
    """`docker run` with nothing but keys: the folders are the image's own, and the root is not read-only."""
    key = "a-key-of-the-tests-of-the-image"
    options = [
        f"--env=API_KEY={key}",
        "--env=ANTHROPIC_API_KEY=sk-ant-x",
        f"--env=ANTHROPIC_BASE_URL={world.model.address}",
    ]
    options.append(f"--security-opt=seccomp={world.docker}")
    with Container(world.engine, "by-hand", IMAGE, options) as container:
        container.until_ready()
        status, answer = post("/ask", {"prompt": "Hello. [[text:Hello yourself.]]"}, key)
        assert status == 200 and answer["result"] == "Hello yourself.", answer
    with Container(world.engine, "no-key", IMAGE, []) as container:
        code, _ = container.until_ended(30)
        assert code != 0 and "API_KEY" in container.log(), f"without a key: {container.log()}"
    print("by docker run alone: an answer; without a key it says that one is missing")


def _without_the_cli(world):
    server = world.service("without-cli", "compose.yaml")
    with Container(world.engine, "without-cli", WITHOUT_CLI, server.options) as container:
        code, _ = container.until_ended(60)
        log = container.log()
        assert code != 0, log
        for words in ["`/opt/claude/claude` was not found", "mount it there", "ASKD_CLAUDE_BIN"]:
            assert words in log, f'it does not say "{words}": {log}'
    version = Path("scripts/cli-version").read_text().strip()
    assert f"/target/cli/{version}:/opt/claude:ro" in PAGE.read_text(), f"{PAGE} mounts another CLI than {version}"
    # In a folder with both: the CLI, as this checkout has it, and the secrets.
    (server.folder / "target").symlink_to(os.path.abspath("target"))
    (command,) = _of_page("docker run --rm")
    words = shlex.split(command.replace("$PWD", str(server.folder)))
    done = world.engine.call(*words[1:2], *Container.OPTIONS, *words[2:], check=False)
    assert done.returncode == 0 and version in done.stdout, f"{command}: {done.stdout}{done.stderr}"
    commands.ran(PAGE, command, "run by Podman")
    options = [*server.options, f"--volume={os.path.abspath('target/cli')}/{version}:/opt/claude:ro"]
    with Container(world.engine, "without-cli", WITHOUT_CLI, options) as container:
        container.until_ready()
        _a_run(server, "landlock")
    print("without the CLI: it says what is missing; with a CLI mounted: a run")
