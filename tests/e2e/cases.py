"""Python Code node cases, written the way n8n users write them.

Each case is one workflow: Webhook -> Split Out (one item per element of the
posted list) -> Python Code node. Fields:

  name      unique; also the webhook path
  code      the node's Python source
  items     list of JSON objects posted as input items
  mode      'all' (Run Once for All Items) or 'each' (Run Once for Each Item)
  on_error  None, 'continueRegularOutput' or 'continueErrorOutput'
  kind      'webhook' (default), 'parallel', 'stop', 'exec_timeout', 'manual', 'tool'
  tags      'big' (large messages), 'slow', 'volatile' (error text depends on timing/paths)
"""

from __future__ import annotations

import textwrap

CASES: list[dict] = []
PEOPLE = [
    {"name": "Ada", "age": 36, "city": "London", "dept": "eng", "salary": 5200.5, "email": "ada@example.com"},
    {"name": "Bob", "age": 17, "city": "Paris", "dept": "ops", "salary": 1800, "email": "BOB@Example.com "},
    {"name": "Cleo", "age": 52, "city": "Cairo", "dept": "eng", "salary": 7100.25, "email": "cleo@example"},
    {"name": "Dan", "age": 29, "city": "London", "dept": "sales", "salary": 3300, "email": None},
]
NUMS = [{"n": i, "x": i * 1.5} for i in range(1, 7)]


def case(name, code, items=PEOPLE, mode="all", **opts):
    CASES.append(
        {
            "name": name,
            "code": textwrap.dedent(code).strip("\n"),
            "items": items,
            "mode": mode,
            "on_error": None,
            "kind": "webhook",
            "tags": [],
            **opts,
        }
    )


case("passthrough", "return _items")
case(
    "default_template",
    """
    for item in _items:
        item["json"]["my_new_field"] = 1
    return _items
""",
)
case(
    "map_bare_dicts",
    """
    return [{"name": it["json"]["name"].upper(), "age_in_months": it["json"]["age"] * 12} for it in _items]
""",
)
case(
    "aggregate_group_defaultdict",
    """
    from collections import defaultdict

    groups = defaultdict(list)
    for item in _items:
        groups[item["json"]["dept"]].append(item["json"])

    result = []
    for dept, rows in groups.items():
        result.append({
            "json": {
                "dept": dept,
                "people": [r["name"] for r in rows],
                "avg_salary": round(sum(r["salary"] for r in rows) / len(rows), 2),
            }
        })
    return result
""",
)
case(
    "sort_multi_key_lambda",
    """
    rows = sorted(_items, key=lambda it: (it["json"]["dept"], -it["json"]["age"]))
    return [{"json": {"name": r["json"]["name"], "rank": n}} for n, r in enumerate(rows, start=1)]
""",
)
case(
    "datetime_parse_format",
    """
    from datetime import datetime, timedelta, timezone

    out = []
    for item in _items:
        dt = datetime.fromisoformat(item["json"]["when"].replace("Z", "+00:00"))
        due = dt + timedelta(days=30, hours=5)
        out.append({"json": {
            "iso": dt.isoformat(),
            "day": dt.strftime("%A %d %B %Y"),
            "due": due.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "epoch": int(dt.timestamp()),
            "overdue": due < datetime(2024, 6, 1, tzinfo=timezone.utc),
        }})
    return out
""",
    [{"when": "2024-02-29T12:30:00Z"}, {"when": "2024-06-15T00:00:00+02:00"}],
)
case(
    "json_roundtrip",
    """
    import json

    out = []
    for item in _items:
        payload = json.loads(item["json"]["raw"])
        payload["ok"] = True
        dumped = json.dumps(payload, sort_keys=True, ensure_ascii=False)
        out.append({"json": {"parsed": payload, "dumped": dumped}})
    return out
""",
    [{"raw": '{"b": [1, 2, {"c": null}], "a": "é"}'}, {"raw": '{"x": 1e3}'}],
)
case(
    "class_simple",
    """
    class Person:
        kind = "human"

        def __init__(self, name, age):
            self.name = name
            self.age = age

        @property
        def adult(self):
            return self.age >= 18

        def __repr__(self):
            return f"<Person {self.name}>"

    return [{"json": {"r": repr(p), "adult": p.adult, "kind": p.kind}}
            for p in (Person(i["json"]["name"], i["json"]["age"]) for i in _items)]
""",
)
case(
    "string_formatting",
    """
    out = []
    for it in _items:
        j = it["json"]
        out.append({"json": {
            "f": f"{j['name']:>6}|{j['salary']:,.2f}|{j['age']:04d}|{j['name']!r}",
            "fmt": "{0:<8}{1:>5}".format(j["name"], j["age"]),
            "fmt_named": "{name} lives in {city}".format(**j),
            "pct": "%s is %d years, %.1f%%" % (j["name"], j["age"], j["age"] / 100 * 100),
            "nested": f"{'yes' if j['age'] > 18 else 'no'} {j['salary']:{10}.{1}f}",
        }})
    return out
""",
)
case(
    "try_except_finally",
    """
    log = []
    def parse(v):
        try:
            return int(v)
        except (ValueError, TypeError) as e:
            log.append(f"{v!r}: {e}")
            return None
        else:
            log.append("never")
        finally:
            log.append("done")

    vals = [parse(it["json"]["v"]) for it in _items]
    try:
        raise KeyError("k")
    except KeyError as exc:
        log.append(repr(exc))
    return [{"json": {"vals": vals, "log": log}}]
""",
    [{"v": "12"}, {"v": "x"}, {"v": None}, {"v": 3.9}],
)
case(
    "match_statement",
    """
    def kind(v):
        match v:
            case None:
                return "null"
            case bool():
                return "bool"
            case int() | float():
                return "number"
            case str() if not v:
                return "empty string"
            case str():
                return "string"
            case [first, *rest]:
                return f"list of {1 + len(rest)} from {first}"
            case {"type": t, **other}:
                return f"typed {t} {sorted(other)}"
            case _:
                return "other"

    return [{"json": {"v": it["json"]["v"], "kind": kind(it["json"]["v"])}} for it in _items]
""",
    [
        {"v": None},
        {"v": True},
        {"v": 3},
        {"v": ""},
        {"v": "a"},
        {"v": [1, 2, 3]},
        {"v": {"type": "x", "k": 1}},
        {"v": {}},
    ],
)
case(
    "star_unpacking_slices",
    """
    first, *middle, last = [i["json"]["name"] for i in _items]
    a, (b, *c) = 1, [2, 3, 4]
    merged = {**{"a": 1}, **{"b": 2}, "a": 3} | {"z": 26}
    lst = [*range(3), *"ab"]
    lst[1:3] = ["x"]
    del lst[0]
    return [{"json": {"first": first, "middle": middle, "last": last, "c": c, "merged": merged, "lst": lst,
                      "step": list(range(10))[8:1:-3]}}]
""",
)
case(
    "nan_infinity_output",
    """
    return [{"json": {"nan": float("nan"), "inf": float("inf")}}]
""",
    tags=["slow"],
)
case("return_none_all", "return None")
case(
    "each_increment",
    """
    _item["json"]["x"] += 1
    return _item
""",
    NUMS,
    "each",
)
case(
    "each_return_bare_dict",
    """
    return {"name": _item["json"]["name"].upper()}
""",
    mode="each",
)
case(
    "each_drop_none",
    """
    if _item["json"]["age"] < 18:
        return None
    return _item
""",
    mode="each",
)
case(
    "each_raise_on_second",
    """
    if _item["json"]["n"] == 2:
        raise ValueError("bad item " + str(_item["json"]["n"]))
    return _item
""",
    NUMS[:3],
    "each",
)
case(
    "empty_input_list",
    """
    return [{"json": {"n": len(_items), "items": _items}}]
""",
    [],
    note="Split Out has alwaysOutputData, so the node gets one empty item",
)
case(
    "binary_in",
    """
    it = _items[0]
    b = it["binary"]["data"]
    return [{"json": {"bin": sorted(it["binary"]), "mime": b["mimeType"], "name": b.get("fileName"),
                      "keys": sorted(b), "where": str(b["data"])[:13]}, "binary": it["binary"]}]
""",
    [{"text": "hello"}],
    pre="to_file",
)
case("wrong_return_string", 'return "hello"')
case(
    "raise_zero_division",
    """
    a = 1
    b = 0

    def compute():
        return a / b

    return [{"json": {"r": compute()}}]
""",
)
case(
    "syntax_error",
    """
    items = _items
    for item in items
        item["json"]["a"] = 1
    return items
""",
)
case(
    "import_subprocess",
    """
    import subprocess
    return [{"json": {"out": subprocess.run(["echo", "hi"], capture_output=True, text=True).stdout}}]
""",
)
case(
    "timeout_infinite_loop",
    """
    i = 0
    while True:
        i += 1
""",
    tags=["slow"],
)
case(
    "continue_regular_each",
    """
    if _item["json"]["n"] == 2:
        raise ValueError("bad item")
    return _item
""",
    NUMS[:3],
    "each",
    on_error="continueRegularOutput",
)
case(
    "continue_error_output_all",
    """
    raise ValueError("boom " + _items[0]["json"]["name"])
""",
    on_error="continueErrorOutput",
)
case(
    "print_kinds",
    """
    print("hello")
    print("a", 1, 2.5, True, None)
    print()
    print({"k": [1, 2], "u": "ü"}, [1, "two"], (3, 4))
    print({1, }, {"d": {"e": None}})
    print("multi\\nline", 'quo"te', "it's")
    print(10**20, 1e100, -0.0)
    from datetime import date
    print(date(2024, 1, 2), b"bytes", 1 + 2j, print is None)
    print(_items[0])
    return _items
""",
    NUMS[:1],
)
case(
    "print_then_raise",
    """
    print("about to fail")
    raise ValueError("failed")
""",
    NUMS[:1],
)
case(
    "large_in_out_5mb",
    """
    out = []
    for it in _items:
        j = it["json"]
        j["doubled"] = j["n"] * 2
        out.append({"json": j})
    return out
""",
    {"make": "rows", "n": 5000, "blob": 1000},
    tags=["big"],
)
case(
    "parallel_10",
    """
    total = 0
    for i in range(200000):
        total += i % 7
    return [{"json": {"who": _items[0]["json"]["who"], "total": total}}]
""",
    kind="parallel",
    n=10,
)
case("user_stops_execution", "while True:\n    pass", NUMS[:1], kind="stop", tags=["slow"])
case(
    "tool_query_dict",
    """
    return f"{_query['city']}: {_query['days'] * 2}"
""",
    {"city": "Paris", "days": 3},
    kind="tool",
    schema=True,
)
assert len({c["name"] for c in CASES}) == len(CASES), "duplicate case name"
