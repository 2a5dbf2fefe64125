"""Any text may stand in an answer and comes back right; what cannot work is refused in one line each."""

import json
import os
import subprocess
import tomllib
import unicodedata
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException

from .conftest import ANSWERS, ROOT, Bake, cli

HOSTILE = {
    "double quotes": 'the "release" agent',
    "single quotes": "it's 'the' agent",
    "every quote": "\"\"\" ''' `` \u201equotes\u201c \u00abhere\u00bb",
    "a quote last": 'agent"',
    "backslashes": "C:\\new\\table\\u0041\\",
    "line ends": "one\ntwo\r\nthree",
    "separators": "one\u2028two\u2029three",
    "blanks around": "  \t agent  ",
    "wide blanks": "one\u00a0two\u3000three",
    "yaml no": "no",
    "yaml number": "1e3",
    "yaml null": "null",
    "yaml tilde": "~",
    "yaml mapping": "a: b # c",
    "yaml anchor": "&a *a !tag |-",
    "yaml start": "--- - ? @ %",
    "a toml table": "[project]",
    "shell": "$(id) `id` ${HOME} $HOME; exit",
    "html": "<script>alert(1)</script> &lt;b&gt;",
    "markdown": "# [a](b) **c** | d | ~~e~~ <!--",
    "percent": "100 % %s %(name)s {name} {0}",
    "an emoji": "\U0001f680",
    "emojis joined": "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
    "chinese": "发布代理",
    "arabic": "وكيل الإصدار",
    "bidirectional": "\u202eabc\u202c \u2067agent\u2069 \u200f",
    "combining": "A\u0301ge\u0301nt",
    "long": "Agent " * 33 + "42",
    "leading digit": "3D Printer",
    "a keyword": "class",
    "a module": "json",
    "a dependency": "celery",
    "a comma": "Doe, Jane <jane@example.com>",
    "outside the plane": "\U0001d49c\U00020000",
}

ILLEGAL = [
    ("project_slug", "my agent"),
    ("project_slug", "Release-Agent"),
    ("project_slug", "3d-agent"),
    ("project_slug", "release_agent"),
    ("project_slug", "release-"),
    ("project_slug", "-release"),
    ("project_slug", "a" * 41),
    ("project_slug", "été"),
    ("project_slug", "a/b"),
    ("project_slug", "a\nb"),
    ("project_slug", "celery"),
    ("package_name", "class"),
    ("package_name", "match"),
    ("package_name", "json"),
    ("package_name", "asyncio"),
    ("package_name", "celery"),
    ("package_name", "fastapi"),
    ("package_name", "tests"),
    ("package_name", "Release"),
    ("package_name", "release-agent"),
    ("package_name", "1release"),
    ("package_name", "_release"),
    ("package_name", ""),
    ("package_name", "a" * 33),
    ("package_name", "été"),
    ("package_name", "release\n"),
    ("author_email", "nobody"),
    ("author_email", "a@b"),
    ("author_email", "a b@example.com"),
    ("author_email", 'a"@example.com'),
    ("author_email", "a@example.com\n"),
    ("author_email", "a@-example.com"),
    ("author_email", ""),
    ("project_name", ""),
    ("project_name", " \t"),
    ("project_name", "\u200b\u200f"),
    ("project_name", "bell\x07"),
    ("project_name", "escape\x1b[31m"),
    ("description", "nul\x00"),
    ("description", "delete\x7f"),
    ("description", "next line\x85"),
    ("description", ""),
    ("author_name", "surrogate\udc80"),
    ("author_name", "\ufffe"),
    ("author_name", "  "),
]


def one_line(text: str) -> str:
    return " ".join(text.split())


def refusals(said: str) -> list[str]:
    """The lines that say what was refused; cookiecutter adds a traceback of its own."""
    return [line for line in said.splitlines() if " is refused: " in line]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_text_comes_back_right(bake: Bake, text: str) -> None:
    baked = bake(project_name=text, description=text, author_name=text)
    assert baked.metadata["description"] == one_line(text)
    assert baked.metadata["authors"] == [{"name": one_line(text), "email": "platform@example.com"}]
    assert one_line(text) in baked.text("LICENSE")
    title = baked.text("README.md").splitlines()[0]
    assert title.startswith("# ")
    assert "<" not in title
    for name in baked.files:
        if name.endswith((".yaml", ".yml")):
            list(yaml.compose_all(baked.text(name), yaml.SafeLoader))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_derived_from_any_name_is_legal(bake: Bake, name: str) -> None:
    baked = bake(project_name=name)
    assert baked.path.name == baked.metadata["name"]
    assert baked.package.isidentifier()


@pytest.mark.parametrize(("key", "answer"), ILLEGAL, ids=[f"{key}={answer!a}" for key, answer in ILLEGAL])
def test_a_bad_answer_gets_one_line_and_leaves_nothing(
    bake: Bake, tmp_path: Path, capfd: pytest.CaptureFixture[str], key: str, answer: str
) -> None:
    fine = {"project_slug": "release-agent", "package_name": "release_agent"}
    with pytest.raises((FailedHookException, FileNotFoundError)):
        bake(into=tmp_path / "out", **fine | {key: answer})
    said = capfd.readouterr().err
    (line,) = refusals(said)
    assert line.startswith(f"{key}: ")
    assert "; for example " in line
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in line), "an answer cannot paint the terminal"
    assert list((tmp_path / "out").iterdir()) == []


def test_all_bad_answers_are_said_at_once_and_the_exit_code_is_not_zero(tmp_path: Path) -> None:
    bad = {"project_name": " ", "project_slug": "My Agent", "package_name": "class", "author_email": "me"}
    result = cli(
        "cookiecutter", str(ROOT), "--no-input", *(f"{key}={value}" for key, value in bad.items()), cwd=tmp_path
    )
    assert result.returncode != 0
    assert [line.split(":")[0] for line in refusals(result.stderr)] == list(bad)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_choice_that_is_none_is_refused_when_replayed(tmp_path: Path) -> None:
    assert cli("cookiecutter", str(ROOT), "--no-input", cwd=tmp_path).returncode == 0
    replay = tmp_path / "home" / "replay" / f"{ROOT.name}.json"
    context = json.loads(replay.read_text(encoding="utf-8"))
    context["cookiecutter"] |= {"ci": "jenkins", "project_slug": "other"}
    replay.write_text(json.dumps(context), encoding="utf-8")
    result = cli("cookiecutter", str(ROOT), "--replay", cwd=tmp_path)
    assert result.returncode != 0
    assert refusals(result.stderr) == ["ci: 'jenkins' is refused: one of both, github, gitlab, none; for example both"]
    assert not (tmp_path / "other").exists()


def test_a_replay_file_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    assert cli("cookiecutter", str(ROOT), "--no-input", cwd=tmp_path).returncode == 0
    replay = tmp_path / "home" / "replay" / f"{ROOT.name}.json"
    context = json.loads(replay.read_text(encoding="utf-8"))
    context["cookiecutter"] |= {"description": "edited by hand", "project_slug": "other"}
    replay.write_text(json.dumps(context), encoding="utf-8")
    result = cli("cookiecutter", str(ROOT), "--replay", cwd=tmp_path)
    assert result.returncode != 0
    assert [line.split(":")[0] for line in refusals(result.stderr)] == ["description"]


def test_template_syntax_survives_when_it_is_typed_and_when_it_is_replayed(tmp_path: Path) -> None:
    typed = '{{ 7*7 }} {% raw %} "x" {{ cookiecutter.author_name }} {# no #}'
    result = cli(
        "cookiecutter",
        str(ROOT),
        cwd=tmp_path,
        stdin=f"{typed}\nagent\nagent\n{typed}\n{typed}\nme@example.com\n1\n1\n",
    )
    assert result.returncode == 0, result.stderr
    project = tmp_path / "agent"
    (first := tmp_path / "first").mkdir()
    project.rename(first / "agent")
    assert cli("cookiecutter", str(ROOT), "--replay", cwd=tmp_path).returncode == 0
    for path in (first / "agent", project):
        metadata = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert metadata["description"] == typed
        assert metadata["authors"][0]["name"] == typed


def test_the_defaults_are_taken_by_pressing_enter_eight_times(tmp_path: Path) -> None:
    result = cli("cookiecutter", str(ROOT), cwd=tmp_path, stdin="\n" * 8)
    assert result.returncode == 0, result.stderr
    assert "[8/8]" in result.stdout
    assert "(recommended)" in result.stdout
    assert (tmp_path / "release-agent" / "src" / "release_agent").is_dir()


def test_an_old_python_is_named_with_the_way_out(tmp_path: Path) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", "/none")) / "versions"
    old = [path for minor in (8, 9, 10) for path in versions.glob(f"3.{minor}.*/bin/python")]
    if not old:
        pytest.skip("no Python older than 3.11 is here")
    answers = {key: value for key, value in ANSWERS.items() if key.startswith("_") and not key.startswith("__")}
    answers |= {"_template": "gh:org/twelve-factor-agent", "ci": "github", "license": "MIT"}
    answers |= {"project_slug": "release-agent", "package_name": "release_agent", "author_email": "me@example.com"}
    for key in ("project_name", "description", "author_name"):
        answers |= {key: "x", f"__{key}": "x"}
    hook = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    script = tmp_path / "hook.py"
    script.write_text(
        hook.replace("{{ cookiecutter|jsonify|jsonify }}", json.dumps(json.dumps(answers))), encoding="utf-8"
    )
    for python in old:
        (empty := tmp_path / python.parts[-3]).mkdir()
        result = subprocess.run([python, script], cwd=empty, capture_output=True, text=True)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert "uvx --python 3.13 cookiecutter gh:org/twelve-factor-agent" in line


def test_cookiecutter_is_used_as_a_library(tmp_path: Path, bake: Bake) -> None:
    baked = bake(project_name="Other Agent")
    assert baked.path == tmp_path / "out0" / "other-agent"
