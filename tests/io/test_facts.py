import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from orchestra import checking, spec
from orchestra.errors import BundleError, GraphError, ModelError
from orchestra.graph import Facts, ModelFacts
from orchestra.io.facts import bundle_facts, config_facts, gather, model_facts, tokenizer_fingerprint
from tests import folders, ggufs, tiny

LLAMA = {"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 28, "num_attention_heads": 2, "vocab_size": 97}


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


# -- configs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_config_says_the_same_on_disk_as_in_memory(tmp_path: Path, architecture: str) -> None:
    config = tiny.config(architecture)
    config.save_pretrained(tmp_path)
    on_disk = config_facts(json.loads((tmp_path / "config.json").read_text()), source="x")
    assert on_disk == config_facts(config.to_dict(), source="x")
    assert on_disk == ModelFacts(
        source="x",
        model_type=config.model_type,
        num_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        num_heads=config.num_attention_heads,
        vocab_size=tiny.VOCAB,
    )


@pytest.mark.parametrize(
    "model_type",
    ["gptj", "mpt", "opt", "gpt_neo", "gemma3", "qwen2", "phi3", "olmo2", "mistral", "codegen", "stablelm", "xglm"],
)
def test_a_real_config_is_read_as_transformers_reads_it(tmp_path: Path, model_type: str) -> None:
    config = AutoConfig.for_model(model_type)
    config.save_pretrained(tmp_path)
    facts = config_facts(json.loads((tmp_path / "config.json").read_text()), source="x")
    text = config.get_text_config(decoder=True)
    assert (facts.num_layers, facts.d_model, facts.num_heads, facts.vocab_size) == (
        text.num_hidden_layers,
        text.hidden_size,
        text.num_attention_heads,
        text.vocab_size,
    )


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ({"n_layer": 5, "n_embd": 7, "n_head": 1, "vocab_size": 11}, (5, 7, 1, 11)),  # gpt2, gptj
        ({"n_layer": 5, "hidden_size": 7, "n_head": 1, "vocab_size": 11}, (5, 7, 1, 11)),  # bloom
        ({"n_layers": 5, "d_model": 7, "n_heads": 1, "vocab_size": 11}, (5, 7, 1, 11)),  # mpt
        ({"num_layers": 5, "hidden_size": 7, "num_heads": 1, "vocab_size": 11}, (5, 7, 1, 11)),  # gpt_neo
        # opt-350m: layers are wider than the embedding
        ({**LLAMA, "hidden_size": 7, "word_embed_proj_dim": 3, "ffn_dim": 13}, (3, 7, 2, 97)),
    ],
)
def test_sizes_go_by_several_names(config: dict[str, Any], sizes: tuple[int, ...]) -> None:
    facts = config_facts({"model_type": "some", **config}, source="x")
    assert (facts.num_layers, facts.d_model, facts.num_heads, facts.vocab_size) == sizes


def test_a_multimodal_config_is_read_where_its_language_model_is() -> None:
    facts = config_facts({"model_type": "gemma3", "hidden_size": 999, "text_config": LLAMA}, source="x")
    assert (facts.model_type, facts.d_model) == ("llama", 28)


ABSENT = {
    "num_hidden_layers": "num_hidden_layers or n_layer or n_layers or num_layers",
    "hidden_size": "hidden_size or n_embd or d_model",
    "num_attention_heads": "num_attention_heads or n_head or n_heads or num_heads or attention_heads",
    "vocab_size": "vocab_size",
    "model_type": "model_type",
}


@pytest.mark.parametrize("field", ABSENT)
@pytest.mark.parametrize("value", [None, True, 0, -3, 2.5, [3], {}])
def test_a_config_without_a_size_is_refused(field: str, value: object) -> None:
    with pytest.raises(ModelError, match=exactly(f"x: its config has no {ABSENT[field]}.")):
        config_facts({**LLAMA, field: value}, source="x")


def test_a_text_config_that_is_no_object_is_refused() -> None:
    with pytest.raises(ModelError, match=exactly("x: its config's text_config is not an object.")):
        config_facts({**LLAMA, "text_config": [1]}, source="x")


def test_an_encoder_decoder_is_refused() -> None:
    message = "x: is an encoder-decoder model (t5); only decoders can be composed."
    with pytest.raises(ModelError, match=exactly(message)):
        config_facts({**LLAMA, "model_type": "t5", "is_encoder_decoder": True}, source="x")


# -- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_tells_its_sizes_and_bytes(tmp_path: Path) -> None:
    model = tiny.model("llama")
    facts = model_facts(folders.checkpoint(tmp_path / "m"))
    assert facts.source == str(tmp_path / "m")
    assert (facts.num_params, facts.weight_bytes) == (model.num_parameters(), 4 * model.num_parameters())
    assert facts.tokenizer is not None


def test_shards_are_added_up(tmp_path: Path) -> None:
    tiny.model("llama").save_pretrained(tmp_path, max_shard_size=30_000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert model_facts(tmp_path).num_params == tiny.model("llama").num_parameters()


def test_a_config_that_names_its_weights_itself_is_refused(tmp_path: Path) -> None:
    folders.checkpoint(tmp_path)
    folders.edit_json(tmp_path / "config.json", transformers_weights="other.bin")
    message = f"{tmp_path}: its config names its weights itself (transformers_weights); call them model.safetensors."
    with pytest.raises(ModelError, match=exactly(message)):
        model_facts(tmp_path)


# -- tokenizers -----------------------------------------------------------------------------------------------------

BPE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [{"id": 3, "content": "<s>", "special": True}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]], "ignore_merges": False},
}


def backwards(content: object) -> object:
    """The same JSON, its keys the other way round at every depth."""
    return {k: backwards(v) for k, v in reversed(content.items())} if isinstance(content, dict) else content


def print_of(folder: Path, content: object, **style: Any) -> str | None:
    (folder / "tokenizer.json").write_text(json.dumps(content, **style))
    return tokenizer_fingerprint(folder)


def test_a_folder_without_tokenizer_json_has_no_tokenizer_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").touch()
    assert tokenizer_fingerprint(tmp_path) is None


def test_what_does_not_decide_ids_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    first = print_of(tmp_path, BPE)
    model = {**BPE["model"], "merges": ["a b"], "dropout": None}  # type: ignore[dict-item]
    older = {**model, "ignore_merges": None}
    assert first == print_of(tmp_path, backwards(BPE), indent=3)
    assert first == print_of(tmp_path, {**BPE, "padding": {"pad_id": 0}, "truncation": {"max_length": 3}})
    assert first == print_of(tmp_path, {**BPE, "decoder": None, "chat_template": "{{x}}"})
    assert first == print_of(tmp_path, {**BPE, "model": model})
    assert first == print_of(tmp_path, {**BPE, "model": older})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", {"type": "NFKC"}),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}),
        ("post_processor", {"type": "TemplateProcessing"}),
        ("added_tokens", []),
        ("model", {**BPE["model"], "vocab": {"a": 1, "b": 0, "ab": 2}}),  # type: ignore[dict-item]
        ("model", {**BPE["model"], "merges": []}),  # type: ignore[dict-item]
        ("model", {**BPE["model"], "ignore_merges": True}),  # type: ignore[dict-item]
        ("model", {"type": "WordLevel", "vocab": {"a": 0}}),
    ],
)
def test_what_decides_ids_changes_the_fingerprint(tmp_path: Path, part: str, value: object) -> None:
    assert print_of(tmp_path, BPE) != print_of(tmp_path, {**BPE, part: value})


def test_saving_a_tokenizer_with_transformers_keeps_its_fingerprint(tmp_path: Path) -> None:
    folders.tokenizer(tmp_path)
    before = tokenizer_fingerprint(tmp_path)
    folders.tokenizer(tmp_path, chat_template="{{ messages }}", padding_side="left", pad_token="w0")
    assert tokenizer_fingerprint(tmp_path) == before


@pytest.mark.parametrize(("content", "told"), [([], "is not a JSON object."), ({"model": 3}, "has no model.")])
def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path, content: object, told: str) -> None:
    with pytest.raises(ModelError, match=exactly(f"{tmp_path}/tokenizer.json: {told}")):
        print_of(tmp_path, content)


# -- gathering ------------------------------------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folders of an anchor and two augments."""
    for name, architecture in (("anchor", "llama"), ("kv", "qwen3"), ("tetum", "gpt2")):
        folders.checkpoint(tmp_path / name, architecture)
    return tmp_path


def check(base: Path, **augments: Any) -> list[str]:
    """The lines of the error over a document; none where it is a graph."""
    document = spec.parse(folders.document(**augments))
    facts, problems = gather(document, base)
    try:
        checking.check(document, facts, problems)
    except GraphError as error:
        return str(error).splitlines()
    return []


def test_a_bundle_tells_its_sites(base: Path) -> None:
    facts = bundle_facts(folders.bundle(base), "table")
    assert [site.key for site in facts.sites] == ["anchor_embedding_from_0", "anchor_0_from_1", "anchor_1_from_0"]
    assert {site.augment for site in facts.sites} == {"table"}
    assert check(base, kv={"bridges": "kv-bundle"}, tetum={}) == []


def test_a_bundle_without_weights_is_refused_before_anything_is_loaded(base: Path) -> None:
    (folders.bundle(base) / "bridge_model.safetensors").unlink()
    with pytest.raises(BundleError, match=exactly(f"{base}/kv-bundle: holds no bridge_model.safetensors.")):
        bundle_facts(base / "kv-bundle", "kv")


def test_a_model_that_is_known_already_is_not_looked_for(tmp_path: Path) -> None:
    known = {name: config_facts(LLAMA, source=f"<{name}>") for name in ("anchor", "kv")}
    facts, problems = gather(spec.parse(folders.document(kv={})), tmp_path, known)
    assert (facts.models, problems) == (known, [])


def test_all_problems_of_a_document_come_at_once(base: Path) -> None:
    (base / "anchor" / "config.json").write_text("{nope")
    (base / "kv" / "model.safetensors").write_bytes(b"short")
    (base / "broken").mkdir()
    folders.edit_json(base / "tetum" / "config.json", n_layer=...)
    lines = check(
        base,
        kv={"bridges": "./nowhere"},
        tetum={"bridges": "broken"},
        python={"model": "acme/python"},
        gguf={"model": "m.gguf"},
    )
    assert lines == [
        f"anchor.model: {base}/anchor/config.json: is not JSON.",
        f"augments.gguf.model is 'm.gguf', but there is no file {base}/m.gguf.",
        f"augments.kv.model: {base}/kv/model.safetensors: is not a whole safetensors file; fetch or save it again.",
        "augments.python.model is 'acme/python': there is no such folder, and the Hub's cache holds no acme/python; "
        "load and `orchestra check --remote` fetch it.",
        f"augments.tetum.model: {base}/tetum: its config has no "
        "num_hidden_layers or n_layer or n_layers or num_layers.",
        f"augments.kv.bridges is './nowhere', but there is no folder {base}/nowhere.",
        f"augments.tetum.bridges: {base}/broken: is not a bundle: it holds no bridge_config.json.",
    ]


def test_damaged_models_and_a_wrong_layer_come_in_one_error(base: Path) -> None:
    (base / "tetum" / "config.json").unlink()
    folders.checkpoint(base / "python").joinpath("model.safetensors").unlink()
    assert check(base, kv={"bridges": {"pairs": [tiny.pair(5, 0)]}}, tetum={}, python={}) == [
        f"augments.python.model: {base}/python: holds no model.safetensors.",
        f"augments.tetum.model: {base}/tetum: holds no config.json.",
        "augments.kv.bridges.pairs.0.augment_layer is 5, but kv has 5 layers, numbered 0 to 4.",
    ]


def test_every_line_of_a_bundles_problems_names_the_field(base: Path) -> None:
    bundle = folders.bundle(base)
    folders.edit_json(bundle / "bridge_config.json", sites=[], recipe=3)
    assert check(base, kv={"bridges": "kv-bundle"}) == [
        f"augments.kv.bridges: {bundle}/bridge_config.json: sites: "
        "tuple should have at least 1 item after validation, not 0.",
        f"augments.kv.bridges: {bundle}/bridge_config.json: recipe: input should be an object.",
    ]


def read(base: Path, **augments: Any) -> Facts:
    facts, problems = gather(spec.parse(folders.document(**augments)), base)
    assert problems == []
    return facts


def test_models_without_tokenizer_json_are_compared_by_vocabulary(base: Path) -> None:
    (base / "kv" / "tokenizer.json").unlink()
    assert check(base, kv={}) == []
    folders.edit_json(base / "kv" / "config.json", vocab_size=101)
    assert check(base, kv={}) == [
        "augments.kv: its vocabulary has 101 tokens and the anchor's 97, so that it reads a stream, and for that both "
        "tokenizers must be known: name a folder that holds a tokenizer.json in augments.kv.tokenizer."
    ]
    assert check(base, kv={"tokenizer": "anchor"}) == []


def test_the_tokenizer_in_force_is_the_one_that_the_document_names_else_the_models_own(base: Path) -> None:
    folders.letters(base / "kv")
    folders.letters(base / "spare")
    found = read(base, kv={}, tetum={"tokenizer": "spare"})
    assert found.tokenizers == {"anchor": f"{base}/anchor", "kv": f"{base}/kv", "tetum": f"{base}/spare"}
    anchor, kv, tetum = (found.models[name].tokenizer for name in ("anchor", "kv", "tetum"))
    assert anchor != kv == tetum == tokenizer_fingerprint(base / "spare")


def test_the_tokenizer_that_a_document_names_may_be_a_gguf_file_s(base: Path) -> None:
    path = ggufs.write(base / "m.gguf", ggufs.llama())
    found = read(base, kv={"tokenizer": "m.gguf"})
    assert (found.tokenizers["kv"], found.models["kv"].tokenizer) == (str(path), model_facts(path).tokenizer)


def test_a_tokenizer_from_memory_comes_before_the_document_s(base: Path) -> None:
    document = spec.parse(folders.document(kv={"tokenizer": "nowhere"}))
    facts, problems = gather(document, base, None, {"kv": "f" * 64})
    assert (problems, facts.models["kv"].tokenizer) == ([], "f" * 64)
    assert facts.tokenizers == {"anchor": f"{base}/anchor"}


def test_a_tokenizer_that_is_not_there_is_named_with_its_field_and_what_is_allowed(base: Path) -> None:
    ggufs.write(base / "m.gguf", ggufs.llama(), tokenizer=False)
    (base / "tetum" / "tokenizer.json").write_text("{nope")
    (base / "empty").mkdir()
    lines = check(
        base,
        a={"model": "kv", "tokenizer": "empty"},
        b={"model": "kv", "tokenizer": "m.gguf"},
        c={"model": "kv", "tokenizer": "./nowhere"},
        d={"model": "kv", "tokenizer": "tetum"},
    )
    allowed = "name a folder that holds a tokenizer.json, or a GGUF file with a tokenizer."
    assert lines == [
        f"augments.a.tokenizer is 'empty', which holds no tokenizer; {allowed}",
        f"augments.b.tokenizer is 'm.gguf', which holds no tokenizer; {allowed}",
        f"augments.c.tokenizer is './nowhere', but there is no folder {base}/nowhere.",
        f"augments.d.tokenizer: {base}/tetum/tokenizer.json: is not JSON.",
    ]
