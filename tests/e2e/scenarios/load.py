"""Many executions at the same time."""

from __future__ import annotations

from stage import Stage, scenario

CALLS = 200


@scenario()
def parallel_webhooks(stage: Stage) -> None:
    """200 webhooks called at the same time: every caller gets the answer to their own question."""
    workflow = stage.publish_python(
        "parallel",
        """
        total = 0
        for number in range(20_000):
            total += number
        body = _items[0]["json"]["body"]
        return [{"json": {"who": body["who"], "echo": body["payload"][::-1], "total": total}}]
        """,
    )

    def question(who: int) -> dict[str, object]:
        return {"who": who, "payload": f"{who:06}" * 50}

    def answer(who: int) -> list[dict[str, object]]:
        return [{"who": who, "echo": (f"{who:06}" * 50)[::-1], "total": 199_990_000}]

    assert stage.ask("parallel", question(CALLS)) == answer(CALLS)
    got = stage.calls("parallel", map(question, range(CALLS))).results(300)
    wrong = [f"{who}: {one!r:.300}" for who, one in enumerate(got) if one != answer(who)]
    assert not wrong, f"{len(wrong)} of {CALLS} wrong, the first: {wrong[0]}; n8n says {stage.errors(workflow)}"
    rows = stage.all_ended(workflow, CALLS + 1, 120)
    assert [row["status"] for row in rows] == ["success"] * (CALLS + 1), f"{len(rows)} executions"
    if stage.mode == "queue":
        shares = [len(mine) for mine in stage.ran_in(row["id"] for row in rows).values()]
        print(f"      executions by worker: {shares}", flush=True)
        assert all(shares), shares
        assert sum(shares) == CALLS + 1, shares
