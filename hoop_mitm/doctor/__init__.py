"""What is wrong with a set-up, from the client's side and the gateway's, each with what to do about it.

Looks, asks and reports; changes nothing. Every check is a function that yields findings; :mod:`examination` has them in
their order. Nothing found is a secret's value: keys are named by the file that they lie in.
"""

from hoop_mitm.doctor.examination import Examined, examine
from hoop_mitm.doctor.finding import Finding, NotChecked
from hoop_mitm.doctor.patient import Patient

__all__ = ["Examined", "Finding", "NotChecked", "Patient", "examine"]
