"""What is wrong with the values of a file, in a line: the words of every reader."""

from pydantic import ValidationError


def first_fault(error: ValidationError, what: str, skipped: int = 0) -> str:
    """Word the first fault that was found, and say how many more there are.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    what : str
        What was read, in the plural, such as "recipes".
    skipped : int
        How many parts of the fault's place to leave out at its beginning.
    """
    fault = error.errors(include_url=False)[0]
    more = f", and {error.error_count() - 1} more faults" if error.error_count() > 1 else ""
    where = ".".join(str(part) for part in fault["loc"][skipped:])
    if fault["type"] == "extra_forbidden":
        return f"{where} is unknown; expected a key that {what} have{more}"
    got, message = fault["input"], fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(got, dict | list) else f" (got {str(got)[:80]!r})"
    return f"{where}: {message}{shown}{more}" if where else f"{message}{shown}{more}"
