"""Errors of the training service that a person can mend."""


class TrainingInputError(Exception):
    """Bad configuration or data. The command line prints the message alone and exits with 2."""

    exit_code = 2


class Cancelled(Exception):  # noqa: N818 -- an outcome asked for, not a fault
    """The work was stopped on request between two items or steps; what was done so far is on disk."""

    exit_code = 130
