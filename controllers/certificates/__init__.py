"""CertificateSigningRequests: nodes' own are approved, approved ones are signed with the cluster's CA, old ones are removed.

requests.py    what a request asks for, and what a signer accepts
approving.py   the controllers that approve without people
signing.py     the one that signs
cleaning.py    the one that removes

Which requests a signer accepts, and in which words it refuses, is the original's pkg/controller/certificates. The
cryptography library is loaded when the first request is to be looked at.
"""

from controllers.certificates.approving import ApprovingController, ServingApprovingController
from controllers.certificates.cleaning import CleaningController
from controllers.certificates.signing import SigningController

__all__ = ["ApprovingController", "CleaningController", "ServingApprovingController", "SigningController"]
