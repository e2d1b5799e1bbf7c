"""The one-use token that a WebSocket to the broker is opened with."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import trio

from reptarium.pool.brokers.errors import GrantRefused, LinkError

#: How long the broker may take to answer, in seconds.
GRANT_TIMEOUT = 15.0


async def fetch_grant(base: str, path: str, auth_token: str) -> str:
    """``POST {base}{path}/auth``: a one-use grant token.

    Raises :class:`GrantRefused` on a 403 and :class:`LinkError` for anything else that isn't a grant.
    """
    with trio.move_on_after(GRANT_TIMEOUT):
        # the broker is a neighbour: a proxy from the environment is not meant for it
        return await trio.to_thread.run_sync(_post_grant, base + path + "/auth", auth_token, abandon_on_cancel=True)
    raise LinkError(f"{base} did not answer within {GRANT_TIMEOUT:.0f} s")


def _post_grant(url: str, auth_token: str) -> str:
    request = urllib.request.Request(
        url, json.dumps({"token": auth_token}).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=GRANT_TIMEOUT) as response:
            body = json.loads(response.read(64 * 1024))
        grant = body["data"]["token"]
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 403:
                raise GrantRefused(
                    f"{url} refused the auth token (403): N8N_RUNNERS_AUTH_TOKEN must be the broker's",
                    fatal=False,
                ) from None
            raise LinkError(f"{url} answered {error.code}") from None
    except OSError as error:
        raise LinkError(f"{url}: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise LinkError(f"{url} answered something that is not a grant") from None
    if not isinstance(grant, str) or not grant:
        raise LinkError(f"{url} answered an empty grant")
    return grant
