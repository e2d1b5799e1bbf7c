"""The environment becomes settings; whatever is wrong is said at once, and secrets stay hidden."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.config import (
    ConfigError,
    Settings,
    describe,
    load_settings,
    require_credentials,
    secret_values,
    task_environment,
)
from reptarium.pool.config.advice import advice, memory_here, short_grace, weak_secrets
from reptarium.pool.config.table import VARIABLES

GIB = 2**30
MIB = 2**20


def problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ)
    return caught.value.problems


def test_table_and_settings_have_the_same_fields() -> None:
    """Each row fills one field of Settings and each field but the two bookkeeping ones has a row."""
    fields = [variable.field for variable in VARIABLES]
    assert len(set(fields)) == len(fields)
    assert set(fields) == set(Settings.__struct_fields__) - {"sources", "warnings"}
    names = [variable.name for variable in VARIABLES]
    assert len(set(names)) == len(names)


def test_defaults_are_those_of_n8n() -> None:
    """Without any variable, the settings that n8n's runner knows have its defaults."""
    settings = load_settings({})
    assert settings.broker_uris == ("http://127.0.0.1:5679",)
    assert settings.max_concurrency == 5
    assert settings.max_payload == GIB
    assert settings.task_timeout == 60
    assert settings.graceful_shutdown_timeout == 10
    assert settings.auto_shutdown_timeout == 0
    assert (settings.health_enabled, settings.health_host, settings.health_port) == (False, "127.0.0.1", 5681)
    assert settings.stdlib_allow == settings.external_allow == ()
    assert settings.block_env_access is True
    assert settings.warnings == ()


def test_defaults_of_our_own() -> None:
    """Ours: isolation enforced, 512 MiB per task, as many warm workers as slots, calls allowed."""
    settings = load_settings({})
    assert settings.isolation == "enforce"
    assert settings.task_memory == 512 * MIB
    assert settings.warm_workers == settings.max_concurrency
    assert settings.max_result == settings.max_payload
    assert settings.worker_uids == (20_000, 20_999)
    assert settings.rpc_allow == settings.http_allow == ("*",)
    assert settings.result_conversion == "rich"
    assert settings.log_level == "info"


def test_derived_defaults_follow_what_they_derive_from() -> None:
    """Warm workers, largest result and log level follow the variable they default to."""
    settings = load_settings(
        {
            "N8N_RUNNERS_MAX_CONCURRENCY": "12",
            "N8N_RUNNERS_MAX_PAYLOAD": "2048",
            "N8N_RUNNERS_LAUNCHER_LOG_LEVEL": "DEBUG",
            "REPTARIUM_WARM_WORKERS": "0",
        }
    )
    assert (settings.warm_workers, settings.max_result, settings.log_level) == (12, 2048, "debug")
    assert settings.sources["REPTARIUM_WARM_WORKERS"] == "default"


def test_own_log_level_wins_over_the_launchers() -> None:
    """REPTARIUM_LOG_LEVEL counts when both are set."""
    environ = {"N8N_RUNNERS_LAUNCHER_LOG_LEVEL": "debug", "REPTARIUM_LOG_LEVEL": "warn"}
    assert load_settings(environ).log_level == "warning"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", 512 * MIB),
        ("512MiB", 512 * MIB),
        ("512 mb", 512_000_000),
        ("1GiB", GIB),
        ("1.5Gi", 3 * GIB // 2),
        ("64m", 64 * MIB),
    ],
)
def test_task_memory_counts_mebibytes(text: str, expected: int) -> None:
    """A bare number is MiB; units are understood in the spellings that people use."""
    assert load_settings({"REPTARIUM_TASK_MEMORY": text}).task_memory == expected


def test_payload_counts_bytes() -> None:
    """n8n counts N8N_RUNNERS_MAX_PAYLOAD in bytes, and so does this."""
    assert load_settings({"N8N_RUNNERS_MAX_PAYLOAD": "1073741824"}).max_payload == GIB


@pytest.mark.parametrize("text", ["true", "1", "YES", "On"])
def test_true_has_many_spellings(text: str) -> None:
    """true, 1, yes and on, in any case."""
    assert load_settings({"N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED": text}).health_enabled is True


@pytest.mark.parametrize("text", ["false", "0", "No", "OFF"])
def test_false_has_many_spellings(text: str) -> None:
    """false, 0, no and off, in any case."""
    assert load_settings({"N8N_BLOCK_RUNNER_ENV_ACCESS": text}).block_env_access is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [("json, re ,math,json", ("json", "re", "math")), ("*", ("*",)), ("", ()), (" , ", ()), (" * ", ("*",))],
)
def test_allowlists(text: str, expected: tuple[str, ...]) -> None:
    """Names with spaces around them, * alone for all, nothing for none."""
    assert load_settings({"N8N_RUNNERS_STDLIB_ALLOW": text}).stdlib_allow == expected


def test_wildcard_stands_alone() -> None:
    """`*` beside other names is refused, as in n8n."""
    (problem,) = problems(N8N_RUNNERS_STDLIB_ALLOW="*,json")
    assert problem.startswith("N8N_RUNNERS_STDLIB_ALLOW='*,json': * must stand alone; expected")


@pytest.mark.parametrize("text", ["none", "NONE", ""])
def test_calls_can_be_turned_off(text: str) -> None:
    """`none` or nothing allows no call."""
    settings = load_settings({"REPTARIUM_RPC_ALLOW": text, "REPTARIUM_HTTP_ALLOW": text})
    assert settings.rpc_allow == settings.http_allow == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://n8n:5679/", ("http://n8n:5679",)),
        ("HTTPS://N8N.Example:443", ("https://n8n.example:443",)),
        ("http://a:1, http://b:2,http://a:1", ("http://a:1", "http://b:2")),
        ("dns+http://n8n-worker:5679", ("dns+http://n8n-worker:5679",)),
        ("http://[::1]:5679", ("http://[::1]:5679",)),
    ],
)
def test_broker_addresses(text: str, expected: tuple[str, ...]) -> None:
    """One address, several, or a name to look up; normalised and without repeats."""
    assert load_settings({"N8N_RUNNERS_TASK_BROKER_URI": text}).broker_uris == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("n8n:5679", "is not a scheme"),
        ("amqp://n8n:5679", "is not a scheme"),
        ("http://", "no host"),
        ("http://user:pw@n8n:5679", "user names and passwords"),
        ("http://n8n:5679/runners", "N8N_RUNNERS_PATH"),
        ("dns+https://n8n:443", "a certificate can't be checked"),
        ("http://n8n:99999", "Port out of range"),
        (",", "empty"),
    ],
)
def test_wrong_broker_addresses(text: str, reason: str) -> None:
    """What can't be a broker's address is refused with the reason."""
    (problem,) = problems(N8N_RUNNERS_TASK_BROKER_URI=text)
    assert reason in problem
    assert problem.startswith("N8N_RUNNERS_TASK_BROKER_URI=")


@pytest.mark.parametrize("text", ["/läufer", "/runners?x", "/a b", "/a#b", "/a\x7f"])
def test_wrong_path_of_brokers(text: str) -> None:
    """What no request line can carry as a path is refused at the start, not at the first connection."""
    (problem,) = problems(N8N_RUNNERS_PATH=text)
    assert problem.startswith("N8N_RUNNERS_PATH=")


@pytest.mark.parametrize("text", ["ca.pem", "./ca.pem", "-----BEGIN CERTIFICATE-----\nMIIB", "/ca\n.pem"])
def test_wrong_file_of_authorities(text: str) -> None:
    """It is a path, from the root; neither one that depends on where we are, nor the certificates themselves."""
    (problem,) = problems(REPTARIUM_BROKER_CA=text)
    assert "not an absolute path; expected the absolute path of a file" in problem


def test_ids_are_fit_for_urls() -> None:
    """An id that n8n assigns is taken as it is; one that would change in a URL is refused."""
    assert load_settings({"N8N_RUNNERS_ID": "V1StGXR8_Z5jdHi6B-myT"}).runner_id == "V1StGXR8_Z5jdHi6B-myT"
    assert load_settings({}).runner_id == ""
    for wrong in ("a b", "a/b", "ä", "x" * 101):
        (problem,) = problems(N8N_RUNNERS_ID=wrong)
        assert problem.startswith("N8N_RUNNERS_ID=")


def test_every_wrong_variable_is_named() -> None:
    """All mistakes come in one error, each with variable, value and what is allowed."""
    found = problems(
        N8N_RUNNERS_MAX_CONCURRENCY="lots",
        N8N_RUNNERS_TASK_TIMEOUT="-3",
        REPTARIUM_ISOLATION="strict",
        REPTARIUM_WORKER_UIDS="9-3",
        REPTARIUM_SANDBOX_UID="0",
        REPTARIUM_READ_PATHS="/srv/data:relative",
        N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT="70000",
    )
    text = "\n".join(found)
    assert len(found) == 7
    assert "N8N_RUNNERS_MAX_CONCURRENCY='lots'" in text
    assert "a whole number from 1 to 1000" in text
    assert "REPTARIUM_ISOLATION='strict'" in text
    assert "enforce | best-effort" in text
    assert "0 is root" in text
    assert "'relative' is not absolute" in text


def test_a_wrong_secret_is_not_shown() -> None:
    """The error about a token doesn't quote it."""
    (problem,) = problems(N8N_RUNNERS_AUTH_TOKEN="hush hush")
    assert "hush" not in problem
    assert "N8N_RUNNERS_AUTH_TOKEN=(hidden)" in problem


def test_any_variable_can_be_a_file(tmp_path: Path) -> None:
    """NAME_FILE gives a value from a file, without the line end that editors add."""
    environ = {}
    for name, text in {
        "N8N_RUNNERS_AUTH_TOKEN": "s3cret\n",
        "N8N_RUNNERS_MAX_CONCURRENCY": " 9\n",
        "N8N_RUNNERS_STDLIB_ALLOW": "\n",
    }.items():
        (tmp_path / name).write_text(text)
        environ[name + "_FILE"] = str(tmp_path / name)
    settings = load_settings(environ)
    assert (settings.auth_token, settings.max_concurrency, settings.stdlib_allow) == ("s3cret", 9, ())
    assert settings.sources["N8N_RUNNERS_AUTH_TOKEN"] == "file"
    assert settings.warnings == ()


def test_variable_wins_over_its_file(tmp_path: Path) -> None:
    """When both are set the variable counts, with a warning."""
    (tmp_path / "token").write_text("from-file")
    settings = load_settings(
        {"N8N_RUNNERS_AUTH_TOKEN": "direct", "N8N_RUNNERS_AUTH_TOKEN_FILE": str(tmp_path / "token")}
    )
    assert settings.auth_token == "direct"
    assert any("both set" in warning for warning in settings.warnings)


def test_empty_variable_leaves_its_file_in_force(tmp_path: Path) -> None:
    """`NAME=` beside NAME_FILE is how compose files write "not set"."""
    (tmp_path / "token").write_text("from-file")
    settings = load_settings({"N8N_RUNNERS_AUTH_TOKEN": "", "N8N_RUNNERS_AUTH_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.auth_token == "from-file"


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    """A missing, an empty, an oversized and a binary file each get their own words."""
    cases = {"empty": b"", "big": b"x" * 70_000, "binary": b"\xff\xfe\x00"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    for name, words in {
        "absent": "No such file",
        "empty": "is empty",
        "big": "longer than",
        "binary": "not UTF-8",
    }.items():
        (problem,) = problems(N8N_RUNNERS_AUTH_TOKEN_FILE=str(tmp_path / name))
        assert words in problem
        assert problem.startswith("N8N_RUNNERS_AUTH_TOKEN_FILE=")


def test_unknown_names_get_the_nearest_known_one() -> None:
    """A misspelt name is ignored with a warning; names of n8n, its launcher and others get none."""
    settings = load_settings(
        {
            "N8N_RUNNERS_MAX_CONCURENCY": "7",
            "REPTARIUM_QUUX": "1",
            "N8N_RUNNERS_MODE": "external",
            "N8N_RUNNERS_HIDE_TASK_OFFER_LOGS": "true",
            "N8N_LOG_LEVEL": "debug",
            "HOME": "/home/me",
        }
    )
    first, second = settings.warnings
    assert first.startswith("N8N_RUNNERS_MAX_CONCURENCY")
    assert first.endswith("did you mean N8N_RUNNERS_MAX_CONCURRENCY?")
    assert second == "REPTARIUM_QUUX is not a setting of this runner and is ignored"


def test_oddities_are_warned_of() -> None:
    """Names that no import has, too few user ids and unsendable results are accepted with a warning."""
    settings = load_settings(
        {
            "N8N_RUNNERS_EXTERNAL_ALLOW": "python-dateutil",
            "REPTARIUM_WORKER_UIDS": "20000-20001",
            "REPTARIUM_MAX_RESULT": "2GiB",
            "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS": "false",
        }
    )
    text = "\n".join(settings.warnings)
    assert len(settings.warnings) == 4
    assert "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS=false has no effect" in text
    assert "'python-dateutil' can't be an import name" in text
    assert "2 ids for up to 10 workers" in text
    assert "REPTARIUM_MAX_RESULT is above" in text


def test_names_in_lists_of_imports() -> None:
    """A name that a list can't mean is warned of, with what is near or the list that it belongs to."""
    environ = {
        "N8N_RUNNERS_STDLIB_ALLOW": "jsom,json,os.path,numpy",
        "N8N_RUNNERS_EXTERNAL_ALLOW": "re,pandas,xml.dom",
    }
    assert load_settings(environ).warnings == (
        "N8N_RUNNERS_STDLIB_ALLOW: 'jsom' is no module of this Python's standard library; did you mean json?",
        "N8N_RUNNERS_STDLIB_ALLOW: 'numpy' is no module of this Python's standard library; "
        "other packages are listed in N8N_RUNNERS_EXTERNAL_ALLOW",
        "N8N_RUNNERS_EXTERNAL_ALLOW: 're' is of Python's standard library; N8N_RUNNERS_STDLIB_ALLOW is its list",
        "N8N_RUNNERS_EXTERNAL_ALLOW: 'xml.dom' is of Python's standard library; N8N_RUNNERS_STDLIB_ALLOW is its list",
    )
    assert load_settings({"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}).warnings == ()


def test_description_hides_secrets_and_names_sources() -> None:
    """--print-config shows each variable's effective value and source, secrets hidden."""
    settings = load_settings(
        {
            "N8N_RUNNERS_AUTH_TOKEN": "hush",
            "REPTARIUM_TASK_MEMORY": "1GiB",
            "N8N_RUNNERS_STDLIB_ALLOW": "json",
        }
    )
    rows = {row.variable: row for row in describe(settings)}
    assert list(rows) == [variable.name for variable in VARIABLES]
    assert (rows["N8N_RUNNERS_AUTH_TOKEN"].value, rows["N8N_RUNNERS_AUTH_TOKEN"].source) == (
        "(hidden)",
        "environment",
    )
    assert rows["N8N_RUNNERS_GRANT_TOKEN"].value == "(not set)"
    assert rows["REPTARIUM_TASK_MEMORY"].value == "1 GiB"
    assert rows["N8N_RUNNERS_STDLIB_ALLOW"].value == "json"
    assert rows["REPTARIUM_ISOLATION"].source == "default"


def test_repr_hides_secrets() -> None:
    """A Settings that lands in a log or a traceback doesn't give its tokens away."""
    settings = load_settings({"N8N_RUNNERS_AUTH_TOKEN": "hush", "N8N_RUNNERS_GRANT_TOKEN": "psst"})
    assert "hush" not in repr(settings)
    assert "psst" not in f"{settings}"
    assert secret_values(settings) == {"hush", "psst"}


def test_credentials_are_needed_to_run() -> None:
    """Without a token there is nothing to connect with; a one-use token is good for one broker."""
    with pytest.raises(ConfigError, match="no token"):
        require_credentials(load_settings({}))
    require_credentials(load_settings({"N8N_RUNNERS_GRANT_TOKEN": "once"}))
    for uri in ("http://a:1,http://b:1", "dns+http://n8n:5679"):
        environ = {"N8N_RUNNERS_GRANT_TOKEN": "once", "N8N_RUNNERS_TASK_BROKER_URI": uri}
        with pytest.raises(ConfigError, match="one connection to one broker"):
            require_credentials(load_settings(environ))
        require_credentials(load_settings(environ | {"N8N_RUNNERS_AUTH_TOKEN": "shared"}))


def test_tasks_see_no_environment_by_default() -> None:
    """N8N_BLOCK_RUNNER_ENV_ACCESS is on unless turned off."""
    assert task_environment({"PATH": "/bin"}, load_settings({})) == {}


def test_tasks_see_no_secrets() -> None:
    """When access is opened, tokens and whatever sounds like or contains one stay out."""
    environ = {
        "N8N_BLOCK_RUNNER_ENV_ACCESS": "false",
        "N8N_RUNNERS_AUTH_TOKEN": "tok-en",
        "N8N_RUNNERS_GRANT_TOKEN_FILE": "",
        "N8N_SENTRY_DSN": "https://k@sentry.example/1",
        "N8N_ENCRYPTION_KEY": "k",
        "DB_POSTGRESDB_PASSWORD": "p",
        "COPY": "Bearer tok-en",
        "DATABASE_URL": "postgres://n8n:pw@db/n8n",
        "PROXY_AUTH": "basic",
        "TZ": "Europe/Berlin",
        "MY_SETTING": "42",
    }
    assert task_environment(environ, load_settings(environ)) == {
        "N8N_BLOCK_RUNNER_ENV_ACCESS": "false",
        "TZ": "Europe/Berlin",
        "MY_SETTING": "42",
    }


@given(st.sampled_from([variable.name for variable in VARIABLES]), st.text(max_size=30))
def test_any_text_is_either_a_value_or_a_named_error(name: str, text: str) -> None:
    """Whatever stands in a variable: settings, or an error that starts with its name. Nothing else."""
    found: tuple[str, ...] = ()
    try:
        settings = load_settings({name: text})
    except ConfigError as error:
        found = error.problems
    if found:
        assert len(found) == 1
        assert found[0].startswith(f"{name}=")
    else:
        assert len(describe(settings)) == len(VARIABLES)


def test_short_secrets_are_named() -> None:
    """A token of a letter or two starts, as n8n does with it, and it is said that it is no secret."""
    for name in ("N8N_RUNNERS_AUTH_TOKEN", "N8N_RUNNERS_GRANT_TOKEN", "N8N_SENTRY_DSN"):
        (warning,) = weak_secrets(load_settings({name: "xyz"}))
        assert warning.startswith(f"{name} has fewer than 4 characters")
        assert "xyz" not in warning
        assert weak_secrets(load_settings({name: "hush"})) == ()
    assert weak_secrets(load_settings({})) == ()


def test_a_grace_shorter_than_a_task_may_take_is_told() -> None:
    """The default is n8n's, and short: whoever stops such a runner loses tasks that had time left."""
    (warning,) = short_grace(load_settings({}))
    assert warning.startswith("N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT is 10 s, shorter than the 60 s")
    assert short_grace(load_settings({"N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": "60"})) == ()
    assert short_grace(load_settings({"N8N_RUNNERS_TASK_TIMEOUT": "10"})) == ()


def test_two_tokens_are_told_of() -> None:
    """Which of them is used when: n8n's launcher hands one over, and somebody has set the other."""
    both = {"N8N_RUNNERS_AUTH_TOKEN": "long-enough", "N8N_RUNNERS_GRANT_TOKEN": "long-enough-too"}
    (warning, _) = advice(load_settings(both), 2**40)
    assert warning.startswith("N8N_RUNNERS_GRANT_TOKEN and N8N_RUNNERS_AUTH_TOKEN are both set")
    for name in both:
        assert len(advice(load_settings({name: both[name]}), 2**40)) == 1


@pytest.mark.parametrize(
    ("environ", "memory", "begins"),
    [
        ({"N8N_RUNNERS_MAX_CONCURRENCY": "4", "REPTARIUM_WARM_WORKERS": "9"}, 2**40, "REPTARIUM_WARM_WORKERS=9"),
        ({"N8N_RUNNERS_MAX_CONCURRENCY": "4"}, 2 * GIB - 1, "N8N_RUNNERS_MAX_CONCURRENCY=4 tasks may use 2048 MiB"),
        ({"N8N_RUNNERS_MAX_CONCURRENCY": "4", "REPTARIUM_WARM_WORKERS": "8"}, 2 * GIB, None),
        ({"N8N_RUNNERS_MAX_CONCURRENCY": "1000"}, 0, None),  # nobody says how much there is
    ],
)
def test_what_the_machine_has_not(environ: dict[str, str], memory: int, begins: str | None) -> None:
    """More warm workers than are ever of use, and more memory than there is, are told of."""
    grace = {"N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT": "60"}
    found = advice(load_settings({**grace, **environ}), memory)
    assert [line[: len(begins or "")] for line in found] == ([] if begins is None else [begins])


def test_memory_is_the_least_that_anybody_says(tmp_path: Path) -> None:
    """The machine's, a container's as it sees it, or that of the control group that a service is in."""
    files = {
        "proc/meminfo": "MemTotal:       4096 kB\nMemFree: 1 kB\n",
        "proc/self/cgroup": "0::/system.slice/reptarium.service\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/reptarium.service/memory.max": "1048576\n",
    }
    assert memory_here(tmp_path) == 0
    for (name, text), expected in zip(files.items(), (4 * MIB, 4 * MIB, 4 * MIB, MIB), strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        assert memory_here(tmp_path) == expected


@pytest.mark.parametrize(
    "name",
    ["N8N_RUNNER_TASK_TIMEOUT", "N8N_RUNERS_TASK_TIMEOUT", "N8N_RUNNERSS_TASK_TIMEOUT", "N9N_RUNNERS_TASK_TIMEOUT"],
)
def test_a_letter_astray_before_the_name(name: str) -> None:
    """Is found as well as one in the name: such a variable looks as if it were set."""
    (warning,) = load_settings({name: "10"}).warnings
    assert warning == f"{name} is not a setting of this runner and is ignored; did you mean N8N_RUNNERS_TASK_TIMEOUT?"


@pytest.mark.parametrize("name", ["N8N_RUN_TASK_TIMEOUT", "RUNNERS_TASK_TIMEOUT", "N8N_PORT", "REPTILE_HOUSE"])
def test_names_of_others_are_theirs(name: str) -> None:
    """More than a letter apart, a variable is none of ours."""
    assert load_settings({name: "10"}).warnings == ()


def test_an_address_without_a_port_is_n8ns() -> None:
    """Of whatever scheme; and it is told, since 80 and 443 are what such an address means elsewhere."""
    uris = "http://n8n, wss://n8n.test:, dns+http://workers,http://other:80,http://[::1]"
    settings = load_settings({"N8N_RUNNERS_TASK_BROKER_URI": uris})
    assert settings.broker_uris == (
        "http://n8n:5679", "https://n8n.test:5679", "dns+http://workers:5679", "http://other:80", "http://[::1]:5679"
    )  # fmt: skip
    without = ["http://n8n", "wss://n8n.test:", "dns+http://workers", "http://[::1]"]
    assert [line.split()[1] for line in settings.warnings] == without
    assert all("5679" in line for line in settings.warnings)


def test_short_secrets_hide_nothing_from_tasks() -> None:
    """A token of one letter takes away from tasks the variables that hold it alone, not those that have the letter."""
    environ = {"N8N_BLOCK_RUNNER_ENV_ACCESS": "false", "N8N_RUNNERS_AUTH_TOKEN": "a"}
    settings = load_settings(environ)
    assert task_environment({**environ, "SHELL": "/bin/bash", "LETTER": "a"}, settings) == {
        "N8N_BLOCK_RUNNER_ENV_ACCESS": "false",
        "SHELL": "/bin/bash",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://n8n:5679", ("http://n8n:5679",)),
        ("wss://N8N.example", ("https://n8n.example:5679",)),
        ("WS://n8n:5679/, http://n8n:5679", ("http://n8n:5679",)),
        ("dns+ws://n8n:5679", ("dns+http://n8n:5679",)),
    ],
)
def test_websocket_schemes(text: str, expected: tuple[str, ...]) -> None:
    """A broker's WebSocket scheme is as good as its HTTP scheme."""
    assert load_settings({"N8N_RUNNERS_TASK_BROKER_URI": text}).broker_uris == expected


def test_wrong_schemes_name_what_is_allowed() -> None:
    """Others are refused with what is allowed; a name behind TLS can't be looked up, under either scheme."""
    (problem,) = problems(N8N_RUNNERS_TASK_BROKER_URI="amqp://n8n:5679")
    assert "'amqp' is not a scheme that a broker has" in problem
    assert "ws://" in problem
    (problem,) = problems(N8N_RUNNERS_TASK_BROKER_URI="dns+wss://n8n:5679")
    assert "certificate" in problem


BOOLEANS = [variable.name for variable in VARIABLES if isinstance(variable.default, bool)]


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("text", ["banana", "2", "-1", "tru", "y", "null", "true,false"])
def test_wrong_boolean_ends_the_start(name: str, text: str) -> None:
    """What is neither true nor false is refused with what is allowed, where n8n's runner would take it for false."""
    assert problems(**{name: text}) == (
        f"{name}={text!r}: not a boolean; expected true or false (also 1/0, yes/no, on/off)",
    )


RATES = ["N8N_SENTRY_TRACES_SAMPLE_RATE", "N8N_SENTRY_PROFILES_SAMPLE_RATE"]


@pytest.mark.parametrize("name", RATES)
def test_sample_rates(name: str) -> None:
    """Sentry's sample rates are shares from 0 to 1, 0 unless set."""
    field = next(variable.field for variable in VARIABLES if variable.name == name)
    assert getattr(load_settings({}), field) == 0
    for text, value in (("0", 0), ("1", 1), ("1.0", 1), ("0.25", 0.25), (".5", 0.5), ("1e-3", 0.001), ("1.", 1)):
        assert getattr(load_settings({name: text}), field) == value
    for text in ("1.1", "-0.1", "50%", "nan", "inf", "0,5", "0x1", "１", "1e9999", "e1", "."):
        (problem,) = problems(**{name: text})
        assert problem.endswith("expected a number from 0 to 1")


def test_profiles_need_traces() -> None:
    """A profile belongs to a transaction: without traces the setting does nothing, and the start says so."""
    (warning,) = load_settings({"N8N_SENTRY_PROFILES_SAMPLE_RATE": "1"}).warnings
    assert warning == "N8N_SENTRY_PROFILES_SAMPLE_RATE has no effect without N8N_SENTRY_TRACES_SAMPLE_RATE"
    assert load_settings(dict.fromkeys(RATES, "1")).warnings == ()


def test_plain_python_needs_enforce() -> None:
    """The mode that only the kernel layer holds can't be had where layers may be missing; the text names both."""
    with pytest.raises(ConfigError) as caught:
        load_settings({"REPTARIUM_LANGUAGE": "python", "REPTARIUM_ISOLATION": "best-effort"})
    assert str(caught.value) == (
        "REPTARIUM_LANGUAGE='python': only with REPTARIUM_ISOLATION=enforce, which is best-effort: nothing but the "
        "kernel layer holds user code in this mode"
    )
    assert load_settings({"REPTARIUM_LANGUAGE": "python"}).language == "python"
    assert load_settings({"REPTARIUM_ISOLATION": "best-effort"}).language == "restricted"
