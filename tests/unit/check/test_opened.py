"""Files that a program opens by functions of libraries: told, and needed."""

from __future__ import annotations

import pytest

from tests.unit.check.exported import only

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


@pytest.mark.parametrize(
    ("source", "path", "writes"),
    [
        ("import xml.etree.ElementTree as ET\nET.parse('/data/a.xml')", "/data/a.xml", False),
        ("from xml.dom import minidom\nminidom.parse('a.xml')", "a.xml", False),
        ("import zipfile\nzipfile.ZipFile('a.zip', 'w')", "a.zip", True),
        ("from zipfile import ZipFile\nwith ZipFile('/data/a.zip') as z: pass", "/data/a.zip", False),
        ("import tarfile\ntarfile.open(name='a.tar', mode='r:gz')", "a.tar", False),
        ("import gzip\ngzip.open('a.gz', 'wb')", "a.gz", True),
        ("import sqlite3\nsqlite3.connect(database='a.db')", "a.db", True),
        ("import logging\nlogging.basicConfig(level=10, filename='a.log')", "a.log", True),
        ("import configparser\nc = configparser.ConfigParser()\nc.read('/data/a.ini')", "/data/a.ini", False),
        ("import io\nio.open('a', mode='w')", "a", True),
        ("import os\nos.listdir('/data')", "/data", False),
        ("import glob\nglob.glob('/data/*.csv')", "/data", False),
        ("import shutil\nshutil.copy('/data/a', 'b')", "/data/a", False),
        ("from PIL import Image\nImage.open('a.png')", "a.png", False),
        ("import joblib\njoblib.dump(_items, 'a.bin')", "a.bin", True),
    ],
)
def test_files_that_libraries_open(source: str, path: str, writes: bool) -> None:
    """A path that stands in a call of a function that opens it is told, and needs files."""
    one = only(source, ALL)
    assert [(file.path, file.writes) for file in one.files] == [(path, writes)]
    assert (one.status, one.needs.files) == ("settings", True)


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3\nsqlite3.connect(':memory:')",
        "import zipfile, io\nzipfile.ZipFile(io.BytesIO(), 'w')",
        "import xml.etree.ElementTree as ET\nET.parse(io)",
        "import logging\nlogging.basicConfig(level=10)",
    ],
)
def test_files_in_memory(source: str) -> None:
    """What those functions do without a path is nobody's file."""
    assert only(source).files == []


def test_own_directory() -> None:
    """`/tmp` is a task's own directory, whether as a whole or below."""
    source = "import os\nos.listdir('/tmp')\nopen('/tmp/a', 'w')\nos.makedirs('/tmp')"
    assert only(source, {**ALL, "REPTARIUM_SCRATCH": "1MiB"}).refusals == []
