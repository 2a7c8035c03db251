"""A request whose meaning cannot be told for certain."""

from hoop_mitm.errors import Denied


class Unreadable(Denied):
    """The gateway cannot be sure that BigQuery would understand this as it does, so it is refused."""

    def __init__(self, message: str) -> None:
        super().__init__("unreadable", f"hoop-mitm cannot read this request safely: {message}")
