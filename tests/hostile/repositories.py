"""Repositories that nobody should trust: how each comes to be on the Hub, the error it meets, and what that says."""

import json
from collections.abc import Callable
from typing import Any

from orchestra import GraphError, HubError, LockError, ModelError, OrchestraError, SpecError
from tests.hostile.documents import ESCAPE
from tests.hubserver import Hub
from tests.tiny import PAIRS

Case = tuple[Callable[[Hub], object], type[OrchestraError], str]
TRAP = b"open('sprung', 'w')\n"


class Liar(bytes):
    """The content of a file that says it is of another length."""

    said: int

    def of(self, said: int) -> "Liar":
        self.said = said
        return self

    def __len__(self) -> int:
        return self.said


def document(anchor: str = "acme/anchor", **fields: Any) -> bytes:
    """A graph of repositories."""
    kv = {"model": "acme/kv", "bridges": {"pairs": PAIRS}, **fields}
    content = {"format": "orchestra/graph@1", "anchor": {"model": anchor}, "augments": {"kv": kv}}
    return json.dumps(content).encode()


def changed(hub: Hub, repo: str, name: str, **fields: Any) -> None:
    """Change fields of a JSON file of a repository."""
    files = hub.repositories[repo].files()
    content = {**json.loads(files[name]), **fields}
    hub.repositories[repo].commit({**files, name: json.dumps(content).encode()})


def added(repo: str, **files: bytes) -> Callable[[Hub], object]:
    """Put further files into a repository; a double underscore stands for a dot."""
    return lambda hub: hub.repositories[repo].commit({**hub.repositories[repo].files(), **files})


def graph(**files: bytes) -> Callable[[Hub], object]:
    """Files beside the graph, or the graph itself."""
    return lambda hub: hub.repositories["acme/duo"].commit({"graph.json": document(), **files})


def trusting(hub: Hub) -> None:
    """A model with code of its own that says of itself that it can be trusted."""
    code = {"AutoConfig": "foreign.C", "AutoModelForCausalLM": "foreign.M"}
    changed(hub, "acme/kv", "config.json", model_type="foreign", auto_map=code, trust_remote_code=True)
    added("acme/kv", **{"foreign.py": TRAP})(hub)


def trusting_others(hub: Hub) -> None:
    """A model with code in another repository."""
    code = {"AutoConfig": "mallory/code--foreign.C", "AutoModelForCausalLM": "mallory/code--foreign.M"}
    hub.add("mallory/code", {"foreign.py": TRAP})
    changed(hub, "acme/kv", "config.json", model_type="foreign", auto_map=code, trust_remote_code=True)


def trusting_words(hub: Hub) -> None:
    """A tokenizer with code of its own."""
    code = {"AutoTokenizer": ["mallory/code--foreign.T", None]}
    hub.add("mallory/code", {"foreign.py": TRAP})
    files = hub.repositories["acme/kv"].files()
    files = {("vocab.json" if name == "tokenizer.json" else name): content for name, content in files.items()}
    hub.repositories["acme/kv"].commit({**files, "foreign.py": TRAP})
    changed(hub, "acme/kv", "tokenizer_config.json", tokenizer_class="Foreign", auto_map=code, trust_remote_code=True)


def strange_shards(hub: Hub) -> None:
    """Weights in parts, of which one lies elsewhere."""
    files = hub.repositories["acme/kv"].files()
    index = b'{"weight_map": {"w": "../../blobs/model.safetensors"}}'
    kept = {name: content for name, content in files.items() if name != "model.safetensors"}
    hub.repositories["acme/kv"].commit({**kept, "model.safetensors.index.json": index})


REPOSITORIES: dict[str, Case] = {
    "a graph that is a list": (graph(**{"graph.json": b"[]"}), SpecError, r".*/graph\.json: a graph is a JSON object"),
    "a graph of two megabytes": (
        graph(**{"graph.json": b" " * 2_000_000}),
        SpecError,
        r".*/graph\.json: cannot be read: it is 2,000,000 bytes long, and 1,000,000 are read at most\.",
    ),
    "a graph that is the text of a link": (
        graph(**{"graph.json": b"../../../../../etc/passwd"}),
        SpecError,
        r".*/graph\.json: is not JSON: ",
    ),
    "a lock that writes to the terminal": (
        graph(**{"graph.lock.json": json.dumps({"format": "orchestra/lock@1", "pins": {}, ESCAPE: 1}).encode()}),
        LockError,
        r".*/graph\.lock\.json: \\u001b\]0;mine\\u0007\\n: extra inputs are not permitted\.",
    ),
    "a lock that pins something else": (
        graph(
            **{
                "graph.lock.json": json.dumps(
                    {
                        "format": "orchestra/lock@1",
                        "pins": {ESCAPE: {"source": "../kv", "files": {"../../x": "0" * 64}}},
                    }
                ).encode()
            }
        ),
        LockError,
        r".*/graph\.lock\.json: anchor\.model is not locked; lock the graph again\.",
    ),
    "a lock that says its pins twice": (
        graph(**{"graph.lock.json": b'{"pins": {}, "pins": {}}'}),
        LockError,
        r".*/graph\.lock\.json: is not JSON",
    ),
    "a graph that names a file of this machine": (
        graph(**{"graph.json": document(tokenizer="/home/mallory/tokenizer")}),
        GraphError,
        r"augments\.kv\.tokenizer is '/home/mallory/tokenizer', which leads out of acme/duo; ",
    ),
    "a graph that names somebody's home": (
        graph(**{"graph.json": document(anchor="~mallory/models/digits")}),
        GraphError,
        r"anchor\.model is '~mallory/models/digits', which leads out of acme/duo; ",
    ),
    "a graph that names a share": (
        graph(**{"graph.json": document(model="\\\\server\\share")}),
        GraphError,
        r"augments\.kv\.model is .*, which leads out of acme/duo; ",
    ),
    "a graph that names a page": (
        graph(**{"graph.json": document(model="http://127.0.0.1:9/kv.gguf")}),
        GraphError,
        r"augments\.kv\.model is 'http://127\.0\.0\.1:9/kv\.gguf', which leads out of acme/duo; ",
    ),
    "a name that writes to the terminal": (
        graph(**{"graph.json": document(model=f"acme/{ESCAPE}")}),
        GraphError,
        r"augments\.kv\.model is 'acme/\\x1b\]0;mine\\x07\\n'",
    ),
    "a revision that writes to the terminal": (
        graph(**{"graph.json": document(revision=ESCAPE)}),
        GraphError,
        r"augments\.kv\.model is 'acme/kv': there is no such folder, and '\\x1b\]0;mine\\x07\\n' is no revision",
    ),
    "a revision that leads up": (
        graph(**{"graph.json": document(revision="../../../api/whoami-v2")}),
        GraphError,
        r"augments\.kv\.model is 'acme/kv': there is no such folder, and '\.\./\.\./\.\./api/whoami-v2' is no",
    ),
    "a bundle in a folder that is not there": (
        graph(**{"graph.json": document(bridges="./bridges/kv")}),
        GraphError,
        r"augments\.kv\.bridges is './bridges/kv', but there is no folder ",
    ),
    "a model that trusts itself": (
        trusting,
        ModelError,
        r".*: its model type 'foreign' needs code of its own \(auto_map\), which is never run\.",
    ),
    "a model that trusts somebody": (
        trusting_others,
        ModelError,
        r".*: its model type 'foreign' needs code of its own \(auto_map\), which is never run\.",
    ),
    "a tokenizer that trusts somebody": (
        trusting_words,
        ModelError,
        r".*: transformers cannot load its tokenizer: ",
    ),
    "attention from a repository": (
        lambda hub: changed(hub, "acme/kv", "config.json", attn_implementation="mallory/kernel"),
        GraphError,
        r'augments\.kv\.model: .*: its config\'s attn_implementation is "mallory/kernel", which names code of the Hub',
    ),
    "a base model that is somebody else's": (
        added("acme/kv", **{"adapter_config.json": b'{"base_model_name_or_path": "mallory/kv", "peft_type": "LORA"}'}),
        GraphError,
        r"augments\.kv\.model: .*: holds an adapter \(adapter_config\.json\); merge it",
    ),
    "a billion layers": (
        lambda hub: changed(hub, "acme/kv", "config.json", n_layer=10**9),
        GraphError,
        r"augments\.kv\.model: .*: its config says that it has 1000000000 layers, but its files hold 0 tensors\.",
    ),
    "a width of ten to the thirty": (
        lambda hub: changed(hub, "acme/kv", "config.json", n_embd=10**30),
        GraphError,
        r"augments\.kv\.model: .*: its config says that its width is 1000000000",
    ),
    "shards in another folder": (
        strange_shards,
        GraphError,
        r"augments\.kv\.model: .*/model\.safetensors\.index\.json: names a shard outside its folder: '\.\./",
    ),
    "a vocabulary that says it has two hundred megabytes": (
        added("acme/kv", **{"vocab.json": Liar(b"{}").of(200_000_000)}),
        GraphError,
        r"augments\.kv\.model is 'acme/kv': there is no such folder, and acme/kv: vocab\.json is 200,000,000 bytes "
        r"long, and 100,000,000 are fetched at most\.",
    ),
    "a text beside the graph that says it has two hundred megabytes": (
        graph(**{"deep/down/notes.txt": Liar(b"{}").of(200_000_000)}),
        HubError,
        r"acme/duo: deep/down/notes\.txt is 200,000,000 bytes long, and 100,000,000 are fetched at most\.",
    ),
    "a config that says it is shorter than it is": (
        added("acme/kv", **{"config.json": Liar(b'{"model_type": "gpt2"}').of(20)}),
        GraphError,
        r"augments\.kv\.model: .*/config\.json: is not JSON\.",
    ),
    "weights that say they are shorter than they are": (
        added("acme/kv", **{"model.safetensors": Liar(b"\xff" * 1_000).of(100)}),
        GraphError,
        r"augments\.kv\.model: .*/model\.safetensors: is not a whole safetensors file; fetch or save it again\.",
    ),
    "a file beside the graph whose name leads up": (
        graph(**{"../../../../sprung.json": b"{}"}),
        HubError,
        r"acme/duo at '\w{40}' cannot be put into a folder: Invalid filename '\.\./\.\./\.\./\.\./sprung\.json'",
    ),
    "a file beside the graph whose name is a place": (
        graph(**{"/tmp/sprung.json": b"{}"}),
        HubError,
        r"acme/duo at '\w{40}' cannot be put into a folder: Invalid filename '/tmp/sprung\.json'",
    ),
}
