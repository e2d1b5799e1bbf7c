"""Which distribution provides an import, and whether it is installed here. Nothing is imported for that."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import sys
from functools import cache

import msgspec

from reptarium.pool.installing.place import imports_of

#: Import → distribution, where the names differ.
KNOWN: dict[str, str] = {
    "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex", "dateutil": "python-dateutil", "dns": "dnspython", "docx": "python-docx",
    "dotenv": "python-dotenv", "fitz": "PyMuPDF", "pymupdf": "PyMuPDF", "git": "GitPython", "github": "PyGithub",
    "gitlab": "python-gitlab", "googleapiclient": "google-api-python-client", "jose": "python-jose", "jwt": "PyJWT",
    "ldap": "python-ldap", "magic": "python-magic", "MySQLdb": "mysqlclient", "mysql": "mysql-connector-python",
    "OpenSSL": "pyOpenSSL", "paho": "paho-mqtt", "PIL": "Pillow", "pptx": "python-pptx", "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]", "pytds": "python-tds", "serial": "pyserial", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "slack": "slackclient", "slack_sdk": "slack-sdk",
    "snowflake": "snowflake-connector-python", "telegram": "python-telegram-bot", "usb": "pyusb",
    "websocket": "websocket-client", "yaml": "PyYAML", "zmq": "pyzmq", "Levenshtein": "python-Levenshtein",
    "barcode": "python-barcode", "discord": "discord.py", "sentence_transformers": "sentence-transformers",
    "qrcode": "qrcode[pil]", "simple_salesforce": "simple-salesforce", "notion_client": "notion-client",
    "pkg_resources": "setuptools", "phonenumbers": "phonenumbers", "jsonpath_ng": "jsonpath-ng",
    "email_validator": "email-validator", "more_itertools": "more-itertools", "kafka": "kafka-python",
    "confluent_kafka": "confluent-kafka", "clickhouse_connect": "clickhouse-connect",
    "clickhouse_driver": "clickhouse-driver", "ruamel": "ruamel.yaml", "socks": "PySocks", "tlz": "toolz",
    "mpl_toolkits": "matplotlib", "pylab": "matplotlib", "rest_framework": "djangorestframework", "win32com": "pywin32",
    "Xlib": "python-xlib", "unidecode": "Unidecode", "opensearchpy": "opensearch-py", "vobject": "vobject",
    "ics": "ics", "weasyprint": "WeasyPrint", "faker": "Faker", "babel": "Babel", "odf": "odfpy",
    "argon2": "argon2-cffi", "vl_convert": "vl-convert-python", "pkcs11": "python-pkcs11", "flask_cors": "Flask-Cors",
    "dash_bootstrap_components": "dash-bootstrap-components", "Bio": "biopython", "osgeo": "GDAL", "nacl": "PyNaCl",
    "wx": "wxPython", "OpenGL": "PyOpenGL", "mpl_finance": "mpl-finance",
    "google_auth_oauthlib": "google-auth-oauthlib", "apiclient": "google-api-python-client",
    "woocommerce": "WooCommerce", "zeep": "zeep", "stdnum": "python-stdnum", "slugify": "python-slugify",
    "frontmatter": "python-frontmatter", "pyzbar": "pyzbar", "whois": "python-whois", "gnupg": "python-gnupg",
    "jenkins": "python-jenkins", "consul": "python-consul", "mautrix": "mautrix",
    "facebook_business": "facebook-business", "shopify": "ShopifyAPI", "exchangelib": "exchangelib", "O365": "O365",
    "msgraph": "msgraph-sdk", "hubspot": "hubspot-api-client", "airtable": "airtable-python-wrapper",
    "pinecone": "pinecone", "cairosvg": "CairoSVG", "igraph": "igraph", "mistralai": "mistralai",
    "langchain_core": "langchain-core", "langchain_openai": "langchain-openai",
    "langchain_community": "langchain-community", "llama_index": "llama-index", "qdrant_client": "qdrant-client",
    "python_calamine": "python-calamine", "pandas_gbq": "pandas-gbq", "lxml_html_clean": "lxml_html_clean",
    "speech_recognition": "SpeechRecognition", "pydantic_settings": "pydantic-settings",
    "requests_oauthlib": "requests-oauthlib", "requests_html": "requests-html",
    "requests_toolbelt": "requests-toolbelt", "charset_normalizer": "charset-normalizer",
    "prometheus_client": "prometheus-client", "typing_extensions": "typing-extensions", "flask": "Flask",
    "jinja2": "Jinja2", "markupsafe": "MarkupSafe", "sqlalchemy": "SQLAlchemy", "markdown": "Markdown",
    "pygments": "Pygments", "werkzeug": "Werkzeug", "xlsxwriter": "XlsxWriter", "twisted": "Twisted", "mako": "Mako",
    "docutils": "docutils", "nio": "matrix-nio", "readability": "readability-lxml", "nats": "nats-py",
    "pdfminer": "pdfminer.six", "moneyed": "py-moneyed", "smb": "pysmb", "weaviate": "weaviate-client",
    "atlassian": "atlassian-python-api", "PyPDF2": "PyPDF2",
}  # fmt: skip
#: Imports whose distribution has the same name, with dashes for underscores.
SAME: frozenset[str] = frozenset(
    """
        aiofiles aiohttp aiomysql aiosqlite alembic altair annotated_types anthropic anyio apscheduler arrow
        asn1crypto asyncpg asyncssh attrs backoff bcrypt bleach bokeh boto3 botocore bottle cachetools cattrs celery
        certifi cffi chardet chromadb click cloudscraper cohere colorama coloredlogs construct croniter cryptography
        cssselect curl_cffi dash dask dateparser deepdiff deepl dill django docker docopt docxtpl duckdb einops
        elasticsearch emoji et_xmlfile fastapi fastavro fastexcel fastparquet feedparser filelock folium formulaic
        fsspec ftfy fuzzywuzzy gcsfs gensim geopandas geopy googlemaps greenlet groq gspread h11 h2 h5py haversine
        holidays html2text html5lib httplib2 httpx httpx2 humanize hvac icalendar idna ijson imapclient inflect
        inflection influxdb_client iso4217 isodate itsdangerous jaconv jellyfish jieba jira jmespath joblib json5
        jsonpatch jsonpickle jsonpointer jsonschema kaleido kombu kubernetes langchain langdetect langgraph lark ldap3
        lightgbm litellm loguru lxml lz4 mailchimp_marketing mammoth markdownify marshmallow matplotlib mechanize
        minio mistune mlflow motor msal msgpack msgspec multidict nanoid neo4j networkx nltk numba numexpr numpy
        oauthlib ollama openai openpyxl oracledb orjson packaging pandas paramiko parse parsel patsy pdfkit pdfplumber
        peewee pendulum pg8000 pika pikepdf pillow_heif pint playwright plotly polars prettytable psutil pyairtable
        pyarrow pyasn1 pycountry pycurl pydantic pymongo pymssql pymysql pyodbc pyotp pypandoc pypdf pypdfium2
        pyperclip pyproj pyreadstat pysftp pystache pytesseract pytz pyxlsb rapidfuzz rdflib redis regex reportlab
        requests responses rich rsa s3fs scipy seaborn selenium sentry_sdk shapely simplejson six socksio soupsieve
        spacy sqlglot sqlmodel sqlparse starlette statsmodels stripe structlog supabase sympy tables tablib tabulate
        tenacity textblob textdistance texttable thefuzz tiktoken toml tomlkit toolz torch tornado tqdm transformers
        trio tweepy twilio typer tzdata tzlocal ujson unidiff uritemplate urllib3 uvicorn validators valkey websockets
        wordcloud xarray xgboost xlrd xlsx2csv xlwt xmlschema xmltodict yarl yfinance zstandard
    """.split()
)
#: Namespaces that many distributions share: import → the distribution by the second part.
_SHARED: dict[str, str] = {
    "google.cloud": "google-cloud-{}", "google.generativeai": "google-generativeai", "google.genai": "google-genai",
    "google.auth": "google-auth", "google.oauth2": "google-auth", "google.protobuf": "protobuf",
    "azure.storage": "azure-storage-{}", "azure.identity": "azure-identity",
}  # fmt: skip
#: Not packages at all: they are there in Pyodide, where n8n's old Python node ran.
PYODIDE = frozenset({"js", "pyodide", "pyodide_js", "pyodide_http", "micropip", "_pyodide"})


class Provided(msgspec.Struct, frozen=True):
    """One imported module outside the standard library. ``distribution``: what to install; empty for Pyodide's own.

    ``guessed``: nothing but the import's name says that it is this one, and anybody may have taken that name.
    """

    module: str
    distribution: str
    installed: bool
    guessed: bool = False


def is_pyodides(module: str) -> bool:
    """Whether a module is Pyodide's own."""
    return module.partition(".")[0] in PYODIDE


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
    installed = importlib.machinery.PathFinder.find_spec(top, places()) is not None
    return Provided(module, KNOWN.get(top, top.replace("_", "-")), installed, top not in KNOWN and top not in SAME)


#: Directories beside Python's own that tasks import from.
_beside: list[str] = []


def look_in(directory: str) -> None:
    """Take what is installed in this directory for installed, too (``REPTARIUM_REQUIREMENTS``)."""
    if directory not in _beside:
        _beside.append(directory)
        provided.cache_clear()
        _owners.cache_clear()


def places() -> list[str]:
    """Directories that tasks import from."""
    return [*sys.path, *_beside]


@cache
def _owners() -> dict[str, list[str]]:
    found = {name: list(owners) for name, owners in importlib.metadata.packages_distributions().items()}
    for distribution in importlib.metadata.distributions(path=list(_beside)):
        for name in imports_of(distribution):
            found.setdefault(name, []).append(distribution.metadata["Name"])
    return found


def _has(distribution: str) -> bool:
    return any(True for _ in importlib.metadata.distributions(name=distribution, path=places()))
