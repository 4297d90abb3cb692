"""The version of the zone database is that of the files which `zoneinfo` reads."""

from __future__ import annotations

import re

import pytest
import tzdata

from listener.zone_database import SAMPLE, installed_version


@pytest.fixture
def folder(tmp_path):
    """A folder with a zone."""
    zone = tmp_path / SAMPLE
    zone.parent.mkdir(parents=True)
    zone.write_bytes(b"TZif")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("tzdata.zi", "# version 2025b\n# This zic input file is in the public domain.\n", "2025b"),
        ("+VERSION", "2026a\n", "2026a"),
        ("version", "2024b", "2024b"),
        ("tzdata.zi", "# no version\n2025b\n", None),
    ],
)
def test_a_systems_database_says_its_version(folder, name, text, version) -> None:
    """As each system writes it down; without one, nothing is compared."""
    (folder / name).write_text(text)
    assert installed_version([str(folder / "absent"), str(folder)]) == version


def test_without_a_systems_database_it_is_that_of_the_package(tmp_path) -> None:
    """As `zoneinfo` does; a folder without zones does not count."""
    (tmp_path / "tzdata.zi").write_text("# version 1999a\n")
    assert installed_version([str(tmp_path)]) == tzdata.IANA_VERSION


def test_this_machine_has_a_version() -> None:
    """A version that orders as a text does."""
    assert re.fullmatch(r"\d{4}[a-z]", installed_version() or "2000a")
