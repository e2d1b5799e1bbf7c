"""``pandas.eval``, ``DataFrame.eval`` and ``query`` run expressions, and pandas calls methods by the user's strings."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from programs import NO_SETTING, Attack, attribute, by_id, check, check_nothing_reached

pytest.importorskip("pandas")
UndefinedVariableError: type[Exception] = importlib.import_module("pandas.errors").UndefinedVariableError


def in_expression(name: str) -> str:
    """The refusal of an expression that names this."""
    return f"the name '{name}' in an expression is not allowed: it belongs to the interpreter"


PRELUDE = """
import pandas as pd
df = pd.DataFrame({'a': [1, 2], 'b': [1.0, 2.0]})
s = df['a']
times = pd.Series([1, 2], index=pd.date_range('2024-01-01', periods=2))
"""
RUNS_TEXT = {
    "pandas_eval_of_attributes": Attack("reached.append(pd.eval('@target.gi_frame'))", in_expression("gi_frame")),
    "pandas_eval_by_name": Attack("reached.append(getattr(pd, 'eval')('@target.gi_frame'))", in_expression("gi_frame")),
    "pandas_eval_of_builtins": Attack("reached.append(pd.eval('@__builtins__'))", in_expression("__builtins__")),
    "pandas_eval_calls": Attack("reached.append(pd.eval('eval(1)'))", in_expression("eval")),
    "pandas_eval_of_a_library_s_names": Attack("s.apply(lambda x: reached.append(pd.eval('@np', level=1)))", "local variable 'np' is not defined", UndefinedVariableError),
    "pandas_eval_of_a_library_s_globals": Attack("s.apply(lambda x: reached.append(pd.eval('warnings', level=1)))", "name 'warnings' is not defined", UndefinedVariableError),
    "pandas_eval_in_a_library_s_place": Attack("import functools\nreached.extend(s.apply(functools.partial(next, map(pd.eval, ['@np']))))", "local variable 'np' is not defined", UndefinedVariableError),
    "frame_eval_of_a_library_s_names": Attack("s.apply(lambda x: reached.append(df.eval('@lib', level=1)))", "local variable 'lib' is not defined", UndefinedVariableError),
    "frame_eval_of_attributes": Attack("reached.append(df.eval('@df.__class__'))", in_expression("__class__")),
    "frame_eval_unbound": Attack("reached.append(pd.DataFrame.eval(df, '@df.__class__'))", in_expression("__class__")),
    "frame_eval_of_a_keyword": Attack("reached.append(df.eval(expr='@df.__class__'))", in_expression("__class__")),
    "frame_eval_of_a_subclass": Attack("class D(pd.DataFrame): pass\nreached.append(D({'a': [1]}).eval('@df.__dict__'))", in_expression("__dict__")),
    "frame_eval_by_super": Attack("class D(pd.DataFrame):\n    def f(self): return super().eval('@self.__class__')\nreached.append(D({'a': [1]}).f())", in_expression("__class__")),
    "frame_eval_by_pipe": Attack("reached.append(df.pipe(pd.DataFrame.eval, '@df.__class__'))", in_expression("__class__")),
    "frame_eval_in_other_letters": Attack("reached.append(df.eval('@df.__ｃlass__'))", in_expression("__class__")),
    "frame_eval_of_no_text": Attack("reached.append(df.eval(target))", "an expression that isn't text is not allowed: give it a str"),
    "frame_eval_of_a_module": Attack("import statistics\nreached.append(df.eval('@holder.sys'))", f"the attribute 'sys' is not allowed: it leads to a module that isn't allowed. {NO_SETTING}"),
    "frame_query_of_attributes": Attack("reached.append(df.query('a > @df.__class__.__init__.__globals__'))", in_expression("__class__")),
    "frame_query_by_methodcaller": Attack("import operator\nreached.append(operator.methodcaller('query', 'a > @target.gi_frame')(df))", in_expression("gi_frame")),
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
    """An expression is pandas' small language; what leads out of it is refused by name, or by what it reads."""
    holder = SimpleNamespace(sys=importlib.import_module("sys"))
    check(attack._replace(program=PRELUDE + attack.program), target=(x for x in [1]), holder=holder)


def test_expressions_work() -> None:
    """Columns, the task's own names, assignments."""
    check_nothing_reached(
        PRELUDE
        + """
limit = 1
if df.query('a > @limit').to_dict('records') != [{'a': 2, 'b': 2.0}]: reached.append(1)
if df.eval('c = a + b').c.tolist() != [2.0, 4.0]: reached.append(2)
if pd.eval('1 + 2') != 3: reached.append(3)
def inner(frame, least): return frame.query('a >= @least')
if len(inner(df, 2)) != 1: reached.append(4)
"""
    )


@pytest.mark.parametrize(
    ("way", "name"),
    [
        (way, name)
        for way in BY_NAME
        for name in ("__reduce__", "__getattribute__", "gi_frame")
        if (way, name) != ("group_apply", "gi_frame")  # it asks for the method's presence first
        # what can be called is refused when it is called
        and not (way in ("frame_apply_axis", "accessor_property") and name != "gi_frame")
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
