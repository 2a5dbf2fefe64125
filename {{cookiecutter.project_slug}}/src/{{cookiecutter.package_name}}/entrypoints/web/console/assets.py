"""The style sheet, the script and the icon: read once, named by what they hold, kept for ever."""

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
KEPT = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    data: bytes
    packed: bytes
    mark: str
    type: str


@cache
def found() -> dict[str, Asset]:
    made = {}
    for file in files(__package__).joinpath("static").iterdir():
        if type_ := TYPES.get(f".{file.name.rpartition('.')[2]}"):
            data = file.read_bytes()
            mark = sha256(data).hexdigest()[:12]
            made[file.name] = Asset(data, gzip.compress(data, mtime=0), mark, type_)
    return made


def address(name: str) -> str:
    """Another one for each content: so what is kept is never out of date."""
    return f"/static/{name}?{found()[name].mark}"


async def serve(request: Request) -> Response:
    if (asset := found().get(request.path_params["name"])) is None:
        return Response("there is no such file", 404, media_type="text/plain")
    kept = KEPT if request.url.query == asset.mark else "no-cache"
    headers = {"cache-control": kept, "etag": f'"{asset.mark}"', "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=asset.type
        )
    return Response(asset.data, headers=headers, media_type=asset.type)
