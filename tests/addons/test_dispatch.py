"""The table runs what mitmproxy would run, in its order, whatever becomes of it."""

import asyncio
from typing import Any

import pytest
from mitmproxy import exceptions, hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http import HttpRequestHook, HttpResponseHook
from mitmproxy.test import tflow
from mitmproxy.tools.dump import DumpMaster

from hoop_mitm.addons.dispatch import Dispatch

EVENTS: tuple[type[hooks.Hook], ...] = (HttpRequestHook, HttpResponseHook)


class Named:
    """An addon that writes down what is asked of it, and does as its name says."""

    def __init__(self, name: str, said: list[str], *parts: "Named") -> None:
        self.name, self._said, self.addons = name, said, list(parts)

    def request(self, _flow: object) -> Any:
        self._said.append(f"{self.name}.request")
        if "fails" in self.name:
            raise RuntimeError("on purpose")
        if "halts" in self.name:
            raise exceptions.AddonHalt
        if "later" in self.name:
            return asyncio.sleep(0, self._said.append(f"{self.name} came to it"))
        return None


class Answering(Named):
    async def response(self, _flow: object) -> None:
        await asyncio.sleep(0)
        self._said.append(f"{self.name}.response")


def run(table: bool, said: list[str], *addons: Named, change: Any = None) -> list[str]:
    async def go() -> None:
        master = DumpMaster(Options(), with_termlog=False, with_dumper=False)
        manager = master.addons
        manager.add(*addons)
        if table:
            Dispatch(manager).engage()
        for _ in range(2):
            for event in EVENTS:
                await manager.handle_lifecycle(event(tflow.tflow()))
            if change:
                change(manager)
        await master.done()

    asyncio.run(go())
    return said


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b", "c"],
        ["a", "fails", "c"],
        ["a", "halts", "c"],
        ["a", "later", "c"],
        ["a", ("group", "x", "fails", "y"), "c"],
        ["a", ("group", "x", "halts", "y"), "c"],
        ["a", ("group that fails", "x"), "c"],
        [],
    ],
    ids=str,
)
def test_it_does_as_mitmproxy_does(names: list[Any]) -> None:
    def made(said: list[str]) -> list[Named]:
        return [
            Answering(name, said)
            if isinstance(name, str)
            else Answering(name[0], said, *(Answering(n, said) for n in name[1:]))
            for name in names
        ]

    plain: list[str] = []
    ours: list[str] = []
    assert run(True, ours, *made(ours)) == run(False, plain, *made(plain))
    assert bool(ours) == bool(names)


@pytest.mark.parametrize("table", [False, True])
def test_an_addon_that_comes_or_goes_is_noticed(table: bool) -> None:
    said: list[str] = []
    early, late = Named("early", said), Named("late", said)

    def replace(manager: AddonManager) -> None:
        if early in manager.chain:
            manager.remove(early)
            manager.add(late)

    assert run(table, said, early, change=replace) == ["early.request", "late.request"]


@pytest.mark.parametrize("table", [False, True])
def test_a_part_that_comes_and_an_addon_before_all_others_are_noticed(table: bool) -> None:
    said: list[str] = []
    group, first, part = (Named(name, said) for name in ("group", "first", "part"))

    def insert(manager: AddonManager) -> None:
        if first not in manager.chain:
            manager.chain.insert(0, manager.register(first))
            group.addons.append(manager.register(part))

    expected = ["group.request", "first.request", "group.request", "part.request"]
    assert run(table, said, group, change=insert) == expected
