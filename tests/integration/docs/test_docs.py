"""What the documentation says is true: examples give the results shown, commands run, names and links exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from reptarium.pool.bench.live_metrics import LiveMetrics
from reptarium.pool.config.table import BY_RULE, VARIABLES
from reptarium.pool.embedded_broker import BrokerConfig, open_broker
from reptarium.pool.ops.metrics import Metrics
from tests.limits import fail_after, within

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
PAGES = [README, ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = re.compile(r"<!-- example( each-item)? -->\n```python\n(.*?)```\n```json\n(.*?)```", re.DOTALL)
USER_CODE = (ROOT / "docs/user-code.md").read_text()
EXAMPLES = EXAMPLE.findall(USER_CODE)


def reptarium(*arguments: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person would run it, with a clean environment."""
    return subprocess.run(
        [sys.executable, "-m", "reptarium", *arguments],
        capture_output=True,
        text=True,
        timeout=within(120),
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environ},
    )


def items() -> str:
    match = re.search(r"<!-- items -->\n```json\n(.*?)```", USER_CODE, re.DOTALL)
    assert match is not None
    return match[1]


def sections(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    """The pattern above finds every example that the page marks."""
    assert len(EXAMPLES) == USER_CODE.count("<!-- example")
    assert len(EXAMPLES) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "code", "expected"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_of_user_code(mode: str, code: str, expected: str, tmp_path: Path) -> None:
    """Each example gives the result that is printed below it, through the real pool and sandbox."""
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "items.json").write_text(items())
    extra = ["--each-item"] if mode else []
    done = reptarium("exec", "script.py", "--items", "items.json", *extra, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(expected)


POWERS = re.findall(
    r"<!-- example( [^\n]*)? -->\n```python\n(.*?)```\n```json\n(.*?)```",
    (ROOT / "docs/powers.md").read_text(),
    re.DOTALL,
)


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "code", "expected"), POWERS, ids=range(len(POWERS)))
def test_examples_of_powers(settings: str, code: str, expected: str, tmp_path: Path) -> None:
    """Each example gives the result that is printed below it, under the settings that it names."""
    (tmp_path / "script.py").write_text(code)
    (tmp_path / "items.json").write_text(items())
    environ = dict(pair.split("=", 1) for pair in settings.split())
    done = reptarium("exec", "script.py", "--items", "items.json", cwd=tmp_path, **environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(expected)


def indented(text: str) -> list[str]:
    """The commands of Markdown's indented blocks, continued lines joined, comments taken off."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(re.findall(r"^    (.+)$", text, re.MULTILINE)).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", line.partition(" # ")[0]).strip() for line in lines]


def commands() -> set[str]:
    """Every command that a page shows, in a block or within a sentence."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text()
        found |= {line.strip() for block in sections(text, "sh") for line in block.splitlines() if line.strip()}
        found |= set(re.findall(r"`((?:reptarium|python -m|make|\.ci/)[^`\n]* [^`\n]*)`", text))
    return found | set(indented(README.read_text()))


BESIDE_N8N = (
    "N8N_RUNNERS_AUTH_TOKEN=the-same-token N8N_RUNNERS_TASK_BROKER_URI=http://127.0.0.1:5679 "
    "N8N_RUNNERS_STDLIB_ALLOW='*' reptarium run"
)
#: "One script, without n8n", in the page's order: two files, a script from a file, one from a pipe.
ONE_SCRIPT = (
    """echo '[{"n": 1}, {"n": 2}]' > items.json""",
    """echo 'return [{"json": {"sum": sum(item["json"]["n"] for item in _items)}}]' > script.py""",
    "reptarium exec script.py --items items.json",
    """echo 'return {"double": _item["json"]["n"] * 2}' | reptarium exec - --items items.json --each-item""",
)
#: test_install takes them in this order; what pip would fetch is there already.
INSTALL = ("python3 -m venv .venv", ". .venv/bin/activate", "pip install .")
#: The benchmarks measure for a while; here they do as little as shows that the command works.
BRIEFLY = {
    "python -m reptarium.pool.bench.dispatch": "--tasks 3 --concurrency 3",
    "python -m reptarium.pool.bench.kernel": "--forks 3",
    "python -m reptarium.pool.bench.language": "",
    "python -m reptarium.pool.bench.powers": "--tasks 3 --rounds 2 --with 'all powers'",
    "python -m reptarium.pool.bench.rpc": "--calls 3",
    "reptarium bench --case idle --against baseline-light": "--tasks 3 --rounds 1",
    "reptarium bench --case pandas": "--tasks 3 --rounds 1",
    "reptarium bench --case trivial": "--tasks 3 --rounds 1",
    "reptarium bench --case reuse": "--tasks 3 --rounds 1",
    "reptarium bench --case reuse-idle": "--tasks 3 --rounds 1",
    "reptarium bench --case trivial --against baseline-light": "--tasks 3 --rounds 1",
    "reptarium bench --case brokers": "--tasks 80 --rounds 1",
}


POLICY_PAGE = (ROOT / "docs/policy.md").read_text()
#: tests/unit/policy/test_policy_command.py has what they say.
POLICY = sections(POLICY_PAGE, "sh")[0].splitlines()

#: tests/integration/check has what they say, with exports of its own.
CHECK = "".join(sections((ROOT / "docs/check.md").read_text(), "sh")).splitlines()

#: They need an n8n: tests/e2e.
E2E = ("make e2e N8N_DIR=/path/to/n8n", 'make e2e-queue N8N_VERSION="2.40.5 2.41.1"', "make e2e-newest")
#: They make other platforms: tests/platforms.
PLATFORMS = (
    "make pythons", "make pythons VERSIONS=3.14", "make systemd", "make containers",
)  # fmt: skip


def test_every_command_is_run_below() -> None:
    """A command that is new in the documentation needs a test here."""
    assert commands() == {
        ".ci/deploy-tools.sh",
        "make demo",
        *E2E,
        *PLATFORMS,
        "make e2e-original",
        "make site",  # tests/unit/house/test_release.py, where its tools are there
        "make lint",
        "make mutants",  # tests/unit/house holds each mutant against the code
        "make simulate",
        "make simulate SEEDS=100000",  # tests/simulation/test_simulation.py plays fewer
        "make packages",
        "make properties",
        "make slow",
        "make suites",
        "make test",
        "python -m reptarium.pool.config.docs",  # tests/unit/config/test_config_docs.py, and so the next one
        "python -m reptarium.pool.config.docs > docs/configuration.md",
        "python -m reptarium.pool.differences.page",  # tests/unit/differences/test_differences_page.py
        "reptarium doctor",
        "reptarium doctor --json",
        *POLICY,
        *CHECK,
        'reptarium exec workflow.json --node "Sum it up"',  # tests/integration/cli/test_exec_workflow.py
        "reptarium stubs types",  # tests/integration/cli/test_stubs_command.py
        "reptarium check",  # the command itself, as in the next ones
        "reptarium exec",
        "reptarium install",  # tests/integration/installing
        "reptarium install --constraints > runner.txt",
        "reptarium install --prune",
        "reptarium run",
        "reptarium run --print-config",
        BESIDE_N8N,
        *INSTALL,
        *ONE_SCRIPT,
        *BRIEFLY,
    }


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command line as it stands in the documentation, with our interpreter's programs first in PATH."""
    return subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=within(120),
        check=False,
        cwd=cwd,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", BRIEFLY)
def test_benchmarks(command: str, tmp_path: Path) -> None:
    """Each benchmark runs and prints figures; whether they meet a target is not asked here."""
    done = shell(f"{command} {BRIEFLY[command]}", tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert re.search(r"\d\.\d", done.stdout), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_install(tmp_path: Path) -> None:
    """In a shell that has activated the folder, `reptarium` and `python` are those that were installed into it."""
    venv = Path(sys.prefix)
    (tmp_path / ".venv").symlink_to(venv)
    for line in INSTALL:
        assert f"\n    {line}\n" in README.read_text()
    done = subprocess.run(
        ["sh", "-c", f"{INSTALL[1]} && command -v reptarium && reptarium --version && python -c 'import reptarium'"],
        capture_output=True, text=True, timeout=within(60), check=False, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == str(venv / "bin/reptarium"), done.stderr
    assert done.returncode == 0, done.stderr


def test_one_script_from_files_and_from_a_pipe(tmp_path: Path) -> None:
    """The commands of "One script, without n8n", one after the other, print what the page says as JSON."""
    *files, from_file, from_pipe = (shell(command, tmp_path) for command in ONE_SCRIPT)
    assert all(done.returncode == 0 for done in files)
    assert json.loads(from_file.stdout) == [{"json": {"sum": 3}}], from_file.stderr
    assert [item["json"] for item in json.loads(from_pipe.stdout)] == [{"double": 2}, {"double": 4}], from_pipe.stderr


async def test_beside_n8n_in_60_seconds(tmp_path: Path) -> None:
    """The README's command, with this broker's address and token: the runner registers and serves a task."""
    with fail_after(60):
        async with open_broker(BrokerConfig(auth_token="the-same-token")) as broker:
            command = BESIDE_N8N.replace("http://127.0.0.1:5679", broker.uri)
            assert command != BESIDE_N8N
            process = subprocess.Popen(  # noqa: ASYNC220 (starting it takes no time)
                ["sh", "-c", f"exec env {command}"],
                cwd=tmp_path,
                env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                stderr=subprocess.DEVNULL,
            )
            try:
                await broker.wait_for_runner()
                outcome = await broker.submit({"code": "import math\nreturn math.tau", "items": []}).outcome()
                assert outcome.status == "done", outcome
                process.terminate()
                assert await trio.to_thread.run_sync(process.wait) == 0
            finally:
                process.kill()


def test_policy(tmp_path: Path) -> None:
    """The page's rules are right, its commands run, and the task that it asks about comes under the rule it means."""
    (tmp_path / "policy.toml").write_text(sections(POLICY_PAGE, "toml")[0])
    checked, asked, schema = (shell(command, tmp_path) for command in POLICY)
    assert checked.stdout.endswith("3 rules, 3 pools of at most 4\n"), checked.stderr
    assert asked.stdout.startswith("rule: charts\n"), asked.stderr
    assert json.loads(schema.stdout)["title"] == "Reptarium policy"


def test_policy_page_names_every_key() -> None:
    """What a rule may set stands in the page's table."""
    cells = re.search(r"\| \| keys \|\n(.*?)\n\n", POLICY_PAGE, re.DOTALL)
    assert cells is not None
    assert set(re.findall(r"`(\w+)`", cells[1])) == set(BY_RULE)


def test_print_config() -> None:
    """`reptarium run --print-config` needs no token, shows every variable and hides secrets."""
    done = reptarium("run", "--print-config", N8N_RUNNERS_AUTH_TOKEN="hush")
    assert done.returncode == 0, done.stderr
    assert all(variable.name in done.stdout for variable in VARIABLES)
    assert "hush" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [(), pytest.param(("--json",), marks=pytest.mark.slow)], ids=["text", "json"])
def test_doctor(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """`reptarium doctor` names the layers, whatever this machine has of them; with a policy, of each pool."""
    rules = tmp_path / "policy.toml"
    rules.write_text('[[rule]]\nname = "few"\nmax_threads = 2\n[[rule]]\nname = "files"\nscratch = "1MiB"')
    done = reptarium("doctor", *arguments, **({"REPTARIUM_POLICY": str(rules)} if arguments else {}))
    assert done.returncode in (0, 1), done.stderr
    for layer in ("seccomp", "landlock"):
        assert layer in done.stdout.lower()
    if arguments:
        found = json.loads(done.stdout)
        assert [pool["names"] for pool in found["rules"]] == [["files"]]
        for pool, writes in ((found, "refused"), (found["rules"][0], "works")):
            tried = {one["name"]: one for one in pool["attempts"]}
            assert tried["write a file where it works"]["wanted"] == writes
            assert tried["raise its limits"]["got"] == "EPERM"


@pytest.mark.parametrize(
    "command",
    [
        "make demo",
        "make test",
        "make packages",
        "make properties",
        "make suites",
        *E2E,
        *PLATFORMS,
        "make e2e-original",
    ],
)
def test_make_targets(command: str) -> None:
    """The targets exist; what they would do is only printed, since they run these very tests."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, timeout=within(60), check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_deploy_tools_script() -> None:
    """The script may be executed and parses; CI runs it."""
    script = ROOT / ".ci/deploy-tools.sh"
    assert os.access(script, os.X_OK)
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=within(60), check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    """What `make demo` runs once everything is installed: every script ends as its page says."""
    done = shell("reptarium demo", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All as it should be." in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_in_docs_exist(page: Path) -> None:
    """Every variable of ours and every metric that a page names exists, and so does every file."""
    text = page.read_text()
    known = {variable.name for variable in VARIABLES} | {"REPTARIUM_TEST_SLOWNESS"}
    # followed by more than a star: `REPTARIUM_*` stands for all
    assert set(re.findall(r"\bREPTARIUM_[A-Z_]*[A-Z]\b", text)) <= known
    exported = (Metrics().expose() + LiveMetrics().text()).decode()
    for name in re.findall(r"\breptarium_[a-z_]+\b", text):
        assert name in exported, name
    for path in re.findall(r"`((?:deploy|tests|pool|sandbox|docs)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links point at files that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
