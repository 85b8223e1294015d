"""The pages on Kubernetes: each `helm install` and `helm upgrade` in them renders, each file of values in them is taken, each
command that makes a Secret or a namespace is run without a cluster, and what must be in a Secret is in it."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import helm_python as helm
from commands import commands, not_run, ran
from commands import blocks as shell_blocks

import chart
import rules
import strict
import upgrade

PAGES = [Path("docs/install/kubernetes.md"), Path("docs/how-to/kubernetes.md"), chart.FOLDER / "README.md"]


def blocks(text):
    return re.findall(r"^```(\w+)[^\n]*\n(.*?)^```", text, re.M | re.S)


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
    rendered, made, taken, objects = 0, 0, 0, 0
    for page in PAGES:
        files, installed = {}, None
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
        for line in (line for block in shell_blocks(page.read_text()) for line in commands(block.text)):
            words = shlex.split(line)
            if words[0] == "helm" and {"install", "upgrade", "template"} & set(words[:4]):
                values = given(words, files)
                if "--reuse-values" in words or not values:
                    continue
                folder = next(word for word in words if word.endswith("helm/askd"))
                assert Path(folder) == chart.FOLDER, f"{page}: {line}"
                refused = chart.refusal(values)
                assert refused is None, f"{page}: {line}: {refused}"
                # What is installed first is what the page upgrades.
                installed = installed or values
                if "upgrade" in words[:4]:
                    before, after = (chart.Rendered(each) for each in (installed, values))
                    assert upgrade.fixed(before) == upgrade.fixed(after), f"{page}: {line}: it changes what cannot be changed"
                    stores = {"ASKD_DATABASE_URL_FILE" in rules.env(each) for each in (before, after)}
                    assert len(stores) == 1, f"{page}: {line}: the runs would stay in the other store"
                ran(page, line, "rendered without a cluster")
                rendered += 1
            elif words[0] == "kubectl" and "create" in words[:4] and "|" not in words:
                if not kubectl:
                    not_run(f"{page}: {line}", "kubectl is not on this machine")
                    continue
                for file in re.findall(r"=\./(\S+)", line):
                    (work / file).write_text("content")
                done = subprocess.run(
                    ["bash", "-c", f"{line} --dry-run=client --output yaml"], cwd=work, capture_output=True, text=True,
                    env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work.resolve())},
                )
                assert done.returncode == 0, f"{page}: {line}: {done.stderr}"
                (found,) = chart.load(done.stdout)
                strict.validate(found)
                assert found["kind"] != "Secret" or all(found["data"].values()), f"{page}: {line}: {found}"
                ran(page, line, "run without a cluster")
                made += 1
    assert rendered >= 3, f"only {rendered} helm commands are found"
    print(f"{rendered} helm commands of the pages render, {taken} files of values are taken, {made} Secrets and namespaces "
          f"are made, {objects} objects fit Kubernetes")
    shutil.rmtree(work)


if __name__ == "__main__":
    main(sys.argv[1])
