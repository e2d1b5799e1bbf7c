"""pydantic imports objects by name (``ImportString``) and reads attributes by name, in Rust: by fields, aliases, schemas."""

from __future__ import annotations

import types

import pytest
from programs import NO_SETTING, Attack, at_compile, attribute, by_id, check, check_nothing_reached, withheld

from reptarium.sandbox.language import RefusedImport

pytest.importorskip("pydantic")

VALIDATOR = f"the attribute 'validator' is not allowed: it leads to what reads attributes by name. {NO_SETTING}"
ADAPTER = f"from_attributes of a TypeAdapter is not allowed: use a model's model_validate(). {NO_SETTING}"


def field(name: str) -> str:
    """The refusal of a field of the interpreter's."""
    return f"the field '{name}' is not allowed: it belongs to the interpreter"


def from_attributes(name: str) -> str:
    """The refusal of a field that would need a look at what it reads."""
    return f"the field '{name}' is not allowed with from_attributes: it could lead to a module. Give the model a dict. {NO_SETTING}"


PRELUDE = """
from typing import Any, Annotated
from pydantic import AliasChoices, AliasPath, AliasGenerator, BaseModel, ConfigDict, Field, TypeAdapter, create_model
class Holder: pass
holder = Holder()
holder.gen = target
"""
IMPORTS = {
    "import_string": Attack("from pydantic import ImportString\nreached.append(TypeAdapter(ImportString).validate_python('os.system'))", "cannot import name 'ImportString' from 'pydantic'", RefusedImport),
    "import_string_attribute": Attack("import pydantic\nreached.append(pydantic.ImportString)", "module 'pydantic' has no attribute 'ImportString'", AttributeError),
    "import_string_of_types": Attack("from pydantic.types import ImportString\nreached.append(ImportString)", "cannot import name 'ImportString' from 'pydantic.types'", RefusedImport),
    "old_name": Attack("import pydantic\nreached.append(pydantic.PyObject)", "module 'pydantic' has no attribute 'PyObject'", AttributeError),
    "old_api": Attack("import pydantic.v1\nreached.append(pydantic.v1.PyObject)", withheld("pydantic.v1"), RefusedImport),
    "old_api_from": Attack("from pydantic import v1\nreached.append(v1)", "cannot import name 'v1' from 'pydantic'", RefusedImport),
    "old_utils": Attack("from pydantic.utils import import_string\nreached.append(import_string)", withheld("pydantic.utils"), RefusedImport),
    "deprecated": Attack("import pydantic.deprecated.parse as p\nreached.append(p)", withheld("pydantic.deprecated"), RefusedImport),
    "internals": at_compile("import pydantic._internal._validators as v\nreached.append(v)", "import of 'pydantic._internal._validators' is not allowed"),
    "file": Attack("import warnings\nwarnings.simplefilter('ignore')\nclass M(BaseModel): pass\nreached.append(M.parse_file('/etc/hostname'))", "[Errno 2] No such file or directory: '/etc/hostname'", FileNotFoundError),
}  # fmt: skip
MODELS = {
    "field": Attack("class M(BaseModel):\n    gi_frame: Any\nreached.append(M)", attribute("gi_frame")),
    "alias": Attack("class M(BaseModel):\n    x: Any = Field(alias='gi_frame')\nreached.append(M)", field("gi_frame")),
    "validation_alias": Attack("class M(BaseModel):\n    x: Any = Field(validation_alias='gi_frame')\nreached.append(M)", field("gi_frame")),
    "alias_path": Attack("class M(BaseModel):\n    x: Any = Field(validation_alias=AliasPath('gen', 'gi_frame', 'f_globals'))\nreached.append(M.model_validate(holder, from_attributes=True).x)", field("gi_frame")),
    "alias_choices": Attack("class M(BaseModel):\n    x: Any = Field(validation_alias=AliasChoices('a', AliasPath('gen', 'gi_frame')))\nreached.append(M.model_validate(holder, from_attributes=True).x)", field("gi_frame")),
    "alias_generator": Attack("class M(BaseModel):\n    model_config = ConfigDict(alias_generator=lambda n: 'gi_frame')\n    x: Any\nreached.append(M)", field("gi_frame")),
    "alias_generator_class": Attack("class M(BaseModel):\n    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=lambda n: AliasPath('gen', 'gi_frame')))\n    x: Any\nreached.append(M)", field("gi_frame")),
    "annotated_alias": Attack("class M(BaseModel):\n    x: Annotated[Any, Field(validation_alias='gi_frame')]\nreached.append(M)", field("gi_frame")),
    "inner_model": Attack("class I(BaseModel):\n    x: Any = Field(validation_alias='gi_frame')\nclass M(BaseModel):\n    gen: I\nreached.append(M.model_validate(holder, from_attributes=True))", field("gi_frame")),
    "created_model": Attack("reached.append(create_model('M', **{'gi_frame': (Any, ...)}))", attribute("gi_frame")),
    "class_name_of_a_created_model": Attack("reached.append(create_model('M', **{'__array_interface__': (dict, {})}))", "the name '__array_interface__' in a class made by a call is not allowed: it belongs to the interpreter. No setting allows it."),
    "namespace_of_a_created_model": Attack("reached.append(create_model('M', **{'__namespace__': {'__getattribute__': len}}))", "the name '__getattribute__' in a class made by a call is not allowed: it belongs to the interpreter. No setting allows it."),
    "validators_of_a_created_model": Attack("reached.append(create_model('M', **{'__validators__': {'__reduce__': len}}))", "the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. No setting allows it."),
    "special_field_of_a_created_model": Attack("reached.append(create_model('M', x=(Any, Field(validation_alias='__globals__'))))", field("__globals__")),
    "special_path": Attack("class M(BaseModel):\n    x: Any = Field(validation_alias=AliasPath('f', '__globals__'))\nreached.append(M)", field("__globals__")),
    "adapter_of_a_typed_dict": Attack("from typing_extensions import TypedDict\nreached.append(TypeAdapter(TypedDict('D', {'gi_frame': Any})))", field("gi_frame")),
    "computed_field": Attack("from pydantic import computed_field\nclass M(BaseModel):\n    @computed_field\n    @property\n    def gi_frame(self) -> int: return 1\nreached.append(M)", field("gi_frame")),
    "validated_call": Attack("from pydantic import validate_call\n@validate_call\ndef f(gi_frame: int): pass\nreached.append(f)", field("gi_frame")),
    "class_with_from_attributes": Attack("class M(BaseModel):\n    x: Any = Field(validation_alias='__class__')\nreached.append(M.model_validate(holder, from_attributes=True).x)", from_attributes("__class__")),
    "module_holder_with_from_attributes": Attack("class M(BaseModel):\n    module: Any\nreached.append(M.model_validate(keeper, from_attributes=True))", from_attributes("module")),
    "module_holder_by_configuration": Attack("class M(BaseModel):\n    model_config = ConfigDict(from_attributes=True)\n    module: Any\nreached.append(M)", from_attributes("module")),
    "module_holder_by_a_path": Attack("class M(BaseModel):\n    model_config = ConfigDict(from_attributes=True)\n    x: Any = Field(validation_alias=AliasPath('a', '_module'))\nreached.append(M)", from_attributes("_module")),
    "adapter_of_objects": Attack("class M(BaseModel):\n    module: Any\nreached.append(TypeAdapter(M).validate_python(keeper, from_attributes=True))", ADAPTER),
    "validator_of_an_adapter": Attack("reached.append(TypeAdapter(int).validator)", VALIDATOR),
    "validator_by_name": Attack("reached.append(getattr(TypeAdapter(int), 'validator'))", VALIDATOR),
    "validator_by_attrgetter": Attack("import operator\nreached.append(operator.attrgetter('validator')(TypeAdapter(int)))", VALIDATOR),
    "validator_by_vars": Attack("reached.append(vars(TypeAdapter(int)))", VALIDATOR),
    "validator_by_pattern": Attack("match TypeAdapter(int):\n    case object(validator=v): reached.append(v)", f"the attribute 'validator' is not allowed: it leads to what reads attributes by name. {NO_SETTING}"),
    "validator_of_a_model": at_compile("class M(BaseModel): pass\nreached.append(M.__pydantic_validator__)", "the attribute '__pydantic_validator__' is not allowed"),
    "schema_of_a_model_changed": at_compile("class M(BaseModel): pass\nM.__pydantic_core_schema__ = {}", "changing the attribute '__pydantic_core_schema__' is not allowed"),
    "metaclass": Attack("reached.append(type(BaseModel)('X', (), {'__reduce__': len}))", f"the name '__reduce__' in a class made by a call is not allowed: it belongs to the interpreter. {NO_SETTING}"),
}  # fmt: skip
FIELD = "{'type': 'model-field', 'schema': {'type': 'any'}}"
SCHEMAS = {
    "model_fields": "SchemaValidator({'type': 'model-fields', 'from_attributes': True, 'fields': {'gi_frame': FIELD}})",
    "without_from_attributes": "SchemaValidator({'type': 'model-fields', 'fields': {'gi_frame': FIELD}})",
    "in_a_list": "SchemaValidator({'type': 'list', 'items_schema': {'type': 'model-fields', 'fields': {'gi_frame': FIELD}}})",
    "alias_in_a_list": "SchemaValidator({'type': 'model-fields', 'fields': {'x': {**FIELD, 'validation_alias': [['a', 'gi_frame']]}}})",
    "lying_dict": "SchemaValidator(Lying({'type': 'model-fields', 'fields': {'gi_frame': FIELD}}))",
    "lying_text": "SchemaValidator({'type': 'model-fields', 'fields': {LyingText('gi_frame'): FIELD}})",
    "lying_list": "SchemaValidator({'type': 'model-fields', 'fields': {'x': {**FIELD, 'validation_alias': LyingList(['a', 'gi_frame'])}}})",
    "discriminator": "SchemaValidator({'type': 'tagged-union', 'discriminator': ['gi_frame'], 'choices': {}})",
    "dataclass_serializer": "SchemaSerializer({'type': 'dataclass', 'cls': Generator, 'schema': {'type': 'any'}, 'fields': ['gi_frame']})",
    "by_keyword": "SchemaValidator(schema={'type': 'model-fields', 'fields': {'gi_frame': FIELD}})",
    "by_partial": "__import__('functools').partial(SchemaValidator)({'type': 'model-fields', 'fields': {'gi_frame': FIELD}})",
}
LIARS = """
from pydantic_core import SchemaSerializer, SchemaValidator
class Lying(dict):
    def get(self, *a): return None
    def keys(self): return []
    def values(self): return []
    def items(self): return []
    def __iter__(self): return iter(())
class LyingList(list):
    def __iter__(self): return iter(())
class LyingText(str):
    def __str__(self): return 'x'
    def __eq__(self, other): return True
    def __hash__(self): return hash('x')
"""


class Keeper:
    """Stands for an object that keeps modules."""

    module = _module = types


@pytest.mark.parametrize("attack", by_id(IMPORTS))
def test_import_by_name(attack: Attack) -> None:
    """Nothing imports what a string names, and no file is read."""
    check(attack._replace(program=PRELUDE + attack.program), target=1)


@pytest.mark.parametrize("attack", by_id(MODELS))
def test_model(attack: Attack) -> None:
    """No model reads what a program could not."""
    check(attack._replace(program=PRELUDE + attack.program), target=(x for x in [1]), keeper=Keeper())


@pytest.mark.parametrize("schema", SCHEMAS)
def test_schema_by_hand(schema: str) -> None:
    """A schema that somebody has written is judged like a model's."""
    program = f"{LIARS}v = {SCHEMAS[schema].replace('FIELD', FIELD)}\nreached.append(v)"
    check(Attack(program, field("gi_frame")), target=(x for x in [1]), Generator=types.GeneratorType)


def test_copies_lead_to_no_validator() -> None:
    """Copying an adapter or a model class makes no new validator and shows none."""
    check_nothing_reached(
        PRELUDE
        + """
import copy
class Memo(dict):
    def __setitem__(self, key, value):
        for part in (value, *(value.values() if isinstance(value, dict) else ())):
            if type(part).__name__ in ('SchemaValidator', 'SchemaSerializer'): reached.append(part)
copy.deepcopy(TypeAdapter(int), Memo())
""",
        target=1,
    )


def test_ordinary_models_work() -> None:
    """Names like ``type`` and ``module``, aliases, unions, reading from objects."""
    check_nothing_reached(
        PRELUDE
        + """
from typing import Literal, Union
class A(BaseModel):
    type: Literal['a']
    n: int = Field(alias='N')
class B(BaseModel):
    type: Literal['b']
    module: str = ''
    format: str = 'x'
pets = TypeAdapter(list[Annotated[Union[A, B], Field(discriminator='type')]])
got = pets.dump_python(pets.validate_python([{'type': 'a', 'N': 1}, {'type': 'b'}]))
if got != [{'type': 'a', 'n': 1}, {'type': 'b', 'module': '', 'format': 'x'}]: reached.append(got)
class Row: pass
row = Row()
row.id, row.name = 1, 'Ada'
class User(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
if User.model_validate(row).model_dump() != {'id': 1, 'name': 'Ada'}: reached.append(1)
class Other(BaseModel):
    id: int
if Other.model_validate(obj=row, from_attributes=True).id != 1: reached.append(2)
""",
        target=1,
    )
