"""What bytes cost, roughly."""

#: US dollars per TiB billed: BigQuery's on-demand list price in the US. Reservations and other regions differ, so what
#: is made of it is called an estimate. The views of the archive use the same number.
DOLLARS_PER_TIB = 6.25


def dollars(bytes_billed: int) -> float:
    """The estimated price of ``bytes_billed``."""
    return bytes_billed / 2**40 * DOLLARS_PER_TIB
