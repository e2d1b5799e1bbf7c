"""What is taken for a secret: the one owner of the words in names, and of the looks of values.

The rule, as the documentation names it: a variable (a field, a key) is a secret's when a **word of its name** is one of
a secret, or ends in a short one (``MYSQLPASS``, ``SSHKEY``), or has a long one in it (``PGPASSWORDS``), unless it is
one of the ordinary words that merely look so (``MONKEY``, ``COMPASS``). Words end at what isn't a letter and at a
capital after a small letter. A **value** is a secret's when it carries one in plain sight: a PEM block, a password or a
token in a URL or a connection string, a JWT, an ``Authorization`` header, a key in the form of a well-known service.

Too much withheld is an inconvenience that the administrator sees at once; too little is seen by nobody.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Words that stand for a secret where they are a whole word of a name, in the singular.
_WORDS = frozenset(
    {
        *("CRED", "CREDS", "CERTIFICATE", "AUTHENTICATION", "AUTHORIZATION", "PRIVATE", "PRIV", "BEARER", "SESSIONID"),
        *("SIGNING", "SIGNATURE", "PEPPER", "HMAC", "PSK", "OTP", "TOTP", "HOTP", "MFA", "PIN", "PW", "MNEMONIC"),
        *("JWK", "JWE", "PEM", "PFX", "PKCS", "NETRC", "PGPASSFILE", "PASSFILE", "PASSKEY", "PASSCODE", "HTPASSWD"),
        *("KEYFILE", "KEYSTORE", "TRUSTSTORE", "KEYTAB", "KEYRING", "KUBECONFIG", "WEBHOOK"),
    }
)
#: Those that also stand for one at the end of a joined word.
_ENDINGS = ("PASS", "PWD", "KEY", "AUTH", "CERT", "SALT", "DSN", "JWT", "CREDS")
#: Those that do anywhere in a joined word.
_PARTS = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "PRIVATEKEY", "COOKIE")
#: Ordinary words that end in or have one of those.
_ORDINARY = re.compile(
    r"MONKEY|DONKEY|TURKEY|WHISKEY|JOCKEY|HOCKEY|HICKEY|MICKEY|LACKEY|HOTKEY|VALKEY"
    r"|COMPASS|ENCOMPASS|BYPASS|SURPASS|TRESPASS|OVERPASS|UNDERPASS|CONCERT|BASALT|SECRETAR(?:Y|IES|IAT)|TOKENI[SZ]\w*"
)
#: Names of every shell, which say where it is.
_DIRECTORIES = frozenset({"PWD", "OLDPWD"})

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_VALUE = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]+-----                             # PEM
    # User and password before a host: postgres://me:word@db, redis://:word@db. A port isn't one: http://db:80/a@b
    # (Within bounds, so that a long value of many starts takes no time by its square.)
    | :// [^\s/?\#@:]{0,500} : (?! \d{1,5} (?: [/?\#\s] | $)) \S{0,500} @
    | \b (?:https?|wss?):// [^\s/?\#@]+ @                   # a token alone: https://token@host
    | ^ (?! (?: mailto|sips?|xmpp|acct) : ) [^\s/:@]+ : [^\s/@]+ @ [\w(\[.-] \S* $   # no scheme: me:word@tcp(db)/x
    # key=value in a connection string, a query or JSON
    | (?: ^ | [^a-z] ) (?: password | passwd | passphrase | pwd | pass | secret | token | api_?key | account_?key
        | [a-z]*_(?:key|token|secret|password) | access_?key | sharedaccess(?:key|signature) | sig ) ["']? \s* [=:]
        \s* ["']? [^\s"';&]
    | ^ (?: bearer | basic ) \s+ \S                         # the value of an Authorization header
    | \b eyJ [\w-]+ \. eyJ [\w-]+ \.                        # a JWT
    # keys that say whose they are: GitHub, GitLab, Slack, AWS, Google, Stripe and its like, n8n
    | \b (?: gh[pousr]_ | github_pat_ | glpat- | xox[abeoprs]- | AIza | ya29\. | sk- | [srp]k_(?:live|test)_
        | n8n_api_ ) [\w-]{16}
    | \b (?: AKIA | ASIA ) [A-Z0-9]{16} \b
    | hooks\.slack\.com/services/ | discord(?:app)?\.com/api/webhooks/
    """,
    re.IGNORECASE | re.VERBOSE,
)

#: Characters that a secret has at least if it is to be found in texts: a shorter one is part of any other word, and
#: taking it out would spoil every line.
SHORTEST_SECRET = 4
#: Characters that it has at least if it is to be found within other words: ``test`` isn't taken out of ``latest``.
_OF_NO_WORD = 8


@lru_cache(maxsize=1024)
def names_secret(name: str) -> bool:
    """Whether a name (of a variable, a field, a key) sounds like a secret's."""
    if name.upper() in _DIRECTORIES:
        return False
    return any(_is_secret(word.upper()) for word in _WORD.findall(name))


def _is_secret(word: str) -> bool:
    if word in _WORDS or word.removesuffix("S") in _WORDS:
        return True
    rest = _ORDINARY.sub("", word)
    return rest.endswith(_ENDINGS) or rest.removesuffix("S").endswith(_ENDINGS) or any(part in rest for part in _PARTS)


def shows_secret(value: str) -> bool:
    """Whether a value carries a secret in plain sight."""
    return _VALUE.search(value) is not None


def holds_secret(text: str, secret: str) -> bool:
    """Whether the text is the secret or, when that is long enough to be told from chance, has it in it."""
    if secret == text or len(secret) < SHORTEST_SECRET or secret not in text:
        return secret == text
    return len(secret) >= _OF_NO_WORD or _alone(secret).search(text) is not None


def without_secret(text: str, secret: str, mark: str) -> str:
    """The text with ``mark`` wherever :func:`holds_secret` sees the secret."""
    if not holds_secret(text, secret):
        return text
    return text.replace(secret, mark) if len(secret) >= _OF_NO_WORD else _alone(secret).sub(lambda _: mark, text)


@lru_cache(maxsize=64)
def _alone(secret: str) -> re.Pattern[str]:
    """The secret where no letter and no digit stands beside it."""
    return re.compile(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])")
