"""Labels that are the gateway's own."""

import pytest

from hoop_mitm.bigquery.labels import check_query_label
from hoop_mitm.bigquery.unreadable import Unreadable


@pytest.mark.parametrize("value", ["hoop-session:bobs", "team:a, HOOP-x:y"])
def test_a_label_of_the_gateway_is_refused(value):
    with pytest.raises(Unreadable, match="the gateway's"):
        check_query_label(value)


@pytest.mark.parametrize("value", ["", "team:a", "hoop:x"])
def test_another_label_is_not(value):
    check_query_label(value)
