"""GET pods/log: the options checked as the original does, then the node agent's bytes as they come."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import aiohttp

from apimachinery import errors, field
from apimachinery.errors import ApiError
from apimachinery.field import FieldError
from apiserver.filters.base import Request
from apiserver.handlers import options as query_options
from apiserver.handlers import podtarget
from apiserver.handlers.scope import Scope
from apiserver.requestinfo import parse_bool
from openapi import scalars
from serving.reply import Reply, Stream, StreamReply

_FLAGS = ("follow", "previous", "timestamps")
_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_PIECE = 64 * 1024
_ERROR_TEXT = 50_000  # bytes of a node agent's refusal that are shown


async def log(scope: Scope, request: Request) -> Reply:
    """200 with text/plain, 204 for a pod that runs nowhere yet."""
    values = _read(request)
    found = _problems(values)
    if found:
        raise errors.invalid("", "PodLogOptions", request.info.name, found)
    pod = await podtarget.pod_of(scope, request)
    container = podtarget.container_of(pod, str(values.pop("container", "")))
    node = podtarget.node_of(pod)
    if not node:
        return Reply(204, b"", "")
    kubelets = podtarget.kubelets(scope)
    location = await kubelets.locate(node, asked="pods")
    namespace, name = request.info.namespace, request.info.name
    target = f"/containerLogs/{quote(namespace)}/{quote(name)}/{quote(container)}"
    url = location.url(target + ("?" + urlencode(values) if values else ""))
    try:
        answer = await kubelets.session.get(url, allow_redirects=False)
    except aiohttp.ClientError as error:
        raise errors.internal_error(f'Get "{url}": {error}') from error
    if not 200 <= answer.status <= 206:
        async with answer:
            text = (await answer.content.read(_ERROR_TEXT)).decode("utf-8", "replace").strip()
        raise _refused(answer.status, text, name)

    async def produce(stream: Stream) -> None:
        async with answer:
            async for piece in answer.content.iter_chunked(_PIECE):
                await stream.write(piece)

    return StreamReply(produce, 200, "text/plain")


def _read(request: Request) -> dict[str, str | int]:
    """The options that are set, in the form in which they go to the node agent."""
    values: dict[str, str | int] = {}
    for name in ("container", "sinceTime", "stream"):
        if request.param(name):
            values[name] = request.param(name)
    if "sinceTime" in values:
        try:
            scalars.canonical_time(str(values["sinceTime"]))
        except ValueError as error:
            raise errors.bad_request(str(error)) from error
    for name in _FLAGS:
        if name in request.query and parse_bool(request.query[name]):
            values[name] = "true"
    for name in _NUMBERS:
        if request.param(name):
            values[name] = query_options.parse_int(request.param(name))
    return values


def _problems(values: dict[str, str | int]) -> list[FieldError]:
    found: list[FieldError] = []
    tail, limit, since = values.get("tailLines"), values.get("limitBytes"), values.get("sinceSeconds")
    if isinstance(tail, int) and tail < 0:
        found.append(field.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if isinstance(limit, int) and limit < 1:
        found.append(field.invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and "sinceTime" in values:
        found.append(field.forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif isinstance(since, int) and since < 1:
        found.append(field.invalid("sinceSeconds", since, "must be greater than 0"))
    if "stream" in values:  # behind a feature gate that is off
        found.append(field.forbidden("stream", "may not be specified"))
    return found


def _refused(status: int, text: str, name: str) -> ApiError:
    """The node agent's refusal in the original's words (GenericHttpResponseChecker)."""
    if status == 500:
        return errors.internal_error(text)
    if status == 400:
        return errors.bad_request(text)
    if status == 404:
        details = {"name": name, "kind": "pods", "causes": [{"reason": "UnexpectedServerResponse", "message": text}]}
        message = f"the server could not find the requested resource (get pods {name})"
        return ApiError(404, "NotFound", message, details=details)
    return ApiError(
        status, "", f"the server responded with the status code {status} but did not return more information"
    )
