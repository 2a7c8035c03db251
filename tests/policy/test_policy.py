"""Rules as truth tables."""

from datetime import timedelta

import pytest

from hoop_mitm.config import RuleSet
from hoop_mitm.identity import Principal
from hoop_mitm.policy import ALLOWED, Policy, ReviewTerms
from tests.policy.asking import BOB, CI, call, policy, query, ref

READ = "SELECT * FROM shop.orders"
WRITE = "DELETE FROM shop.orders WHERE true"
DYNAMIC = "EXECUTE IMMEDIATE (SELECT x FROM shop.orders)"
ALL = {"verdict": "allow"}
READERS = {"verdict": "allow", "read_only": True}
SHOP = {"verdict": "allow", "tables": ["shop.*"]}
NO_HR = {"verdict": "deny", "tables": ["hr.*"]}
SMALL = {"verdict": "allow", "max_bytes": "10GB"}
LARGE = {"verdict": "deny", "over_bytes": "10GB"}
GB = 10**9
RESULT = "acme._0123456789abcdef0123456789abcdef.anon1"

# Who runs a pipeline names its branch.
BRANCH = Principal("https://ci.example", "repo:acme/shop:ref:refs/heads/x@acme.example", None, (), "machine")
OTHER = Principal("https://ci.example", "https://issuer.example#00u1", None, (), "machine")
SHOP_ONLY = {**ALL, "when": 'tables.all(table, table.startsWith("acme.shop."))'}
TABLE = [
    # rules, question, decision, rule
    ("nothing allows it", [READERS], query(WRITE), "deny", "policy.default"),
    ("a read is read only", [READERS], query(READ), "allow", "policy.r1"),
    ("what cannot be understood is none", [READERS], query(DYNAMIC), "deny", "policy.default"),
    ("nor is it everything", [ALL], query(DYNAMIC), "deny", "policy.default"),
    ("unless it is said", [{**ALL, "opaque": True}], query(DYNAMIC), "allow", "policy.r1"),
    ("legacy SQL is not understood", [ALL], query("SELECT 1", legacy=True), "deny", "policy.default"),
    ("a destination is written", [READERS], query(READ, destination=ref("acme.shop.copy")), "deny", "policy.default"),
    ("one's own result is none", [READERS], query(READ, destination=ref(RESULT)), "allow", "policy.r1"),
    ("a script of reads and a write", [READERS], query(f"{READ}; {WRITE}"), "deny", "policy.default"),
    (
        "external tables of the request's own",
        [ALL],
        query(READ, body={"tableDefinitions": {"orders": {"sourceUris": ["gs://x/y"]}}}),
        "deny",
        "policy.default",
    ),
    (
        "functions of the request's own",
        [ALL],
        query(READ, body={"userDefinedFunctionResources": [{"resourceUri": "gs://x/y.js"}]}),
        "deny",
        "policy.default",
    ),
    ("a function of a dataset", [{**ALL, "tables": ["acme.shop.*"]}], query("SELECT hr.salary(1)"), "deny", "policy.default"),
    ("and of one that is covered", [{**ALL, "tables": ["acme.shop.*"]}], query("SELECT * FROM shop.top(1)"), "allow", "policy.r1"),
    # whom
    ("groups", [{**ALL, "groups": ["analysts"]}], query(READ), "allow", "policy.r1"),
    ("other groups", [{**ALL, "groups": ["pipelines"]}], query(READ), "deny", "policy.default"),
    ("or principals", [{**ALL, "groups": ["x"], "principals": ["*@ACME.example"]}], query(READ), "allow", "policy.r1"),
    ("a subject that looks like an address", [{**ALL, "principals": ["*@acme.example"]}], query(READ, BRANCH), "deny", "policy.default"),
    ("or like another issuer's", [{**ALL, "principals": ["https://issuer.example#*"]}], query(READ, OTHER), "deny", "policy.default"),
    ("is met by a denial", [{"verdict": "deny", "principals": ["*@acme.example"]}, ALL], query(READ, BRANCH), "deny", "policy.r1"),
    ("a subject", [{**ALL, "principals": ["ci"]}], query(READ, CI), "allow", "policy.r1"),
    ("by issuer", [{**ALL, "principals": ["https://issuer.example#ci"]}], query(READ, CI), "allow", "policy.r1"),
    ("a subject is no address", [{**ALL, "principals": ["c"]}], query(READ, CI), "deny", "policy.default"),
    ("another connection", [{**ALL, "connections": ["other"]}], query(READ), "deny", "policy.default"),
    # order
    ("the first that matches", [{"verdict": "deny", "read_only": True}, ALL], query(READ), "deny", "policy.r1"),
    ("an exception above", [{**ALL, "groups": ["reviewers"]}, {"verdict": "deny"}], query(WRITE, BOB), "allow", "policy.r1"),
    ("is for whom it is", [{**ALL, "groups": ["reviewers"]}, {"verdict": "deny"}], query(WRITE), "deny", "policy.r2"),
    # kinds
    ("kinds", [{**ALL, "kinds": ["SELECT"]}], query(READ), "allow", "policy.r1"),
    ("all of them", [{**ALL, "kinds": ["SELECT", "SCRIPT"]}], query(f"{READ}; {WRITE}"), "deny", "policy.default"),
    ("a script is one more", [{**ALL, "kinds": ["SELECT"]}], query(f"{READ}; {READ}"), "deny", "policy.default"),
    ("any of them", [{"verdict": "deny", "kinds": ["DELETE"]}, ALL], query(f"{READ}; {WRITE}"), "deny", "policy.r1"),
    ("with a star", [{"verdict": "deny", "kinds": ["DROP_*"]}, ALL], query("DROP TABLE shop.x"), "deny", "policy.r1"),
    ("of other jobs", [{**ALL, "kinds": ["LOAD"]}], call("jobs.insert", "admin", "acme.shop.t", job_type="load"), "allow", "policy.r1"),
    ("calls have none", [{**ALL, "kinds": ["*"]}], call("tables.get", "metadata", "acme.shop.t"), "deny", "policy.default"),
    # tables
    ("all tables", [SHOP], query("SELECT * FROM shop.a JOIN shop.b USING (id)"), "allow", "policy.r1"),
    ("one is another", [SHOP], query("SELECT * FROM shop.a JOIN hr.b USING (id)"), "deny", "policy.default"),
    ("letters count", [SHOP], query("SELECT * FROM Shop.orders"), "deny", "policy.default"),
    ("no table at all", [SHOP], query("SELECT 1"), "allow", "policy.r1"),
    ("where it writes", [SHOP], query(READ, destination=ref("acme.hr.x")), "deny", "policy.default"),
    ("a wildcard within", [SHOP], query("SELECT * FROM `shop.events_*`"), "allow", "policy.r1"),
    ("a whole dataset", [{**ALL, "tables": ["shop.orders"]}], query("DROP SCHEMA shop CASCADE"), "deny", "policy.default"),
    ("a wildcard may be it", [{"verdict": "deny", "tables": ["shop.events_2024"], "behind_views": False}, ALL],
     query("SELECT * FROM `shop.events_*`"), "deny", "policy.r1"),
    ("denied by any", [NO_HR, ALL], query("SELECT * FROM shop.a JOIN HR.b USING (id)"), "deny", "policy.r1"),
    ("denied behind a view", [NO_HR, ALL], query("SELECT * FROM shop.v", size=1, tables=["acme.hr.t"]), "deny", "policy.r1"),
    ("nothing behind it", [NO_HR, ALL], query("SELECT * FROM shop.v", size=1, tables=["acme.shop.t"]), "allow", "policy.r2"),
    ("looked behind when told", [{**NO_HR, "behind_views": False}, ALL],
     query("SELECT * FROM shop.v"), "allow", "policy.r2"),
    ("may be hidden in what is opaque", [NO_HR, {**ALL, "opaque": True}], query(DYNAMIC), "deny", "policy.r1"),
    ("a dataset that is listed", [SHOP], call("tables.list", "metadata", datasets=("acme.shop",)), "allow", "policy.r1"),
    ("another that is deleted", [SHOP], call("datasets.delete", "admin", datasets=("acme.hr",)), "deny", "policy.default"),
    ("a write to who knows what", [SHOP], call("jobs.delete", "write"), "deny", "policy.default"),
    # bytes
    ("within", [SMALL], query(READ, size=10 * GB), "allow", "policy.r1"),
    ("above", [SMALL], query(READ, size=10 * GB + 1), "deny", "policy.default"),
    ("at least so much", [SMALL], query(READ, size=1, accuracy="LOWER_BOUND"), "deny", "policy.default"),
    ("an estimate is free", [SMALL], query(READ, dry_run=True), "allow", "policy.r1"),
    ("over", [LARGE, ALL], query(READ, size=10 * GB + 1), "deny", "policy.r1"),
    ("not over", [LARGE, ALL], query(READ, size=10 * GB), "allow", "policy.r2"),
    ("who knows", [LARGE, ALL], query(READ, size=1, accuracy="UNKNOWN"), "deny", "policy.r1"),
    ("rows by Storage", [SMALL], call("storage.CreateReadSession", "read", "acme.shop.t"), "deny", "policy.default"),
    # conditions
    ("a condition", [{**ALL, "when": '"acme.shop.orders" in reads'}], query(READ), "allow", "policy.r1"),
    ("by the clock", [{**ALL, "when": 'now.getHours("Europe/Berlin") == 13'}], query(READ), "allow", "policy.r1"),
    ("by a reason", [{**ALL, "when": 'reason != ""'}], query(READ), "deny", "policy.default"),
    ("an error is a denial", [{**ALL, "when": 'labels["a"] == "b"'}], query(READ), "deny", "policy.r1"),
    ("what is opaque passes no denial", [{"verdict": "deny", "when": '"acme.hr.t" in tables'}, {**ALL, "opaque": True}], query(DYNAMIC), "deny", "policy.r1"),
    ("nor one of a verb", [{"verdict": "deny", "when": 'verb == "write"'}, {**ALL, "opaque": True}], query(DYNAMIC), "deny", "policy.r1"),
    ("but one of something else", [{"verdict": "deny", "when": "machine"}, {**ALL, "opaque": True}], query(DYNAMIC), "allow", "policy.r2"),
    ("a dataset is all its tables", [SHOP_ONLY], call("datasets.delete", "admin", datasets=("acme.hr",)), "deny", "policy.default"),
    ("its tables' names too", [SHOP_ONLY], call("tables.list", "metadata", datasets=("acme.hr",)), "deny", "policy.default"),
    ("and one that is covered", [SHOP_ONLY], call("tables.list", "metadata", datasets=("acme.shop",)), "allow", "policy.r1"),
    ("and functions are", [SHOP_ONLY], query("SELECT * FROM hr.salaries(1)"), "deny", "policy.default"),
    ("also in a denial", [{"verdict": "deny", "when": "1 / size(writes) > 0"}, ALL], query(READ), "deny", "policy.r1"),
    ("a loop without end", [{**ALL, "when": "tables.all(a, tables.all(b, tables.all(c, a + b != c)))"}],
     query(" UNION ALL ".join(f"SELECT * FROM shop.t{n}" for n in range(60))), "deny", "policy.r1"),
    # doors
    ("rows", [READERS], call("tabledata.list", "read", "acme.shop.t"), "allow", "policy.r1"),
    ("rows inserted", [READERS], call("tabledata.insertAll", "write", "acme.shop.t"), "deny", "policy.default"),
    ("a table deleted", [READERS], call("tables.delete", "admin", "acme.shop.t"), "deny", "policy.default"),
    ("a load", [READERS], call("jobs.insert", "admin", "acme.shop.t", job_type="load", destination=ref("acme.shop.t")), "deny", "policy.default"),
    ("a copy", [READERS], call("jobs.insert", "admin", "acme.shop.t", job_type="copy", destination=ref("acme.shop.u")), "deny", "policy.default"),
    ("an extract takes it out", [READERS], call("jobs.insert", "admin", "acme.shop.t", job_type="extract"), "deny", "policy.default"),
    ("a copy from elsewhere", [SHOP], call("jobs.insert", "admin", "acme.hr.t", "acme.shop.u", job_type="copy", destination=ref("acme.shop.u")), "deny", "policy.default"),
    ("by door", [{**ALL, "doors": ["tables.*"]}], call("tables.delete", "admin", "acme.shop.t"), "allow", "policy.r1"),
    ("a poll of one's own", [{"verdict": "deny"}], call("jobs.getQueryResults", "read"), "allow", "policy.own"),
    ("one's own result", [{"verdict": "deny"}], call("tabledata.list", "read", RESULT), "allow", "policy.own"),
    ("not with another's", [{"verdict": "deny"}], call("tabledata.list", "read", RESULT, "acme.hr.t"), "deny", "policy.r1"),
    ("nor a change of it", [{"verdict": "deny"}], call("tables.delete", "admin", RESULT), "deny", "policy.r1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "question", "decision", "rule"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_verdict(rules, question, decision, rule):
    verdict = policy(*rules).decide(question).verdict
    assert (verdict.decision, verdict.rule) == (decision, rule)


def test_without_a_policy_everything_is_allowed():
    assert Policy(None).decide(query(WRITE)) is ALLOWED
    assert Policy(None).version == ""


def test_a_denial_says_what_was_refused_by_which_rule_and_what_is_allowed():
    rules = policy(
        {**READERS, "groups": ["analysts"], "tables": ["shop.*"]},
        {"verdict": "deny", "groups": ["analysts"], "message": "Ask Bob."},
    )

    message = rules.decide(query(WRITE)).verdict.message

    assert message == (
        "Ask Bob. (hoop-mitm, policy.r2: DELETE, which changes acme.shop.orders. Asking the same again will not help.) "
        "The policy allows you: what only reads, tables shop.*."
    )


def test_what_stands_below_a_denial_of_everything_is_not_offered():
    message = policy({"verdict": "deny", "groups": ["analysts"]}, ALL).decide(query(READ)).verdict.message

    assert message.endswith("The policy allows you nothing here.")


@pytest.mark.parametrize(
    ("rules", "needs"),
    [
        ([SMALL], True),
        ([LARGE, ALL], True),
        ([NO_HR, ALL], True),
        ([{**ALL, "when": "estimated_bytes < 5"}], True),
        ([READERS, SMALL], False),
        ([{**SMALL, "groups": ["pipelines"]}, ALL], False),
        ([{**SMALL, "read_only": True, "tables": ["hr.*"]}, ALL], False),
        ([{**ALL, "when": '"hr" in datasets && estimated_bytes < 5', "verbs": ["write"]}, ALL], False),
    ],
)
def test_bigquery_is_asked_where_a_rule_whose_turn_it_is_needs_to_know(rules, needs):
    ruling = policy(*rules).decide(query(READ))
    assert ruling.needs_estimate is needs
    assert (ruling.verdict.decision == "deny") is needs, "until it is known, it is denied"


def test_a_review_has_terms_and_lets_a_dry_run_through():
    review = {"groups": ["reviewers"], "min_approvals": 2, "expires": "8h"}
    rules = policy({"verdict": "review", "review": review})

    ruling, dry = rules.decide(query(WRITE)), rules.decide(query(WRITE, dry_run=True))

    assert ruling.verdict.decision == "review"
    assert ruling.review == ReviewTerms(("reviewers",), 2, timedelta(hours=8))
    assert (dry.verdict.decision, dry.review) == ("allow", None)


class TestObserving:
    def test_a_rule_that_observes_decides_nothing_and_is_noted_where_it_differs(self):
        rules = policy({"verdict": "deny", "mode": "observe"}, {**ALL, "mode": "observe"}, ALL)

        ruling = rules.decide(query(READ))

        assert ruling.verdict.decision == "allow"
        assert [(each.decision, each.rule) for each in ruling.observed] == [("deny", "policy.r1")]

    def test_a_whole_policy_can_only_observe_its_default_too(self):
        rules = policy(READERS, mode="observe")

        read, write = rules.decide(query(READ)), rules.decide(query(WRITE))

        assert (read.verdict.decision, read.observed) == ("allow", ())
        assert write.verdict.decision == "allow"
        assert [each.rule for each in write.observed] == ["policy.default"]

    def test_it_would_like_to_know_what_it_costs_and_does_not_insist(self):
        ruling = policy({**LARGE, "mode": "observe"}, ALL).decide(query(READ))

        assert (ruling.verdict.decision, ruling.needs_estimate, ruling.wants_estimate) == ("allow", False, True)

    def test_an_error_in_its_condition_is_a_denial_that_is_only_noted(self):
        ruling = policy({"verdict": "allow", "when": "1 / 0 == 1", "mode": "observe"}, ALL).decide(query(READ))

        assert ruling.verdict.decision == "allow"
        assert [each.decision for each in ruling.observed] == ["deny"]


def test_the_version_goes_by_what_rules_say_not_by_how_they_are_written():
    one = RuleSet.model_validate({"rules": [{"name": "a", "verdict": "allow", "max_bytes": "1GB"}]})
    same = RuleSet.model_validate({"rules": [{"max_bytes": 10**9, "verdict": "allow", "name": "a"}], "mode": "enforce"})
    other = RuleSet.model_validate({"rules": [{"name": "a", "verdict": "allow", "max_bytes": "2GB"}]})

    assert Policy(one).version == Policy(same).version != Policy(other).version


def test_why_is_told_of_each_rule():
    told = policy({**ALL, "groups": ["x"]}, SMALL, READERS).explain(query(WRITE, size=20 * GB))

    assert [(each.state, each.why) for each in told.outcomes] == [
        ("not_meant", "it is for x"),
        ("differs", "it covers up to 10 GB, and this would read 20 GB"),
        ("differs", "it covers what only reads, and this changes rows"),
    ]
    assert told.ruling.verdict.rule == "policy.default"
