"""The ways out to people: each channel is imported when it first has to speak, and not before."""

from collections.abc import Callable

from .channels import Channel
from .ledger import World
from .settings import CHANNELS, Settings, listed
from .signatures import secrets_of


def make_ways(settings: Settings, world: World) -> dict[str, Callable[[], Channel]]:
    """By name, how each is made that the environment turns on."""

    def webhook() -> Channel:
        from .adapters.webhook import WebhookChannel

        def secrets(sender: str) -> list[str]:
            return list(secrets_of(sender, settings))

        first = listed(settings.webhooks)[0]
        return WebhookChannel(http=world.http, secrets_of=secrets, sender=first)

    def slack() -> Channel:
        from .adapters.slack import make_slack

        token = settings.slack_bot_token
        return make_slack(token.get_secret_value() if token else "", settings.slack_api_url)

    def mail() -> Channel:
        from .adapters.mail import Mail

        url = settings.smtp_url
        return Mail(url=url.get_secret_value() if url else "", author=settings.mail_from)

    ways = {"webhook": webhook, "slack": slack, "mail": mail}
    return {name: make for name, make in ways.items() if getattr(settings, CHANNELS[name])}
