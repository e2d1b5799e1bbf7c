"""An AI agent that uses Python Code Tools; the model follows a script."""

from __future__ import annotations

import json

from model import Message, answers, say, use
from stage import Stage, scenario
from workflows import Node, link, node, to, webhook

#: Agent nodes call tools in two ways: up to 2.2 through LangChain, from 3 on as nodes of the workflow.
AGENTS = (1.9, 2.2, 3.1)
ADDER = """
a, b = _query["a"], _query["b"]
return f"{a} + {b} = {a + b}"
"""


def tool(name: str, code: str, example: dict[str, object] | None = None) -> Node:
    """A Python Code Tool; with an `example` its query is an object of that shape."""
    params: dict[str, object] = {"description": f"{name} knows", "language": "python", "pythonCode": code}
    if example is not None:
        params |= {"specifyInputSchema": True, "schemaType": "fromJson", "jsonSchemaExample": json.dumps(example)}
    return node(name, "@n8n/n8n-nodes-langchain.toolCode", 1.3, params, 2)


def agent(stage: Stage, path: str, version: float, tools: list[Node]) -> str:
    """Publish Webhook → Agent with a model of the path's name and tools. Returns the workflow's id."""
    data = {"apiKey": "none", "url": stage.model.url}
    credential = stage.main.rest("POST", "/credentials", {"name": path, "type": "openAiApi", "data": data})
    model = node(
        "Model",
        "@n8n/n8n-nodes-langchain.lmChatOpenAi",
        1.3,
        {
            "model": {"__rl": True, "mode": "id", "value": path},
            "responsesApiEnabled": False,
            "options": {"baseURL": stage.model.url, "maxRetries": 0},
        },
        1,
        credentials={"openAiApi": {"id": credential["id"], "name": path}},
    )
    params = {"promptType": "define", "text": "={{ $json.body.question }}", "options": {}}
    nodes = [webhook(path), node("Agent", "@n8n/n8n-nodes-langchain.agent", version, params, 1), model, *tools]
    connections = link("Webhook", "Agent")
    connections["Model"] = {"ai_languageModel": [to("Agent", kind="ai_languageModel")]}
    for one in tools:
        connections[one["name"]] = {"ai_tool": [to("Agent", kind="ai_tool")]}
    return stage.publish(path, nodes, connections)


@scenario()
def agent_with_python_tools(stage: Stage) -> None:
    """An agent calls two Python tools, one by a text and one by an object, and its model sees what they return."""

    def script(messages: list[Message]) -> Message:
        found = answers(messages)
        if not found:
            return use(("Weather", {"input": "Cairo"}), ("Adder", {"a": 2, "b": 40}))
        return say(f"{found[0]}; {found[1]}")

    for version in AGENTS:
        path = f"agent-{version}".replace(".", "-")
        stage.model.scripts[path] = script
        workflow = agent(
            stage,
            path,
            version,
            [
                tool("Weather", "return f'{_query} is sunny'"),
                tool("Adder", ADDER, {"a": 1, "b": 1}),
            ],
        )
        answer = stage.ask(path, {"question": "How is it?"})
        text = answer[0]["output"]
        missing = [part for part in ("Cairo", "is sunny", "2 + 40 = 42") if part not in text]
        assert not missing, f"agent {version}: no {missing} in {answer}"
        (row,) = stage.all_ended(workflow, 1)
        assert row["status"] == "success", row
    offered = {one["function"]["name"] for one in stage.model.requests[-1]["tools"]}
    assert offered == {"Weather", "Adder"}, offered


@scenario()
def agent_whose_tool_fails(stage: Stage) -> None:
    """A tool's error doesn't end the agent: its model is told, and the next call of the tool works."""

    def script(messages: list[Message]) -> Message:
        found = answers(messages)
        if len(found) < 2:
            return use(("Divide", {"a": 10, "b": len(found) * 5}))
        return say(" / ".join(found))

    stage.model.scripts["agent-fails"] = script
    code = "return str(_query['a'] // _query['b'])"
    workflow = agent(stage, "agent-fails", 2.2, [tool("Divide", code, {"a": 1, "b": 1})])
    text = stage.ask("agent-fails", {"question": "Ten by nothing?"})[0]["output"]
    assert "by zero" in text, text
    assert text.endswith("/ 2"), text
    stage.all_ended(workflow, 1)
