"""Types of the names that a task's code has, for editors and type checkers.

Copy the content of ``reptarium-stubs`` into your project (or point ``MYPYPATH`` or Pyright's
``extraPaths`` at it). Pyright and Pylance then know the names without an import, from
``__builtins__.pyi``; for mypy write ``if TYPE_CHECKING: from reptarium import _items, _helpers``.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, overload

class PairedInfo(TypedDict):
    item: int
    input: NotRequired[int]

class BinaryInfo(TypedDict, total=False):
    data: str
    mimeType: str
    fileName: str
    fileExtension: str
    fileType: str
    fileSize: str
    bytes: int
    id: str

class Item(TypedDict):
    json: dict[str, Any]
    binary: NotRequired[dict[str, BinaryInfo]]
    pairedItem: NotRequired[int | PairedInfo | list[PairedInfo]]

class View(dict[str, Any]):
    """A dict with its keys as attributes."""
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def __delattr__(self, name: str) -> None: ...
    def copy(self) -> View: ...

class PairedItem(View):
    def __call__(self, index: int) -> View: ...

class HelperError(Exception):
    """A call to n8n that was refused, failed or brought nothing usable."""

class HttpRequestError(HelperError):
    """An HTTP request that failed; ``status_code`` is None when there was no response."""

    status_code: int | None
    headers: View
    body: Any
    url: str
    method: str

class HttpResponse(View):
    """What ``http_request(..., full_response=True)`` gives."""

    status_code: int
    status_message: str | None
    headers: View
    body: Any
    url: str

class Helpers:
    HttpRequestError: type[HttpRequestError]
    @overload
    def http_request(
        self,
        url: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        json: Any = None,
        data: str | bytes | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        auth: tuple[str, str] | None = None,
        allow_redirects: bool = True,
        verify: bool = True,
        full_response: Literal[True],
    ) -> HttpResponse: ...
    @overload
    def http_request(
        self,
        url: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        json: Any = None,
        data: str | bytes | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        auth: tuple[str, str] | None = None,
        allow_redirects: bool = True,
        verify: bool = True,
        full_response: bool = False,
    ) -> Any: ...
    def httpRequest(self, options: dict[str, Any]) -> Any: ...
    def request(self, options: str | dict[str, Any]) -> Any: ...
    def get_binary(self, item_index: int, property: str = "data") -> bytes: ...
    def getBinaryDataBuffer(self, item_index: int, property: str = "data") -> bytes: ...
    def binary_info(self, item_index: int, property: str = "data") -> View: ...
    def assertBinaryData(self, item_index: int, property: str = "data") -> View: ...
    def prepare_binary(self, data: bytes | str, file_name: str | None = None, mime_type: str | None = None) -> View: ...
    def prepareBinaryData(
        self, data: bytes | str, file_name: str | None = None, mime_type: str | None = None
    ) -> View: ...
    def set_binary(self, info: dict[str, Any], data: bytes | str) -> View: ...
    def setBinaryDataBuffer(self, info: dict[str, Any], data: bytes | str) -> View: ...
    def binary_to_string(self, data: bytes, encoding: str = "utf8") -> str: ...
    def binaryToString(self, data: bytes, encoding: str = "utf8") -> str: ...

class Input:
    """What came into this node."""
    def all(self) -> list[View]: ...
    def first(self) -> View: ...
    def last(self) -> View: ...
    @property
    def item(self) -> View: ...
    @property
    def params(self) -> View: ...
    def __len__(self) -> int: ...

class Node:
    """Another node of the workflow, and what it put out."""

    name: str
    def all(self, output: int | None = None, run: int = -1) -> list[View]: ...
    def first(self, output: int | None = None, run: int = -1) -> View: ...
    def last(self, output: int | None = None, run: int = -1) -> View: ...
    @property
    def item(self) -> PairedItem: ...
    def item_matching(self, index: int) -> View: ...
    def itemMatching(self, index: int) -> View: ...
    @property
    def json(self) -> Any: ...
    @property
    def binary(self) -> Any: ...
    @property
    def params(self) -> View: ...
    @property
    def parameter(self) -> View: ...
    @property
    def is_executed(self) -> bool: ...
    @property
    def isExecuted(self) -> bool: ...

class Nodes:
    def __call__(self, name: str) -> Node: ...
    def __getitem__(self, name: str) -> Node: ...

class PreviousNode:
    @property
    def name(self) -> str | None: ...
    @property
    def output_index(self) -> int: ...
    @property
    def run_index(self) -> int: ...
    @property
    def outputIndex(self) -> int: ...
    @property
    def runIndex(self) -> int: ...

class WorkflowView:
    @property
    def id(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def active(self) -> bool: ...
    @property
    def static_data(self) -> View: ...
    @static_data.setter
    def static_data(self, value: dict[str, Any]) -> None: ...
    @property
    def node_static_data(self) -> View: ...
    @node_static_data.setter
    def node_static_data(self, value: dict[str, Any]) -> None: ...

class CustomData:
    def set(self, key: str, value: str | int | float) -> None: ...
    def set_all(self, values: Mapping[str, str | int | float]) -> None: ...
    def setAll(self, values: Mapping[str, str | int | float]) -> None: ...
    def get(self, key: str) -> str | None: ...
    def get_all(self) -> dict[str, str]: ...
    def getAll(self) -> dict[str, str]: ...

class Execution:
    custom_data: CustomData
    @property
    def customData(self) -> CustomData: ...
    @property
    def id(self) -> str | None: ...
    @property
    def mode(self) -> Literal["test", "production"]: ...
    @property
    def deadline(self) -> datetime.datetime | None: ...

class LazyView(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

# What a task gets. `_items` and `_query` exist where the code runs once for all items, `_item` where it
# runs once for each.
_items: list[Item]
_item: Item
_query: Any

_helpers: Helpers
_node: Nodes
_: Nodes
_input: Input
_json: Any
_binary: Any
_prev_node: PreviousNode
_prevNode: PreviousNode
_workflow: WorkflowView
_execution: Execution
_vars: LazyView
_env: LazyView
_now: datetime.datetime
_today: datetime.datetime
_item_index: int
_itemIndex: int
_run_index: int
_runIndex: int

def _jmespath(data: Any, expression: str) -> Any: ...

_getWorkflowStaticData: Callable[[Literal["global", "node"]], View]
