"""One run on one host, watched from its submission to its result, or until it is known to be lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass

from distributed import Client

from parasuite.hosts.cluster import Host
from parasuite.hosts.order import HostResult, Order
from parasuite.hosts.tasks import discard, renew, run_here

WORKER_GONE = "its worker has gone: it was killed, restarted, or cannot be reached"
SCHEDULER_GONE = "the scheduler has gone"
NOT_BEGUN = "it was interrupted before it began"
STILL_RUNNING = "it has not ended after a second interrupt"
WAITS = "{host}: waits for its worker at {address}, which is busy"
_LOOKS_EVERY_S = 0.5
_RENEWALS_PER_LEASE = 6
_ANSWERS_WITHIN_S = 10.0
_WAITING_SAID_AFTER_S = 3.0
_WAITING_SAID_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how long what is waited for, in seconds.

    *lease_s*: a run is stopped if its client is not heard of. *gone_s*: a run is lost if its worker is not heard of.
    *others_s*: for the other hosts of --hosts, once one is there. *ending_s*: after a second interrupt.
    """

    lease_s: float = 30.0
    gone_s: float = 20.0
    others_s: float = 60.0
    ending_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A run without a result; *why*. *has_begun*: whether its host may have a part of it."""

    why: str
    has_begun: bool


class Watch:
    """Submits *order* to *host* and waits for its end. *stops*: how often the user has interrupted."""

    def __init__(
        self,
        client: Client,
        host: Host,
        order: Order,
        *,
        stops: Callable[[], int],
        say: Callable[[str], None],
        patience: Patience,
    ) -> None:
        self._client, self._host, self._order = client, host, order
        self._stops, self._say, self._patience = stops, say, patience
        self._has_begun = False

    async def run(self) -> HostResult | Lost:
        """The result, or why there is none."""
        future = self._client.submit(
            run_here,
            self._order,
            key=self._order.key,
            workers=[self._host.address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )
        result = asyncio.ensure_future(self._client.gather(future))
        try:
            if why := await self._until_done(result):
                return Lost(why, self._has_begun)
        finally:
            if not result.done():
                result.cancel()
            await asyncio.wait({result})
        # Dask cancels the tasks of a scheduler that is lost.
        if result.cancelled() or isinstance(result.exception(), futures.CancelledError):
            return Lost(SCHEDULER_GONE, self._has_begun)
        if (error := result.exception()) is not None:
            return Lost(str(error) or type(error).__name__, self._has_begun)
        found: HostResult = result.result()
        return found

    async def _until_done(self, result: asyncio.Future[HostResult]) -> str:
        """Renew the run until *result* is known; else why it is given up."""
        heard_s = time.monotonic()
        renewed_s, renewed_stops = float("-inf"), 0
        said_s = heard_s - _WAITING_SAID_EVERY_S + _WAITING_SAID_AFTER_S
        stopped_twice_s = 0.0
        while not (await asyncio.wait({result}, timeout=_LOOKS_EVERY_S))[0]:
            now_s = time.monotonic()
            if self._client.status != "running":
                return SCHEDULER_GONE
            stops = self._stops()
            if stops > 1:
                stopped_twice_s = stopped_twice_s or now_s
                if now_s - stopped_twice_s > self._patience.ending_s:
                    return STILL_RUNNING
            if stops == renewed_stops and now_s - renewed_s < self._patience.lease_s / _RENEWALS_PER_LEASE:
                continue  # A worker logs each renewal.
            renewed_s, renewed_stops = now_s, stops
            answer = await self._renewed(stops)
            if answer is None:
                if time.monotonic() - heard_s > self._patience.gone_s:
                    return WORKER_GONE
                continue
            heard_s = time.monotonic()
            if self._has_begun and not answer:
                return WORKER_GONE  # Another worker has its address.
            self._has_begun = answer
            if not answer and stops:
                return NOT_BEGUN
            if not answer and now_s - said_s > _WAITING_SAID_EVERY_S:
                said_s = now_s
                self._say(WAITS.format(host=self._host.name, address=self._host.address))
        return ""

    async def _renewed(self, stops: int) -> bool | None:
        """Whether the run has begun; None if its worker does not answer."""
        try:
            answers = await asyncio.wait_for(
                self._client.run(renew, self._order.key, stops, workers=[self._host.address], on_error="return"),
                _ANSWERS_WITHIN_S,
            )
        except (OSError, TimeoutError, KeyError, ValueError):
            return None
        answer = answers.get(self._host.address)
        return answer if isinstance(answer, bool) else None

    async def discard(self) -> None:
        """Remove what the host still has of the run, if it can be reached."""
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(
                self._client.run(discard, self._order.key, workers=[self._host.address], on_error="ignore"),
                _ANSWERS_WITHIN_S,
            )
