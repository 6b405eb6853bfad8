"""The root of this room's errors (codes CGC-4xx), and those of them that a caller tells apart."""

from __future__ import annotations

from inventories.errors import CgcError, ExitCode


class ExporterError(CgcError):
    """Something in `exporters/` could not be done; the message says what, where and what next."""


class CredentialsError(ExporterError):
    """A key, certificate or kubeconfig that cannot be used (CGC-401)."""

    exit_code = ExitCode.WRONG_INPUT


class UndeclaredTargetError(ExporterError):
    """Somebody asked to probe what is not declared (CGC-402)."""

    exit_code = ExitCode.NOT_ALLOWED
