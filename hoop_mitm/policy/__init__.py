"""What may be done. Knows operations and principals; knows nothing of HTTP, mitmproxy or storage."""

from hoop_mitm.policy.verdict import Decision, Verdict

__all__ = ["Decision", "Verdict"]
