"""The install page and the chart's README.md: each `helm install` and `helm upgrade` in them renders, each file of values in
them is taken, each command that makes a Secret is run without a cluster, and what must be in a Secret is in it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import helm_python as helm

import chart
import strict

PAGES = [Path("docs/install/kubernetes.md"), chart.FOLDER / "README.md"]


def blocks(text):
    return re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", text, re.M | re.S)


def commands(block):
    """The commands of a shell block, continued lines joined."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def set_path(values, expression):
    return chart.merged(values, helm.parse_set_string(expression))


def given(words, files):
    """The values that a helm command gives: from files that the page shows, and from --set."""
    values = {}
    for flag, value in zip(words, words[1:], strict=False):
        if flag in ("--values", "-f"):
            values = chart.merged(values, files[value])
        elif flag == "--set":
            values = set_path(values, value)
    return values


def main(work):
    work = Path(work)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    kubectl = shutil.which("kubectl")
    rendered, made, not_run, taken, objects = 0, 0, [], 0, 0
    for page in PAGES:
        files = {}
        for language, block in blocks(page.read_text()):
            if language == "yaml" and "\nkind: Pod\n" in block:
                for found in chart.load(block):
                    strict.validate(found)
                    objects += 1
            if language == "yaml" and (name := re.match(r"# (\S+\.yaml)(: values)?$", block.splitlines()[0])):
                values = chart.yaml.safe_load(block)
                if name[2]:
                    # Alone it may lack what another file has.
                    refused = chart.refusal(chart.merged(chart.values("default"), values))
                    assert refused is None, f"{page}: {name[1]}: {refused}"
                    files[name[1]] = values
                    taken += 1
        for language, block in blocks(page.read_text()):
            for line in commands(block) if language == "sh" else ():
                words = shlex.split(line, comments=True)
                if words[0] == "helm" and {"install", "upgrade", "template"} & set(words[:4]):
                    values = given(words, files)
                    if "--reuse-values" in words or not values:
                        not_run.append(line)
                        continue
                    folder = next(word for word in words if word.endswith("helm/askd"))
                    assert Path(folder) == chart.FOLDER, f"{page}: {line}"
                    refused = chart.refusal(values)
                    assert refused is None, f"{page}: {line}: {refused}"
                    rendered += 1
                elif words[:1] == ["kubectl"] and "secret" in words and "create" in words and kubectl and "<" not in line:
                    for file in re.findall(r"=\./(\S+)", line):
                        (work / file).write_text("content")
                    done = subprocess.run(
                        ["bash", "-c", f"{line} --dry-run=client --output yaml"], cwd=work, capture_output=True, text=True,
                        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work.resolve())},
                    )
                    assert done.returncode == 0, f"{page}: {line}: {done.stderr}"
                    (found,) = chart.load(done.stdout)
                    assert found["kind"] == "Secret" and all(found["data"].values()), f"{page}: {line}: {found}"
                    made += 1
                else:
                    not_run.append(line)
    assert rendered >= 3, f"only {rendered} helm commands are found"
    print(f"{rendered} helm commands of the pages render, {taken} files of values are taken, {made} Secrets are made, "
          f"{objects} objects fit Kubernetes")
    for line in not_run:
        print(f"NOT RUN: it needs a cluster: {' '.join(line.split())}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main(sys.argv[1])
