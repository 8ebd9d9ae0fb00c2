"""`/`, the page for people, and the files that it is made of."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.errors import NoSuchRoute
from app.page import HEADERS, Asset, load_page

router = APIRouter(include_in_schema=False)
FOR_EVER = "public, max-age=31536000, immutable"  # the name changes with the content


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself: asked for anew each time, sent again only where it has changed."""
    return _sent(request, load_page().index, keep="no-cache")


@router.get("/ui/{release}/{name}")
async def file(request: Request, release: str, name: str) -> Response:
    """A file of the page, of the release that runs. Raises NoSuchRoute."""
    found = load_page()
    if release != found.release or name not in found.files:
        raise NoSuchRoute("the page has no such file")
    return _sent(request, found.files[name], keep=FOR_EVER)


def _sent(request: Request, asset: Asset, *, keep: str) -> Response:
    headers = {**HEADERS, "ETag": asset.etag, "Cache-Control": keep}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if asset.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
