"""The service's routes; see `contract` for what goes in and out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter, ValidationError

from .._version import __version__
from ..runtime import Model
from .answering import Service, Specimen
from .batching import Batcher, BusyError, CapacityLimiter
from .contract import Metadata, Options, Problem, ProcessRequest, ProcessResponse
from .fetch import FetchError
from .guard import Guard
from .metrics import Metrics
from .settings import Settings

PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in {
        400: "The request cannot be read.", 403: "It comes from another page.", 413: "It is too large.",
        422: "It asks for something that this model does not have.", 503: "Too much at once; come back in a second.",
    }.items()
}  # fmt: skip

NO_CARD: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "The export has none."}}


def create_app(model: Model, settings: Settings | None = None) -> FastAPI:
    """Return the service for an exported model."""
    settings = settings or Settings()
    metrics = Metrics()
    capacity = CapacityLimiter(settings.queue, metrics.taken.set)
    batcher = Batcher(model.run, settings.batch, settings.wait_ms / 1000, metrics.batch.observe)
    service = Service(model, settings, metrics, batcher)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with batcher:
            app.state.ready = True
            yield
            app.state.ready = False

    app = FastAPI(
        title=f"BioAutoML-NNI: {model.info.name}",
        version=__version__,
        description="Names of specimens from their images and metadata.",
        lifespan=lifespan,
        docs_url=None,  # both pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.ready = False
    app.state.batcher = batcher
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _add_errors(app, capacity)
    _add_pages(app, service, metrics)
    _add_answers(app, service, capacity)
    return app


def _add_errors(app: FastAPI, capacity: CapacityLimiter) -> None:
    """Say what is wrong with a request, and when there are too many."""

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        text = f"The service works on {capacity.taken} of at most {capacity.size} specimens; come back in a second."
        return JSONResponse({"detail": text}, 503, {"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        """Say what is wrong, without the values: some cannot be said in JSON, and images are long."""
        kept = ("type", "loc", "msg")
        problems = [{name: problem[name] for name in kept if name in problem} for problem in error.errors()]
        return Response(json.dumps({"detail": problems}), 422, media_type="application/json")


def _add_pages(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """Add the page for people, and what tells of the model and of the service."""
    for path, (name, kind) in PAGE.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False)

    @app.get("/card", response_class=Response, responses=NO_CARD)
    async def card() -> Response:
        """Return the model card, as Markdown."""
        file = service.model.folder / "MODEL_CARD.md"
        if not file.is_file():
            raise HTTPException(404, "This export holds no MODEL_CARD.md; export the run again.")
        return Response(file.read_text(encoding="utf-8"), media_type="text/plain")

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: PROBLEMS[503]})
    async def readyz() -> dict[str, str]:
        """Say whether requests are answered."""
        if not app.state.ready:
            raise HTTPException(503, "The model is not ready.")
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def exposition() -> Response:
        """Return counters in Prometheus' format."""
        return Response(metrics.exposition(), media_type=metrics.MEDIA_TYPE)

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Describe the model: pipeline, category map, metadata, and the sets and thresholds that are calibrated."""
        return service.info


def _add_answers(app: FastAPI, service: Service, capacity: CapacityLimiter) -> None:
    """Add the routes that name specimens."""

    @app.post("/process", responses=PROBLEMS)
    async def process(request: ProcessRequest) -> ProcessResponse:
        """Name the specimens of images that come as data URLs, or by URL where the service allows the host."""
        service.check(request.config, request.pipeline)
        _require_sent(request)
        wanted = len(request.source_images if request.detections is None else request.detections)
        service.check_count(max(wanted, len(request.source_images)))
        with capacity.slots(wanted):
            started = time.perf_counter()
            found = await asyncio.gather(*(service.fetched(image.url) for image in request.source_images))
            specimens = _specimens(request, found)
            return await service.answered(specimens, request.config, started)

    @app.post("/upload", responses=PROBLEMS)
    async def upload(
        images: Annotated[list[UploadFile], File(description="Image files.")],
        metadata: Annotated[
            str, Form(description="JSON: an object for all images, or a list with one for each.")
        ] = "{}",
        config: Annotated[str, Form(description="JSON: the options of /process.")] = "{}",
    ) -> ProcessResponse:
        """Name the specimens of uploaded images."""
        options = _parsed(TypeAdapter(Options), config, "config")
        rows: Any = _parsed(TypeAdapter(list[Metadata] | Metadata), metadata, "metadata")
        if isinstance(rows, dict):
            rows = [rows] * len(images)
        if len(rows) != len(images):
            raise HTTPException(422, f"metadata: has {len(rows)} entries for {len(images)} images.")
        service.check(options)
        service.check_count(len(images))
        with capacity.slots(len(images)):
            started = time.perf_counter()
            specimens = await _uploaded(images, rows, service.settings.image_bytes)
            return await service.answered(specimens, options, started)


async def _uploaded(images: Sequence[UploadFile], rows: Sequence[Metadata], most: int) -> list[Specimen]:
    """Return one specimen for each file, with the error in place of an image of more than so many bytes."""
    specimens = []
    for number, (file, row) in enumerate(zip(images, rows, strict=True)):
        content = await file.read()
        data = FetchError(f"the image has more than {most} bytes") if len(content) > most else content
        specimens.append(Specimen(file.filename or str(number), data, row, None))
    return specimens


def _require_sent(request: ProcessRequest) -> None:
    """Refuse detections in images that are not in the request."""
    sent = {image.id for image in request.source_images}
    unknown = {box.source_image_id for box in request.detections or ()} - sent
    if unknown:
        raise HTTPException(422, f"detections name source images that are not sent: {', '.join(sorted(unknown)[:5])}")


def _specimens(request: ProcessRequest, found: Sequence[bytes | FetchError]) -> list[Specimen]:
    """Return one specimen for each detection, with its image's metadata unless it has its own, else for each image.

    Args:
        found: content of the source images, in their order.
    """
    sent = list(zip(request.source_images, found, strict=True))
    if request.detections is None:
        return [Specimen(image.id, data, dict(image.metadata), None) for image, data in sent]
    images = {image.id: (data, image.metadata) for image, data in sent}
    specimens = []
    for box in request.detections:
        data, metadata = images[box.source_image_id]
        own = metadata if box.metadata is None else box.metadata
        specimens.append(Specimen(box.source_image_id, data, dict(own), box.bbox))
    return specimens


def _parsed(adapter: TypeAdapter[Any], text: str, field: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise HTTPException(422, [{**problem, "loc": [field, *problem["loc"]]} for problem in problems]) from error


def _file(name: str, kind: str) -> Any:
    text = (files(__package__) / name).read_text(encoding="utf-8")

    async def answer() -> Response:
        return Response(text, media_type=kind)

    return answer
