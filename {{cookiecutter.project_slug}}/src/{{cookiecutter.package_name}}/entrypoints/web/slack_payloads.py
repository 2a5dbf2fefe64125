"""What Slack sends, as far as it matters here; it sends far more."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from ...adapters.slack_blocks import INPUT
from ...agent.events import storable

MENTION = re.compile(r"^(\s*<@[UW]\w+(\|[^>]*)?>)+\s*")
LINK = re.compile(r"<(https?:[^|>]+|mailto:[^|>]+)(?:\|[^>]*)?>")
NAMED = re.compile(r"<([@#])([A-Z]\w+)(?:\|([^>]*))?>")
HEARD = {"", "file_share", "thread_broadcast"}
"""Of the kinds of messages: all others are changes, notes of Slack's own, or those of bots."""

Given = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")]
"""In other events than ours the same field may be something else, which is none of our business."""


class Event(BaseModel):
    type: Given = ""
    subtype: Given = ""
    channel_type: Given = ""
    user: Given = ""
    bot_id: Given = ""
    team: Given = ""
    channel: Given = ""
    text: Given = ""
    ts: Given = ""
    thread_ts: Given = ""


class Authorization(BaseModel):
    user_id: Given = ""


class Told(BaseModel):
    type: str
    challenge: Given = ""
    team_id: Given = ""
    is_ext_shared_channel: bool = False
    event: Event = Event()
    authorizations: list[Authorization] = []


@dataclass(frozen=True)
class Said:
    channel: str
    root: str
    """The message that the thread hangs on: this one, where it begins one."""
    ts: str
    user: str
    text: str


def heard(told: Told) -> Said | None:
    """What a person has said to the app. What bots say is for nobody: two would never end."""
    event, us = told.event, {one.user_id for one in told.authorizations}
    is_to_us = event.type == "app_mention" or (event.type, event.channel_type) == ("message", "im")
    is_person = bool(event.user) and not event.bot_id and event.user not in us
    if not is_to_us or not is_person or event.subtype not in HEARD or _is_foreign(told):
        return None
    if not (text := plain(MENTION.sub("", event.text))):
        return None
    root = event.thread_ts or event.ts
    return Said(event.channel, root, event.ts, event.user, text)


def _is_foreign(told: Told) -> bool:
    """Of another company, in a channel that is shared with it."""
    return told.is_ext_shared_channel and told.event.team not in {"", told.team_id}


def plain(text: str) -> str:
    """As the person wrote it."""
    text = NAMED.sub(lambda m: m[1] + (m[3] or m[2]), LINK.sub(r"\1", text))
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
    return str(storable(text))


class User(BaseModel):
    id: str


class Press(BaseModel):
    action_id: str
    value: Given = ""


class Place(BaseModel):
    channel_id: Given = ""
    message_ts: Given = ""
    thread_ts: Given = ""


class Private(BaseModel):
    """What a window of ours carries along."""

    code: str
    place: Place


class Filled(BaseModel):
    value: Given = ""


class State(BaseModel):
    values: dict[str, dict[str, Filled]] = {}


class View(BaseModel):
    callback_id: Given = ""
    private_metadata: str = "{}"
    state: State = State()

    @property
    def is_ours(self) -> bool:
        return self.callback_id in {"answer", "refuse"}

    @property
    def told(self) -> str:
        field = self.state.values.get(INPUT, {}).get(INPUT, Filled())
        return str(storable(field.value)).strip()


class Interaction(BaseModel):
    type: str
    user: User
    trigger_id: Given = ""
    container: Place = Place()
    actions: list[Press] = []
    view: View | None = None

    @property
    def place(self) -> Place:
        return self.container
