"""Which distribution provides an import, and whether it is installed here. Nothing is imported for that."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import sys
from functools import cache

import msgspec

from reptarium.pool.installing.place import imports_of

#: Import → distribution, where the names differ. Of the rest the distribution has the import's name, with dashes.
KNOWN: dict[str, str] = {
    "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex", "dateutil": "python-dateutil", "dns": "dnspython", "docx": "python-docx",
    "dotenv": "python-dotenv", "fitz": "PyMuPDF", "pymupdf": "PyMuPDF", "git": "GitPython", "github": "PyGithub",
    "gitlab": "python-gitlab", "googleapiclient": "google-api-python-client", "jose": "python-jose", "jwt": "PyJWT",
    "ldap": "python-ldap", "magic": "python-magic", "MySQLdb": "mysqlclient", "mysql": "mysql-connector-python",
    "OpenSSL": "pyOpenSSL", "paho": "paho-mqtt", "PIL": "Pillow", "pptx": "python-pptx", "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]", "pytds": "python-tds", "serial": "pyserial", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "slack": "slackclient", "slack_sdk": "slack-sdk", "snowflake":
    "snowflake-connector-python", "telegram": "python-telegram-bot", "usb": "pyusb", "websocket": "websocket-client",
    "yaml": "PyYAML", "zmq": "pyzmq", "Levenshtein": "python-Levenshtein", "barcode": "python-barcode",
    "discord": "discord.py", "sentence_transformers": "sentence-transformers", "qrcode": "qrcode[pil]",
    "simple_salesforce": "simple-salesforce", "notion_client": "notion-client", "pkg_resources": "setuptools",
    "phonenumbers": "phonenumbers", "jsonpath_ng": "jsonpath-ng", "email_validator": "email-validator",
    "more_itertools": "more-itertools", "kafka": "kafka-python", "confluent_kafka": "confluent-kafka",
    "clickhouse_connect": "clickhouse-connect", "clickhouse_driver": "clickhouse-driver", "ruamel": "ruamel.yaml",
    "socks": "PySocks", "tlz": "toolz", "mpl_toolkits": "matplotlib", "pylab": "matplotlib", "rest_framework":
    "djangorestframework", "win32com": "pywin32", "Xlib": "python-xlib", "unidecode": "Unidecode", "opensearchpy":
    "opensearch-py", "vobject": "vobject", "ics": "ics", "weasyprint": "WeasyPrint", "faker": "Faker", "babel": "Babel",
}  # fmt: skip
#: Namespaces that many distributions share: import → the distribution by the second part.
_SHARED: dict[str, str] = {
    "google.cloud": "google-cloud-{}", "google.generativeai": "google-generativeai", "google.genai": "google-genai",
    "google.auth": "google-auth", "google.oauth2": "google-auth", "google.protobuf": "protobuf",
    "azure.storage": "azure-storage-{}", "azure.identity": "azure-identity",
}  # fmt: skip
#: Not packages at all: they are there in Pyodide, where n8n's old Python node ran.
PYODIDE = frozenset({"js", "pyodide", "pyodide_js", "pyodide_http", "micropip", "_pyodide"})


class Provided(msgspec.Struct, frozen=True):
    """One imported module outside the standard library. ``distribution``: what to install; empty for Pyodide's own."""

    module: str
    distribution: str
    installed: bool


def is_standard(module: str) -> bool:
    """Whether a module is of the standard library of this Python."""
    return module.partition(".")[0] in sys.stdlib_module_names


@cache
def provided(module: str) -> Provided:
    """What provides a module; ``module`` may be dotted."""
    top = module.partition(".")[0]
    if top in PYODIDE:
        return Provided(module, "", False)
    shared = next((form for name, form in _SHARED.items() if module == name or module.startswith(f"{name}.")), None)
    if shared is not None:
        distribution = shared.format(*(module.split(".")[2:3] or ["core"]))
        return Provided(module, distribution, _has(distribution))
    found = _owners().get(top)
    if found:
        return Provided(module, sorted(found)[0], True)
    installed = importlib.machinery.PathFinder.find_spec(top, [*sys.path, *_beside]) is not None
    return Provided(module, KNOWN.get(top, top.replace("_", "-")), installed)


#: Directories beside Python's own that tasks import from.
_beside: list[str] = []


def look_in(directory: str) -> None:
    """Take what is installed in this directory for installed, too (``REPTARIUM_REQUIREMENTS``)."""
    if directory not in _beside:
        _beside.append(directory)
        provided.cache_clear()
        _owners.cache_clear()


@cache
def _owners() -> dict[str, list[str]]:
    found = {name: list(owners) for name, owners in importlib.metadata.packages_distributions().items()}
    for distribution in importlib.metadata.distributions(path=list(_beside)):
        for name in imports_of(distribution):
            found.setdefault(name, []).append(distribution.metadata["Name"])
    return found


def _has(distribution: str) -> bool:
    return any(True for _ in importlib.metadata.distributions(name=distribution, path=[*sys.path, *_beside]))
