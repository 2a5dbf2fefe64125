"""The key of whoever runs `up`: kept in .env, beside what stands there, for nobody else to read."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from {{ cookiecutter.package_name }}.entrypoints.own_key import remember


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "API_KEY=k\n"),
        ("A=1\n", "A=1\nAPI_KEY=k\n"),
        ("A=1", "A=1\nAPI_KEY=k\n"),
        ("# The key.\n# API_KEY=\nB=2\n", "# The key.\nAPI_KEY=k\nB=2\n"),
        ("API_KEY=\nB=2\n", "API_KEY=k\nB=2\n"),
        ("OTHER_API_KEY=x\n", "OTHER_API_KEY=x\nAPI_KEY=k\n"),
    ],
)
def test_it_is_written_beside_what_stands_there(
    tmp_path: Path, before: str | None, after: str
) -> None:
    file = tmp_path / ".env"
    if before is not None:
        file.write_text(before)
        file.chmod(0o644)
    (tmp_path / ".env.new").write_text("left by one who was killed")
    remember(SecretStr("k"), file=file)
    assert file.read_text() == after
    assert file.stat().st_mode & 0o777 == 0o600
    assert [f.name for f in tmp_path.iterdir()] == [".env"]
