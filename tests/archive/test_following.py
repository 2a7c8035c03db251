"""What a follower tells of a recording that grows: everything once, whatever happens to the file in between."""

import itertools
import random
from dataclasses import replace

import duckdb
import pytest

from hoop_mitm.archive import Follower, Query, following, open_archive
from hoop_mitm.policy.verdict import Verdict
from hoop_mitm.recording import fold
from tests.recording.building import GET, INSERT, LIST_ROWS, QUERY, RESULTS, event, flow, intent, message, now, session
from tests.recording.folding import Gateway

DENY = Verdict("deny", "read_only", "Analysts do not write.")


class Followed:
    """A gateway that writes and folds when told to, and a follower that looks when asked."""

    def __init__(self, directory):
        self.directory = directory / "recordings"
        self.gateway = Gateway(self.directory)
        self.path = self.directory / "hoop.duckdb"
        self.follower = Follower(Query())

    def begin(self, last=0):
        self.gateway.fold()
        with open_archive(self.path, fold=False) as archive:
            return [told(news) for news in archive.follow(self.follower, last)]

    def fold(self, *records):
        self.gateway.fold(*records)

    def look(self):
        with open_archive(self.path, fold=False) as archive:
            return [told(news) for news in archive.news(self.follower)]

    def after(self, *records):
        self.fold(*records)
        return self.look()


def told(news):
    hit = news.hit
    what = (
        (hit.job.id or hit.job.statement)
        if hit.job
        else (hit.flow.door or hit.flow.verdict.rule)
        if hit.flow
        else hit.event.type
    )
    return what if news.over else f"{what} …"


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """On a busy machine everything takes long: what is told because it took long is told where a test says so."""
    monkeypatch.setattr(fold, "YOUNG", 600.0)
    monkeypatch.setattr(following, "LONG", 600.0)
    running = Followed(tmp_path)
    yield running
    running.gateway.die()


def answer(job, state="DONE", **more):
    reference = {"projectId": "acme", "jobId": job, "location": "EU"}
    return {
        "jobReference": reference,
        "status": {"state": state},
        "statistics": {},
        "configuration": {"query": {}},
    } | more


def insert(job, state="DONE", **changes):
    body = {"configuration": {"query": {"query": "SELECT 1"}}, "jobReference": {"projectId": "acme", "jobId": job}}
    return flow(INSERT, body, answer(job, state), statement="SELECT 1", **changes)


def poll(job, state="DONE"):
    return flow(GET, None, answer(job, state), method="GET")


def page(job):
    done = {"jobReference": {"projectId": "acme", "jobId": job, "location": "EU"}, "jobComplete": True}
    return flow(RESULTS, None, done, method="GET")


def test_a_job_that_ends_at_once_is_told_once_also_when_its_rows_are_read_on_and_on(followed):
    followed.begin()
    assert followed.after(insert("a"), page("a")) == ["a"]
    assert followed.look() == []
    assert followed.after(page("a")) == []
    assert followed.after(page("a"), insert("b")) == ["b"]


def test_a_job_is_told_when_it_has_ended_and_not_before(followed):
    followed.begin()
    assert followed.after(insert("a", "RUNNING")) == []
    assert followed.after(poll("a", "RUNNING")) == []
    assert followed.after(poll("a")) == ["a"]
    assert followed.after(page("a")) == []


def test_one_that_takes_long_is_marked_once_and_told_when_it_has_ended(followed, monkeypatch):
    followed.begin()
    followed.after(insert("a", "RUNNING"))
    assert not followed.follower.is_due
    monkeypatch.setattr(following, "LONG", 0.0)
    assert followed.follower.is_due
    assert followed.look() == ["a …"]
    assert not followed.follower.is_due
    assert followed.after(poll("a", "RUNNING")) == []
    assert followed.after(poll("a")) == ["a"]


def test_an_intent_whose_answer_is_long_in_coming_is_one_job_with_its_answer(followed, monkeypatch):
    monkeypatch.setattr(fold, "YOUNG", 0.0)
    monkeypatch.setattr(following, "LONG", 0.0)
    followed.begin()
    body = {"query": "SELECT 1"}
    asked = intent(QUERY, body, statement="SELECT 1")
    assert followed.after(asked) == ["SELECT 1 …"]
    done = replace(asked, state="complete", ended_at=now(), status=200, response=message(answer("a", jobComplete=True)))
    assert followed.after(done) == ["a"]
    assert followed.after(page("a")) == []


def test_a_young_intent_that_the_fold_held_back_is_told_with_its_answer(followed):
    followed.begin()
    asked = intent(QUERY, {"query": "SELECT 1"}, statement="SELECT 1")
    assert followed.after(asked, insert("b")) == ["b"]
    done = replace(asked, state="complete", ended_at=now(), status=200, response=message(answer("a", jobComplete=True)))
    assert followed.after(done) == ["a"]


def test_held_back_and_then_folded_as_it_is_it_is_told_when_it_has_ended(followed, monkeypatch):
    """Its record is then older than others that were told already."""
    followed.begin()
    asked = intent(QUERY, {"query": "SELECT 1"}, statement="SELECT 1")
    followed.fold(asked, insert("b"))
    assert followed.look() == ["b"]
    monkeypatch.setattr(fold, "YOUNG", 0.0)
    assert followed.after(insert("c")) == ["c"]
    monkeypatch.setattr(following, "LONG", 0.0)
    assert followed.look() == ["SELECT 1 …"]


def test_denials_reads_without_a_job_and_events_are_told_and_looks_at_names_are_not(followed):
    followed.begin()
    refused = flow(
        QUERY, {"query": "DROP TABLE t"}, {}, statement="DROP TABLE t", state="refused", status=403, verdict=DENY
    )
    listed, looked_at = flow(LIST_ROWS, None, {}), flow(GET, None, {})
    expired = Verdict("deny", "identity.expired", "The token has expired.")
    stranger = flow(None, session=None, state="refused", status=403, verdict=expired)
    assert followed.after(refused, listed, looked_at, stranger, event("tunnel.refused")) == [
        "DROP TABLE t",
        "tabledata.list",
        "identity.expired",
        "tunnel.refused",
    ]


def test_looks_at_names_are_told_when_asked_for(followed):
    followed.follower = Follower(Query(type="jobs.get"))
    followed.begin()
    assert followed.after(flow(GET, None, {}), insert("a")) == ["jobs.get"]


def test_the_last_ones_come_first_the_oldest_of_them_first(followed):
    followed.fold(insert("a"), insert("b"), insert("c", "RUNNING"))
    assert followed.begin(2) == ["b", "c …"]
    assert followed.after(poll("c")) == ["c"]


def test_what_was_there_before_is_not_told_and_what_ran_then_is(followed):
    followed.fold(insert("old"), insert("running", "RUNNING"))
    assert followed.begin() == []
    assert followed.after(page("old"), poll("running")) == ["running"]


def test_filters_hold(followed):
    bob = session(name="bobs")
    followed.follower = Follower(Query(session=bob.id))
    followed.begin()
    assert followed.after(insert("a"), insert("b", session=bob)) == ["b"]
    followed.follower = Follower(Query(verdict="deny"))
    followed.begin()
    assert followed.after(insert("c"), event("tunnel.refused")) == ["tunnel.refused"]


def test_another_file_in_the_recordings_place_changes_nothing(followed):
    """As retention puts one there."""
    followed.begin()
    assert followed.after(insert("a"), insert("r", "RUNNING")) == ["a"]
    copy = followed.path.with_name("copy.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{followed.path}' AS old (READ_ONLY); ATTACH '{copy}' AS new")
        connection.execute("COPY FROM DATABASE old TO new")
    copy.replace(followed.path)
    assert followed.look() == []
    assert followed.after(page("a"), poll("r"), insert("b")) == ["r", "b"]


def test_a_recording_that_is_begun_anew_is_not_told_again(followed):
    followed.begin()
    assert followed.after(insert("a"), insert("b")) == ["a", "b"]
    followed.path.unlink()
    assert followed.after(insert("c")) == ["c", "recording.rebuilt"]


def test_another_gateway_goes_on_where_the_one_before_ended(followed):
    followed.begin()
    assert followed.after(insert("a")) == ["a"]
    followed.gateway.die()
    followed.gateway = Gateway(followed.directory)
    assert followed.after(insert("b")) == ["b"]


def test_a_new_journal_counts_from_the_beginning_and_all_of_it_is_new(followed):
    followed.begin()
    followed.after(*[insert(f"a{number}") for number in range(20)])
    followed.gateway.die()
    (followed.directory / "journal").rename(followed.directory / "away")
    followed.gateway = Gateway(followed.directory)
    assert followed.after(insert("b")) == ["b"]


def test_what_the_fold_itself_notices_is_told(followed):
    followed.begin()
    followed.fold(insert("a"))
    followed.gateway.die()
    for segment in (followed.directory / "journal").glob("*.sqlite"):
        segment.write_bytes(b"no database" * 1000)
        segment.with_name(f"{segment.name}-wal").unlink(missing_ok=True)
    followed.gateway = Gateway(followed.directory)
    assert [each for each in followed.after(insert("b")) if each in ("a", "b")] == ["a", "b"]
    assert followed.look() == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (1, 2, 3, 4))])
def test_in_any_order_everything_is_told_exactly_once(followed, monkeypatch, seed):
    """Jobs in all stages, folded in pieces, with intents held back or not, and looks in between."""
    chance = random.Random(seed)
    followed.begin()
    steps = []
    for number in range(25):
        job = f"j{number}"
        asked = intent(INSERT, {"configuration": {"query": {"query": "SELECT 1"}}}, statement="SELECT 1")
        last = chance.choice(["DONE", "RUNNING"])
        done = replace(asked, state="complete", ended_at=now(), status=200, response=message(answer(job, last)))
        own = [asked, done, *([poll(job, "RUNNING"), poll(job)] if last == "RUNNING" else []), page(job), page(job)]
        steps.append(own)
    steps.append([event(f"own.{number}") for number in range(5)])
    expected = sorted([f"j{number}" for number in range(25)] + [f"own.{number}" for number in range(5)])
    told_of = []
    while steps:
        records = []
        for own in chance.sample(steps, min(len(steps), 6)):
            records += itertools.islice(own, chance.randrange(3))
            del own[: sum(each in records for each in own)]
        steps = [own for own in steps if own]
        chance.shuffle(steps)
        monkeypatch.setattr(fold, "YOUNG", chance.choice([0.0, 600.0]))
        followed.fold(*records)
        if chance.random() < 0.6:
            told_of += followed.look()
    followed.fold()
    told_of += followed.look()
    assert sorted(told_of) == expected
