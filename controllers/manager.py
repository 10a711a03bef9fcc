"""The controllers' process: picks the controllers, waits for leadership, runs them, answers health checks.

Started by `steersman controllers` and by `steersman up`. It stops when leadership is lost or a controller's loop breaks:
whoever started it starts it again. Shutdown: controllers, their events, informers, the Lease, the health endpoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from client.api import Client
from client.events import EventRecorder
from client.informer import Informers
from client.leaderelection import LeaderElector
from controllers import CONTROLLERS
from controllers.base import OWN_ACCOUNT, Context, Controller
from controllers.config import Config
from controllers.credentials import ServiceAccountToken
from controllers.metrics import QueueMetrics, Registry
from serving.component import ComponentEndpoint

log = logging.getLogger(__name__)

USER_AGENT = "kube-controller-manager/v1.36.0 (linux) steersman"


class UnknownController(ValueError):
    """--controllers names one that does not exist."""

    plain = True  # users need no traceback


def choose(wanted: Sequence[str], known: Sequence[type[Controller]]) -> list[type[Controller]]:
    """The controllers that --controllers asks for: "foo" and "-foo" win over "*", which is all that are on by default."""
    names = {alias: cls for cls in known for alias in (cls.name, *cls.aliases)}
    unknown = [name for text in wanted if text != "*" and (name := text.removeprefix("-")) not in names]
    if unknown:
        raise UnknownController(f'"{unknown[0]}" is not in the list of known controllers')
    chosen = []
    for cls in known:
        mine = {cls.name, *cls.aliases}
        if any(name in mine for name in wanted):
            chosen.append(cls)
        elif any(name.startswith("-") and name[1:] in mine for name in wanted):
            continue
        elif "*" in wanted and cls.default_on:
            chosen.append(cls)
    return chosen


async def run(config: Config, ready: Callable[[], None] = lambda: None) -> None:
    """Run the controllers until cancelled. KubeconfigError, UnknownController, OSError (port), LeadershipLost.

    ready: called once this replica leads and its informers are synced.
    """
    chosen = choose(config.controllers, CONTROLLERS)
    registry = Registry()
    async with Client.from_kubeconfig(config.kubeconfig, clock=config.clock, user_agent=USER_AGENT) as client:
        # Service-account tokens must not travel beside our certificate, which would win.
        plain = Client.from_kubeconfig(config.kubeconfig, clock=config.clock, user_agent=USER_AGENT, nobody=True)
        async with plain as bare:
            endpoint = ComponentEndpoint(
                bind_address=config.bind_address,
                port=config.secure_port,
                certificate=config.tls_cert_file,
                key=config.tls_private_key_file,
                client_ca=config.client_ca_file,
                render_metrics=registry.render,
                clock=config.clock,
            )
            await endpoint.start()
            try:
                await _lead(config, client, bare, chosen, endpoint, registry, ready)
            finally:
                await endpoint.stop()


async def _lead(
    config: Config,
    client: Client,
    bare: Client,
    chosen: Sequence[type[Controller]],
    endpoint: ComponentEndpoint,
    registry: Registry,
    ready: Callable[[], None],
) -> None:
    async def work() -> None:
        await run_controllers(config, client, bare, chosen, registry, ready)

    if not config.election.leader_elect:
        await work()
        return
    async with EventRecorder(client, "kube-controller-manager", config.clock) as recorder:
        elector = LeaderElector(client, config.election.config(), clock=config.clock, recorder=recorder)
        endpoint.add_check("leaderElection", elector.check)
        await elector.run(work)


async def run_controllers(
    config: Config,
    client: Client,
    bare: Client,
    chosen: Sequence[type[Controller]],
    registry: Registry,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run these controllers until cancelled, sharing informers."""
    clients: dict[str, Client] = {}

    def client_for(account: str) -> Client:
        if account == OWN_ACCOUNT or not config.use_service_account_credentials:
            return client
        if account not in clients:
            clients[account] = bare.acting_as(ServiceAccountToken(client, account, config.clock))
        return clients[account]

    informers = Informers(client)
    context = Context(
        config=config,
        clock=config.clock,
        informers=informers,
        client_for=client_for,
        queue_metrics=lambda name: QueueMetrics(registry, name),
    )
    controllers = [cls(context) for cls in chosen]
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run(), name="informers")
        for controller in controllers:
            group.create_task(controller.run(), name=controller.name)
        await informers.wait_synced()
        ready()
