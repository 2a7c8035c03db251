"""The policy's part of hoop.yaml: what is wrong with it is said with its line."""

import pytest

from hoop_mitm.config import load, load_rules, rules_of
from hoop_mitm.config.conditions import VARIABLES, Condition, ConditionError
from hoop_mitm.errors import ConfigError

HEAD = """identity:
  issuers: [{issuer: "https://login.acme.example", audiences: [hoop]}]
connections:
  - {name: acme, projects: [acme], credential: {type: adc}}
"""
RULES = """rules:
  - name: readers
    verdict: allow
    {}
"""
WRONG = [
    ("when: vreb == 'read'", 4, "`policy.rules[0].when`: there is no variable vreb; did you mean `verb`?"),
    ("when: estimated_bytes > 1.5", 4, "found no matching overload for '_>_' applied to '(int, double)'"),
    ("when: size(tables)", 4, "a condition is true or false, and this is INT"),
    ("when: verb ==", 4, "Syntax error"),
    ("tabels: [shop.*]", 4, "unknown key `policy.rules[0].tabels`; did you mean `tables`?"),
    ("tables: [orders]", 4, "name the dataset too"),
    ("tables: [shop.?]", 4, "and no backticks"),
    ("max_bytes: much", 4, "write a number of bytes such as 500MB"),
    ("verbs: [reed]", 4, "must be 'read', 'write', 'admin' or 'metadata'"),
    ("review: {groups: [a]}", 2, "`verdict: review` and `review:` (its groups) go together"),
    ("message: No.", 2, "an `allow` has nobody to tell its message to"),
]


@pytest.mark.parametrize(("word", "line", "said"), WRONG)
def test_a_mistake_is_named_with_its_line_in_a_file_of_its_own(tmp_path, word, line, said):
    file = tmp_path / "policy.yaml"
    file.write_text(RULES.format(word))
    (tmp_path / "hoop.yaml").write_text(f"{HEAD}policy: {{file: policy.yaml}}\n")

    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "hoop.yaml")

    assert caught.value.file == file
    assert said in str(caught.value)
    assert caught.value.line == line


def test_a_mistake_in_hoop_yaml_itself_is_named_there(tmp_path):
    (tmp_path / "hoop.yaml").write_text(HEAD + "policy:\n  rules:\n    - {name: a, verdict: alow}\n")

    with pytest.raises(ConfigError, match=r"hoop\.yaml:7: `policy\.rules\[0\]\.verdict` must be"):
        load(tmp_path / "hoop.yaml")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{}", "give it `rules`, or a `file`"),
        ("{file: p.yaml, rules: [{name: a, verdict: allow}]}", "give it `rules`, or a `file`"),
        ("{rules: [{name: a, verdict: allow}, {name: a, verdict: deny}]}", "two rules are called a"),
        ("{rules: [{name: default, verdict: allow}]}", "take another name"),
        ("{rules: [{name: a, verdict: allow, connections: [acne]}]}", "a is for the connection acne"),
        ("{rules: [{name: a, verdict: deny, opaque: true}]}", "meets what cannot be understood anyway"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, policy, said):
    (tmp_path / "hoop.yaml").write_text(f"{HEAD}policy: {policy}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "hoop.yaml")
    assert said in str(caught.value)


def test_rules_are_the_same_wherever_they_stand(tmp_path):
    inside = "policy:\n  rules:\n    - {name: a, verdict: allow, max_bytes: 10GB, tables: [shop.*]}\n"
    (tmp_path / "one.yaml").write_text(HEAD + inside)
    (tmp_path / "two.yaml").write_text(f"{HEAD}policy: {{file: rules.yaml}}\n")
    (tmp_path / "rules.yaml").write_text("rules:\n- {name: a, verdict: allow, max_bytes: 10GB, tables: [shop.*]}\n")

    one, two = (rules_of(load(tmp_path / name)) for name in ("one.yaml", "two.yaml"))

    assert one == two == load_rules(tmp_path / "rules.yaml")
    assert one.rules[0].max_bytes == 10**10


def test_a_file_without_rules_denies_nothing_by_accident(tmp_path):
    (tmp_path / "rules.yaml").write_text("mode: enforce\n")
    with pytest.raises(ConfigError, match="it holds no `rules`"):
        load_rules(tmp_path / "rules.yaml")


@pytest.mark.parametrize("name", VARIABLES)
def test_each_variable_has_the_type_that_is_documented(name):
    kind = VARIABLES[name][0]
    literal = {
        "string": '""', "bool": "true", "int": "1", "double": "1.0", "timestamp": 'timestamp("2026-01-01T00:00:00Z")',
        "list(string)": '[""]', "map(string, string)": '{"": ""}',
    }[kind]  # fmt: skip

    assert Condition(f"{name} == {literal}").needs_estimate == (
        name.startswith("estimated") or name == "referenced_tables"
    )


@pytest.mark.parametrize("text", ["1 / 0 == 1", 'labels["x"] == ""', "machine"])
def test_what_is_neither_true_nor_false_is_an_error(text):
    with pytest.raises(ConditionError):
        Condition(text).holds({"labels": {}})


def test_nesting_and_length_have_bounds():
    for text in ("(" * 500 + "true" + ")" * 500, "true || " * 1000 + "true"):
        with pytest.raises(ValueError, match=r"recursion limit|at most 4096"):
            Condition(text)
