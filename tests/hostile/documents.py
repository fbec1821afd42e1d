"""Graph documents that are hostile."""

import json
import os
from pathlib import Path

from orchestra import GraphError
from tests.hostile.cases import Case, Cases, linked, recipe, sparse, spec, written
from tests.tiny import pair

ESCAPE = "\x1b]0;mine\x07\n"
START = '{"format": "orchestra/graph@1", "anchor": {"model": "anchor"}, "augments": {"kv": {"model": "kv"'


def piped(base: Path) -> None:
    (base / "graph.json").unlink()
    os.mkfifo(base / "graph.json")


def unknown_fields(base: Path) -> None:
    fields = ",".join(f'"f{index}": 0' for index in range(60_000))
    (base / "graph.json").write_text(f"{START}, {fields}}}}}}}")


def repeated_fields(base: Path) -> None:
    fields = ",".join(f'"f{index // 2}": 0' for index in range(60_000))
    (base / "graph.json").write_text(f"{START}, {fields}}}}}}}")


GRAPHS: Cases = {
    "a graph of a terabyte": spec(
        "cannot be read: it is 1,000,000,000,000 bytes long, and 1,000,000 are read at most.",
        lambda base: sparse(base / "graph.json", 10**12),
    ),
    "a graph that never ends": spec(
        "cannot be read: it is a pipe, a socket or a device, and no file.",
        lambda base: linked(base / "graph.json", "/dev/zero"),
    ),
    "a graph that is a pipe": spec("cannot be read: it is a pipe, a socket or a device, and no file.", piped),
    "a graph that is a link to itself": spec(
        "cannot be read: Too many levels of symbolic links.", lambda base: linked(base / "graph.json", "graph.json")
    ),
    "a graph that is the list of users": spec("is not JSON: ", lambda base: linked(base / "graph.json", "/etc/passwd")),
    "objects nested without end": spec("the document is nested too deeply.", written("graph.json", '{"a":' * 150_000)),
    "a graph in UTF-16": spec("is not UTF-8 text.", written("graph.json", START.encode("utf-16"))),
    "a graph with a byte order mark": spec("is not JSON: Unexpected UTF-8 BOM", written("graph.json", "\ufeff{}")),
    "a number that is infinite": spec(
        "the document is not JSON: Out of range float values are not JSON compliant", recipe(bridges={"every": 1e999})
    ),
    "sixty thousand unknown fields": spec("augments.kv.f0 is an unknown field; allowed here: model", unknown_fields),
    "thirty thousand fields twice": spec('"f0" stands twice in one object; keep one.', repeated_fields),
    "a field that writes to the terminal": spec(
        "augments.kv.\\u001b]0;mine\\u0007\\n is an unknown field; allowed here: model", recipe(**{ESCAPE: 1})
    ),
    "a name that leads out": spec(
        'augments has the name "../kv"; allowed: a-z, 0-9',
        written("graph.json", START.replace('"kv":', '"../kv":') + "}}}"),
    ),
    "a file name that writes to the terminal": Case(
        build=recipe(model=f"./{ESCAPE}"),
        kind=GraphError,
        told=f"augments.kv.model is {f'./{ESCAPE}'!r}, but there is no folder {{base}}/\\u001b]0;mine\\u0007\\n.",
    ),
    "a layer of a thousand digits": Case(
        build=recipe(bridges={"pairs": [pair(10**1000, 0)]}),
        kind=GraphError,
        told="augments.kv.bridges.pairs.0.augment_layer is 1000000000000000",
    ),
    "a thousand digits of heads": Case(
        build=recipe(bridges={"heads": 10**1000}),
        kind=GraphError,
        told="augments.kv.bridges.heads is 1000000000000000",
    ),
    "every 10^30th layer": Case(build=recipe(bridges={"every": 10**30}), kind=None),
    "a seed of a thousand digits": Case(build=recipe(bridges={"seed": 10**1000}), kind=None),
    "ten thousand times the same pair": Case(
        build=recipe(bridges={"pairs": [pair(0, 0)] * 10_000}),
        kind=GraphError,
        told="augments.kv.bridges.pairs.1 joins augment layer 0 to anchor layer 0 again; augments.kv.bridges.pairs.0",
    ),
    "a device of all memory": Case(
        build=recipe(model="/dev/shm", bridges={"every": 2}),
        kind=GraphError,
        told="augments.kv.model: /dev/shm: holds no config.json.",
    ),
    "a schema that is a page to fetch": Case(
        build=lambda base: (base / "graph.json").write_text(
            json.dumps({"$schema": "http://127.0.0.1:9/schema", **json.loads((base / "graph.json").read_text())})
        ),
        kind=None,
    ),
}
