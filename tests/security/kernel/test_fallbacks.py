"""Machines that lack something: simulated by seccomp filters that answer for the missing calls, Docker's
default profile among them.

What is asked is the doctor, in a process under such a filter: it starts a real pool, says what each layer
is, and lets a worker try.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from arena import AS_ROOT, ROOT

from reptarium.sandbox.kernel import privileges
from tests.limits import within

pytestmark = pytest.mark.usefixtures("kernel_layer")


def one_more(*values: Any) -> Any:
    """The same once more, with another error number or the like: one to two seconds of processor time."""
    return pytest.param(*values, marks=pytest.mark.slow)


LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
PROFILE = Path(__file__).resolve().parents[2] / "data" / "docker-default-seccomp.json"

# What Docker leaves to root in a container (moby, oci/caps/defaults.go).
DOCKER_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)

FILTER = """
import json, sys
from reptarium.sandbox.kernel import bpf, privileges, seccomp, syscalls
answers, profile, capabilities = json.loads(sys.argv[1])
if "uname" in answers:  # not an errno: personality(2), UNAME26; programs are told of Linux 2.6
    import ctypes
    ctypes.CDLL(None).personality(answers.pop("uname"))
if profile:
    clauses, plain = {}, {}
    for rule in json.load(open(profile))["syscalls"]:
        action = bpf.ALLOW
        if rule["action"] != "SCMP_ACT_ALLOW":
            action = bpf.errno_action(rule["errnoRet"])
        for name in rule["names"]:
            if "args" not in rule:
                plain[name] = action
                continue
            [condition] = rule["args"]
            index, value, other = condition["index"], condition["value"], condition.get("valueTwo", 0)
            equal, masked = bpf.Check(index, (value,)), bpf.Check(index, (other,), mask=value)
            made = {
                "SCMP_CMP_EQ": [bpf.Clause((equal,), action)],
                "SCMP_CMP_NE": [bpf.Clause((equal,), bpf.DENY), bpf.Clause((), action)],
                "SCMP_CMP_MASKED_EQ": [bpf.Clause((masked,), action)],
            }[condition["op"]]
            clauses[name] = (*clauses.get(name, ()), *made)
    rules = bpf.Rules(plain, clauses, default=bpf.errno_action(1))
else:
    plain = {name: bpf.errno_action(number) for name, number in answers.items()}
    rules = bpf.Rules(plain, default=bpf.ALLOW)
program = bpf.assemble(rules, syscalls.machine())
from reptarium.pool.cli.main import main
if capabilities is not None:
    have = privileges.effective()
    privileges.CapabilitySet(c for c in capabilities if have >> c & 1).apply()
privileges.no_new_privs()
seccomp.install(program)
"""
DOCTOR = 'sys.exit(main(["doctor", "--json"]))'


def run(code: str, what: list[Any], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose first argument is `what` as JSON."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code, json.dumps(what)],
        env={"PATH": os.defpath, **environ},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within(120), check=False,
    )  # fmt: skip


def doctor(
    answers: dict[str, int] | None = None,
    policy: str = "enforce",
    profile: Path | None = None,
    capabilities: list[int] | None = None,
    **environ: str,
) -> tuple[dict[str, Any], int]:
    """What the doctor finds where these calls get these errors, or under a container profile; and its
    exit status.
    """
    what = [answers or {}, str(profile) if profile else "", capabilities]
    done = run(FILTER + DOCTOR, what, REPTARIUM_ISOLATION=policy, **environ)
    assert done.stdout.startswith("{"), done.stderr
    return json.loads(done.stdout), done.returncode


def states(found: dict[str, Any]) -> dict[str, str]:
    """Layer → state."""
    return {layer["name"]: layer["state"] for layer in found["layers"]}


def wrong(found: dict[str, Any]) -> list[str]:
    """What a worker tried and should not have got."""
    return [attempt["name"] for attempt in found["attempts"] if not attempt["ok"]]


def test_this_machine() -> None:
    """With nothing taken away every needed layer holds, every attempt ends as it must, and the exit
    status is 0.
    """
    found, status = doctor()
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert found["healthy"] is True
    tricks = {trick["name"]: trick["on"] for trick in found["tricks"]}
    assert tricks == {
        "sealing": True,
        "immortal objects": sys.version_info >= (3, 12),
        "plain fork": True,
        "heap": True,
        "shared prints": True,
    }
    assert found["worker"]["Seccomp"] == "2"


def test_tables() -> None:
    """For people the doctor prints each layer, each attempt, and one sentence that sums it up."""
    done = run(FILTER + "sys.exit(main(['doctor']))", [{}, "", None])
    assert done.returncode == 0, done.stderr
    for text in ("seccomp", "landlock", "open a TCP socket", "EPERM", "immortal objects", "Tasks are isolated."):
        assert text in done.stdout
    done = run(FILTER + "sys.exit(main(['doctor']))", [{"seccomp": 1}, "", None])
    assert done.returncode == 1
    assert "refuses to start" in done.stdout
    assert "Tasks are NOT isolated" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "says"),
    [one_more(1, "refuses landlock"), (38, "no such call"), one_more(95, "wasn't started")],
    ids=["EPERM", "ENOSYS", "EOPNOTSUPP"],
)
def test_without_landlock(number: int, says: str) -> None:
    """Without Landlock, in each of its three spellings, enforce refuses with what to change; best-effort
    starts and tells.
    """
    answers = dict.fromkeys(LANDLOCK, number)
    found, status = doctor(answers)
    assert status == 1
    assert "landlock is not available" in found["refusal"]
    assert says in found["refusal"]
    assert "REPTARIUM_ISOLATION=best-effort" in found["refusal"]
    found, status = doctor(answers, "best-effort")
    assert status == 1
    assert found["refusal"] == ""
    assert states(found)["landlock"] == "missing"
    assert states(found)["seccomp"] == "active"
    assert set(wrong(found)) <= {"read /etc/passwd", "read the runner's own code", "list /proc"}
    [layer] = [layer for layer in found["layers"] if layer["name"] == "landlock"]
    assert layer["remedy"]


#: What machines before Linux 5.13 say: that they are older, and that there is no such call.
OLD = {"uname": 0x0020000, **dict.fromkeys(LANDLOCK, 38)}


@pytest.mark.slow
def test_before_landlock() -> None:
    """A kernel that never had Landlock: where a root directory of its own holds what tasks may read they are isolated,
    and the doctor says what stands in for what.
    """
    found, status = doctor(OLD)
    assert (found["refusal"], wrong(found), states(found)["landlock"], status) == ("", [], "missing", 0)
    assert found["verdict"].startswith("Tasks are isolated. Landlock is missing, and a root directory")


@pytest.mark.slow
def test_before_landlock_without_namespaces() -> None:
    """Where there is no such root directory either, enforce refuses and names what to change."""
    found, status = doctor({**OLD, "unshare": 1})
    assert status == 1
    assert "landlock is not available: this kernel is older than Linux 5.13" in found["refusal"]
    assert "start as root with CAP_SYS_ADMIN" in found["refusal"]
    assert "landlock is missing" in found["verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 38, 22], ids=["EPERM", "ENOSYS", "EINVAL"])
def test_without_seccomp(number: int) -> None:
    """Without seccomp enforce refuses with what to change; best-effort starts, and its worker is found
    wanting.
    """
    found, status = doctor({"seccomp": number})
    assert status == 1
    assert "seccomp is not available" in found["refusal"]
    assert "REPTARIUM_ISOLATION=best-effort" in found["refusal"]
    found, status = doctor({"seccomp": number}, "best-effort")
    assert status == 1
    assert states(found)["seccomp"] == "missing"
    assert states(found)["landlock"] in ("active", "partial")
    assert "fork" in wrong(found)
    assert "read /etc/passwd" not in wrong(found)


@pytest.mark.slow
@pytest.mark.parametrize("number", [one_more(1), 38, one_more(28)], ids=["EPERM", "ENOSYS", "ENOSPC"])
def test_without_namespaces(number: int) -> None:
    """Without namespaces enforce starts, and every attempt is refused all the same: nothing depends on
    them.
    """
    found, status = doctor(dict.fromkeys(("unshare", "mount", "pivot_root"), number))
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert states(found)["namespaces"] == "off"


@pytest.mark.parametrize("call", [one_more("mount"), one_more("pivot_root")])
def test_with_half_of_the_namespaces(call: str) -> None:
    """Where a new root is refused half-way the rest is kept, the layer is partial (or off), and all
    else holds.
    """
    found, status = doctor({call: 1})
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert states(found)["namespaces"] in ("partial", "off")


@pytest.mark.slow
def test_without_any() -> None:
    """With neither seccomp nor Landlock enforce refuses; best-effort starts and tells both; what is optional is off."""
    answers = dict.fromkeys((*LANDLOCK, "seccomp", "unshare"), 1)
    assert doctor(answers)[0]["refusal"]
    found, status = doctor(answers, "best-effort")
    assert status == 1
    assert {states(found)[name] for name in ("seccomp", "landlock")} == {"missing"}
    assert states(found)["namespaces"] == "off"


@pytest.mark.slow
def test_docker() -> None:
    """Under Docker's default profile and capabilities seccomp, Landlock and limits hold in full; only
    namespaces are missing.
    """
    capabilities = list(DOCKER_CAPABILITIES)
    if privileges.unreachable([os.path.realpath(os.__file__)], 65534, 65534):
        capabilities.append(privileges.CAP_DAC_READ_SEARCH)  # in an image every user can read the interpreter
    found, status = doctor(profile=PROFILE, capabilities=capabilities)
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    for layer in ("seccomp", "no_new_privs", "rlimits"):
        assert states(found)[layer] == "active"
    assert states(found)["landlock"] in ("active", "partial")
    assert states(found)["namespaces"] == "off"
    if AS_ROOT:
        assert states(found)["uid"] in ("active", "partial")


@pytest.mark.slow
def test_docker_before_landlock(tmp_path: Path) -> None:
    """Under an older profile that refuses Landlock (Docker before 20.10.10) enforce names Docker's
    version as what to change.
    """
    profile = json.loads(PROFILE.read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [name for name in rule["names"] if name not in LANDLOCK]
    older = tmp_path / "older.json"
    older.write_text(json.dumps(profile))
    found, status = doctor(profile=older)
    assert status == 1
    assert "Docker 20.10.10" in found["refusal"]


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_root_without_capabilities() -> None:
    """Root that can't become somebody else is refused; under best-effort the layer says so, nothing is called
    isolated, and everything else holds.
    """
    found, status = doctor(capabilities=[])
    assert status == 1
    assert "uid is not available: tasks would run as root" in found["refusal"]
    assert "Start as an ordinary user" in found["refusal"]
    found, status = doctor(policy="best-effort", capabilities=[])
    assert (found["refusal"], wrong(found), status) == ("", [], 1)
    assert found["healthy"] is False
    assert states(found)["uid"] == "missing"
    assert states(found)["rlimits"] == "partial"  # the kernel exempts root from RLIMIT_NPROC
    assert found["worker"]["CapEff"].strip("0") == ""


def is_nobody(found: dict[str, Any]) -> bool:
    """Whether the worker has one user id, which isn't root's, in all four slots."""
    uids = set(found["worker"]["Uid"].split())
    return len(uids) == 1 and uids != {"0"}


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
@pytest.mark.parametrize("environ", [{}, one_more({"REPTARIUM_WORKER_UIDS": "none"})], ids=["a user each", "one user"])
def test_root_with_user_namespaces_but_no_cap_sys_admin(environ: dict[str, str]) -> None:
    """As in Kubernetes without a profile: a user namespace that root enters has the workers' users in it, and tasks
    aren't root.
    """
    found, status = doctor(capabilities=list(DOCKER_CAPABILITIES), **environ)
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert states(found)["uid"] in ("active", "partial")
    assert states(found)["rlimits"] == "active"
    assert states(found)["namespaces"] == "active"
    assert is_nobody(found)


@pytest.mark.skipif(not AS_ROOT, reason="needs root")
@pytest.mark.parametrize(
    "lacking", [one_more(privileges.CAP_KILL), one_more(privileges.CAP_SETUID)], ids=["CAP_KILL", "CAP_SETUID"]
)
def test_root_that_can_not_change_its_user(lacking: int) -> None:
    """Root that can't give workers another user, or could not end them then, is refused."""
    found, status = doctor(capabilities=[number for number in DOCKER_CAPABILITIES if number != lacking])
    assert "uid is not available: tasks would run as root" in found["refusal"]
    assert status == 1


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_root_that_can_not_map_the_workers_users() -> None:
    """Root enters no user namespace that the workers' users aren't in: it changes its user without."""
    setfcap = 31  # since Linux 5.12 it takes this to map user 0
    capabilities = [*(number for number in DOCKER_CAPABILITIES if number != setfcap), privileges.CAP_DAC_READ_SEARCH]
    found, status = doctor(capabilities=capabilities)
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert states(found)["namespaces"] == "off"
    assert is_nobody(found)


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
@pytest.mark.parametrize("environ", [{}, one_more({"REPTARIUM_WORKER_UIDS": "none"})], ids=["a user each", "one user"])
def test_root_without_cap_setpcap(environ: dict[str, str]) -> None:
    """Root that may change its user but not its securebits becomes that user, keeps what imports need, and says so."""
    names = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_READ_SEARCH")
    found, status = doctor({"unshare": 1}, capabilities=[getattr(privileges, name) for name in names], **environ)
    assert (found["refusal"], wrong(found), status) == ("", [], 0)
    assert states(found)["uid"] in ("active", "partial")
    assert is_nobody(found)
    assert int(found["worker"]["CapEff"], 16) in (0, 1 << privileges.CAP_DAC_READ_SEARCH)


@pytest.mark.slow
def test_best_effort_shows_everywhere() -> None:
    """A runner that starts without Landlock warns once, and its readiness report and metrics name the
    missing layer.
    """
    code = (
        FILTER
        + """
import trio
from reptarium.pool.config import load_settings
from reptarium.pool.ops.logs import configure_logging
from reptarium.pool.runner import Runner
environ = {"REPTARIUM_ISOLATION": "best-effort", "N8N_RUNNERS_GRANT_TOKEN": "not-a-real-grant"}
settings = load_settings(environ)
configure_logging(settings)
async def run():
    runner = Runner(settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.pool.run)
        await runner.pool.wait_warm(1)
        checks = {check.name: check.detail for check in runner.checks()}
        metrics = runner.metrics.expose().decode()
        runner.pool.close()
        nursery.cancel_scope.cancel()
    print("ANSWER" + json.dumps([checks, metrics]))
trio.run(run)
"""
    )
    done = run(code, [dict.fromkeys(LANDLOCK, 38), "", None])
    before, _, answer = done.stdout.partition("ANSWER")
    assert answer, done.stderr
    checks, metrics = json.loads(answer.splitlines()[0])
    assert "landlock missing" in checks["isolation"]
    assert 'reptarium_isolation_layer{layer="landlock",state="missing"} 1.0' in metrics
    assert 'reptarium_isolation_layer{layer="seccomp",state="active"} 1.0' in metrics
    assert 'reptarium_trick{trick="sealing"} 1.0' in metrics
    assert f'reptarium_trick{{trick="immortal objects"}} {float(sys.version_info >= (3, 12))}' in metrics
    assert (before + done.stderr).count("isolation layer landlock is missing") == 1


@pytest.mark.parametrize(
    ("environ", "ends"), [one_more({}, "1 skipped"), one_more({"CI": "true"}, "1 error")], ids=["at home", "CI"]
)
def test_missing_layers_fail_where_they_are_to_be_tested(environ: dict[str, str], ends: str) -> None:
    """Tests of the kernel layer are skipped on a machine that has none, and fail in CI."""
    measured = ROOT / "tests/unit/kernel/test_kernel_bench.py"
    code = (
        FILTER + f"import pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '{measured}::test_measures']))"
    )
    done = run(code, [dict.fromkeys(LANDLOCK, 38), "", None], **environ)
    assert ends in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (not environ)
