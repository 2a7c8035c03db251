"""What a query can consist of."""

import inspect

import pytest
from sqlglot import exp

from hoop_mitm.sql.statements import _reading

# What sqlglot calls statements that do something, in any dialect.
EFFECTS = (
    exp.DDL, exp.DML, exp.Command, exp.Alter, exp.Analyze, exp.Attach, exp.Cache, exp.Comment, exp.Commit, exp.Copy,
    exp.Describe, exp.Detach, exp.Drop, exp.Execute, exp.Export, exp.Grant, exp.Into, exp.Kill, exp.LoadData, exp.Lock,
    exp.Merge, exp.Pragma, exp.Refresh, exp.Returning, exp.Revoke, exp.Rollback, exp.Set, exp.Transaction,
    exp.TruncateTable, exp.Uncache, exp.Use,
)  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda each: each.__name__)
def test_nothing_that_has_an_effect_is_part_of_a_query(effect: type) -> None:
    assert [node.__name__ for node in _reading() if issubclass(node, effect)] == []


def test_every_function_of_the_parser_is_known() -> None:
    functions = {node for _, node in inspect.getmembers(exp, inspect.isclass) if issubclass(node, exp.Func)}
    assert functions <= _reading()
