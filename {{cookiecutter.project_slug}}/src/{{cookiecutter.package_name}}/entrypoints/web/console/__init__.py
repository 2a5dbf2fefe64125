"""The console: pages for people, made on the server, which act as the key that signed in."""

from starlette.routing import BaseRoute

from . import deeds, pages, sign_in

routes: list[BaseRoute] = [*sign_in.routes, *pages.routes, *deeds.routes]
