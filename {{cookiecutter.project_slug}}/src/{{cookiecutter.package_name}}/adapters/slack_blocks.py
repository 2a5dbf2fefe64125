"""How things look in Slack: text that pings nobody, requests with their exact arguments."""

import json
import re
from typing import Any

from ..channels import Notice, visible

MOST_TEXT = 35_000
MOST_SECTION = 2_900
MOST_ARGUMENTS = 9_000
"""Slack takes about 13,000 characters in all blocks of a message together."""
MOST_COMMENT, MOST_ANSWER = 2_000, 3_000
INPUT = "told"
HALF = re.compile(r"&[a-z]{0,3}$")
"""Of a character that was cut in two."""
Block = dict[str, Any]


def escaped(text: str) -> str:
    """As it is: no `<!channel>` of a model's calls anybody, no link hides where it goes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, most: int, link: str = "") -> str:
    """Of an escaped text no more than this, with what says so."""
    if len(text) <= most:
        return text
    tail = f"… {f'The rest: {link}' if link else '(cut off here)'}"
    return HALF.sub("", text[: most - len(tail)]) + tail


def blocks(notice: Notice) -> list[Block]:
    """Of what is to be decided; plain text needs none."""
    if notice.request is None:
        return []
    arguments = json.dumps(notice.request.arguments, indent=2, ensure_ascii=False)
    shown = visible(f"{notice.request.tool} {arguments}")
    is_whole = len(shown) <= MOST_ARGUMENTS
    return [
        _section(shortened(escaped(notice.text), MOST_SECTION, notice.link)),
        *_code(shown[:MOST_ARGUMENTS]),
        *([] if is_whole else [_section("There is more of it than fits here.")]),
        *_actions(notice, is_whole=is_whole),
    ]


def modal(action: str, private: str) -> Block:
    """The window that asks for a reason, or for the answer."""
    is_answer = action == "answer"
    field: Block = {
        "type": "plain_text_input",
        "action_id": INPUT,
        "multiline": True,
        "max_length": MOST_ANSWER if is_answer else MOST_COMMENT,
    }
    return {
        "type": "modal",
        "callback_id": action,
        "private_metadata": private,
        "title": _plain("Answer" if is_answer else "Refuse"),
        "submit": _plain("Send" if is_answer else "Refuse"),
        "close": _plain("Back"),
        "blocks": [
            {
                "type": "input",
                "block_id": INPUT,
                "optional": not is_answer,
                "label": _plain("Your answer" if is_answer else "Why not?"),
                "element": field,
            }
        ],
    }


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _code(text: str) -> list[Block]:
    """Preformatted, where nothing means anything: no fence in an argument ends it."""
    pieces = [text[at : at + MOST_SECTION] for at in range(0, len(text), MOST_SECTION)]
    return [
        {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": piece}]}
            ],
        }
        for piece in pieces
    ]


def _actions(notice: Notice, *, is_whole: bool) -> list[Block]:
    """What nobody can read whole nobody decides here: the page shows all of it."""
    buttons: list[Block] = []
    if notice.code and is_whole:
        is_question = notice.kind == "question"
        yes = ("answer", "Answer…") if is_question else ("approve", "Approve")
        buttons.append(_button(*yes, notice.code, style="primary"))
        buttons.append(_button("refuse", "Refuse…", notice.code, style="danger"))
    if notice.link:
        page = {"action_id": "open", "text": _plain("Open"), "url": notice.link}
        buttons.append({"type": "button", **page})
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _button(action: str, label: str, code: str, *, style: str) -> Block:
    return {
        "type": "button",
        "action_id": action,
        "text": _plain(label),
        "value": code,
        "style": style,
    }


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}
