"""What `hoop-mitm init` does: answers become a commented hoop.yaml and a client file; authority and keys are made; the
issuer and Google are asked whether they answer.

Knows the configuration, the client file and the checks; asks nobody anything (the command line does), and overwrites
nothing that it was not told to.
"""

from hoop_mitm.init.answers import Answers
from hoop_mitm.init.checks import Finding, check_google, check_issuer
from hoop_mitm.init.files import Draft, client_yaml, hoop_yaml
from hoop_mitm.init.making import make_keys

__all__ = ["Answers", "Draft", "Finding", "check_google", "check_issuer", "client_yaml", "hoop_yaml", "make_keys"]
