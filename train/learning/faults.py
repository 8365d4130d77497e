"""Why a run of training cannot begin or go on."""


class RunError(Exception):
    """One sentence for whoever started it."""
