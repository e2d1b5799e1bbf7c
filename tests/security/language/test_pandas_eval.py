"""``pandas.eval``, ``DataFrame.eval`` and ``query`` run text as code, and pandas calls methods by the user's strings."""

from __future__ import annotations

import pytest
from programs import NO_SETTING, Attack, attribute, by_id, check, check_nothing_reached

pytest.importorskip("pandas")

EVAL = f"DataFrame.eval is not allowed: it runs text as code; write the expression in Python. {NO_SETTING}"
QUERY = f"DataFrame.query is not allowed: it runs text as code; use df[df['a'] > 1]. {NO_SETTING}"
PRELUDE = """
import pandas as pd
df = pd.DataFrame({'a': [1, 2], 'b': [1.0, 2.0]})
s = df['a']
times = pd.Series([1, 2], index=pd.date_range('2024-01-01', periods=2))
"""
RUNS_TEXT = {
    "pandas_eval": Attack("reached.append(pd.eval('1'))", f"pandas.eval is not allowed: it runs text as code. {NO_SETTING}"),
    "pandas_eval_from": Attack("from pandas import eval as e\nreached.append(e('1'))", f"pandas.eval is not allowed: it runs text as code. {NO_SETTING}"),
    "pandas_eval_by_name": Attack("reached.append(getattr(pd, 'eval')('@target.gi_frame'))", f"pandas.eval is not allowed: it runs text as code. {NO_SETTING}"),
    "frame_eval": Attack("reached.append(df.eval('a + 1'))", EVAL),
    "frame_eval_of_attributes": Attack("reached.append(df.eval('@df.__class__'))", EVAL),
    "frame_eval_unbound": Attack("reached.append(pd.DataFrame.eval(df, 'a'))", EVAL),
    "frame_eval_by_name": Attack("reached.append(getattr(df, 'eval')('a'))", EVAL),
    "frame_eval_of_a_subclass": Attack("class D(pd.DataFrame): pass\nreached.append(D({'a': [1]}).eval('a'))", EVAL),
    "frame_eval_by_super": Attack("class D(pd.DataFrame):\n    def f(self): return super().eval('a')\nreached.append(D({'a': [1]}).f())", EVAL),
    "frame_eval_by_pipe": Attack("reached.append(df.pipe(pd.DataFrame.eval, 'a'))", EVAL),
    "frame_eval_by_agg": Attack("reached.append(df.agg('eval', 0, 'a'))", EVAL),
    "frame_eval_by_group": Attack("reached.append(df.groupby('a').apply(lambda g: g.eval('b')))", EVAL),
    "frame_query": Attack("reached.append(df.query('a > 1'))", QUERY),
    "frame_query_of_attributes": Attack("reached.append(df.query('a > @df.__class__.__init__.__globals__'))", QUERY),
    "frame_query_engine": Attack("reached.append(df.query('a > 1', engine='python', parser='pandas'))", QUERY),
    "frame_query_by_methodcaller": Attack("import operator\nreached.append(operator.methodcaller('query', 'a > 1')(df))", QUERY),
    "numexpr": Attack("reached.append(pd.core.computation.expressions)", "module 'pandas' has no attribute 'core'", AttributeError),
}  # fmt: skip

#: Where pandas calls a method, or reads an attribute, that a string names.
BY_NAME = {
    "frame_agg": "df.agg(name)",
    "frame_agg_list": "df.agg([name])",
    "frame_agg_dict": "df.agg({'a': name})",
    "frame_agg_keyword": "df.agg(func=name)",
    "frame_aggregate": "df.aggregate(name)",
    "frame_apply": "df.apply(name)",
    "frame_apply_axis": "df.apply(name, axis=1)",
    "series_agg": "s.agg(name)",
    "series_agg_dict": "s.agg({'x': name})",
    "series_apply": "s.apply(name)",
    "group_agg": "df.groupby('a').agg(name)",
    "group_agg_list": "df.groupby('a').agg([name])",
    "group_agg_dict": "df.groupby('a').agg({'b': name})",
    "group_agg_named": "df.groupby('a').agg(x=('b', name))",
    "group_agg_named_class": "df.groupby('a').agg(x=pd.NamedAgg('b', name))",
    "group_column_agg": "df.groupby('a').b.agg(name)",
    "group_column_agg_list": "df.groupby('a').b.agg([name])",
    "group_apply": "df.groupby('a').apply(name)",
    "series_group_agg": "s.groupby(s).aggregate(name)",
    "rolling_agg": "s.rolling(1).agg(name)",
    "rolling_agg_dict": "df.rolling(1).agg({'a': name})",
    "expanding_agg": "s.expanding().agg(name)",
    "ewm_agg": "s.ewm(com=1).agg(name)",
    "resample_agg": "times.resample('D').agg(name)",
    "resample_agg_list": "times.resample('D').agg([name])",
    "resample_apply": "times.resample('D').apply(name)",
    "pivot_table": "df.pivot_table(index='a', values='b', aggfunc=name)",
    "pivot_table_dict": "df.pivot_table(index='a', aggfunc={'b': name})",
    "crosstab": "pd.crosstab(df.a, df.b, values=df.a, aggfunc=name)",
    "accessor_property": "times.index.to_series().dt._delegate_property_get(name)",
    "accessor_method": "times.index.to_series().dt._delegate_method(name)",
}
#: Methods of pandas' own that pick names from a list, and refuse any other themselves.
FROM_A_LIST = {
    "frame_transform": ("df.transform(name)", "Transform function failed"),
    "series_transform": ("s.transform(name)", "Transform function failed"),
    "group_transform": ("df.groupby('a').transform(name)", "'__reduce__' is not a valid function name for transform(name)"),
    "resample_transform": ("times.resample('D').transform(name)", "'__reduce__' is not a valid function name for transform(name)"),
}  # fmt: skip


@pytest.mark.parametrize("attack", by_id(RUNS_TEXT))
def test_text_as_code(attack: Attack) -> None:
    """The functions that run text say what to write instead."""
    check(attack._replace(program=PRELUDE + attack.program), target=(x for x in [1]))


@pytest.mark.parametrize(
    ("way", "name"),
    [
        (way, name)
        for way in BY_NAME
        for name in ("__reduce__", "__getattribute__", "gi_frame")
        if (way, name) != ("group_apply", "gi_frame")  # it asks for the method's presence first
    ],
)
def test_method_named_by_a_string(way: str, name: str) -> None:
    """The string meets the rule of a written name."""
    check(Attack(f"{PRELUDE}reached.append({BY_NAME[way]})", attribute(name)), name=name)


@pytest.mark.parametrize("way", FROM_A_LIST)
def test_method_named_from_a_list(way: str) -> None:
    """The string is none of pandas' own."""
    program, message = FROM_A_LIST[way]
    check(Attack(f"{PRELUDE}reached.append({program})", message, ValueError), name="__reduce__")


def test_accessor_of_another_object() -> None:
    """An accessor whose values the user has exchanged reads by the rule too."""
    program = (
        PRELUDE + "class Mine(type(times.index.to_series().dt)):\n    def _get_values(self): return target\n"
        "reached.append(Mine._delegate_property_get(Mine(times.index.to_series(), None), 'gi_frame'))"
    )
    check(Attack(program, attribute("gi_frame")), target=(x for x in [1]))


def test_ordinary_names_work() -> None:
    """What people write goes on working."""
    check_nothing_reached(
        PRELUDE
        + """
if df.agg('sum').to_dict() != {'a': 3.0, 'b': 3.0}: reached.append(1)
if df.groupby('a')['b'].agg(['sum', 'max']).loc[2].to_dict() != {'sum': 2.0, 'max': 2.0}: reached.append(2)
if s.transform('cumsum').tolist() != [1, 3]: reached.append(3)
if times.resample('D').sum().tolist() != [1, 2]: reached.append(4)
if df[df['a'] > 1].to_dict('records') != [{'a': 2, 'b': 2.0}]: reached.append(5)
if times.index.to_series().dt.year.tolist() != [2024, 2024]: reached.append(6)
"""
    )
