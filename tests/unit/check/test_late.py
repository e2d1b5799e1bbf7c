"""What libraries import only when they are used, and what is told of distributions that nobody knows."""

from __future__ import annotations

import pytest

from reptarium.pool.check import reports
from reptarium.pool.check.distributions import KNOWN, SAME, Provided, provided
from tests.unit.check.exported import code, only, result, workflow

ALL = {"N8N_RUNNERS_STDLIB_ALLOW": "*", "N8N_RUNNERS_EXTERNAL_ALLOW": "*"}


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """But pandas, bs4 and the like themselves, wherever the tests run."""
    there = {"pandas", "bs4", "polars", "pydantic", "sqlalchemy", "jwt", "httpx", "requests", "networkx", "openpyxl"}

    def known(module: str) -> Provided:
        top = module.partition(".")[0]
        return Provided(module, KNOWN.get(top, top), top in there, top not in KNOWN and top not in SAME)

    monkeypatch.setattr(reports, "provided", known)


def needed(source: str) -> list[str]:
    """What stands in the way of a program for want of an installed package."""
    return [one.why.partition(" ")[0] for one in only(source, ALL).refusals if one.kind == "install"]


@pytest.mark.parametrize(
    ("source", "distributions"),
    [
        ("import pandas as pd\npd.read_excel(b, engine='calamine')", ["python-calamine"]),
        ("import pandas as pd\npd.read_excel('old.xls')", ["xlrd"]),
        ("import pandas as pd\npd.DataFrame().to_excel(b, engine='xlsxwriter')", ["XlsxWriter"]),
        ("from pandas import ExcelWriter as W\nwith W(b, engine='xlsxwriter') as w: f.to_excel(w)", ["XlsxWriter"]),
        ("from pandas import read_html\nread_html(b)", ["lxml"]),
        ("import pandas\npandas.read_html(b, flavor='html5lib')", ["html5lib"]),
        ("import pandas\npandas.read_xml(b, parser='etree')", []),
        ("import pandas\npandas.read_parquet(b, engine='fastparquet')", ["fastparquet"]),
        ("import pandas\npandas.read_csv('s3://a/b.csv')", ["s3fs"]),
        ("import pandas\nf = pandas.DataFrame()\nf.to_markdown()\nf.plot.bar()", ["tabulate", "matplotlib"]),
        ("import pandas as pd\npd.Series(x, dtype='string[pyarrow]')", ["pyarrow"]),
        ("import pandas as pd\npd.DataFrame().style.background_gradient()", ["Jinja2", "matplotlib"]),
        ("import pandas as pd\npd.Series([1]).interpolate(method='cubic')", ["scipy"]),
        ("import pandas as pd\npd.read_sql('select 1', 'postgresql+pg8000://h/d')", ["pg8000"]),
        ("from bs4 import BeautifulSoup\nBeautifulSoup(x, 'lxml')", ["lxml"]),
        ("from bs4 import BeautifulSoup\nBeautifulSoup(x, features='html5lib')", ["html5lib"]),
        ("from bs4 import BeautifulSoup\nBeautifulSoup(x, 'html.parser')", []),
        ("from pydantic import BaseModel, EmailStr", ["email-validator"]),
        ("from sqlalchemy import create_engine\ncreate_engine(f'mysql+pymysql://{u}@h/d')", ["pymysql"]),
        ("from sqlalchemy import create_engine\ncreate_engine('postgresql://h/d')", ["psycopg2-binary"]),
        ("from sqlalchemy import create_engine\ncreate_engine('sqlite://')", []),
        ("import jwt\njwt.encode({}, k, algorithm='RS256')", ["cryptography"]),
        ("import jwt\njwt.decode(t, k, algorithms=['HS256'])", []),
        ("import httpx\nhttpx.Client(http2=True)", ["h2"]),
        ("import requests\nrequests.get(u, proxies={'https': 'socks5://p:1'})", ["PySocks"]),
        ("import networkx as nx\nnx.pagerank(g)", ["numpy", "scipy"]),
        ("return _jmespath(_items, 'a')", ["jmespath"]),
        ("try:\n    import pandas\n    pandas.read_html(b)\nexcept ImportError:\n    pass", []),
    ],
)  # fmt: skip
def test_what_libraries_import_when_they_are_used(source: str, distributions: list[str]) -> None:
    """What no import of the program's names is asked for nevertheless, by what needs it."""
    assert needed(source) == distributions


def test_either_of_two_will_do() -> None:
    """A library that takes either of two packages is content with the one that is there."""
    one = only("import pandas\npandas.DataFrame().to_excel(_items)", ALL)
    assert (one.status, [late.module for late in one.late]) == ("runs", ["openpyxl"])


def test_what_is_needed_at_run_time_is_proposed() -> None:
    """It goes to requirements.txt, and not to the list of what tasks may import."""
    proposal = result(workflow(code("A", "import pandas\nreturn pandas.read_html(_items).to_dict()"))).proposal
    assert proposal.requirements == ["lxml", "pandas"]
    assert proposal.environ == {"N8N_RUNNERS_EXTERNAL_ALLOW": "pandas"}


def test_guesses_are_told_as_such() -> None:
    """A distribution that only an import's name speaks for is left to decide, and is no line to paste."""
    everything = result(workflow(code("A", "import foo_baz, requests\nfoo_baz.x()")), environ=ALL)
    (report,) = everything.checked.reports
    assert [(one.module, one.guessed) for one in report.imports] == [("foo_baz", True), ("requests", False)]
    assert report.refusals[0].why == "foo_baz is a guess by its name: look it up"
    proposal = everything.proposal
    assert proposal.requirements == ["requests"]
    assert len(proposal.guesses) == 1
    assert proposal.lines_to_install()[1].startswith("# foo")
    assert "what provides the import 'foo_baz' isn't known here" in proposal.open[0]


def test_nothing_is_known_twice() -> None:
    """A name whose distribution is listed as another isn't listed as its own, and all are names of imports."""
    assert SAME.isdisjoint(KNOWN)
    assert all(name.isidentifier() for name in (*SAME, *KNOWN))
    assert provided("no_such_module_anywhere").guessed
