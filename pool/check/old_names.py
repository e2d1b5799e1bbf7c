"""Names of n8n's old Python node, which ran in Pyodide: which of them a program uses, and whether they work.

Those that a task has are in ``sandbox/userspace/names.py``; here are those that it hasn't, with what there is instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

#: Name → what there is instead.
INSTEAD: dict[str, str] = {
    "_getNodeParameter": "_node['Name'].params has another node's parameters",
    "_parameter": "_input.params has this node's parameters",
    "_rawParameter": "_input.params has this node's parameters",
    "_getPairedItem": "_node['Name'].item has the item that the current one goes back to",
    "_itemMatching": "_node['Name'].itemMatching(i)",
    "_thisItem": "_item, or _items[_item_index]",
    "_thisItemIndex": "_item_index",
    "_thisRunIndex": "_run_index",
    "_data": "_json",
    "_self": "nothing; a variable of your own",
    "_position": "_item_index",
    "_mode": "_execution.mode",
    "_executionId": "_execution.id",
    "_workflowId": "_workflow.id",
    "_nodeId": "nothing: write it down",
    "_nodeVersion": "nothing: write it down",
    "_webhookId": "nothing: the trigger's items have what came in",
    "_resumeWebhookUrl": "nothing: set a field to {{ $execution.resumeUrl }} in a node before",
    "_evaluateExpression": "nothing: set a field by an expression in a node before",
    "_fromAI": "nothing: it belongs in a field of an AI tool",
    "_secrets": "nothing: external secrets belong in credentials",
    "_tool": "nothing: set a field by an expression in a node before",
    "_ifEmpty": "value or other",
    "_min": "min(…)",
    "_max": "max(…)",
    "_average": "statistics.mean(…)",
    "_DateTime": "datetime, _now and _today",
    "_Duration": "datetime.timedelta",
    "_jmesPath": "_jmespath(data, expression)",
    "_getContext": "nothing: _workflow.static_data keeps data between executions",
    "_nodeContext": "nothing: _workflow.static_data keeps data between executions",
}
#: Names of the old node that work, but those that n8n's own runner has too (`_items`, `_item`, `_query`).
WORK = frozenset(
    "_input _json _binary _node _ _prevNode _itemIndex _runIndex _workflow _execution _vars _env _now _today _jmespath "
    "_getWorkflowStaticData".split()
)


class OldName(msgspec.Struct, frozen=True):
    """One of them that a program uses. ``instead`` is empty where it works."""

    name: str
    line: int
    instead: str = ""


def used(names: Mapping[str, int], called_back: Iterable[str]) -> list[OldName]:
    """Those among a program's free names; ``called_back`` are those that it has from us."""
    there = set(called_back)
    found = [OldName(name, names.get(name, 1)) for name in sorted(WORK & there)]
    return found + [
        OldName(name, line, INSTEAD[name]) for name, line in names.items() if name in INSTEAD and name not in there
    ]
