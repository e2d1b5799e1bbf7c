"""Packages that people bring along: behind their façades they give what they give in plain Python."""

from __future__ import annotations

import importlib.util

import pytest

from tests.unit.language.support import answers_of_python, assert_same, execute

ITEMS = [
    {"json": {"dept": "a", "name": "Ada", "n": 1, "at": "2024-01-05"}},
    {"json": {"dept": "a", "name": "Bob", "n": 2, "at": "2024-02-10"}},
    {"json": {"dept": "b", "name": "Cy", "n": 3, "at": None}},
]

#: Package → programs. Each is skipped where the package isn't installed.
PACKAGES = {
    "numpy": {
        "arrays": """
            import numpy as np
            from numpy import array, mean, linspace
            from numpy.linalg import norm, inv
            from numpy.random import default_rng
            a = np.array([[1, 2, 3], [4, 5, 6]], dtype=float)
            a[0, 1] += 10
            a[:, 2] *= 2
            a[a > 11] = 0
            b = a.T @ a
            v = np.array([i["json"]["n"] for i in _items])
            t = np.array(["2024-01-01", "2024-01-03"], dtype="datetime64[D]")
            s = np.array([("x", 1), ("y", 2)], dtype=[("k", "U5"), ("n", int)])
            errors = []
            for f in (lambda: np.array([1, 2]) + np.array([1, 2, 3]), lambda: a.reshape(4, 4), lambda: inv([[0, 0], [0, 0]]), lambda: np.nope):
                try:
                    f()
                except Exception as e:
                    errors.append(type(e).__name__)
            with np.errstate(divide="ignore"):
                infinite = (np.array([1.0]) / 0).tolist()
            return (a.tolist(), b.shape, float(a.mean()), a.sum(axis=0).tolist(), a.max().item(), np.where(v > 1, "big", "small").tolist(), v.cumsum().tolist(), np.arange(6).reshape(2, 3).tolist(), linspace(0, 1, 3).tolist(), norm([3, 4]).item(), np.dot(v, v).item(), inv(np.eye(2) * 2).tolist(),
                    np.concatenate([v, [9]]).tolist(), np.unique([3, 1, 3], return_counts=True)[1].tolist(), np.percentile(v, 50).item(), np.median(v).item(), np.std(v).round(3).item(), mean(v).item(), array([1, 2]).dtype.name, np.isnan([1, np.nan]).tolist(), np.argsort([3, 1, 2]).tolist(), (t[1] - t[0]).astype(int).item(),
                    s["k"].tolist(), s[s["n"] > 1]["k"].item(), default_rng(1).integers(0, 10, 3).tolist(), np.random.default_rng(2).normal(size=2).round(3).tolist(), np.clip([1, 5, 9], 2, 6).tolist(), np.vstack([v, v]).shape, np.full((2, 2), 7).tolist(), np.linalg.det([[1, 2], [3, 4]]).round(6).item(), infinite, np.pi, a.astype(int).ravel()[:2].tolist(), errors,
                    np.array2string(v), repr(v), f"{np.float64(1.5):.2f}", np.interp(1.5, [1, 2], [10, 20]).item(), np.polyfit([1, 2, 3], [2, 4, 6], 1).round(3).tolist(), np.histogram([1, 2, 2], bins=2)[0].tolist(), np.frombuffer(b"\\x01\\x02", np.uint8).tolist(),
                    np.vectorize(lambda x: x * 2)(v).tolist(), np.einsum("i,i", v, v).item(), np.fft.fft([1, 0]).real.tolist(), np.add.reduce(v).item(), np.lib.stride_tricks.sliding_window_view(v, 2).tolist(), np.allclose(a, a), np.busday_count("2024-01-01", "2024-01-08").item())
        """,
        "text_and_masks": """
            import numpy as np, io
            table = np.genfromtxt(io.StringIO("a,b\\n1,2\\n3,4"), delimiter=",", names=True)
            m = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
            return table["b"].tolist(), np.loadtxt(io.StringIO("1 2\\n3 4")).tolist(), m.sum().item(), m.filled(-1).tolist(), np.nan_to_num([np.nan, 1]).tolist(), np.meshgrid([1, 2], [3])[0].tolist(), np.apply_along_axis(sum, 0, np.ones((2, 2))).tolist(), np.array([[1, "a"]], dtype=object).tolist()
        """,
    },
    "pandas": {
        "offsets": """
            import pandas as pd
            from pandas.tseries.offsets import BDay
            day = pd.Timestamp("2024-02-10")
            return str(day + pd.offsets.MonthEnd(1)), str(day + pd.offsets.BDay(2)), str(day - pd.DateOffset(years=1)), str(day + BDay(1))
        """,
        "items": """
            import pandas as pd
            df = pd.DataFrame([i["json"] for i in _items])
            df["at"] = pd.to_datetime(df["at"])
            df["twice"] = df.n * 2
            df["label"] = df.apply(lambda row: f"{row['name']}-{row['n']}", axis=1)
            df.loc[df.dept == "b", "n"] += 10
            totals = df.groupby("dept").agg(total=("n", "sum"), names=("name", list)).reset_index()
            merged = df.merge(pd.DataFrame({"dept": ["a", "c"], "boss": ["X", "Y"]}), on="dept", how="left")
            out = [{"json": row} for row in totals.to_dict("records")]
            return (out, merged["boss"].fillna("none").tolist(), df.groupby("dept")["n"].mean().to_dict(), df["n"].agg(["sum", "max"]).tolist(), df.sort_values("n", ascending=False).name.tolist(), df[["name", "label"]].values.tolist(), df.at[0, "name"], df.iloc[-1]["n"].item(), df[df.n > 1].shape,
                    df["name"].str.upper().tolist(), df["at"].dt.month.fillna(0).astype(int).tolist(), df["dept"].value_counts().to_dict(), df.n.describe().round(2).to_dict(), df.to_dict("list")["n"], df.drop(columns=["at"]).to_csv(index=False), df[["n", "dept"]].to_json(orient="records"), df.isna().sum().to_dict(), [row.name for row in df.itertuples()], [(i, r["n"]) for i, r in df.iterrows()],
                    df.columns.tolist(), len(df), df.dtypes.astype(str)["n"], df.set_index("name").n["Bob"].item(), df.groupby("dept").apply(lambda g: g.n.sum(), include_groups=False).to_dict(), df.n.map({1: "one"}).fillna("?").tolist(), df.groupby("dept").n.transform("sum").tolist(), df.rename(columns={"n": "m"}).m.tolist(), df.assign(x=lambda d: d.n + 1).x.tolist())
        """,
        "shapes": """
            import pandas as pd, numpy as np, io
            sales = pd.read_csv(io.StringIO("day,shop,amount\\n2024-01-01,x,10\\n2024-01-01,y,20\\n2024-01-08,x,5\\n2024-02-01,y,\\n"), parse_dates=["day"])
            pivot = sales.pivot_table(index="shop", columns=sales.day.dt.month, values="amount", aggfunc="sum", fill_value=0)
            weekly = sales.set_index("day").resample("W").amount.sum()
            long = pd.DataFrame({"id": [1, 2], "a": [3, 4], "b": [5, 6]}).melt("id")
            flat = pd.json_normalize([{"a": {"b": 1}, "l": [1, 2]}, {"a": {"b": 2}, "l": [3]}])
            both = pd.concat([sales.head(1), sales.tail(1)], ignore_index=True)
            s = pd.Series([1, 2, 3, 4], index=list("abcd"))
            cat = pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True)
            multi = sales.groupby(["shop", sales.day.dt.month]).amount.sum()
            return (pivot.to_dict(), weekly.head(2).tolist(), long.values.tolist(), flat["a.b"].tolist(), flat.explode("l").l.tolist(), both.shape, s.rolling(2).mean().tolist()[1:], s.shift(1, fill_value=0).tolist(), s.pct_change().round(2).tolist()[1:], s.cumsum()["c"].item(), s[s > 2].index.tolist(), s.nlargest(2).to_dict(), s.quantile(0.5).item(), list(cat), cat.codes.tolist(),
                    multi.unstack(fill_value=0).to_dict(), pd.cut([1, 5, 9], [0, 3, 10], labels=["s", "l"]).tolist(), pd.crosstab(sales.shop, sales.day.dt.month).values.tolist(), sales.drop_duplicates("shop").shape[0], sales.fillna({"amount": 0}).amount.sum().item(), pd.date_range("2024-01-30", periods=3, freq="D").strftime("%d.%m").tolist(), str(pd.Timestamp("2024-02-29") + pd.Timedelta(days=1)),
                    pd.to_numeric(pd.Series(["1", "x"]), errors="coerce").isna().tolist(), pd.isna(None), pd.unique(pd.Series([1, 1, 2])).tolist(), pd.read_json(io.StringIO('[{"a":1}]')).to_dict("records"), pd.get_dummies(pd.Series(["a", "b"])).astype(int).values.tolist(), s.where(s > 2, -1).tolist(), s.to_frame("v").T.shape, s.astype(str).str.cat(sep="-"), s.isin([1, 4]).tolist(), s.idxmax(),
                    pd.Timestamp("2024-07-01", tz="UTC").tz_convert("Europe/Berlin").isoformat(), pd.Period("2024-02").end_time.day, pd.Series(["a1", "b2"]).str.extract(r"([a-z])(\\d)").values.tolist(), pd.Series(["x y", "z"]).str.split().str[0].tolist(), pd.merge_asof(pd.DataFrame({"t": [1, 5]}), pd.DataFrame({"t": [0, 4], "v": ["a", "b"]}), on="t").v.tolist(), sales.to_html(index=False)[:6], sales.amount.interpolate().tolist(), np.log(s).round(2).tolist(),
                    pd.DataFrame({"a": [1, 2]}).pipe(lambda d, k: d * k, 3).a.tolist(), s.apply(lambda x: x + 1).tolist(), s.agg({"lo": "min", "hi": "max"}).to_dict(), pd.DataFrame({"a": [1, None]}).replace({np.nan: None}).to_dict("records"), sales.select_dtypes("number").columns.tolist(), s.corr(s * 2), repr(s), sales.head(1).to_string(index=False), pd.NA is pd.NA, pd.DataFrame.from_dict({"r": {"c": 1}}, orient="index").c["r"].item())
        """,
        "errors": """
            import pandas as pd
            df = pd.DataFrame({"a": [1]})
            errors = []
            for f in (lambda: df["b"], lambda: df.b, lambda: df.merge(df, on="z"), lambda: pd.to_datetime("no date"), lambda: df.loc["x"], lambda: pd.DataFrame({"a": [1], "b": [1, 2]}), lambda: df.iloc[5]):
                try:
                    f()
                except Exception as e:
                    errors.append((type(e).__name__, str(e)[:50]))
            return errors
        """,
    },
    "dateutil": {
        "dates": """
            from dateutil import parser, rrule, tz
            from dateutil.parser import parse, isoparse, ParserError
            from dateutil.relativedelta import relativedelta, MO, FR
            from dateutil.rrule import rrule as rule, MONTHLY, WEEKLY
            from dateutil.easter import easter
            from datetime import datetime, date
            import dateutil.utils
            try:
                parse("no date at all")
            except ParserError as e:
                error = str(e)
            berlin = tz.gettz("Europe/Berlin")
            r = relativedelta(datetime(2024, 3, 1), datetime(2020, 2, 29))
            return (parse("Feb 29 2024 1:05pm"), parse("29/02/2024", dayfirst=True), parse("10:30", default=datetime(2024, 1, 1)), isoparse("2024-02-29T01:02:03Z"), parse("2024-01-31") + relativedelta(months=1), date(2024, 1, 10) + relativedelta(weekday=FR(-1)), date(2024, 1, 10) + relativedelta(day=31, hours=0), (r.years, r.months, r.days),
                    list(rule(MONTHLY, count=3, dtstart=datetime(2024, 1, 31), bymonthday=-1)), [d.day for d in rrule.rrule(WEEKLY, byweekday=(rrule.MO, rrule.WE), dtstart=datetime(2024, 1, 1), count=3)], rrule.rrulestr("FREQ=DAILY;COUNT=2", dtstart=datetime(2024, 1, 1)).between(datetime(2023, 1, 1), datetime(2025, 1, 1)),
                    datetime(2024, 7, 1, 12, tzinfo=tz.UTC).astimezone(berlin).isoformat(), datetime(2024, 7, 1, tzinfo=tz.tzoffset("X", 3600)).isoformat(), easter(2024), error, parse("today is 5 May 2024", fuzzy=True), MO.weekday, parser.parse("20240229").day, datetime(2024, 1, 1, tzinfo=berlin).tzname())
        """,
    },
    "pytz": {
        "zones": """
            import pytz
            from datetime import datetime
            from pytz import timezone, UnknownTimeZoneError
            paris = timezone("Europe/Paris")
            try:
                timezone("Mars/Olympus")
            except UnknownTimeZoneError as e:
                error = e.args
            return (str(paris), paris.localize(datetime(2024, 7, 1, 12)).isoformat(), pytz.utc.localize(datetime(2024, 1, 1)).astimezone(timezone("Asia/Tokyo")).isoformat(), paris.normalize(paris.localize(datetime(2024, 3, 31, 1)) ).tzname(), "Europe/Paris" in pytz.all_timezones, pytz.country_timezones["de"], error, pytz.FixedOffset(90).utcoffset(None), paris.zone, len(pytz.common_timezones) > 300)
        """,
    },
    "pydantic": {
        "annotated_in_text": """
            from __future__ import annotations
            from typing import Annotated, Optional
            import typing
            from pydantic import BaseModel, Field, ValidationError
            class M(BaseModel):
                x: Annotated[int, Field(gt=0, description="n")]
                tags: typing.Annotated[list[str], Field(default_factory=list, max_length=2)]
                o: Annotated[Optional[str], Field(json_schema_extra={"a": 1})] = None
            try:
                M(x=0)
            except ValidationError as e:
                error = e.errors()[0]["type"]
            return M(x=1).model_dump(), error, M.model_json_schema()["properties"]["x"]["description"]
        """,
        "models": """
            from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator, computed_field, ConfigDict, field_serializer, TypeAdapter, ValidationInfo, PrivateAttr, AliasChoices, BeforeValidator, StringConstraints, conint
            from typing import Annotated, Literal, Optional, Generic, TypeVar, Any
            from datetime import date, datetime
            from decimal import Decimal
            from enum import Enum
            from uuid import UUID
            T = TypeVar("T")
            class Kind(str, Enum):
                A = "a"
                B = "b"
            class Address(BaseModel):
                city: str
                zip: str = Field(pattern=r"^\\d{5}$")
            class Person(BaseModel):
                model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, populate_by_name=True)
                name: str = Field(min_length=1, description="who")
                age: int = Field(ge=0, alias="years")
                tags: list[str] = Field(default_factory=list)
                address: Optional[Address] = None
                kind: Kind = Kind.A
                born: date | None = None
                _cache: dict = PrivateAttr(default_factory=dict)
                @field_validator("name")
                @classmethod
                def capital(cls, v: str) -> str:
                    if not v[0].isupper():
                        raise ValueError("must start with a capital")
                    return v
                @model_validator(mode="after")
                def check(self):
                    if self.age > 150:
                        raise ValueError("too old")
                    return self
                @computed_field
                @property
                def label(self) -> str: return f"{self.name} ({self.age})"
                @field_serializer("born")
                def when(self, v): return v and v.strftime("%d.%m.%Y")
                def model_post_init(self, context): self._cache["made"] = True
            class Box(BaseModel, Generic[T]):
                content: T
            class Node(BaseModel):
                name: str
                children: "list[Node]" = []
            class Cat(BaseModel):
                type: Literal["cat"]
                lives: int = 9
            class Dog(BaseModel):
                type: Literal["dog"]
                good: bool = True
            class Pets(BaseModel):
                pets: list[Annotated[Cat | Dog, Field(discriminator="type")]]
            class Typed(BaseModel):
                price: Decimal
                at: datetime
                id: UUID
                n: Annotated[int, BeforeValidator(lambda v: int(v) * 2)]
                code: Annotated[str, StringConstraints(to_upper=True, max_length=3)]
                small: conint(lt=10) = 1
            p = Person(name=" Ada ", years="36", address={"city": "Paris", "zip": "75001"}, born="1815-12-10")
            problems = []
            for row in ({"name": "ada", "years": 1}, {"name": "Ada", "years": -1}, {"years": "x", "z": 1}, {"name": "Ada", "years": 200}, {"name": "Ada", "years": 1, "address": {"city": "P", "zip": "x"}}):
                try:
                    Person.model_validate(row)
                except ValidationError as e:
                    problems.append([(x["loc"], x["type"], x["msg"]) for x in e.errors()] + [e.error_count(), e.title])
            adapter = TypeAdapter(list[int])
            return (p.model_dump(mode="json", by_alias=True), p.model_dump(exclude={"address", "tags"}), p.model_dump_json(), Person.model_validate_json('{"name":"Bob","age":5}').label, problems, p.model_copy(update={"age": 1}).age, p == p.model_copy(), p, Box[int](content="5").content, Node(name="r", children=[{"name": "c"}]).model_dump(), Pets(pets=[{"type": "dog"}, {"type": "cat", "lives": 1}]).model_dump(),
                    adapter.validate_python(["1", 2]), Typed(price="1.50", at="2024-02-29T10:00:00Z", id="12345678-1234-5678-1234-567812345678", n="4", code="abc").model_dump(), sorted(Person.model_fields), Person.model_json_schema()["properties"]["name"], p._cache, p.model_fields_set == {"name", "age", "address", "born"}, [Person.model_validate(r).name for r in [{"name": "X", "years": 1}]], p.kind is Kind.A, adapter.dump_json([1]))
        """,
    },
    "bs4": {
        "soup": """
            from bs4 import BeautifulSoup, Comment, NavigableString
            import bs4, re
            html = '<html><head><title>T</title></head><body><div class="a b" id=x><p>One <b>two</b></p><!-- c --><a href="/1">L1</a><a href="/2" data-n="5">L2</a></div><table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table></body></html>'
            soup = BeautifulSoup(html, "html.parser")
            div = soup.find("div", class_="a")
            new = soup.new_tag("i", attrs={"k": "v"})
            new.string = "new"
            div.p.append(new)
            soup.title.string.replace_with("T2")
            for comment in soup.find_all(string=lambda s: isinstance(s, Comment)): comment.extract()
            return (soup.title.text, div["class"], div.get("id"), [a["href"] for a in soup.find_all("a")], soup.select_one("a[data-n]").get_text(), [t.text for t in soup.select("table tr:first-child td")], div.p.get_text(" ", strip=True), [[td.text for td in tr("td")] for tr in soup.table.find_all("tr")], soup.find(string=re.compile("L\\\\d")), [t.name for t in div.find_all(True)], div.a.next_sibling.name, div.parent.name,
                    soup.find("nope"), str(new), soup.b.parent.name, div.attrs, len(soup.find_all(["a", "p"])), soup.find("a", href=re.compile("2")).text, [s for s in soup.table.stripped_strings], div.p.decode_contents(), soup.find_all("a", limit=1)[0].text, soup.select("div > a")[1].attrs, div.has_attr("id"), [p.name for p in soup.b.parents], soup.prettify()[:6], soup.a.find_next("a").text, bool(soup.p), soup.p.contents[0], "c" in soup.div.get_text())
        """,
    },
    "yaml": {
        "documents": """
            import yaml
            from yaml import safe_load, safe_dump, YAMLError
            text = "a: 1\\nlist: [x, 'y', 2.5, true, null]\\nwhen: 2024-02-29\\nmulti: |\\n  line 1\\n  line 2\\nref: &r {k: v}\\ncopy: *r\\nmerged:\\n  <<: *r\\n  l: w\\n"
            errors = []
            for bad in ("a: [1", "!!python/object/apply:os.getcwd []", "a: b: c"):
                try:
                    safe_load(bad)
                except YAMLError as e:
                    errors.append(type(e).__name__)
            return safe_load(text), list(yaml.safe_load_all("a: 1\\n---\\nb: 2")), yaml.load("b: 1", Loader=yaml.SafeLoader), safe_dump({"b": [1, {"c": None}], "a": "ü"}, allow_unicode=True, sort_keys=True), yaml.dump({"x": [1, 2]}, default_flow_style=True), yaml.safe_dump_all([1, 2]), errors, yaml.load("n: 0x1F", yaml.FullLoader)
        """,
    },
    "jinja2": {
        "templates": """
            import jinja2
            from jinja2 import Template, Environment, StrictUndefined, UndefinedError, DictLoader, TemplateSyntaxError, select_autoescape
            env = Environment(loader=DictLoader({"base": "<{% block b %}{% endblock %}>", "page": "{% extends 'base' %}{% block b %}{{ x|upper }}{% endblock %}"}), undefined=StrictUndefined, trim_blocks=True, autoescape=select_autoescape(default=True, default_for_string=True))
            env.filters["euro"] = lambda v: f"{v:.2f} EUR"
            env.globals["shop"] = "S"
            env.tests["odd_one"] = lambda n: n % 2 == 1
            errors = []
            for f in (lambda: env.from_string("{{ nope }}").render(), lambda: Template("{% if %}"), lambda: Template("{{ ''.__class__.__mro__ }}").render()):
                try:
                    errors.append(f())
                except (UndefinedError, TemplateSyntaxError) as e:
                    errors.append(type(e).__name__)
                except Exception as e:
                    errors.append("SecurityError")
            class P:
                name = "obj"
                def m(self, x): return x * 2
            return (Template("Hi {{ n }}{% for i in items %} {{ loop.index }}:{{ i.json.name }}{% endfor %}").render(n="x", items=_items), env.get_template("page").render(x="<a>"), env.from_string("{{ 1.5|euro }} {{ shop }} {{ 3 is odd_one }}").render(), Template("{% set t = namespace(n=0) %}{% for x in xs if x > 1 %}{% set t.n = t.n + x %}{% endfor %}{{ t.n }}").render(xs=[1, 2, 3]),
                    Template("{% macro f(a, b=2) %}{{ a + b }}{% endmacro %}{{ f(1) }} {{ p.name }} {{ p.m(4) }} {{ d['k'] }} {{ d.k }} {{ xs|join(', ') }} {{ xs|map('string')|list }} {{ 'a b'|title }} {{ now|default('none') }}").render(p=P(), d={"k": "v"}, xs=[1, 2]), errors[:2], jinja2.__version__ > "3", Template("a\\n{{- ' b' }}").render())
        """,
    },
    "orjson": {
        "round_trip": """
            import orjson
            from datetime import datetime, timezone
            from dataclasses import dataclass
            from uuid import UUID
            @dataclass
            class P:
                x: int
            try:
                orjson.loads("{bad")
            except orjson.JSONDecodeError as e:
                error = e.pos
            try:
                orjson.dumps({1, 2})
            except TypeError as e:
                error2 = str(e)
            return orjson.dumps({"b": [1, 2.5, None], "a": P(1), "t": datetime(2024, 1, 2, tzinfo=timezone.utc), "u": UUID(int=5)}, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode(), orjson.loads(b'{"a": [1, "\\xc3\\xbc"]}'), orjson.dumps({3: {1}}, default=list, option=orjson.OPT_NON_STR_KEYS), error, error2, orjson.loads(orjson.dumps(_items)) == _items
        """,
    },
    "lxml": {
        "trees": """
            from lxml import etree, html
            from lxml.builder import E
            import io
            root = etree.fromstring(b'<r xmlns:x="urn:x"><i n="1">a</i><i n="2"><x:b>t</x:b></i></r>')
            root[0].set("m", "3")
            etree.SubElement(root, "new").text = "<>"
            doc = html.fromstring("<div><p class='c'>Hi <a href='/x'>there</a></p></div>")
            try:
                etree.fromstring("<a><b></a>")
            except etree.XMLSyntaxError as e:
                error = e.lineno
            xslt = etree.XSLT(etree.XML('<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/"><o><xsl:value-of select="//i[1]"/></o></xsl:template></xsl:stylesheet>'))
            schema = etree.XMLSchema(etree.XML('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="r" type="xs:int"/></xs:schema>'))
            return ([e.text for e in root.xpath("//i[@n>1]/x:b", namespaces={"x": "urn:x"})], root.find("i").attrib["m"], etree.tostring(root, encoding="unicode"), doc.xpath("//a/@href"), doc.text_content(), [e.tag for e in root.iter() if isinstance(e.tag, str)], error, etree.tostring(E.a(E.b("c"), k="v")).decode(), str(xslt(root)).strip()[-8:], schema.validate(etree.XML("<r>5</r>")), schema.validate(etree.XML("<r>x</r>")),
                    len(doc), etree.parse(io.BytesIO(b"<z/>")).getroot().tag, [(event, e.tag) for event, e in etree.iterparse(io.BytesIO(b"<a><b/></a>"))], root.xpath("count(//i)"), html.tostring(doc).decode()[:5], root.xpath("string(//i[1])"))
        """,
    },
    "openpyxl": {
        "workbooks": """
            import openpyxl, io
            from openpyxl import Workbook, load_workbook
            from openpyxl.styles import Font, PatternFill, Alignment
            from openpyxl.utils import get_column_letter
            from datetime import date
            wb = Workbook()
            ws = wb.active
            ws.title = "Orders"
            ws.append(["name", "n", "at"])
            for item in _items:
                ws.append([item["json"]["name"], item["json"]["n"], date(2024, 1, item["json"]["n"])])
            ws["D2"] = "=SUM(B2:B4)"
            ws["A1"].font = Font(bold=True)
            ws["A1"].fill = PatternFill("solid", fgColor="FFFF00")
            ws.column_dimensions["A"].width = 20
            ws.merge_cells("E1:F1")
            wb.create_sheet("Second")["A1"] = 5
            out = io.BytesIO()
            wb.save(out)
            again = load_workbook(io.BytesIO(out.getvalue()))
            sheet = again["Orders"]
            streamed = Workbook(write_only=True)
            lines = streamed.create_sheet("L")
            lines.append([1, "x"])
            out2 = io.BytesIO()
            streamed.save(out2)
            quick = load_workbook(io.BytesIO(out2.getvalue()), read_only=True)
            return (again.sheetnames, [list(row) for row in sheet.iter_rows(min_row=2, max_col=2, values_only=True)], sheet["C3"].value.isoformat(), sheet["D2"].value, sheet["A1"].font.bold, sheet.max_row, sheet.max_column, get_column_letter(28), again["Second"]["A1"].value, [[c.value for c in row] for row in quick["L"].rows], sheet.cell(2, 1).coordinate, str(sheet.merged_cells),
                    sheet["A1"].fill.fgColor.rgb, sheet.column_dimensions["A"].width)
        """,
        "through_pandas": """
            import pandas as pd, io
            df = pd.DataFrame([i["json"] for i in _items])
            out = io.BytesIO()
            with pd.ExcelWriter(out, engine="openpyxl") as writer:
                df.to_excel(writer, sheet_name="All", index=False)
                df.head(1).to_excel(writer, sheet_name="One")
            single = io.BytesIO()
            df.to_excel(single, index=False)
            back = pd.read_excel(io.BytesIO(out.getvalue()), sheet_name="All")
            return back.name.tolist(), back.n.sum().item(), list(pd.read_excel(io.BytesIO(out.getvalue()), sheet_name=None)), pd.read_excel(single).shape, pd.ExcelFile(io.BytesIO(out.getvalue())).sheet_names
        """,
    },
    "xlsxwriter": {
        "workbooks": """
            import xlsxwriter, io, zipfile
            out = io.BytesIO()
            with xlsxwriter.Workbook(out) as book:
                sheet = book.add_worksheet("Orders")
                bold = book.add_format({"bold": True})
                for row, item in enumerate(_items):
                    sheet.write_row(row, 0, [item["json"]["name"], item["json"]["n"]], bold)
                sheet.write_formula("C1", "=SUM(B1:B3)")
            return zipfile.ZipFile(io.BytesIO(out.getvalue())).read("xl/sharedStrings.xml"), sorted(zipfile.ZipFile(out).namelist())
        """,
        "to_excel": """
            import pandas as pd, io, zipfile
            out = io.BytesIO()
            with pd.ExcelWriter(out, engine="xlsxwriter") as writer:
                pd.DataFrame([i["json"] for i in _items]).to_excel(writer, index=False)
            return zipfile.ZipFile(out).read("xl/sharedStrings.xml")
        """,
    },
    "httpx": {
        "requests": """
            import httpx
            r = httpx.Request("POST", "https://example.com/a", params={"q": "b c"}, json={"k": 1}, headers={"X": "1"})
            return str(r.url), r.content, r.headers["x"], httpx.URL("http://x/y?z=1").params["z"], httpx.Response(404, text="no").is_error, httpx.codes.OK
        """,
    },
}
NEEDS = {"through_pandas": "pandas", "to_excel": "pandas"}


def _missing(package: str, name: str) -> str | None:
    needed = (package, *filter(None, [NEEDS.get(name)]))
    return next((each for each in needed if importlib.util.find_spec(each) is None), None)


NAMES = [(package, name) for package, programs in PACKAGES.items() for name in programs]
PROGRAMS = {f"{package} {name}": PACKAGES[package][name] for package, name in NAMES if not _missing(package, name)}
GIVEN = {"_items": ITEMS}
python = answers_of_python(PROGRAMS, **GIVEN)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_program(package: str, name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    missing = _missing(package, name)
    if missing:
        pytest.skip(f"{missing} is not installed")
    assert_same(PACKAGES[package][name], python[f"{package} {name}"], **GIVEN)


REQUESTS = """
import requests
from requests.exceptions import ConnectionError, RequestException
prepared = requests.Request("GET", "http://127.0.0.1:1/x", params={"a": "b c"}, headers={"X": "1"}).prepare()
seen = [prepared.url, prepared.headers["X"], requests.codes.not_found]
with requests.Session() as session:
    for call in (lambda: requests.get("http://127.0.0.1:1/", timeout=5), lambda: session.post("https://n8n.invalid/hook", json={"a": 1}, timeout=5)):
        try:
            call()
        except RequestException as e:
            seen.append((type(e) is ConnectionError, str(e)))
return seen
"""


def test_requests_is_there_but_finds_no_network() -> None:
    """The package imports and prepares requests; sending one ends in its own error, which says why."""
    pytest.importorskip("requests")
    url, header, code, *errors = execute(REQUESTS)  # type: ignore[misc]
    assert (url, header, code) == ("http://127.0.0.1:1/x?a=b+c", "1", 404)
    assert [is_connection_error for is_connection_error, _ in errors] == [True, True]
    for _, text in errors:
        assert "Max retries exceeded" in text
        assert "socket.getaddrinfo is not available in a task: it has no network" in text
