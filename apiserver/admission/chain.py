"""Runs the enabled plugins in order: first all that may change the object, then (after validation) all that only look.

Which plugins care about an operation on a resource is asked once and remembered, so a request costs only those.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from apimachinery.clock import Clock
from apimachinery.field import go_quote
from apiserver.admission import ORDER, Config, Entry, configuration, managedfields
from apiserver.admission.base import Attributes, Env, NotInitialized, Plugin
from apiserver.authz.base import Authorizer
from apiserver.configscheme import ConfigError, aggregate
from apiserver.registry.kind import NotifyingReader, Writer

Step = Callable[[Attributes], Awaitable[None]]
_ROUTES = 4096  # remembered combinations; names of custom resources come from users


class Chain:
    """Plugins by name, in order. admit() and validate() raise the first refusal."""

    def __init__(self, plugins: Sequence[tuple[str, Plugin]]) -> None:
        self._plugins = tuple(plugins)
        self.names = tuple(name for name, _ in plugins)
        self._routes: dict[tuple[str, str, str, str, str], tuple[Step, ...]] = {}

    def _steps(self, half: str, a: Attributes) -> tuple[Step, ...]:
        key = (half, a.operation, a.group, a.plural, a.subresource)
        steps = self._routes.get(key)
        if steps is None:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            steps = tuple(
                getattr(plugin, half)
                for _, plugin in self._plugins
                if hasattr(plugin, half) and plugin.handles(a.operation, a.group, a.plural, a.subresource)
            )
            self._routes[key] = steps
        return steps

    async def admit(self, a: Attributes) -> None:
        """The mutating half; once more when a webhook changed the object."""
        steps = self._steps("admit", a)
        managed = managedfields.of(a)
        for step in steps:
            await step(a)
        if a.reinvocation.wanted and not a.reinvocation.again:
            a.reinvocation.again = True
            for step in steps:
                await step(a)
        managedfields.check(a, managed)

    async def validate(self, a: Attributes) -> None:
        """The validating half."""
        for step in self._steps("validate", a):
            await step(a)

    async def close(self) -> None:
        for _, plugin in self._plugins:
            close = getattr(plugin, "close", None)
            if close is not None:
                await close()


def enabled(config: Config, order: Sequence[Entry] = ORDER) -> list[Entry]:
    """The plugins to run, in order. ConfigError for names that are unknown or both enabled and disabled."""
    known = {entry.name for entry in order}
    alone = config.admission_control
    on, off = config.enable_admission_plugins, config.disable_admission_plugins
    problems = []
    if alone is not None and (on or off):
        problems.append(
            "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
        )
    for flag, names in (
        ("admission-control", alone or ()),
        ("enable-admission-plugins", on),
        ("disable-admission-plugins", off),
    ):
        problems += [f"{flag} plugin {go_quote(name)} is unknown" for name in names if name not in known]
    both = sorted(set(on) & set(off))
    if both:
        problems.append(f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped")
    if problems:
        raise ConfigError(aggregate(problems))
    if alone is not None:
        return [entry for entry in order if entry.name in alone]
    return [entry for entry in order if entry.name in on or (entry.default and entry.name not in off)]


def build(config: Config, *, reader: NotifyingReader, writer: Writer, authorizer: Authorizer, clock: Clock) -> Chain:
    """See apiserver/admission/__init__.py."""
    env = Env(reader, writer, authorizer, clock, config)
    entries = enabled(config)
    try:
        configurations = configuration.read(config.admission_control_config_file)
    except ConfigError as error:
        raise ConfigError(f"failed to apply admission: failed to read plugin config: {error}") from None
    plugins: list[tuple[str, Any]] = []
    for entry in entries:
        module = importlib.import_module(f"apiserver.admission.{entry.module}")
        try:
            its_env = replace(env, configuration=configurations.of(entry.name))
            plugins.append((entry.name, module.Plugin(its_env)))
        except ConfigError as error:
            how = "failed to initialize" if isinstance(error, NotInitialized) else "couldn't init"
            text = f"{how} admission plugin {go_quote(entry.name)}: {error}"
            raise ConfigError(f"failed to apply admission: {text}") from None
    return Chain(plugins)
