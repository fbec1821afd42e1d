"""Which augments read a stream: what the fingerprints said on paper, settled on the tokenizers themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from orchestra.errors import ComposeError, ModelError
from orchestra.graph import Graph, Node
from orchestra.io.facts import tokenizer_digest
from orchestra.io.merge import tokenizer_folder
from orchestra.io.models import load_tokenizer
from orchestra.runtime.stream import Stream, same_tokenizer
from orchestra.runtime.traits import describe

Tokenizers = Mapping[str, PreTrainedTokenizerBase | None]
"""By the name of the model, 'anchor' or an augment's; None where nobody knows it."""


def read_tokenizers(graph: Graph, given: Mapping[str, PreTrainedTokenizerBase]) -> Tokenizers:
    """The tokenizer of every model of a graph; the anchor's for an augment whose own has the same fingerprint.

    Args:
        given: those that are in memory already.

    Raises:
        ModelError: one cannot be loaded, or has tokens that its model has no embedding for; every model is listed.
    """
    held: dict[str | None, PreTrainedTokenizerBase | None] = {None: None}
    found: dict[str, PreTrainedTokenizerBase | None] = {}
    ours = graph.anchor.facts.tokenizer
    for node in (graph.anchor, *graph.augments):
        if node.name in given:
            found[node.name] = given[node.name]
        elif node is not graph.anchor and ours is not None and node.facts.tokenizer == ours:
            found[node.name] = found["anchor"]
        else:
            if node.tokenizer not in held:
                held[node.tokenizer] = load_tokenizer(tokenizer_folder(node.facts, node.tokenizer))
            found[node.name] = held[node.tokenizer]
    if problems := [line for node in (graph.anchor, *graph.augments) for line in _past_the_end(node, found[node.name])]:
        raise ModelError.listing(problems)
    return found


def settle(graph: Graph, tokenizers: Tokenizers) -> tuple[Graph, dict[str, Stream]]:
    """The graph with what each augment does read, and the streams of those that read one.

    Raises:
        ComposeError: a tokenizer cannot be folded, or a template does not fit; every reason is listed.
    """
    streams, problems = {}, dict[str, None]()
    anchor = tokenizers["anchor"]
    for node in graph.augments:
        own = tokenizers[node.name]
        if anchor is None or own is None or (node.template is None and (own is anchor or same_tokenizer(anchor, own))):
            continue
        try:
            name, size = f"augments.{node.name}", node.facts.vocab_size
            ahead = node.tail == "provisional"
            streams[node.name] = Stream(anchor, own, node.template, name=name, vocab_size=size, provisional=ahead)
        except ComposeError as error:
            problems |= dict.fromkeys(str(error).splitlines())
    if problems:
        raise ComposeError.listing(problems)
    nodes = (_settled(node, tokenizers[node.name], node.name in streams) for node in graph.augments)
    return replace(graph, anchor=_settled(graph.anchor, anchor, False), augments=tuple(nodes)), streams


def _settled(node: Node, tokenizer: PreTrainedTokenizerBase | None, stream: bool) -> Node:
    """What is known of a node once its tokenizer is: the fingerprint too, where no file told it."""
    found = node.facts.tokenizer
    if found is None and tokenizer is not None and tokenizer.is_fast:
        found = tokenizer_digest(describe(tokenizer))
    return replace(node, facts=replace(node.facts, tokenizer=found), reads="stream" if stream else "ids")


def _past_the_end(node: Node, tokenizer: PreTrainedTokenizerBase | None) -> Iterator[str]:
    """What says that a tokenizer belongs to another model.

    Special tokens may lie there, as that for images does in the text models of the gemma 3 family, but not those that
    the tokenizer itself puts into a text.
    """
    if tokenizer is None:
        return
    spare = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    spare -= {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id}
    size, where = node.facts.vocab_size, node.name if node.name == "anchor" else f"augments.{node.name}"
    past = {index: token for token, index in tokenizer.get_vocab().items() if index >= size and index not in spare}
    if past:
        yield (
            f"{where}: its tokenizer has the token {past[max(past)]!r} with the id {max(past)}, but the model's "
            f"vocabulary has {size}, numbered 0 to {size - 1}; name the model's own tokenizer in {where}.tokenizer."
        )
