"""The allowlists of a running runner: its log at the start, what its zygote imports, what tasks may then use."""

from __future__ import annotations

import importlib
import importlib.util
import json
import signal
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from reptarium.pool.embedded import embedded_runner
from reptarium.pool.embedded_broker import open_broker
from reptarium.pool.workers.pool import WorkerPool
from reptarium.sandbox import wire
from reptarium.sandbox.language import LanguagePolicy
from reptarium.sandbox.wire import IsolationConfig, Kind
from tests.conftest import make_settings
from tests.integration.cli.test_runner_command import start
from tests.limits import fail_after, patient
from tests.unit.language import test_packages

pytestmark = pytest.mark.usefixtures("nothing_left")


# ---- the log at the start ------------------------------------------------------------------


async def log_of_a_start(**environ: str) -> list[dict[str, Any]]:
    """The log of ``reptarium run`` from its start until it has done a task."""
    async with open_broker(patient()) as broker:
        process = start(
            {
                "N8N_RUNNERS_TASK_BROKER_URI": broker.uri,
                "N8N_RUNNERS_GRANT_TOKEN": broker.grant_token(),
                "REPTARIUM_LOG_FORMAT": "json",
                **environ,
            }
        )
        try:
            assert (await broker.submit({"code": "return []", "items": []}).outcome()).status == "done"
        finally:
            process.send_signal(signal.SIGTERM)
            with trio.CancelScope(shield=True):
                said, _ = await trio.to_thread.run_sync(process.communicate)
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {},
            {"N8N_RUNNERS_STDLIB_ALLOW": ("none", "default"), "N8N_RUNNERS_EXTERNAL_ALLOW": ("none", "default")},
        ),
        (
            {"N8N_RUNNERS_STDLIB_ALLOW": " json, os.path ,json", "N8N_RUNNERS_EXTERNAL_ALLOW_FILE": "{file}"},
            {"N8N_RUNNERS_STDLIB_ALLOW": ("json,os.path", "environment"), "N8N_RUNNERS_EXTERNAL_ALLOW": ("*", "file")},
        ),
    ],
)
async def test_start_up_log(environ: dict[str, str], expected: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    """The effective lists, and where each came from."""
    file = tmp_path / "packages"
    file.write_text("*\n")
    with fail_after(60):
        lines = await log_of_a_start(**{name: text.format(file=file) for name, text in environ.items()})
    found = {line["setting"]: (line["names"], line["source"]) for line in lines if line["event"] == "imports allowed"}
    assert found == expected


async def test_start_up_log_names_what_could_not_be_preloaded() -> None:
    """A name on a list that isn't installed, or that no setting allows, is warned of; the runner starts."""
    with fail_after(60):
        lines = await log_of_a_start(
            N8N_RUNNERS_STDLIB_ALLOW="json,subprocess",
            N8N_RUNNERS_EXTERNAL_ALLOW="no_such_package",
            REPTARIUM_PRELOAD="nor_this",
        )
    found = {
        line["module"]: (line["level"], line["reason"])
        for line in lines
        if line["event"] == "a module could not be preloaded"
    }
    assert found == {
        "subprocess": (
            "warning",
            "import of 'subprocess' is not allowed: tasks start no processes; use threads "
            "(concurrent.futures), or let n8n do it in another node. No setting allows it.",
        ),
        "no_such_package": ("warning", "No module named 'no_such_package'"),
        "nor_this": ("warning", "No module named 'nor_this'"),
    }


# ---- preloading --------------------------------------------------------------------------------


@asynccontextmanager
async def pool_of_one(policy: LanguagePolicy) -> AsyncIterator[WorkerPool]:
    """A pool whose worker takes code from below the language layer."""
    pool = WorkerPool(wire.ZygoteConfig(language=policy, isolation=IsolationConfig(), probe=True), size=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        await pool.wait_warm()
        try:
            yield pool
        finally:
            pool.close()
            nursery.cancel_scope.cancel()


async def loaded(policy: LanguagePolicy, names: set[str]) -> set[str]:
    """Which of these modules a warm worker has before any task."""
    code = f"import sys\nresult = sorted({names!r} & sys.modules.keys())"
    async with pool_of_one(policy) as pool:
        worker = await pool.lease()
        try:
            await worker.send(Kind.TASK, *wire.with_head(wire.TaskHead(code=code, items_size=2), b"[]"))
            kind, payload = await worker.receive({Kind.RESULT: 2**16, Kind.FAILED: 2**16})
            assert kind is Kind.RESULT, bytes(payload)
            found: set[str] = set(json.loads(bytes(wire.split_head(payload)[1])))
            return found
        finally:
            pool.discard(worker)


MODULES = {"graphlib", "tomllib", "plistlib", "yaml", "bs4", "pydantic"}


@pytest.mark.skipif(any(importlib.util.find_spec(name) is None for name in MODULES), reason="needs the test extra")
async def test_named_modules_are_imported_in_the_zygote() -> None:
    """Names of both lists and of REPTARIUM_PRELOAD are there when a task comes; nothing is for an open list alone."""
    with fail_after(60):
        assert await loaded(LanguagePolicy(("*",), ("*",)), MODULES) == set()
        policy = LanguagePolicy(("graphlib", "tomllib"), ("yaml",), preload=("bs4",))
        assert await loaded(policy, MODULES) == {"graphlib", "tomllib", "yaml", "bs4"}


# ---- tasks -------------------------------------------------------------------------------------


async def test_tasks_use_what_is_allowed_and_are_told_what_is_not() -> None:
    """The settings of the environment are the policy of the workers."""
    settings = make_settings({"N8N_RUNNERS_STDLIB_ALLOW": "json,os.path", "N8N_RUNNERS_EXTERNAL_ALLOW": "none_such"})
    code = "import json, os.path\n{}\nreturn json.loads('1'), os.path.basename('/a/b')"
    with fail_after(60):
        async with embedded_runner(settings) as broker:
            done = await broker.submit({"code": code.format(""), "items": []}).outcome()
            assert done.data is not None
            assert bytes(done.data.result) == b'[1,"b"]'
            for statement, setting in (
                ("import re", "N8N_RUNNERS_STDLIB_ALLOW"),
                ("from pandas import DataFrame", "N8N_RUNNERS_EXTERNAL_ALLOW"),
            ):
                refused = await broker.submit({"code": code.format(statement), "items": []}).outcome()
                assert refused.error is not None
                name = statement.split()[1]
                assert refused.error.message == f"Security violation: Line 2: import of '{name}' is not allowed"
                assert (
                    f"Line 2: import of '{name}' is not allowed: it is not on the list of" in refused.error.description
                )
                assert f"{setting} decides this." in refused.error.description


#: The unit tests whose programs run in real workers too.
CORPUS = """
    test_language_builtins test_language_classes test_language_dataclasses test_language_exceptions
    test_language_formatting test_language_functions test_language_generated_classes test_language_generators
    test_language_hooks test_language_match test_language_reflection test_packages test_stdlib_data test_stdlib_formats
    test_stdlib_numbers test_stdlib_reports test_stdlib_text test_stdlib_time
""".split()

#: What only a worker shows: pytest has replaced it in this process.
WARNING = "import warnings\nwarnings.warn('careful')\nraise ValueError('end')"


@pytest.mark.slow
@pytest.mark.parametrize("preloaded", [False, True])
async def test_what_users_write_works_in_real_workers(preloaded: bool) -> None:
    """Under the whole sandbox the unit tests' programs end well, whether their packages are imported by the zygote or
    late, by the worker: nothing that they need is in the way.
    """
    installed = [name for name in (*test_packages.PACKAGES, "requests") if importlib.util.find_spec(name) is not None]
    settings = make_settings({"N8N_RUNNERS_EXTERNAL_ALLOW": ",".join(installed) if preloaded and installed else "*"})
    modules = [importlib.import_module(f"tests.unit.language.{name}") for name in CORPUS]
    programs = {f"{module.__name__} {name}": text for module in modules for name, text in module.PROGRAMS.items()}
    failed = {}
    with fail_after(120):
        async with embedded_runner(settings) as broker:
            for name, program in programs.items():
                outcome = await broker.submit(
                    {"code": textwrap.dedent(program), "items": test_packages.ITEMS}
                ).outcome()
                if outcome.status != "done":
                    failed[name] = outcome.error
            assert failed == {}
            if importlib.util.find_spec("requests") is not None:
                asked = await broker.submit({"code": test_packages.REQUESTS, "items": []}).outcome()
                assert asked.data is not None, asked.error
                assert b"Max retries exceeded" in bytes(asked.data.result)
            warned = await broker.submit({"code": WARNING, "items": []}).outcome()
            assert warned.error is not None
            assert "<task>:2: UserWarning: careful" in str(warned.error)
