"""Libraries that connect to something: what a program uses of them needs ``REPTARIUM_CONNECT_ALLOW``."""

from __future__ import annotations

#: Scheme of an address in a text → its port.
SCHEMES: dict[str, int] = {
    "http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ftps": 990, "sftp": 22, "ssh": 22, "smtp": 25,
    "smtps": 465, "imap": 143, "imaps": 993, "pop3": 110, "ldap": 389, "ldaps": 636, "redis": 6379, "rediss": 6379,
    "postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521,
    "mongodb": 27017, "amqp": 5672, "amqps": 5671, "mqtt": 1883, "mqtts": 8883, "kafka": 9092, "nats": 4222,
    "clickhouse": 8123, "bolt": 7687, "neo4j": 7687,
}  # fmt: skip

#: Module, as it is imported → the port that it connects to unless it is told another; 0: none by itself. A module
#: stands for what is below it.
LIBRARIES: dict[str, int] = {
    **dict.fromkeys(
        """
            requests httpx httpx2 urllib3 aiohttp httplib2 pycurl urllib.request http.client grpc websockets websocket
            niquests curl_cffi treq mechanize scrapy requests_oauthlib requests_futures requests_cache requests_html
            cloudscraper playwright selenium gql zeep suds boto3 botocore aiobotocore s3fs gcsfs adlfs minio kubernetes
            google.cloud google.generativeai google.genai google.ads googleapiclient vertexai azure msal msgraph O365
            exchangelib openai anthropic cohere mistralai groq litellm langchain_openai langchain_anthropic
            langchain_google_genai huggingface_hub replicate together tavily firecrawl apify_client elevenlabs
            assemblyai deepgram stripe plaid twilio vonage sendgrid mailjet_rest mailchimp_marketing klaviyo_api
            intercom zenpy slack_sdk slack telegram discord github gitlab jira atlassian jenkins trello asana
            todoist_api_python notion_client pyairtable airtable dropbox boxsdk woocommerce shopify hubspot
            simple_salesforce facebook_business tweepy praw supabase firebase_admin pinecone qdrant_client weaviate
            chromadb elasticsearch opensearchpy algoliasearch gspread snowflake databricks yfinance ccxt alpha_vantage
            fredapi googlemaps geopy.geocoders wikipedia wikipediaapi arxiv duckduckgo_search yt_dlp whois web3
            nltk.download spacy.cli tiktoken.get_encoding tiktoken.encoding_for_model
            sentence_transformers.SentenceTransformer transformers.pipeline
        """.split(),
        443,
    ),
    **dict.fromkeys("psycopg psycopg2 psycopg_pool pg8000 asyncpg".split(), 5432),
    **dict.fromkeys("pymysql MySQLdb mysql.connector aiomysql mariadb".split(), 3306),
    **dict.fromkeys("pymssql pyodbc pytds".split(), 1433),
    **dict.fromkeys("redis aioredis valkey".split(), 6379),
    **dict.fromkeys("paramiko asyncssh fabric pysftp".split(), 22),
    **dict.fromkeys("pymongo motor".split(), 27017),
    **dict.fromkeys("pika aio_pika kombu".split(), 5672),
    **dict.fromkeys("ldap3 ldap".split(), 389),
    "oracledb": 1521, "cx_Oracle": 1521, "paho": 1883, "kafka": 9092, "confluent_kafka": 9092, "nats": 4222,
    "clickhouse_connect": 8123, "clickhouse_driver": 9000, "neo4j": 7687, "cassandra": 9042, "pymemcache": 11211,
    "dns": 53, "smtplib": 25, "imaplib": 143, "poplib": 110, "ftplib": 21, "telnetlib": 23, "nntplib": 119,
    "xmlrpc": 80, "socket": 0, "ssl": 0, "ollama": 11434, "influxdb_client": 8086, "pymilvus": 19530, "etcd3": 2379,
    "consul": 8500, "hvac": 8200, "meilisearch": 7700, "imapclient": 993, "imap_tools": 993, "yagmail": 465,
    "aiosmtplib": 25, "aioftp": 21, "smbclient": 445, "pysnmp": 161,
}  # fmt: skip
#: What a program connects by when it gives one of them an address: function → the package that is told. Which kind of
#: server that is says the address alone.
BY_ADDRESS: dict[str, str] = {
    **dict.fromkeys(
        """
            sqlalchemy.create_engine sqlalchemy.engine.create_engine sqlalchemy.ext.asyncio.create_async_engine
            pandas.read_sql pandas.read_sql_query pandas.read_sql_table
        """.split(),
        "sqlalchemy",
    ),
    "sqlmodel.create_engine": "sqlmodel",
    "feedparser.parse": "feedparser",
    "lxml.html.parse": "lxml",
    "lxml.etree.parse": "lxml",
}
#: Those of them whose address, where it doesn't stand in the program, may be anything but a server's.
MAYBE_FILES = frozenset("pandas.read_sql pandas.read_sql_query pandas.read_sql_table".split()) | frozenset(
    "feedparser.parse lxml.html.parse lxml.etree.parse".split()
)

#: Functions whose port isn't that of their module.
PORTS: dict[str, int] = {
    "smtplib.SMTP_SSL": 465,
    "imaplib.IMAP4_SSL": 993,
    "poplib.POP3_SSL": 995,
    "http.client.HTTPConnection": 80,
    "httplib2.HTTPConnectionWithTimeout": 80,
}
#: Libraries whose functions take a host first of all; others take tokens, names and queries there.
BY_PLACE = frozenset(
    "socket ssl smtplib imaplib poplib ftplib telnetlib nntplib http.client httplib2 redis aioredis valkey paramiko "
    "asyncssh fabric pysftp pymysql MySQLdb pymssql pytds pymongo motor ldap3 paho clickhouse_driver pymemcache".split()
)
#: Those that take a host in a text of names and values: ``host=db port=5432``.
BY_PAIRS = frozenset("psycopg psycopg2 asyncpg pg8000 pyodbc pymssql oracledb".split())
#: Keywords that carry a host, and those that carry its port.
HOSTS = frozenset("host hostname server servername address endpoint".split())
PORT = "port"


def library_of(module: str) -> str | None:
    """The entry of :data:`LIBRARIES` that a module, or a name in one, comes under; None: it connects to nothing."""
    while module:
        if module in LIBRARIES:
            return module
        module = module.rpartition(".")[0]
    return None
