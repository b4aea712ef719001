"""A folder of reports belongs to one engagement."""

from __future__ import annotations

from pathlib import Path

import pytest

from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.reading import SettingsError
from crmlib.run.safety import claim


def engagement(folder: Path, client: str) -> Engagement:
    folder.mkdir(parents=True, exist_ok=True)
    settings = f"client: {client}\ncurrency: USD\ncoverage: {{start: 2024-01, end: 2024-12}}\n"
    (folder / "engagement.yml").write_text(settings, encoding="utf-8")
    return open_engagement(folder)


def test_another_engagement_whose_folder_has_the_same_name_is_refused_with_the_way_out(tmp_path: Path) -> None:
    first, second = (engagement(tmp_path / who / "books", who) for who in ("Adler", "Birch"))
    reports = tmp_path / "reports" / first.name
    assert claim(reports, first) == reports
    with pytest.raises(SettingsError, match=r"reports of another engagement of this name, for Adler: .*`--out`"):
        claim(reports, second)
    assert claim(tmp_path / "others" / second.name, second).is_dir()


def test_an_engagement_comes_back_to_its_reports_under_another_name_of_its_client(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    claim(reports, engagement(tmp_path / "books", "Adler"))
    claim(reports, engagement(tmp_path / "books", "Adler & Sons"))
    assert str(tmp_path) not in (reports / ".engagement").read_text(encoding="utf-8")
