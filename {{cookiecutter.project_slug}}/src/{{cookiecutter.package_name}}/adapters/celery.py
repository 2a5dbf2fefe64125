"""Celery carries tasks to the workers; its broker is PostgreSQL by default."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import Unavailable
from .slow import note_slow
from .terms import USUAL

if TYPE_CHECKING:
    from celery import Celery

CONNECT_SECONDS = 2
SEND_SECONDS = 3
SENDERS = 4
REDIS = {"socket_timeout": CONNECT_SECONDS}
AMQP = {"read_timeout": CONNECT_SECONDS, "write_timeout": CONNECT_SECONDS}
SENDING = {"redis": REDIS, "rediss": REDIS, "amqp": AMQP, "amqps": AMQP}
"""A worker may wait long for a task; who sends one has no patience with a broker that hangs."""
VISIBILITY_SECONDS = 600


def queue_of(lane: str) -> str:
    return f"advance.{lane}"


def make_celery(
    broker_url: str, *, database_url: str, lane: str = "default", concurrency: int = 1
) -> "Celery":
    """The Celery application: 0.2 s and 20 MB, so the web loads it when it first enqueues."""
    from celery import Celery

    app = Celery(set_as_current=False)
    app.conf.update(
        **_broker(broker_url, database_url),
        broker_connection_timeout=CONNECT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        broker_pool_limit=2,
        task_acks_late=True,
        task_default_queue=queue_of(lane),
        task_ignore_result=True,
        task_publish_retry=False,  # the row is the outbox: the sweeper retries
        worker_concurrency=concurrency,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
    )
    return app


class CeleryQueue:
    """Sends tasks from threads of its own: a broker that is slow holds up nothing else."""

    name = "broker"

    def __init__(
        self,
        broker_url: str,
        *,
        database_url: str,
        headers: Callable[[], dict[str, str]] = dict,
        slow_seconds: float = USUAL.slow_seconds,
    ) -> None:
        self._urls = (broker_url, database_url)
        self._headers = headers
        self._slow_seconds = slow_seconds
        self._app: Celery | None = None
        self._making = Lock()
        self._threads = ThreadPoolExecutor(SENDERS, "send")

    async def send(self, task: str, *, lane: str = "default", **arguments: str) -> None:
        told = {"kwargs": arguments, "queue": queue_of(lane), "headers": self._headers()}
        began = monotonic()
        try:
            await self._reach(lambda app: app.send_task(task, **told))
        finally:
            note_slow("send", task, seconds=monotonic() - began, limit=self._slow_seconds)

    async def ping(self) -> None:
        await self._reach(_connect)

    def close(self) -> None:
        """Ends every pooled connection: their threads would hold up the end of the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._app:
            from kombu import pools

            pools.reset()  # type: ignore[no-untyped-call]
            self._app.close()

    async def _reach(self, act: Callable[["Celery"], object]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await loop.run_in_executor(self._threads, lambda: act(self._made()))
        except Exception as error:  # each transport has its own errors
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Unavailable("the broker does not answer (BROKER_URL)", reason=reason) from error

    def _made(self) -> "Celery":
        with self._making:  # two threads that import celery at once get half of it
            if self._app is None:
                broker_url, database_url = self._urls
                self._app = make_celery(broker_url, database_url=database_url)
                scheme = broker_url.partition(":")[0]
                self._app.conf.broker_transport_options |= SENDING.get(scheme, {})
            return self._app


def _connect(app: "Celery") -> None:
    """A connection made for this: a pooled one would look alive after the broker died."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
        connection.default_channel.close()


def _broker(broker_url: str, database_url: str) -> dict[str, Any]:
    scheme, _, rest = broker_url.partition(":")
    if scheme == "pgmq":
        from . import pgmq

        return {
            "broker_url": "pgmq://database",
            "broker_transport": f"{pgmq.__name__}:Transport",
            "broker_transport_options": pgmq.options(
                f"postgresql:{rest}" if rest else database_url,
                visibility_seconds=VISIBILITY_SECONDS,
                connect_seconds=CONNECT_SECONDS,
            ),
        }
    options = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": 30,
        "ack_emulation": False,  # what a killed worker had is swept up by its row, and sooner
    }
    redis = scheme in {"redis", "rediss"}
    return {"broker_url": broker_url, "broker_transport_options": options if redis else {}}
