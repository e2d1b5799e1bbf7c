"""What is taken for a secret by its name or its value, and what isn't."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reptarium.pool.config import load_settings, task_environment
from reptarium.pool.config.secrets import names_secret, shows_secret
from reptarium.pool.tasks.call_rules import release_environment

SECRET_NAMES = """
SMTP_PASS MYSQL_PWD REDIS_PASS TLS_CERT SESSION_SALT ENCRYPTIONKEY PASSWORD PASSWD PASSPHRASE PASS_PHRASE
DB_PASSWORD PGPASSWORD PGPASSFILE MYSQLPASS REDISAUTH REDISCLI_AUTH PROXY_AUTH BASIC_AUTH OAUTH_CLIENT OAUTH2_CLIENT
API_KEY APIKEY MY_APIKEYS ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY ACCESSKEY SSHKEY SSH_PRIVATE_KEY
PRIVATE PRIVATE_PEM CLIENT_SECRET CLIENTSECRET SECRETS SECRET_ID GITHUB_TOKEN TOKEN ACCESSTOKEN TOKENS TOKEN_2
CREDENTIALS CREDENTIAL_FILE AWS_CREDS CRED DBCREDS JWT JWT_ISSUER APPJWT JWKS COOKIE SESSION_COOKIES SIGNING_ALGORITHM
WEBHOOK_SIGNATURE BEARER AUTH AUTHENTICATION AUTHORIZATION SENTRY_DSN DATABASEDSN SALT PASSWORD_SALTS PEPPER
SSL_CERT_FILE CERTIFICATE CERTS TLSCERT HMAC WIREGUARD_PSK TOTP_SEED MFA_CODE PIN ROOT_PW KEYSTORE_PATH KRB5_KEYTAB
smtp_pass mysqlPassword apiKey clientSecret dbPass PASSWORD2 KEY1 S3KEY SPRING.DATASOURCE.PASSWORD x-api-key
MONKEY_PASSWORD COMPASS_KEY SLACK_WEBHOOK_URL
""".split()
ORDINARY_NAMES = """
PATH LANG LC_ALL TZ HOME PWD OLDPWD SHELL TERM KEYBOARD KEYBOARD_LAYOUT MONKEY MONKEYS COMPASS COMPASS_HEADING AUTHOR
AUTHORS GIT_AUTHOR_NAME PASSENGER_COUNT PASSAGE PASSIVE_MODE BYPASS_CACHE KEYWORDS KEYNOTE KEYCLOAK_URL VALKEY_HOST
TURKEY HOCKEY_LEAGUE CONCERT_DATE CERTAINTY SECRETARY_NAME TOKENIZERS_PARALLELISM BASALT HOSTNAME PYTHONHASHSEED
XDG_SESSION_TYPE COLOUR PINNED OPINION SPINDLE DESIGNING PRIVACY_URL PRIVILEGE CREDIT_LIMIT SACRED EDITOR MAILTO
USER_COUNT accessibility compassHeading authorName AUTHORITY KUBERNETES_SERVICE_HOST NODE_ENV ENVIRONMENT
""".split()
SECRET_VALUES = [
    "postgres://user:word@db/x",
    "postgres://user:wo/rd@db/x",
    "postgres://user:p@ss@db/x",
    "redis://:word@db:6379/0",
    "amqp+ssl://u:w@mq",
    "jdbc:postgresql://u:w@db/x",
    "http://u:14@proxy:3128",
    "https://public@sentry.example/1",
    "see https://ghp@host and more",
    "me:word@tcp(127.0.0.1:3306)/x",
    "me:word@proxy:3128",
    "Server=db;User=me;Password=word;",
    "host=db user=me password=word",
    "AccountName=x;AccountKey=abc==",
    "Endpoint=sb://x/;SharedAccessKey=abc",
    "jdbc:mysql://db/x?user=me&password=word",
    "https://store.example/file?sv=1&sig=abc",
    "https://api.example/?api_key=abc",
    '{"type": "service_account", "private_key": "abc"}',
    '{"user": "me", "password" : "word"}',
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "x\n-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\\nMIIE",
    "Bearer abc",
    "basic dTpw",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
    "ghp_0123456789abcdefghij",
    "xoxb-0123456789-abcdefgh",
    "AKIAIOSFODNN7EXAMPLE",
    "sk_live_0123456789abcdefgh",
    "https://hooks.slack.com/services/T0/B0/abc",
]
ORDINARY_VALUES = [
    "",
    "blue",
    "42",
    "/usr/local/bin:/usr/bin:/bin",
    "https://example.com/a:b@c",
    "http://n8n:5679",
    "http://n8n:5679/path@here",
    "http://127.0.0.1:5679/?next=me@example.com",
    "ssh://git@github.com/x/y",
    "git@github.com:x/y.git",
    "mailto:me@example.com",
    "me@example.com",
    "Europe/Berlin",
    "en_US.UTF-8",
    "key=value",
    "compass=north;author=me",
    "a monkey: a keyboard",
    "12:30@noon street",
    "tokenizer=fast",
    "basically",
]


def shown(name: str, value: str) -> set[bool]:
    """Whether a task sees the variable of the runner, and of n8n."""
    settings = load_settings({"N8N_BLOCK_RUNNER_ENV_ACCESS": "false"})
    return {name in task_environment({name: value}, settings), name in release_environment({name: value})}


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets(name: str) -> None:
    """By a word of the name, joined or apart, in capitals or not; neither environment shows it."""
    assert names_secret(name)
    assert shown(name, "x") == {False}


@pytest.mark.parametrize("name", ORDINARY_NAMES)
def test_names_of_ordinary_things(name: str) -> None:
    """What has such letters only by chance is shown, from both environments."""
    assert not names_secret(name)
    assert shown(name, "x") == {True}


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_values_that_carry_a_secret(value: str) -> None:
    """Whatever the variable is called: neither environment shows it."""
    assert shows_secret(value)
    assert shown("X", value) == {False}


@pytest.mark.parametrize("value", ORDINARY_VALUES)
def test_ordinary_values(value: str) -> None:
    """Addresses, ports, paths and mail addresses are shown."""
    assert not shows_secret(value)
    assert shown("X", value) == {True}


_stems = st.sampled_from(
    ["PASSWORD", "PASS", "PWD", "SECRET", "TOKEN", "KEY", "CERT", "SALT", "DSN", "AUTH", "COOKIE", "CREDENTIALS", "JWT"]
)
_others = st.sampled_from(["SMTP", "MY", "APP", "X", "DB", "PROD", "COLOUR", "FILE", "1", "ID", "KEYBOARD", "AUTHOR"])


@given(st.lists(_others, max_size=3), _stems, st.lists(_others, max_size=3), st.sampled_from("_-. "), st.booleans())
def test_a_secrets_word_anywhere_in_a_name(
    before: list[str], stem: str, after: list[str], between: str, lower: bool
) -> None:
    """Whatever stands before and behind it, however the words are parted."""
    name = between.join([*before, stem, *after])
    if re.fullmatch(r"(?i)pwd", name):
        return
    assert names_secret(name.lower() if lower else name)
    assert names_secret("".join(word.capitalize() for word in (*before, stem, *after)))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), st.text(max_size=200))
def test_any_text_is_judged(name: str, value: str) -> None:
    """No name and no value is beyond it, and an own judgement is the same twice."""
    assert names_secret(name) is names_secret(name)
    assert shows_secret(value) in (True, False)
