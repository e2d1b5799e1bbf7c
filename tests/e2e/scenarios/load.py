"""Many executions at the same time."""

from __future__ import annotations

from collections import Counter
from functools import partial

from harness import Calls, Timeout, wait_for
from stage import Answer, Stage, scenario

CALLS = 200
#: n8n on SQLite writes through one connection, for which a statement waits 60 s (no setting changes that) and then
#: fails so. On a machine that is too slow for what its callers ask, that is n8n's own end of it (docs/operating.md).
LOCKED = "Timeout waiting for lock"
#: What n8n logs when it couldn't even begin an execution: its row stays as it is, and no task of it is asked for.
NOT_BEGUN = "Error in handling webhook request POST /webhook/parallel"
#: What the callers of executions are told that failed, or weren't begun.
TOLD = ("Error in workflow", "There was a problem executing the workflow")


@scenario()
def parallel_webhooks(stage: Stage) -> None:
    """200 webhooks called at the same time: every caller gets the answer to their own question. Whom n8n's database
    kept from it, as n8n itself says of each, gets it when asking again."""
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

    def answer(who: int) -> Answer:
        return Answer(200, [{"who": who, "echo": (f"{who:06}" * 50)[::-1], "total": 199_990_000}])

    assert stage.call("parallel", question(CALLS)) == answer(CALLS)
    before = stage.runner.outcomes()
    try:
        got = Calls(partial(stage.call, "parallel", question(who), 600) for who in range(CALLS)).results(300)
    except Timeout as late:
        done = stage.runner.outcomes()["done"] - before["done"]
        ended = Counter(row["status"] for row in stage.main.executions(workflow, 2 * CALLS))
        raise AssertionError(f"{late}; the runner did {done:g} tasks, n8n's executions: {dict(ended)}") from late
    locked = stage.main.log_text().count(LOCKED)
    told = [who for who, one in enumerate(got) if locked and is_told(one)]
    wrong = [f"{who}: {one!r:.300}" for who, one in enumerate(got) if one != answer(who) and who not in told]
    assert not wrong, f"{len(wrong)} of {CALLS} wrong, the first: {wrong[0]}; n8n says {stage.errors(workflow)}"
    if locked:
        account_for(stage, workflow, before, len(told))
        again = [who for who in told if stage.call("parallel", question(who)) != answer(who)]
        assert not again, f"{len(again)} were not answered in the calm either: {again}"
        return
    rows = stage.all_ended(workflow, CALLS + 1, 120)
    assert [row["status"] for row in rows] == ["success"] * (CALLS + 1), f"{len(rows)} executions"
    if stage.mode == "queue":
        shares = [len(mine) for mine in stage.ran_in(row["id"] for row in rows).values()]
        print(f"      executions by worker: {shares}", flush=True)
        assert all(shares), shares
        assert sum(shares) == CALLS + 1, shares


def is_told(got: Answer | Exception) -> bool:
    """Whether a caller got n8n's words for an execution that came to nothing."""
    return isinstance(got, Answer) and got.status == 500 and got.body.get("message") in TOLD


def account_for(stage: Stage, workflow: str, before: dict[str, float], told: int) -> None:
    """Raise AssertionError unless n8n's database explains each of the callers who were told of an error, and the
    runner did each task that it was given, once."""
    errors = stage.errors(workflow)
    strange = {text: count for text, count in errors.items() if LOCKED not in text}
    assert not strange, strange
    failed = sum(errors.values())

    def said() -> int | None:
        count = stage.main.log_text().count(NOT_BEGUN)
        return count if count + failed == told else None

    not_begun = wait_for(f"n8n says why {told} callers were told of an error, {failed} have saved it", said, 10)
    ended = {outcome: count - before[outcome] for outcome, count in stage.runner.outcomes().items()}
    answered = CALLS - told
    done = ended.pop("done")
    print(f"      in vain for n8n's database: {not_begun} not begun, {failed} failed, {done:g} tasks", flush=True)
    assert answered <= done <= answered + failed, f"{answered} were answered, the runner did {done:g} tasks"
    assert not any(ended.values()), ended
    executions = len(stage.main.executions(workflow, 2 * CALLS))
    assert executions <= CALLS + 1, executions
