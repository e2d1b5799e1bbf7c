"""Workflows of more than one part: by hand, error workflow, sub-workflow, loop, static data."""

from __future__ import annotations

from typing import Any

from harness import limit, wait_for
from rest import UNENDED
from stage import Stage, scenario
from workflows import javascript, link, node, python, split, to, webhook


@scenario()
def webhooks_one_by_one(stage: Stage) -> None:
    """Each of twenty executions answers with its own items; in queue mode every one of them ran in a worker."""
    workflow = stage.publish_python("one-by-one", "return [{'json': {'twice': _items[0]['json']['body']['n'] * 2}}]")
    for number in range(20):
        assert stage.ask("one-by-one", {"n": number}) == [{"twice": number * 2}]
    rows = stage.all_ended(workflow, 20)
    assert [row["status"] for row in rows] == ["success"] * 20, rows
    if stage.mode == "queue":
        shares = [len(mine) for mine in stage.ran_in(row["id"] for row in rows).values()]
        assert sum(shares) == 20, f"not every execution was started by one worker: {shares}"


@scenario()
def by_hand(stage: Stage) -> None:
    """A workflow started in the editor runs; in queue mode in the main n8n, whose broker the runner serves too."""
    code = "return {'mode': _execution.mode}"
    nodes = [node("Manual", "n8n-nodes-base.manualTrigger", 1, {}), python(code, each=True)]
    made = stage.main.create_workflow("by-hand", nodes, link("Manual", "Python"), activate=False)
    stage.main.rest("POST", f"/workflows/{made['id']}/run", {"triggerToStartFrom": {"name": "Manual"}})
    execution = stage.main.wait_execution(made["id"], after=0)
    assert execution["status"] == "success", execution["data"]["resultData"].get("error")
    ((output,),) = execution["data"]["resultData"]["runData"]["Python"][0]["data"]["main"]
    assert output["json"] == {"mode": "test"}, output
    assert not any(stage.ran_in([execution["id"]]).values()), "a worker ran it"


@scenario()
def error_workflow(stage: Stage) -> None:
    """A Python node's error starts the error workflow, whose Python node gets the text with its line."""
    catch = stage.publish(
        "catches",
        [
            node("Error Trigger", "n8n-nodes-base.errorTrigger", 1, {}),
            python(
                """
                found = _items[0]["json"]
                return [{"json": {"message": found["execution"]["error"]["message"],
                                  "description": found["execution"]["error"].get("description"),
                                  "node": found["execution"]["lastNodeExecuted"],
                                  "workflow": found["workflow"]["name"], "id": found["execution"]["id"]}}]
                """
            ),
        ],
        link("Error Trigger", "Python"),
    )
    fails = stage.publish(
        "fails",
        [webhook("fails"), python("amount = 1\nraise ValueError(f'no such customer: {amount}')", name="Charge")],
        link("Webhook", "Charge"),
        {"errorWorkflow": catch},
    )
    assert stage.call("fails", {}).status == 500
    (failed,) = stage.all_ended(fails, 1)
    assert failed["status"] == "error", failed
    caught = stage.main.wait_execution(catch, after=0)
    assert (caught["status"], caught["mode"]) == ("success", "error"), caught["data"]["resultData"].get("error")
    ((output,),) = caught["data"]["resultData"]["runData"]["Python"][0]["data"]["main"]
    found = output["json"]
    assert "no such customer: 1" in found["message"], found
    assert "ine 2" in f"{found['message']} {found['description']}", found
    assert (found["node"], found["workflow"], found["id"]) == ("Charge", "fails", str(failed["id"])), found


@scenario()
def sub_workflow(stage: Stage) -> None:
    """Python before a sub-workflow, in it, and after it: items go in and come back in order."""
    child = stage.publish(
        "child",
        [
            node("Start", "n8n-nodes-base.executeWorkflowTrigger", 1.1, {"inputSource": "passthrough"}),
            python("return {'n': _item['json']['n'], 'square': _item['json']['n'] ** 2}", each=True),
        ],
        link("Start", "Python"),
    )
    call = {
        "source": "database",
        "workflowId": {"__rl": True, "mode": "id", "value": child},
        "workflowInputs": {"mappingMode": "defineBelow", "value": {}},
        "mode": "once",
        "options": {},
    }
    parent = stage.publish(
        "parent",
        [
            webhook("parent"),
            python("return [{'json': {'n': n}} for n in range(_items[0]['json']['body']['n'])]", name="Before"),
            node("Call", "n8n-nodes-base.executeWorkflow", 1.2, call, 3),
            python(
                """
                rows = [item["json"] for item in _items]
                return [{"json": {"sum": sum(row["square"] for row in rows), "n": [row["n"] for row in rows],
                                  "before": [item.json.n for item in _node("Before").all()]}}]
                """,
                name="After",
                pos=4,
            ),
        ],
        link("Webhook", "Before", "Call", "After"),
    )
    assert stage.ask("parent", {"n": 5}) == [{"sum": 30, "n": [0, 1, 2, 3, 4], "before": [0, 1, 2, 3, 4]}]
    assert stage.all_ended(parent, 1)[0]["status"] == "success"
    assert stage.all_ended(child, 1)[0]["status"] == "success"


@scenario()
def loop(stage: Stage) -> None:
    """A Python node within a loop: each round knows its number and gets its batch, and the end gets everything."""
    workflow = stage.publish(
        "loop",
        [
            webhook("loop"),
            split(),
            node("Loop", "n8n-nodes-base.splitInBatches", 3, {"batchSize": 2, "options": {}}, 3),
            python(
                "return [{'json': {'n': i['json']['n'], 'round': _run_index, 'batch': len(_items)}} for i in _items]",
                name="Round",
                pos=4,
            ),
            python("return [{'json': {'all': [list(i['json'].values()) for i in _items]}}]", name="End", pos=4),
        ],
        {
            **link("Webhook", "Split", "Loop"),
            "Loop": {"main": [to("End"), to("Round")]},
            "Round": {"main": [to("Loop")]},
        },
    )
    answer = stage.ask("loop", {"items": [{"n": n} for n in range(5)]})
    assert answer == [{"all": [[0, 0, 2], [1, 0, 2], [2, 1, 2], [3, 1, 2], [4, 2, 1]]}], answer
    (row,) = stage.all_ended(workflow, 1)
    runs = stage.main.execution(row["id"])["data"]["resultData"]["runData"]["Round"]
    assert len(runs) == 3, runs


@scenario()
def static_data(stage: Stage) -> None:
    """Static data across executions is what n8n's own JavaScript node sees: kept in plain mode, not in queue mode,
    whether a webhook or a schedule starts them."""
    codes = {
        "python": python(
            """
            data = _workflow.static_data
            data["runs"] = data.get("runs", 0) + 1
            return [{"json": {"runs": data["runs"]}}]
            """
        ),
        "javascript": javascript(
            """
            const data = $getWorkflowStaticData('global');
            data.runs = (data.runs || 0) + 1;
            return [{ json: { runs: data.runs } }];
            """
        ),
    }
    # Far enough apart that one has ended, and is saved, before the next begins
    often = {"rule": {"interval": [{"field": "seconds", "secondsInterval": round(limit(3))}]}}
    schedule = node("Schedule", "n8n-nodes-base.scheduleTrigger", 1.2, often)
    seen: dict[str, list[int]] = {}
    with stage.javascript():
        for language, code in codes.items():
            path = f"static-{language}"
            workflow = stage.publish(path, [webhook(path), code], link("Webhook", code["name"]))
            seen[language] = []
            for number in range(1, 5):
                (answer,) = stage.ask(path, {})
                seen[language].append(answer["runs"])
                # The next one must find what this one left: n8n saves it after the answer
                stage.all_ended(workflow, number)
            scheduled = stage.publish(f"{path}-scheduled", [schedule, code], link("Schedule", code["name"]))
            wait_for("four scheduled executions", lambda scheduled=scheduled: len(ended(stage, scheduled)) >= 4, 60)
            stage.main.rest("POST", f"/workflows/{scheduled}/deactivate", {})
            first = [stage.main.execution(row["id"]) for row in ended(stage, scheduled)[:4]]
            runs = [one["data"]["resultData"]["runData"][code["name"]][0]["data"]["main"][0][0] for one in first]
            seen[f"{language}, scheduled"] = [run["json"]["runs"] for run in runs]
    print(f"      static data over four executions: {seen}", flush=True)
    kept = [1, 2, 3, 4] if stage.mode == "plain" else [1, 1, 1, 1]
    assert list(seen.values()) == [kept] * 4, seen


def ended(stage: Stage, workflow: str) -> list[dict[str, Any]]:
    """A workflow's ended executions, oldest first."""
    rows = [row for row in stage.main.executions(workflow, 100) if row["status"] not in UNENDED]
    return sorted(rows, key=lambda row: int(row["id"]))


@scenario()
def lone_surrogates(stage: Stage) -> None:
    """Half a surrogate pair in an item, a print or an error ends no task and no connection; this script prints it."""
    workflow = stage.publish_python(
        "surrogates",
        r"""
        text = _items[0]["json"]["body"]["text"]
        print("printed", text, "\udc80")
        if _items[0]["json"]["body"].get("fail"):
            raise ValueError("failed: \ud800")
        return [{"json": {"text": text, "own": "a\udfffb", "length": len(text)}}]
        """,
    )
    answer = stage.call("surrogates", {"text": "x\ud83dy"})
    print(f"      n8n answered {answer.body!r}: {answer.body[0]['text']}", flush=True)
    assert answer.status == 200, answer
    assert (answer.body[0]["text"][0], answer.body[0]["text"][-1], answer.body[0]["length"]) == ("x", "y", 3), answer
    assert stage.call("surrogates", {"text": "z", "fail": True}).status == 500
    rows = stage.all_ended(workflow, 2)
    error = stage.main.execution(max(int(row["id"]) for row in rows))["data"]["resultData"]["error"]
    print(f"      n8n saved {error['message']}", flush=True)
    assert error["message"].startswith("failed: "), error
