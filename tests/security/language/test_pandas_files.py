"""pandas reads and writes files, URLs, pickles, HDF and databases: a task gives it ``io.StringIO`` and gets text back."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import NO_SETTING, Attack, at_compile, by_id, check, outcome, withheld

from reptarium.sandbox.language import RefusedImport
from reptarium.sandbox.language.hardening import RefusedOperation

pytest.importorskip("pandas")

PICKLE = f"pickles run code; use to_json, to_csv or to_parquet. {NO_SETTING}"
HDF = f"tasks have no files, and this format is not for streams; use to_parquet, or to_csv. {NO_SETTING}"
CLIPBOARD = f"a task has no clipboard; return the text. {NO_SETTING}"
STREAMS = f"of a path is not allowed: tasks have no files; give it io.StringIO(text) or io.BytesIO(data). {NO_SETTING}"
URLS = (
    "of a URL is not allowed: tasks have no network; let n8n do the request, with _helpers.http_request(…) or an HTTP "
    "Request node. REPTARIUM_CONNECT_ALLOW decides this."
)
READERS = "read_csv read_excel read_fwf read_html read_json read_orc read_parquet read_sas read_spss read_stata read_table read_xml ExcelFile".split()
#: Things that pandas would take for a path.
PATHS = {
    "text": "path",
    "bytes": "path.encode()",
    "pure_path": "__import__('pathlib').PurePosixPath(path)",
    "url": "'http://127.0.0.1:9/'",
    "file_url": "'file://' + path",
    "path_like": "PathLike(path)",
    "text_that_reads": "ReadingText(path)",
    "path_like_that_reads": "ReadingPath(path)",
}
PRELUDE = """
import pandas as pd
class PathLike:
    def __init__(self, path): self.path = path
    def __fspath__(self): return self.path
class ReadingPath(PathLike):
    def read(self, *args): return ''
class ReadingText(str):
    def read(self, *args): return ''
df = pd.DataFrame({'a': [1]})
"""
REFUSED = {
    "read_pickle": Attack("reached.append(pd.read_pickle(path))", f"pandas.read_pickle is not allowed: {PICKLE}"),
    "read_pickle_from_memory": Attack("import io\nreached.append(pd.read_pickle(io.BytesIO(b'I1\\n.')))", f"pandas.read_pickle is not allowed: {PICKLE}"),
    "read_pickle_from": Attack("from pandas import read_pickle\nreached.append(read_pickle(path))", f"pandas.read_pickle is not allowed: {PICKLE}"),
    "to_pickle_function": Attack("reached.append(pd.to_pickle(df, path))", f"pandas.to_pickle is not allowed: {PICKLE}"),
    "to_pickle": Attack("reached.append(df.to_pickle(path))", f"DataFrame.to_pickle is not allowed: {PICKLE}"),
    "series_to_pickle": Attack("reached.append(df['a'].to_pickle(path))", f"Series.to_pickle is not allowed: {PICKLE}"),
    "read_hdf": Attack("reached.append(pd.read_hdf(path))", f"pandas.read_hdf is not allowed: {HDF}"),
    "hdf_store": Attack("reached.append(pd.HDFStore(path))", f"pandas.HDFStore is not allowed: {HDF}"),
    "to_hdf": Attack("reached.append(df.to_hdf(path, key='a'))", f"DataFrame.to_hdf is not allowed: {HDF}"),
    "series_to_hdf": Attack("reached.append(df['a'].to_hdf(path, key='a'))", f"Series.to_hdf is not allowed: {HDF}"),
    "read_clipboard": Attack("reached.append(pd.read_clipboard())", f"pandas.read_clipboard is not allowed: {CLIPBOARD}"),
    "to_clipboard": Attack("reached.append(df.to_clipboard())", f"DataFrame.to_clipboard is not allowed: {CLIPBOARD}"),
    "read_feather": Attack("reached.append(pd.read_feather(path))", f"pandas.read_feather {STREAMS}"),
    "to_feather": Attack("reached.append(df.to_feather(path))", f"DataFrame.to_feather {STREAMS}"),
    "io_module": Attack("reached.append(pd.io)", "module 'pandas' has no attribute 'io'", AttributeError),
    "io_pickle": Attack("import pandas.io.pickle\nreached.append(1)", withheld("pandas.io"), RefusedImport),
    "io_common": Attack("from pandas.io import common\nreached.append(common)", withheld("pandas.io"), RefusedImport),
    "compat_pickle": Attack("import pandas.compat.pickle_compat\nreached.append(1)", withheld("pandas.compat"), RefusedImport),
    "core": Attack("import pandas.core.frame\nreached.append(1)", withheld("pandas.core"), RefusedImport),
    "libs": at_compile("import pandas._libs\nreached.append(pandas._libs)", "import of 'pandas._libs' is not allowed"),
    "testing": Attack("reached.append(pd.testing)", "module 'pandas' has no attribute 'testing'", AttributeError),
    "util": Attack("reached.append(pd.util)", "module 'pandas' has no attribute 'util'", AttributeError),
    "show_versions": Attack("reached.append(pd.show_versions())", "module 'pandas' has no attribute 'show_versions'", AttributeError),
}  # fmt: skip
WRITERS = {
    "to_csv": "df.to_csv(path)",
    "to_json": "df.to_json(path)",
    "to_html": "df.to_html(path)",
    "to_string": "df.to_string(path)",
    "to_csv_compressed": "df.to_csv(path + '.gz')",
    "series_to_csv": "df['a'].to_csv(path)",
    "to_stata": "df.to_stata(path)",
}


@pytest.mark.parametrize("attack", by_id(REFUSED))
def test_refused(attack: Attack, tmp_path: Path) -> None:
    """Pickles, HDF, databases and the modules behind them."""
    check(attack._replace(program=PRELUDE + attack.program), path=str(tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


def test_databases_stay_in_memory(tmp_path: Path) -> None:
    """What reads from databases is real: a connection that the task has is in memory, and none of a file can be made."""
    program = f"{PRELUDE}import sqlite3\ncon = sqlite3.connect(':memory:')\ndf.to_sql('t', con)\nif pd.read_sql('select * from t', con).empty: reached.append(1)"
    assert outcome(program) is None
    for statement in (
        "sqlite3.connect(path)",
        "con.execute('attach ? as other', (path,))",
        "pd.read_sql('select 1', 'sqlite:///' + path)",
    ):
        ended = outcome(
            f"{PRELUDE}import sqlite3\ncon = sqlite3.connect(':memory:')\nreached.append({statement})",
            path=str(tmp_path / "db"),
        )
        assert ended is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", PATHS)
def test_reader_of_a_path(reader: str, path: str, tmp_path: Path) -> None:
    """Readers take what reads, and nothing that pandas would open."""
    secret = tmp_path / "secret"
    secret.write_text("a\n1\n")
    program = f"{PRELUDE}reached.append(pd.{reader}({PATHS[path]}))"
    check(Attack(program, f"pandas.{reader} {URLS if path == 'url' else STREAMS}"), path=str(secret))


@pytest.mark.parametrize("writer", WRITERS)
def test_writer_to_a_path(writer: str, tmp_path: Path) -> None:
    """Writers get as far as opening the file."""
    path = str(tmp_path / "file")
    opened = path + ".gz" if ".gz" in WRITERS[writer] else path
    message = f"[Errno 13] opening files is not available in a task (no setting allows it): {opened!r}"
    check(Attack(f"{PRELUDE}reached.append({WRITERS[writer]})", message, RefusedOperation), path=path)
    assert list(tmp_path.iterdir()) == []
