"""Errors that a person can mend: each says what is wrong, where, and what to do."""


class InputError(Exception):
    """Bad input from a person. The command line prints the message alone and exits with 2; pages answer with 4xx."""

    exit_code = 2


class NotFoundError(InputError):
    """Something named by the caller does not exist (404 in pages and API)."""


class ConflictError(InputError):
    """The thing exists but is not in a state that allows what was asked (409 in pages and API)."""
