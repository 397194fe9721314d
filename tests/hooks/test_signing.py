"""Signatures as the Standard Webhooks specification has them."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tusd_py.hooks.signing import Signer, parse_secrets

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


def test_the_example_of_the_specification() -> None:
    """The signature that the specification prints."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - a published example
    headers = Signer([secret]).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', 1614265330.9
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_both_secrets_are_good_during_a_rotation() -> None:
    """Receivers that know either secret accept it; a third one does not."""
    headers = dict(Signer(parse_secrets(f"{NEW}\n{OLD}\n")).headers("id", '{"a":1}', time.time()))
    for secret in (OLD, NEW):
        assert Webhook(secret).verify('{"a":1}', headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 24).decode()).verify('{"a":1}', headers)


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_can_be_changed(part: str) -> None:
    """A99: id, time and content are signed, and an old request is none."""
    headers = dict(Signer([NEW]).headers("id", "{}", time.time()))
    body = "{}"
    if part == "body":
        body = "{ }"
    elif part == "webhook-id":
        headers[part] = "other"
    else:
        headers[part] = str(int(headers[part]) - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(body, headers)


def test_a_replay_is_too_old() -> None:
    """A99: what was recorded six minutes ago is refused."""
    at = datetime.now(UTC).timestamp() - 360
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(NEW).verify("{}", dict(Signer([NEW]).headers("id", "{}", at)))


@pytest.mark.parametrize(
    "text",
    [
        # realistic
        *("", "secret", "whsec_", NEW.removeprefix("whsec_"), f"{NEW} {OLD} {NEW}"),
        "whsec_" + base64.b64encode(b"short").decode(),
        # synthetic
        *("whsec_" + "A" * 33, NEW + "!", "whsec_" + base64.b64encode(b"x" * 65).decode()),
        "whsec_\u00e9" + NEW,
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    """A secret that was mistyped is found at the start, and is not repeated in the message."""
    with pytest.raises(ValueError, match="must ") as failure:
        parse_secrets(text)
    assert not text or text not in str(failure.value) or text == "whsec_"
