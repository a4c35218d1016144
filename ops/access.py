"""Owns the check of who may use a gateway, before anything else of it starts."""

import os

from gateway.access.config import AccessConfig, AccessError, access_from, check_certificate, check_listen
from gateway.access.keys import read_keys
from ops.problems import CannotDo


def checked_access(host: str) -> AccessConfig:
    """Return the settings of who may use a gateway, from the environment.

    Args:
        host: the address that it will listen on.

    Raises:
        CannotDo: they are wrong, or a file that they name cannot be used.
    """
    try:
        access = access_from(os.environ)
        check_listen(host, access)
        check_certificate(access)
        if access.keys_file is not None:
            read_keys(access.keys_file)
    except AccessError as error:
        raise CannotDo(str(error)) from error
    return access
