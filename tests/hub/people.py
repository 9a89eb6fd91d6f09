"""People who agreed."""

from iap_pipelines import Consent


STATEMENT = "I, Ada Example, agree that clips of my face and voice are made for tests."


def consent(**changes: object) -> Consent:
    return Consent(**({"statement": STATEMENT, "given_on": "2026-11-01", "allowed_uses": ("tests",)} | changes))
