"""Which addons have a hook for an event, looked up once instead of for each event.

mitmproxy asks each of its fifty addons at each event whether it has a hook for it; most have none. What runs, in which
order, and what becomes of an error, is the same here as there: it is mitmproxy's own order, and its own `safecall`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import exceptions, hooks
from mitmproxy.addonmanager import AddonManager, safecall, traverse

type Hook = Callable[..., Any]


@dataclass(slots=True)
class Dispatch:
    """Takes the place of a manager's `trigger_event`.

    The table is made anew when an addon comes or goes. A hook that is put on an addon, or taken off, while it stands there
    is not noticed: for a mitmproxy that loads no scripts.
    """

    manager: AddonManager
    _table: dict[str, tuple[tuple[Hook, ...], ...]] = field(default_factory=dict)
    _chain: list[Any] = field(default_factory=list)
    _names: int = 0

    def engage(self) -> None:
        """From now on the manager triggers events by the table."""
        self.manager.trigger_event = self.trigger_event  # type: ignore[method-assign]

    async def trigger_event(self, event: hooks.Hook) -> None:
        for found in self._hooks(event.name):
            try:
                with safecall():
                    for hook in found:
                        result = hook(*event.args())
                        if result is not None and inspect.isawaitable(result):
                            await result
            except exceptions.AddonHalt:
                return

    def _hooks(self, name: str) -> tuple[tuple[Hook, ...], ...]:
        """The hooks of that name: those of one addon and its parts together, because an error in one ends them all."""
        chain = self.manager.chain
        # Parts of addons are not in the chain, but each has a name in the look-up.
        if chain != self._chain or len(self.manager.lookup) != self._names:
            self._table.clear()
            self._chain, self._names = list(chain), len(self.manager.lookup)
        known = self._table.get(name)
        if known is None:
            known = self._table[name] = tuple(found for addon in chain if (found := self._of(addon, name)))
        return known

    @staticmethod
    def _of(addon: Any, name: str) -> tuple[Hook, ...]:
        return tuple(hook for part in traverse([addon]) if callable(hook := getattr(part, name, None)))
