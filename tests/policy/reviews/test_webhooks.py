"""What a webhook is told, and by what it knows that it is us."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hoop_mitm.errors import ConfigError
from hoop_mitm.policy.reviews import Change, webhooks
from hoop_mitm.policy.reviews.store import Happened
from tests.policy.reviews.test_deciding import BOB, NOW, review


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md and its libraries' tests
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)

    headers = webhooks.headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', secret, at)

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("with_statement", [False, True])
def test_the_statement_is_told_where_that_is_asked_for_alone(with_statement: bool) -> None:
    happened = Happened(1, "id", NOW, Change("review.approved", "A reviewer approved.", BOB), review())

    said = json.loads(webhooks.message_of(happened, NOW, with_statement=with_statement))

    assert (said["type"], said["data"]["event"]["by"], said["data"]["job"]) == (
        "review.approved",
        "bob@acme.example",
        "job1",
    )
    assert ("DELETE FROM t" in json.dumps(said)) is with_statement


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("sixteen bytes or more\n", b"sixteen bytes or more"),
        ("whsec_" + base64.b64encode(b"x" * 24).decode(), b"x" * 24),
        ("few bytes", None),
        ("whsec_not base64", None),
        ("", None),
    ],
)
def test_secrets_of_files(tmp_path: Path, text: str, secret: bytes | None) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    if secret is not None:
        assert webhooks.secret_of(file) == secret
        return
    with pytest.raises(ConfigError) as refused:
        webhooks.secret_of(file)
    assert not text.strip() or text.strip() not in str(refused.value)


def test_it_is_tried_for_a_day() -> None:
    assert timedelta(hours=20) < sum(webhooks.PAUSES, timedelta()) < timedelta(hours=30)
