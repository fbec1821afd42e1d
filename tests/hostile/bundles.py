"""Bundles that are hostile."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from orchestra.io.checkpoint import file_sha256
from tests import folders
from tests.hostile.cases import Cases, bundle, edited, linked, misfit, safetensors, sparse
from tests.hostile.documents import ESCAPE

CONFIG, WEIGHTS = "kv-bundle/bridge_config.json", "kv-bundle/bridge_model.safetensors"
ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def named(role: str, **changes: Any) -> Any:
    """The identity of one of the two models, changed."""

    def build(base: Path) -> None:
        config = json.loads((base / CONFIG).read_text())
        folders.edit_json(base / CONFIG, **{role: {**config[role], **changes}})

    return build


def text(old: str, new: str) -> Any:
    """The config as text, changed."""

    def build(base: Path) -> None:
        content = (base / CONFIG).read_text()
        assert old in content
        (base / CONFIG).write_text(content.replace(old, new, 1))

    return build


def header(content: str | dict[str, Any], data: int = 24, **more: Any) -> Any:
    """Weights with this header."""
    return lambda base: safetensors(base / WEIGHTS, content, data, **more)


def piped(base: Path) -> None:
    (base / CONFIG).unlink()
    os.mkfifo(base / CONFIG)


def every_site(base: Path) -> None:
    (site, *_) = json.loads((base / CONFIG).read_text())["sites"]
    places = [(augment, anchor) for augment in range(5) for anchor in ("embedding", 0, 1, 2)]
    sites = [{**site, "augment_layer": augment, "anchor_layer": anchor} for augment, anchor in places]
    folders.edit_json(base / CONFIG, sites=sites)


def strangers(base: Path) -> None:
    added = {f"{ESCAPE}{index}": torch.zeros(1) for index in range(5_000)}
    folders.edit_weights(base / WEIGHTS, lambda tensors: tensors.update(added))
    folders.edit_json(base / CONFIG, weights_sha256=file_sha256(base / WEIGHTS))


def zipped(base: Path) -> None:
    with zipfile.ZipFile(base / WEIGHTS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))


DAMAGED = "/bridge_model.safetensors: has a damaged safetensors header; fetch or save it again."
NOT_WHOLE = "/bridge_model.safetensors: is not a whole safetensors file; fetch or save it again."
ONE_LINE = "value error, a text without line ends and control characters is needed."

BUNDLES: Cases = {
    "a config of a terabyte": bundle(
        "/bridge_config.json: cannot be read: it is 1,000,000,000,000 bytes long, and 1,000,000 are read at most.",
        lambda base: sparse(base / CONFIG, 10**12),
    ),
    "a config that is a pipe": bundle(
        "/bridge_config.json: cannot be read: it is a pipe, a socket or a device, and no file.", piped
    ),
    "a config that is the list of users": bundle(
        "/bridge_config.json: is not JSON.", lambda base: linked(base / CONFIG, "/etc/passwd")
    ),
    "a config that says its digest twice": bundle(
        '/bridge_config.json: is not JSON that can be read: "weights_sha256" stands twice in one object.',
        text('"recipe"', '"weights_sha256": "", "recipe"'),
    ),
    "a score that is no number": bundle(
        "/bridge_config.json: is not JSON that can be read: it holds NaN, which is no number of JSON.",
        text("0.5", "NaN"),
    ),
    "a recipe nested without end": bundle(
        "/bridge_config.json: is not JSON.", text('"steps": 7', f'"steps": {"[" * 100_000}')
    ),
    "a model's name that writes to the terminal": bundle(
        f"/bridge_config.json: anchor.name: {ONE_LINE}", named("anchor", name=ESCAPE)
    ),
    "a fingerprint that writes to the terminal": bundle(
        f"/bridge_config.json: augment.fingerprint: {ONE_LINE}", named("augment", fingerprint=ESCAPE)
    ),
    "a feeder that writes to the terminal": bundle(
        f"/bridge_config.json: augment.fed.1: {ONE_LINE}", named("augment", fed=["a", ESCAPE])
    ),
    "a text that writes to the terminal": bundle(
        f"/bridge_config.json: anchor.text: {ONE_LINE}", named("anchor", text=ESCAPE)
    ),
    "a model's name of a hundred thousand letters": bundle(
        "/bridge_config.json: anchor.name: string should have at most 255 characters.",
        named("anchor", name="a" * 10**5),
    ),
    "a field that writes to the terminal": bundle(
        "/bridge_config.json: anchor.\\u001b]0;mine\\u0007\\n: extra inputs are not permitted.",
        named("anchor", **{ESCAPE: 1}),
    ),
    "a class to be made": bundle(
        "/bridge_config.json: auto_map: extra inputs are not permitted.",
        edited(CONFIG, auto_map={"AutoModel": "foreign.M"}),
    ),
    "weights of another name": bundle(
        "/bridge_config.json: weights_file: extra inputs are not permitted.",
        edited(CONFIG, weights_file="../../../etc/passwd"),
    ),
    "sites for which the weights have no room": bundle(
        ": its 20 sites need more weights than its file holds: ", every_site
    ),
    "a width of ten to the thirty": bundle(
        ": its 3 sites need more weights than its file holds: ", named("anchor", d_model=10**30)
    ),
    "a width of four thousand digits": bundle(
        ": its 3 sites need more weights than its file holds: a number of thousands of digits, not ",
        named("anchor", d_model=10**4000),
    ),
    "no sites at all": bundle(
        "/bridge_config.json: sites: tuple should have at least 1 item after validation, not 0.",
        edited(CONFIG, sites=[]),
    ),
    "a header of two to the sixty-three": bundle(NOT_WHOLE, header("{}", announced=1 << 63)),
    "a header of thirty megabytes": bundle(NOT_WHOLE, header("{}", 40_000_000, announced=30_000_000)),
    "a header that is no number": bundle(DAMAGED, header(json.dumps({"a": {**ENTRY, "x": float("nan")}}))),
    "a tensor that stands twice": bundle(
        DAMAGED, header(f'{{"a": {json.dumps(ENTRY)}, "a": {json.dumps(ENTRY).replace("F32", "I32")}}}')
    ),
    "a shape whose product overflows": bundle(
        DAMAGED, header({"a": {**ENTRY, "shape": [1 << 62, 1 << 62, 1 << 62], "data_offsets": [0, 24]}})
    ),
    "a shape of endless emptiness": bundle(
        ": its 3 sites need more weights than its file holds: ",
        header({"a": {**ENTRY, "shape": [1 << 62, 0], "data_offsets": [0, 0]}}, 0),
    ),
    "a tensor of a terabyte in a short file": bundle(
        "/bridge_model.safetensors: is 108 bytes long, but its header announces 1099511627868",
        header({"a": {**ENTRY, "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}, 16),
    ),
    "a tensor of a terabyte in a long file": misfit(
        ": does not fit: the tensor anchor_0_from_1.gate is missing.",
        header({"a": {**ENTRY, "shape": [1 << 38], "data_offsets": [0, 1 << 40]}}, 1 << 40),
    ),
    "five thousand tensors that write to the terminal": misfit(
        ": does not fit: the tensor \\u001b]0;mine\\u0007\\n0 belongs to no bridge.", strangers
    ),
    "an archive that unpacks to more": bundle(NOT_WHOLE, zipped),
    "weights that are all of the memory": bundle(
        ": holds no bridge_model.safetensors.", lambda base: linked(base / WEIGHTS, "/dev/zero")
    ),
}
