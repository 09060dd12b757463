"""Every setting, from the environment (BLINDRATE_*)."""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


def resource(name: str) -> Path:
    """Folder `name` (templates, static, migrations): beside the packages in a checkout, below app/_resources in a wheel."""
    in_wheel = Path(__file__).resolve().parent / "_resources" / name
    return in_wheel if in_wheel.exists() else ROOT / name


class Settings(BaseSettings):
    """All settings. Each is read from the environment variable BLINDRATE_ + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="BLINDRATE_", extra="ignore")

    database_url: str | None = Field(None, description="A PostgreSQL URL; unset: the embedded server in data_dir.")
    data_dir: Path = Field(Path(".blindrate"), description="Where the embedded database, runs and the secret key live.")
    secret_key: str | None = Field(
        None, description="Signs cookies and form tokens; unset: made once, kept in data_dir."
    )
    base_url: str | None = Field(None, description="The public address, used in links and to decide on secure cookies.")
    pool_size: int = Field(10, ge=1, description="Database connections of each server process.")
    session_hours: int = Field(12, ge=1, description="A researcher's session ends after so many hours without use.")
    login_attempts: int = Field(
        10, ge=1, description="Failed log-ins allowed per address and e-mail within 15 minutes."
    )

    @property
    def secure_cookies(self) -> bool:
        """Cookies are marked Secure when the public address is https."""
        return bool(self.base_url and self.base_url.startswith("https://"))

    def secret(self) -> bytes:
        """The signing key: from the environment, else from data_dir/secret.key, which is made on first use (mode 0600)."""
        if self.secret_key:
            return self.secret_key.encode()
        path = self.data_dir / "secret.key"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_bytes()
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(32).encode())
            file.flush()
            os.fsync(file.fileno())
        return path.read_bytes()


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
