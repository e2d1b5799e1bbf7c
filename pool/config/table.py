"""The table of settings: what is read, what is allowed, what the default is.

Each default has its one place here. `loading.py` reads the environment by this table; `--print-config` and
`docs/configuration.md` are printed from it. A new setting is one row here and one field of `config.Settings`.
"""

from __future__ import annotations

from typing import Any

from reptarium.pool.config import values as kinds
from reptarium.pool.config.values import GIB, KIB, MIB, TIB, ValueKind
from reptarium.pool.config.variable import Variable

_DAY = 86_400.0

_LEVELS = kinds.choice(
    "debug", "info", "warning", "error", "critical", aliases={"warn": "warning", "silent": "critical"}
)


_BROKER, _CODE, _LIMITS, _SANDBOX, _RULES, _CONNECTIONS, _CALLS, _WATCH = (
    "Broker and life cycle",
    "What user code may use",
    "Limits of one task",
    "Sandbox",
    "Rules for some workflows",
    "Connections of user code",
    "Calls from user code (RPC)",
    "Logs, health and error reports",
)


def _row(name: str, field: str, kind: ValueKind, default: Any, group: str, doc: str, **options: Any) -> Variable:
    return Variable(name=name, field=field, kind=kind, default=default, group=group, doc=doc, **options)


VARIABLES: tuple[Variable, ...] = (
    # --- Broker and life cycle
    _row(
        "N8N_RUNNERS_TASK_BROKER_URI", "broker_uris",
        kinds.broker_uris(), ("http://127.0.0.1:5679",), _BROKER,
        "Address of n8n's task broker (`ws` and `wss` mean `http` and `https`; without a port 5679, n8n's own). A list "
        "serves several brokers from one pool; `dns+http://name:5679` serves every address that the name has (a "
        "headless Kubernetes service; of one family, where it has IPv6 and IPv4) and follows changes.",
    ),
    _row(
        "N8N_RUNNERS_GRANT_TOKEN", "grant_token", kinds.token(), None, _BROKER,
        "One-use token that n8n's launcher hands over. With it alone the runner ends when the connection is "
        "lost, so that the launcher can start it anew.",
        secret=True,
    ),
    _row(
        "N8N_RUNNERS_AUTH_TOKEN", "auth_token", kinds.token(), None, _BROKER,
        "Secret shared with n8n. With it the runner fetches its own grant tokens and reconnects for ever. One of fewer "
        "than 4 characters is not taken out of log lines, one of fewer than 8 only where it is a word of its own: it "
        "would be in every other word.",
        secret=True,
    ),
    _row(
        "N8N_RUNNERS_PATH", "broker_path", kinds.url_path(), "/runners", _BROKER,
        "Path prefix of the broker's runner service; must equal n8n's own setting.",
    ),
    _row(
        "REPTARIUM_BROKER_CA", "broker_ca", kinds.absolute_path(), None, _BROKER,
        "File with the certificates (PEM) of the authorities that the certificates of `https` brokers are checked "
        "against, instead of the system's authorities; that of `--n8n-url`, too (check.md).",
    ),
    _row(
        "N8N_RUNNERS_ID", "runner_id", kinds.identifier(100), "", _BROKER,
        "Id under which the broker knows this runner; n8n gives one to a runner that it starts itself. A new one for "
        "each start and broker when not set. Two runners of one broker must not share one.",
    ),
    _row(
        "REPTARIUM_RUNNER_NAME", "runner_name", kinds.text(100), "Reptarium", _BROKER,
        "Name that the runner tells the broker; appears in n8n's logs.",
    ),
    _row(
        "N8N_RUNNERS_MAX_CONCURRENCY", "max_concurrency", kinds.whole(1, 1000), 5, _BROKER,
        "Tasks that run at the same time, over all brokers.",
    ),
    _row(
        "REPTARIUM_WARM_WORKERS", "warm_workers", kinds.whole(0, 1000), 0, _BROKER,
        "Workers kept forked and parked, ready for a task; 0 means as many as may run at once.",
        default_from="max_concurrency", zero_is_default=True,
    ),
    _row(
        "REPTARIUM_WORKER_REUSE", "worker_reuse", kinds.choice("off", "same-node"), "off", _BROKER,
        "`same-node`: a worker that has ended a task well may be given the next one of the same workflow, node, code "
        "and rule, in a fresh namespace. What the code has left in its modules is there, then: see "
        "security-choices.md. Not where tasks have files or may connect.",
    ),
    _row(
        "REPTARIUM_REUSE_TASKS", "reuse_tasks", kinds.whole(1, 100_000), 1000, _BROKER,
        "Tasks that such a worker serves at most.",
    ),
    _row(
        "REPTARIUM_REUSE_IDLE", "reuse_idle", kinds.seconds(0.1, 3600), 30.0, _BROKER,
        "How long such a worker waits for the next one.",
    ),
    _row(
        "REPTARIUM_SETTINGS_TIMEOUT", "settings_timeout", kinds.seconds(0.1, 3600), 30.0, _BROKER,
        "How long an accepted task may wait for its settings before its slot is given to another. At most 2 s while "
        "others wait for it, of a broker that has sent none yet or has wasted a slot lately.",
    ),
    _row(
        "REPTARIUM_HEARTBEAT_INTERVAL", "heartbeat_interval", kinds.seconds(0.1, 3600), 30.0, _BROKER,
        "How often the runner pings the broker. One that neither answers for as long nor sends anything else is "
        "gone: the runner connects anew.",
    ),
    _row(
        "N8N_RUNNERS_GRACEFUL_SHUTDOWN_TIMEOUT", "graceful_shutdown_timeout",
        kinds.seconds(0, 3600), 10.0, _BROKER,
        "After SIGTERM, SIGINT, SIGQUIT or SIGHUP: how long running tasks may go on before they are killed.",
    ),
    _row(
        "N8N_RUNNERS_AUTO_SHUTDOWN_TIMEOUT", "auto_shutdown_timeout",
        kinds.seconds(0, 7 * _DAY, note=" (0 = never)"), 0.0, _BROKER,
        "End the runner after so many seconds without a task; 0 = never.",
    ),
    # --- What user code may use
    _row(
        "N8N_RUNNERS_STDLIB_ALLOW", "stdlib_allow", kinds.names(wildcard=True), (), _CODE,
        "Standard library modules that user code may import; `*` = all, empty = none.",
        by_rule=True,
    ),
    _row(
        "N8N_RUNNERS_EXTERNAL_ALLOW", "external_allow", kinds.names(wildcard=True), (), _CODE,
        "Installed packages that user code may import, by import name; `*` = all, empty = none.",
        by_rule=True,
    ),
    _row(
        "N8N_RUNNERS_BUILTINS_DENY", "builtins_deny", kinds.names(wildcard=False), (), _CODE,
        "Built-in names to take away from user code on top of those that the sandbox always withholds.",
        by_rule=True,
    ),
    _row(
        "N8N_RUNNERS_ALLOW_TRANSITIVE_IMPORTS", "allow_transitive_imports", kinds.boolean(), True, _CODE,
        "Whether allowed modules may import what isn't on the lists. Here they always may: user code can't reach what "
        "they import; `false` gets a warning.",
    ),
    _row(
        "REPTARIUM_PRELOAD", "preload", kinds.names(wildcard=False), (), _CODE,
        "Modules to import before workers are forked, besides those that the allowlists name.",
    ),
    _row(
        "REPTARIUM_PRELOAD_LEARN", "preload_learn", kinds.choice("on", "off"), "on", _CODE,
        "`on`: packages that tasks import again and again are imported before workers are forked from then on, as far "
        "as the allowlists permit them. See operating.md.",
    ),
    _row(
        "REPTARIUM_PRELOAD_MEMORY", "preload_memory", kinds.size(0, TIB, bare=MIB), 256 * MIB, _CODE,
        "Memory that what is learnt may take, in each pool: zygote and warm workers.",
    ),
    _row(
        "REPTARIUM_STATE_PATH", "state_path", kinds.absolute_path(), None, _CODE,
        "File in which what is learnt is kept across restarts. One file for each runner.",
    ),
    _row(
        "REPTARIUM_REQUIREMENTS", "requirements", kinds.absolute_path(), None, _CODE,
        "Requirements file: what it names is installed at the start, for tasks alone, and allowed by "
        "`N8N_RUNNERS_EXTERNAL_ALLOW` as what came with the image is. See installing-packages.md.",
    ),
    _row(
        "REPTARIUM_REQUIREMENTS_PATH", "requirements_path",
        kinds.absolute_path("directory"), "/var/lib/reptarium/packages", _CODE,
        "Directory that they are installed below and kept in, a volume; several runners may share it.",
    ),
    _row(
        "REPTARIUM_REQUIREMENTS_PRELOAD", "requirements_preload", kinds.boolean(), False, _CODE,
        "Whether workers have the packages that the file names imported already, as those that the allowlist names.",
    ),
    _row(
        "REPTARIUM_WHEELS", "wheels", kinds.absolute_path("directory"), None, _CODE,
        "Directory with wheels that they are taken from, and from nowhere else: no index is asked.",
    ),
    _row(
        "REPTARIUM_INSTALLER", "installer", kinds.choice("auto", "uv", "pip"), "auto", _CODE,
        "Who installs them; `auto`: uv where it is found and nothing configures pip, else pip.",
    ),
    _row(
        "REPTARIUM_LANGUAGE", "language", kinds.choice("restricted", "python"), "restricted", _CODE,
        "`restricted` judges user code before it runs and guards what it reads; `python` runs it as plain CPython, "
        "held by the kernel layer alone: the runner then starts only where that is there in full. See "
        "security-choices.md.",
        by_rule=True,
    ),
    _row(
        "N8N_BLOCK_RUNNER_ENV_ACCESS", "block_env_access", kinds.boolean(), True, _CODE,
        "`false` lets user code read the runner's environment, minus secrets: variables that have a secret's word in "
        "their name (`PASS`, `PWD`, `KEY`, `TOKEN`, `AUTH`, `CERT`, `SALT`, `DSN` …, joined ones such as `MYSQLPASS` "
        "too) or show one in their value (a password in a URL or connection string, a PEM block, a JWT …).",
    ),
    _row(
        "REPTARIUM_RESULT_CONVERSION", "result_conversion", kinds.choice("rich", "original"), "rich", _CODE,
        "What becomes of values that JSON can't hold: `rich` writes dates as ISO 8601, sets as lists, NaN "
        "as null and so on; `original` keeps Python's `str()` where n8n's own runner does.",
    ),
    # --- Limits of one task
    _row(
        "N8N_RUNNERS_TASK_TIMEOUT", "task_timeout", kinds.seconds(0.01, 7 * _DAY), 60.0, _LIMITS,
        "How long a task may run. Keep it at or below n8n's own setting of the same name.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_TASK_MEMORY", "task_memory", kinds.size(16 * MIB, TIB, bare=MIB), 512 * MIB, _LIMITS,
        "Memory that a task may use on top of the idle worker's.",
        by_rule=True,
    ),
    _row(
        "N8N_RUNNERS_MAX_PAYLOAD", "max_payload", kinds.size(KIB, 4 * GIB), GIB, _LIMITS,
        "Largest message from or to the broker.",
    ),
    _row(
        "REPTARIUM_MAX_RESULT", "max_result", kinds.size(KIB, 4 * GIB), 0, _LIMITS,
        "Largest result of a task, as JSON.",
        default_from="max_payload", by_rule=True,
    ),
    _row(
        "REPTARIUM_MAX_CONSOLE", "max_console", kinds.size(0, GIB), MIB, _LIMITS,
        "What a task may print in all, with 128 bytes for each print beside its text; the rest is dropped with a note.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_MAX_THREADS", "max_threads", kinds.whole(1, 4096), 8, _LIMITS,
        "Threads that one task may start, those of its libraries among them; one more ends the task, or with one user "
        "id per worker can't be started. A pool of threads whose size is left open takes what is left.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_MAX_OPEN_FILES", "max_open_files", kinds.whole(16, 65_536), 64, _LIMITS,
        "Open file descriptors of one task.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_SCRATCH", "scratch", kinds.size(MIB, TIB, bare=MIB, or_none=True), None, _LIMITS,
        "Bytes that a task may have in files: each task then gets a private directory to write in, gone with it. "
        "Not set: tasks write nowhere. See powers.md.",
        by_rule=True,
    ),
    # --- Sandbox
    _row(
        "REPTARIUM_ISOLATION", "isolation", kinds.choice("enforce", "best-effort"), "enforce", _SANDBOX,
        "`enforce` refuses to start without seccomp and, where the kernel knows it, Landlock; `best-effort` "
        "starts, warns, and shows what is missing in health and metrics.",
    ),
    _row(
        "REPTARIUM_NAMESPACES", "namespaces", kinds.choice("auto", "off"), "auto", _SANDBOX,
        "`auto` adds namespaces where the system permits them; `off` never tries.",
    ),
    _row(
        "REPTARIUM_SANDBOX_UID", "sandbox_uid", kinds.user_id(), None, _SANDBOX,
        "User id of the sandbox when the runner starts as root (65534 when not set).",
    ),
    _row(
        "REPTARIUM_SANDBOX_GID", "sandbox_gid", kinds.user_id(), None, _SANDBOX,
        "Group id of the sandbox when the runner starts as root (65534 when not set).",
    ),
    _row(
        "REPTARIUM_WORKER_UIDS", "worker_uids", kinds.user_id_range(), (20_000, 20_999), _SANDBOX,
        "User ids that workers take in turn when the runner starts as root, one each; `none` = one for all.",
    ),
    _row(
        "REPTARIUM_READ_PATHS", "read_paths", kinds.absolute_paths(), (), _SANDBOX,
        "Paths that workers may read besides the interpreter and its packages.",
        by_rule=True,
    ),
    # --- Rules for some workflows
    _row(
        "REPTARIUM_POLICY", "policy", kinds.absolute_path(), None, _RULES,
        "File (TOML) with rules that give some workflows and nodes other powers and limits than the environment does; "
        "read anew on SIGHUP. See policy.md.",
    ),
    _row(
        "REPTARIUM_MAX_POOLS", "max_pools", kinds.whole(2, 64), 4, _RULES,
        "Pools of warm workers at the same time: one of the environment's values, and one for each set of what rules "
        "say that must be decided before a worker is forked, made when first needed. More of them take turns.",
    ),
    _row(
        "REPTARIUM_POOL_IDLE", "pool_idle", kinds.seconds(1, 7 * _DAY), 300.0, _RULES,
        "How long a pool that rules take stays without a task before it is ended.",
    ),
    # --- Connections of user code
    _row(
        "REPTARIUM_CONNECT_ALLOW", "connect_allow", kinds.destinations(), (), _CONNECTIONS,
        "Where tasks may connect to over TCP, with any library: names, `*.suffix`, addresses and networks, each with "
        "its ports (`443`, `80|443`, `8000-8100`, `*`). Private, link-local and loopback addresses must be listed "
        "themselves, even where a listed name has one. Needs Linux 5.9; see connections.md.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_CONNECT_MAX", "connect_max", kinds.whole(1, 1_000_000), 1000, _CONNECTIONS,
        "Connections of one task in all.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_CONNECT_RATE", "connect_rate", kinds.whole(1, 10_000), 50, _CONNECTIONS,
        "Connections of one task per second, with as many at once; more of them wait.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_CONNECT_TIMEOUT", "connect_timeout", kinds.seconds(0.1, 3600), 10.0, _CONNECTIONS,
        "How long one connection may take to be made.",
        by_rule=True,
    ),
    # --- Calls from user code
    _row(
        "REPTARIUM_RPC_ALLOW", "rpc_allow", kinds.names(wildcard=True, default_all=True), ("*",), _CALLS,
        "Calls that user code may make to n8n, by name; `none` turns all of them off.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_HTTP_ALLOW", "http_allow", kinds.names(wildcard=True, default_all=True), ("*",), _CALLS,
        "Hosts that user code may reach through n8n's HTTP helper, such as `api.example.com, *.internal`; "
        "`none` turns it off.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_RPC_MAX_CALLS", "rpc_max_calls", kinds.whole(0, 1_000_000), 1000, _CALLS,
        "Calls of one task in all.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_RPC_MAX_BYTES", "rpc_max_bytes", kinds.size(KIB, 4 * GIB), 256 * MIB, _CALLS,
        "Bytes that the calls of one task may have in flight.",
        by_rule=True,
    ),
    _row(
        "REPTARIUM_RPC_TIMEOUT", "rpc_timeout", kinds.seconds(0.1, 3600), 60.0, _CALLS,
        "How long one call may take. It ends earlier at the execution's own deadline (n8n's time limit for "
        "executions), once the task has asked for anything of the execution.",
        by_rule=True,
    ),
    # --- Logs, health and error reports
    _row(
        "N8N_RUNNERS_LAUNCHER_LOG_LEVEL", "launcher_log_level", _LEVELS, "info", _WATCH,
        "Log level as n8n's launcher hands it over.",
    ),
    _row(
        "REPTARIUM_LOG_LEVEL", "log_level", _LEVELS, "", _WATCH,
        "Log level; wins over the launcher's.",
        default_from="launcher_log_level",
    ),
    _row(
        "REPTARIUM_LOG_FORMAT", "log_format",
        kinds.choice("auto", "console", "plain", "json"), "auto", _WATCH,
        "`console` for people, `plain` for n8n's launcher, `json` for log collectors; `auto` is `console` "
        "on a terminal and `plain` elsewhere.",
    ),
    _row(
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_ENABLED", "health_enabled", kinds.boolean(), False, _WATCH,
        "Serve `/healthz`, `/readyz` and `/metrics`.",
    ),
    _row(
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_HOST", "health_host", kinds.host(), "127.0.0.1", _WATCH,
        "Address that they are served on; `::` for every address, IPv4's too where the system allows it.",
    ),
    _row(
        "N8N_RUNNERS_HEALTH_CHECK_SERVER_PORT", "health_port",
        kinds.whole(0, 65_535, note=" (0 = any free)"), 5681, _WATCH,
        "Port that they are served on.",
    ),
    _row(
        "N8N_SENTRY_DSN", "sentry_dsn", kinds.token(), None, _WATCH,
        "Where to report the runner's own faults (needs the `sentry` extra). Errors of user code are never "
        "reported.",
        secret=True,
    ),
    _row(
        "N8N_SENTRY_TRACES_SAMPLE_RATE", "sentry_traces_sample_rate", kinds.rate(), 0.0, _WATCH,
        "Share of Sentry's transactions that are sent. Handed to the SDK; the runner itself begins none.",
    ),
    _row(
        "N8N_SENTRY_PROFILES_SAMPLE_RATE", "sentry_profiles_sample_rate", kinds.rate(), 0.0, _WATCH,
        "Share of those that are profiled. Handed to the SDK.",
    ),
    _row("N8N_VERSION", "n8n_version", kinds.text(), "", _WATCH, "n8n's version, for error reports."),
    _row("ENVIRONMENT", "environment", kinds.text(), "", _WATCH, "Name of the environment, for error reports."),
    _row("DEPLOYMENT_NAME", "deployment_name", kinds.text(), "", _WATCH, "The deployment's name, for error reports."),
)  # fmt: skip
BY_FIELD = {variable.field: variable for variable in VARIABLES}
#: What a rule of a policy may set, by its key there.
BY_RULE = {variable.field: variable for variable in VARIABLES if variable.by_rule}
