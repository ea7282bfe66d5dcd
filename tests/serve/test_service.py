"""The service as a program sees it: answers equal to prediction's, mistakes named, limits kept."""

import base64
import json
import threading
import time

import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.serve.app import create_app
from bioautoml_nni.serve.contract import ProcessRequest
from bioautoml_nni.serve.run import _address
from bioautoml_nni.serve.settings import Settings

HERE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def model(exported):
    return Model.load(exported[0])


@pytest.fixture(scope="module")
def data(exported):
    return exported[1].parent / "data"


@pytest.fixture
def client(model):
    with TestClient(create_app(model), base_url=HERE) as client:
        yield client


def url_of(path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def source(data, number, **metadata):
    return {"id": str(number), "url": url_of(data / f"images/{number}.png"), "metadata": metadata}


def process(client, *images, **others):
    return client.post("/process", json={"source_images": list(images), **others})


def test_answers_equal_those_of_predict(client, model, data, tmp_path):
    predict(model, Request(data / "metadata.csv", tmp_path / "answers.csv", logits=True, coverage=0.9, threshold=0.4))
    expected = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    table = pd.read_csv(data / "metadata.csv")
    images = [source(data, n, **table.loc[n, ["length_mm", "site"]].to_dict()) for n in range(20)]
    answer = process(client, *images, config={"coverage": 0.9, "threshold": 0.4}).json()
    assert [entry["source_image_id"] for entry in answer["detections"]] == [str(n) for n in range(20)]
    for n, entry in enumerate(answer["detections"]):
        (found,) = entry["classifications"]
        row = expected.loc[n]
        assert found["classification"] == row["label_1"]
        assert max(found["scores"]) == pytest.approx(row["probability_1"], abs=1e-5)
        logits = dict(zip(found["labels"], found["logits"], strict=True))
        assert logits == pytest.approx({name: row[f"logit_{name}"] for name in logits}, abs=1e-4)
        assert found["answer"]["prediction"] == row["prediction"] and found["answer"]["rank"] == row["rank"]
        assert "|".join(found["answer"]["set"]) == row["set"]


def test_an_answer_does_not_depend_on_what_others_ask(model, data):
    """A number where others say text, which would change how pandas reads their common column."""
    rows = [{"site": 3, "length_mm": 2}, {"site": "site-1"}, {"length_mm": "many"}, {}, {"site": True}, {"site": None}]
    with TestClient(create_app(model, Settings(wait_ms=200)), base_url=HERE) as client:
        alone = [process(client, source(data, 0, **row)).json()["detections"][0] for row in rows]
        together = process(client, *(source(data, 0, **row) for row in rows)).json()["detections"]
    for one, other in zip(alone, together, strict=True):
        assert one["classifications"][0]["logits"] == pytest.approx(other["classifications"][0]["logits"], abs=1e-5)


def test_uploads_equal_data_urls(client, data):
    files = [("images", (f"{n}.png", (data / f"images/{n}.png").read_bytes())) for n in range(3)]
    rows = [{"length_mm": 1.5}, {}, {"site": "site-2"}]
    form = {"metadata": json.dumps(rows), "config": json.dumps({"threshold": 0.5})}
    uploaded = client.post("/upload", files=files, data=form).json()
    sent = process(client, *(source(data, n, **row) for n, row in enumerate(rows)), config={"threshold": 0.5}).json()
    assert [entry["source_image_id"] for entry in uploaded["detections"]] == ["0.png", "1.png", "2.png"]
    for one, other in zip(uploaded["detections"], sent["detections"], strict=True):
        assert one["classifications"][0]["scores"] == pytest.approx(other["classifications"][0]["scores"], abs=1e-6)


def test_boxes_are_cut_out_and_named_for_themselves(client, data, tmp_path):
    from PIL import Image

    one, other = (Image.open(data / f"images/{n}.png").crop((0, 0, 24, 24)) for n in (0, 1))
    both = Image.new("RGB", (48, 24))
    both.paste(one, (0, 0))
    both.paste(other, (24, 0))
    for image, name in ((one, "one"), (other, "other"), (both, "both")):
        image.save(tmp_path / f"{name}.png")
    images = [{"id": name, "url": url_of(tmp_path / f"{name}.png")} for name in ("one", "other", "both")]
    boxes = [
        {"source_image_id": "both", "bbox": {"x1": 0, "y1": 0, "x2": 24, "y2": 24}},
        {"source_image_id": "both", "bbox": {"x1": 48, "y1": 24, "x2": 24, "y2": 0}},  # corners in any order
        {"source_image_id": "both", "bbox": {"x1": 900, "y1": 900, "x2": 910, "y2": 910}},
    ]
    whole = process(client, *images[:2]).json()["detections"]
    cut = process(client, images[2], detections=boxes).json()
    for expected, found in zip(whole, cut["detections"], strict=True):
        assert found["classifications"][0]["logits"] == pytest.approx(
            expected["classifications"][0]["logits"], abs=1e-4
        )
    assert "lies outside" in cut["errors"][0]["error"]


def test_images_that_cannot_be_read_are_named_beside_the_others(client, data):
    broken = base64.b64encode((data / "images/1.png").read_bytes()[:60]).decode()
    images = [
        source(data, 0),
        {"id": "cut", "url": f"data:image/png;base64,{broken}"},
        {"id": "empty", "url": "data:,"},
        {"id": "not base64", "url": "data:image/png;base64,%%%"},
        {"id": "no comma", "url": "data:image/png"},
        {"id": "file", "url": "file:///etc/passwd"},
        {"id": "far", "url": "https://example.org/a.jpg"},
    ]
    response = process(client, *images)
    assert response.status_code == 200
    answer = response.json()
    assert [entry["source_image_id"] for entry in answer["detections"]] == ["0"]
    errors = {entry["source_image_id"]: entry["error"] for entry in answer["errors"]}
    assert set(errors) == {image["id"] for image in images[1:]}
    assert "--allow-host example.org" in errors["far"] and "must begin with" in errors["file"]
    assert errors["empty"] == "the file is empty"


def test_it_explains_the_likeliest_class_or_the_one_asked_for(client, data):
    found = process(client, source(data, 0), config={"explain": True}).json()["detections"][0]["classifications"][0]
    assert found["explanation"]["label"] == found["classification"]
    assert all(found["explanation"][name].startswith("data:image/png;base64,") for name in ("seen", "overlay"))
    other = process(client, source(data, 0), config={"explain": True, "explain_class": "cicada"}).json()
    assert other["detections"][0]["classifications"][0]["explanation"]["label"] == "cicada"


def test_it_adds_the_embedding_that_predict_writes_if_asked(client, model, data):
    plain, asked = (
        process(client, source(data, 0), config=config).json()["detections"][0]["classifications"][0]
        for config in ({}, {"embedding": True})
    )
    expected = model.predict_files(data, ["images/0.png"], embeddings=True)["embedding"][0]
    assert plain["embedding"] is None and asked["embedding"] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"config": {"coverage": 0.93}}, "is not calibrated"),
        ({"config": {"species_list": ["dragon"]}}, "dragon is not a class"),
        ({"config": {"explain_class": "dragon"}}, "is not a class"),
        ({"config": {"treshold": 0.5}}, "treshold"),
        ({"pipeline": "other"}, "the only one is 'tiny'"),
        ({"detections": [{"source_image_id": "7", "bbox": {"x1": 0, "y1": 0, "x2": 1, "y2": 1}}]}, "not sent: 7"),
        ({"source_images": "all"}, "source_images"),
        ({"source_images": [{"id": "a", "url": "data:,", "metadata": {"length_mm": [1, 2]}}]}, "metadata"),
        ({"source_images": [{"id": "a", "url": "data:,", "metadata": {"length_mm": 10**400}}]}, "metadata"),
    ],
)
def test_mistakes_are_named(client, data, request_, said):
    response = client.post("/process", json={"source_images": [source(data, 0)], **request_})
    assert response.status_code == 422
    assert said in json.dumps(response.json()["detail"])


@pytest.mark.parametrize("form", [{"metadata": "{"}, {"metadata": "[{}, {}]"}, {"config": '{"threshold": 7}'}])
def test_mistakes_in_a_form_are_named(client, data, form):
    files = [("images", ("0.png", (data / "images/0.png").read_bytes()))]
    response = client.post("/upload", files=files, data=form)
    assert response.status_code == 422 and next(iter(form)) in json.dumps(response.json()["detail"])


def test_too_large_and_too_many_are_refused(model, data):
    image = (data / "images/0.png").read_bytes()
    settings = Settings(request_bytes=20_000, images=3, image_bytes=len(image) - 1)
    with TestClient(create_app(model, settings), base_url=HERE) as client:
        large = client.post("/process", content=b"x" * 30_000, headers={"Content-Type": "application/json"})
        assert large.status_code == 413 and "more than 20000 bytes" in large.json()["detail"]

        def drops():
            for _ in range(30):
                yield b"x" * 1000

        unannounced = client.post("/process", content=drops(), headers={"Content-Type": "application/json"})
        assert unannounced.status_code == 413  # without a length beforehand, too
        many = process(client, *({"id": str(n), "url": "data:,"} for n in range(4)))
        assert many.status_code == 413 and "at most 3" in many.json()["detail"]
        big = client.post("/upload", files=[("images", ("0.png", image))]).json()
        assert "more than" in big["errors"][0]["error"] and not big["detections"]


def test_a_full_service_asks_to_come_back_and_recovers(model, data, monkeypatch):
    going, go_on = threading.Event(), threading.Event()
    run = model.run

    def slow(inputs):
        going.set()
        go_on.wait(20)
        return run(inputs)

    with TestClient(create_app(model, Settings(queue=2)), base_url=HERE) as client:
        monkeypatch.setattr(client.app.state.batcher, "logits", slow)
        answers = []
        first = threading.Thread(target=lambda: answers.append(process(client, source(data, 0), source(data, 1))))
        first.start()
        assert going.wait(20)
        refused = process(client, source(data, 2))
        go_on.set()
        first.join(20)
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "1"
        assert answers[0].status_code == 200 and len(answers[0].json()["detections"]) == 2  # none is lost
        assert process(client, source(data, 2)).status_code == 200


def test_requests_that_come_together_are_answered_together(model, data):
    with TestClient(create_app(model, Settings(wait_ms=100, batch=8)), base_url=HERE) as client:
        process(client, *(source(data, n) for n in range(24)))
        measured = {
            sample.name: sample.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
        }
    assert measured["bioautoml_batch_specimens_sum"] == 24
    assert measured["bioautoml_batch_specimens_count"] < 10
    assert measured["bioautoml_specimens_in_work"] == 0


def test_an_error_of_the_model_ends_one_request_and_not_the_service(model, data, monkeypatch):
    def fails(inputs):
        raise RuntimeError("out of memory")

    with TestClient(create_app(model), base_url=HERE, raise_server_exceptions=False) as client:
        with monkeypatch.context() as patch:
            patch.setattr(client.app.state.batcher, "logits", fails)
            assert process(client, source(data, 0)).status_code == 500
        assert process(client, source(data, 0)).status_code == 200


def test_it_describes_the_model(client, model):
    info = client.get("/info").json()
    (algorithm,) = info["algorithms"]
    assert algorithm["category_map"]["labels"] == ["ant", "bee", "cicada"]
    assert [entry["index"] for entry in algorithm["category_map"]["data"]] == [0, 1, 2]
    questions = {entry["column"]: entry for entry in info["metadata"]}
    assert questions["site"]["values"] == ["site-0", "site-1", "site-2"] and questions["length_mm"]["role"] == "size"
    assert client.get("/livez").status_code == client.get("/readyz").status_code == 200


def test_it_is_not_ready_before_it_has_begun(model):
    assert TestClient(create_app(model), base_url=HERE).get("/readyz").status_code == 503


def test_strangers_are_kept_out(client):
    assert (
        client.get("/info", headers={"Host": "evil.example"}).status_code == 400
    )  # a name that was bound to 127.0.0.1
    assert client.post("/process", json={}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/info", headers={"Host": "[broken"}).status_code == 400
    assert client.post("/process", json={}, headers={"Origin": "http://[broken"}).status_code == 403
    page = client.get("/")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_the_card_is_that_of_the_export_and_the_address_that_of_the_network(client, model):
    assert client.get("/card").text == (model.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert client.get("/info").json()["address"] is None
    shown = create_app(model, Settings(address="http://10.0.0.5:8000"))
    with TestClient(shown, base_url=HERE) as other:
        assert other.get("/info").json()["address"] == "http://10.0.0.5:8000"
    assert [_address(host, 80) for host in ("127.0.0.1", "localhost", "::1")] == [None] * 3
    assert _address("192.168.1.4", 80) == "http://192.168.1.4:80" and _address("fe80::1", 80) == "http://[fe80::1]:80"


def test_scores_are_probabilities_whatever_metadata_say(client, data):
    rows = [{"length_mm": value} for value in (-1, 0, 1e300, -1e300, "1e5", "", "nan", False)]
    for entry in process(client, *(source(data, 3, **row) for row in rows)).json()["detections"]:
        scores = np.array(entry["classifications"][0]["scores"])
        assert np.isfinite(scores).all() and scores.sum() == pytest.approx(1)


def test_answers_come_within_the_time_that_they_state(client, data):
    started = time.perf_counter()
    stated = process(client, source(data, 0)).json()["total_time"]
    assert 0 < stated < time.perf_counter() - started


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", '"\\ud800"', "[]", "{}"])
def test_values_that_are_none_are_refused_in_words(client, value):
    body = '{"source_images": [{"id": "a", "url": "data:,", "metadata": {"x": ' + value + "}}]}"
    answer = client.post("/process", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["detail"][0]["loc"][-3:-1] == ["metadata", "x"]


def test_whole_numbers_of_many_digits_stay_whole():
    found = ProcessRequest(source_images=[{"id": "a", "url": "x", "metadata": {"trap": 20241129000000017}}])
    assert found.source_images[0].metadata == {"trap": 20241129000000017}
