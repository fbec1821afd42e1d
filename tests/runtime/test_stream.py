import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PythonBackend

from orchestra import ComposeError
from orchestra.runtime.cut import LIMIT
from orchestra.runtime.detext import Detext, Tail
from orchestra.runtime.stream import Reading, Stream, check_foldable, differing, same_tokenizer
from tests.trained import END, KINDS, ODD, SCRIPTS, fast, tokenizer, train
from tests.writings import CONTINUATIONS, SITUATIONS, TEXT

GPT2, LLAMA3, LLAMA2 = "byte-level, GPT-2", "byte-level, Llama 3, NFC", "BPE with bytes, Llama 2"
WORDPIECE, CHARACTERS = "WordPiece, Bert", "characters"
UNIGRAM, METASPACE = "unigram, no pre-tokenizer", "unigram, Metaspace"
ANCHORS = (GPT2, LLAMA2, CHARACTERS)
_streams: dict[tuple[str, str], Stream] = {}


def stream_of(kind: str, anchor: str = GPT2) -> Stream:
    if (kind, anchor) not in _streams:
        _streams[kind, anchor] = Stream(tokenizer(anchor), tokenizer(kind), {END: END})
    return _streams[kind, anchor]


def ids_of(kind: str, text: str) -> list[int]:
    ids: list[int] = tokenizer(kind).backend_tokenizer.encode(text).ids
    return ids


def reading_of(kind: str, ids: list[int], anchor: str = GPT2) -> Reading:
    reading = Reading(stream_of(kind, anchor))
    reading.read(ids)
    return reading


class Decoding:
    """The text of tokens that come one after the other."""

    def __init__(self, kind: str) -> None:
        self.detext, self.tail, self.text = Detext(tokenizer(kind), {END: END}), Tail(), ""

    def read(self, ids: list[int]) -> str:
        for token in ids:
            self.tail, text = self.detext.step(self.tail, token)
            self.text += text
        return self.text


def decoded(kind: str, ids: list[int]) -> str:
    return Decoding(kind).read(ids)


def tempting(kind: str, text: str, ends: list[int]) -> Iterator[list[int]]:
    """Per anchor token, the tokens of the whole text that end no later than it does."""
    encoding = tokenizer(kind).backend_tokenizer.encode(text)
    for end in ends:
        yield [token for token, (_, stop) in zip(encoding.ids, encoding.offsets, strict=True) if stop <= end]


@pytest.mark.parametrize(
    ("kind", "text", "more"),
    [
        (GPT2, "I'v", "e"),
        (GPT2, "a  ", "b"),
        (LLAMA2, "x nob", "o"),
        (LLAMA3, "e", "\u0301"),
        (GPT2, "<|endoftext", "|>"),
        (WORDPIECE, "x villag", "e"),
        (UNIGRAM, "x pulle", "d"),
    ],
)
def test_the_tempting_rule_lets_a_later_letter_change_what_was_seen_and_the_stream_does_not(
    kind: str, text: str, more: str
) -> None:
    ends = list(range(1, len(text) + 1))
    before, after = list(tempting(kind, text, ends)), list(tempting(kind, text + more, ends))
    assert before != after
    short, long = reading_of(kind, ids_of(GPT2, text)), reading_of(kind, ids_of(GPT2, text) + ids_of(GPT2, more))
    assert long.ids[: len(short.ids)] == short.ids
    assert long.counts[: len(short.counts)] == short.counts
    long.close()
    assert [*long.ids] == ids_of(kind, text + more)


@settings(max_examples=40)
@given(kind=st.sampled_from(list(KINDS)), anchor=st.sampled_from(ANCHORS), text=TEXT, more=TEXT, data=st.data())
def test_reading_at_once_is_reading_in_parts_and_nothing_committed_is_ever_taken_back(
    kind: str, anchor: str, text: str, more: str, data: st.DataObject
) -> None:
    first, second = ids_of(anchor, text), ids_of(anchor, more)
    part = reading_of(kind, first, anchor)
    whole = Reading(Stream(tokenizer(anchor), tokenizer(kind), {END: END}))  # it remembers nothing of other texts
    whole.read(first + second)
    counts, ids, committed = [*part.counts], [*part.ids], part.committed
    assert whole.ids[: len(ids)] == ids
    assert whole.counts[: len(counts)] == counts
    assert whole.committed[: len(ids)] == committed
    assert committed == sorted(committed)
    part.read(second)
    assert (part.ids, part.counts, part.held) == (whole.ids, whole.counts, whole.held)
    length = data.draw(st.integers(0, len(whole.counts)))
    part.crop(length)
    assert part.ids == reading_of(kind, (first + second)[:length], anchor).ids
    part.read((first + second)[length:])
    assert (part.ids, part.counts, part.held) == (whole.ids, whole.counts, whole.held)


@settings(max_examples=200)
@given(
    kind=st.sampled_from(sorted({*KINDS} - {WORDPIECE})),
    anchor=st.sampled_from(ANCHORS),
    text=TEXT,
    closed=st.booleans(),
)
def test_text_is_never_lost_nor_doubled(kind: str, anchor: str, text: str, closed: bool) -> None:
    if kind == LLAMA2:  # it puts a blank after each special token
        text = text.replace(END, "")
    if kind == METASPACE:  # it takes a blank at the start for the one that it puts there
        text = text.lstrip(" ")
    reading, said, found = Reading(stream_of(kind, anchor)), Decoding(anchor), Decoding(kind)
    for token in ids_of(anchor, text):
        before = len(reading.ids)
        reading.read([token])
        assert len(reading.held) <= LIMIT
        if closed and token % 3 == 0:
            reading.close()
            assert reading.held == ""
        texts = [said.read([token]), found.read(reading.ids[before:]) + reading.held]
        first, second = (unicodedata.normalize("NFC", text) for text in texts) if kind == LLAMA3 else texts
        assert first == second


@pytest.mark.parametrize("name", ["english", "code"])
def test_words_are_never_lost_nor_doubled_where_blanks_are_not_kept(name: str) -> None:
    augment = fast(train(WORDPIECE, SCRIPTS[name].split(), 600))
    reading = Reading(Stream(tokenizer(GPT2), augment))
    reading.read(ids_of(GPT2, SCRIPTS[name]))
    found = augment.backend_tokenizer.decode(reading.ids) + reading.held
    assert "".join(found.split()) == "".join(SCRIPTS[name].split())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_committed_is_what_the_whole_text_begins_with_whatever_comes_later(kind: str) -> None:
    wrong = []
    for text in SITUATIONS:
        reading = reading_of(kind, ids_of(CHARACTERS, text), CHARACTERS)
        texts = [text + more for more in CONTINUATIONS]
        for whole, encoding in zip(texts, tokenizer(kind).backend_tokenizer.encode_batch_fast(texts), strict=True):
            if encoding.ids[: len(reading.ids)] != reading.ids:
                wrong.append((text, whole, encoding.tokens))
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_hardly_a_token_differs_from_those_of_the_whole_text(kind: str) -> None:
    shares = {}
    for name, text in (*SCRIPTS.items(), ("odd", "\n".join(ODD[:8]))):
        reading = reading_of(kind, ids_of(GPT2, text))
        reading.close()
        shares[name] = differing(reading.ids, ids_of(kind, text)) / len(reading.ids)
    limit = 0.05 if kind == WORDPIECE else 0.01  # its words of more than 64 characters, in Thai, are cut
    assert {name: share for name, share in shares.items() if share > limit} == {}


def test_tokens_that_differ_are_counted_once_each() -> None:
    assert differing([1, 2, 3, 4], [1, 2, 3, 4, 5]) == 0
    assert differing([1, 9, 2, 8, 3], [1, 2, 7, 3]) == 2
    assert differing([], [1]) == 0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != WORDPIECE])
def test_long_words_are_cut_without_being_lost(kind: str) -> None:
    for text in ODD[8:]:
        reading = reading_of(kind, ids_of(CHARACTERS, text), CHARACTERS)
        assert len(reading.held) <= LIMIT
        assert decoded(kind, reading.ids) + reading.held == text


def test_a_word_is_committed_as_soon_as_the_next_begins() -> None:
    for kind in (GPT2, LLAMA3, LLAMA2, WORDPIECE):
        reading = Reading(stream_of(kind))
        for text, word in (("The", ""), (" village", "The"), (" froze", "The village"), (" over", "The village froze")):
            reading.read(ids_of(GPT2, text))
            assert decoded(kind, reading.ids).startswith(word)


def test_characters_are_committed_at_once() -> None:
    reading = reading_of(CHARACTERS, ids_of(GPT2, "Stille  Nacht,"))
    assert reading.held == ""
    assert decoded(CHARACTERS, reading.ids) == "Stille  Nacht,"


def test_closing_commits_what_is_held_at_the_last_token_and_the_fold_goes_on() -> None:
    prompt, answer = ids_of(GPT2, "The har"), ids_of(GPT2, "bour froze")
    reading = reading_of(GPT2, prompt)
    assert reading.held
    before = len(reading.ids)
    reading.close()
    assert reading.held == ""
    assert reading.counts[-1] == len(reading.ids) > before
    assert reading.committed[-1] == len(prompt) - 1
    reading.close()
    at_prompt = [*reading.counts]
    reading.read(answer)
    assert reading.counts[: len(prompt)] == at_prompt
    reading.close()
    assert reading.ids == ids_of(GPT2, "The har") + ids_of(GPT2, "bour froze")
    reading.crop(len(prompt))
    assert (reading.counts, reading.held) == (at_prompt, "")


@given(cut=st.integers(0, 7), length=st.integers(0, 7))
def test_a_prompt_s_end_is_closed_alike_at_once_in_parts_and_after_a_crop(cut: int, length: int) -> None:
    prompt, answer = ids_of(GPT2, "The vil"), ids_of(GPT2, "lage froze")
    reading = reading_of(LLAMA2, prompt)
    reading.close()
    reading.read(answer)
    whole, parts, cropped = (Reading(stream_of(LLAMA2)) for _ in range(3))
    whole.read(prompt + answer, prompt_length=len(prompt))
    parts.read((prompt + answer)[:cut], prompt_length=len(prompt))
    parts.read((prompt + answer)[cut:], prompt_length=len(prompt))
    cropped.read(prompt + answer, prompt_length=len(prompt))
    cropped.crop(length)
    cropped.read((prompt + answer)[length:], prompt_length=len(prompt))
    for other in (whole, parts, cropped):
        assert (other.ids, other.counts, other.held) == (reading.ids, reading.counts, reading.held)
    assert reading.counts[len(prompt) - 1] == len(ids_of(LLAMA2, "The vil"))


def test_there_is_nothing_to_close_before_the_first_token_and_half_a_character_still_waits() -> None:
    reading = Reading(stream_of(GPT2))
    reading.close()
    assert (reading.ids, reading.counts, reading.held) == ([], [], "")
    whole = ids_of(GPT2, "\U0001f9ed")
    reading.read(whole[:-1])
    reading.close()
    assert reading.ids == []
    reading.read(whole[-1:])
    reading.close()
    assert reading.ids == whole


def test_a_copy_goes_on_by_itself() -> None:
    reading = reading_of(GPT2, ids_of(GPT2, "The harbour"))
    twin = reading.copy()
    before = [*reading.ids]
    twin.read(ids_of(GPT2, " froze over"))
    assert reading.ids == before != twin.ids
    twin.crop(0)
    assert (twin.ids, twin.counts, twin.held) == ([], [], "")


def test_what_an_augment_puts_before_a_text_is_committed_at_the_first_token() -> None:
    augment = fast(Tokenizer.from_str(tokenizer(GPT2).backend_tokenizer.to_str()))
    index = augment.backend_tokenizer.get_vocab()[END]
    augment.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A {END}", special_tokens=[(END, index)]
    )
    reading = Reading(Stream(tokenizer(GPT2), augment))
    reading.read(ids_of(GPT2, "The har"))
    assert (reading.ids[0], reading.committed[0], reading.ids.count(index)) == (index, 0, 1)
    reading.close()
    assert reading.ids == [index, *ids_of(GPT2, "The har")]


def test_the_anchor_s_special_tokens_are_text_to_the_augment_only_where_the_template_says_so() -> None:
    ids = [*ids_of(GPT2, "yes"), tokenizer(GPT2).backend_tokenizer.get_vocab()[END], *ids_of(GPT2, " no")]
    for template, text in (({}, "yes no"), ({END: "\n\n"}, "yes\n\n no"), ({END: END}, f"yes{END} no")):
        reading = Reading(Stream(tokenizer(GPT2), tokenizer(LLAMA2), template))
        reading.read(ids)
        reading.close()
        assert reading.ids == ids_of(LLAMA2, text)


def test_an_augment_s_own_limits_and_padding_do_not_touch_the_stream() -> None:
    augment = fast(Tokenizer.from_str(tokenizer(GPT2).backend_tokenizer.to_str()))
    augment.backend_tokenizer.enable_truncation(3)
    augment.backend_tokenizer.enable_padding(length=97)
    reading = Reading(Stream(tokenizer(GPT2), augment))
    reading.read(ids_of(GPT2, SCRIPTS["english"]))
    reading.close()
    assert reading.ids == ids_of(GPT2, SCRIPTS["english"])


def test_an_added_token_that_the_augment_has_no_embedding_for_is_read_as_its_text() -> None:
    augment = fast(Tokenizer.from_str(tokenizer(GPT2).backend_tokenizer.to_str()))
    size = len(augment)
    augment.add_tokens(["<image>"], special_tokens=True)
    for known, text in ((size + 1, [size]), (size, ids_of(GPT2, "<image>")), (None, [size])):
        reading = Reading(Stream(tokenizer(LLAMA2), augment, vocab_size=known))
        reading.read(ids_of(LLAMA2, "an <image> here"))
        reading.close()
        assert reading.ids == ids_of(GPT2, "an ") + text + ids_of(GPT2, " here")


def without_unknown(*tokens: str) -> PreTrainedTokenizerBase:
    made = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[]))
    made.decoder = decoders.Fuse()
    return fast(made)


def test_a_character_without_a_token_is_an_error_and_not_left_out() -> None:
    stream = Stream(tokenizer(GPT2), without_unknown("a", " "), name="augments.kv")
    reading = Reading(stream)
    reading.read(ids_of(GPT2, "a a"))
    message = (
        "augments.kv: its tokenizer has no token for '\u00df' (U+00DF), nor one for what it does not know, and the "
        "text would be lost."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        reading.read(ids_of(GPT2, "a\u00df"))
    assert reading.ids == [0, 1, 0, 0][: len(reading.ids)]


class Slow(PythonBackend):
    def __init__(self) -> None:
        self.vocabulary = {"a": 0}
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def vocab_size(self) -> int:
        return 1

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary


def test_tokenizers_that_cannot_be_folded_are_refused_by_name_with_every_reason() -> None:
    undecoded = fast(Tokenizer(models.BPE(vocab={"a": 0}, merges=[])))
    by_chance = fast(Tokenizer(models.BPE(vocab={"a": 0}, merges=[], dropout=0.5)))
    message = (
        "the anchor's tokenizer cannot be read token by token: it has no decoder, so that its tokens would be joined "
        "by blanks that are not in the text.\n"
        "augments.kv: its tokenizer cannot be folded: it tokenizes by chance (dropout 0.5)."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        Stream(undecoded, by_chance, name="augments.kv")
    message = (
        "the anchor's tokenizer cannot be read token by token: it is a Slow, which has no fast backend "
        "(tokenizer.json).\n"
        "augment: its tokenizer cannot be folded: it is a Slow, which has no fast backend (tokenizer.json)."
    )
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        check_foldable(Slow(), Slow())
    check_foldable(tokenizer(GPT2), undecoded)


def test_the_same_tokenizer_is_known_by_what_decides_the_tokens() -> None:
    one = tokenizer(GPT2)
    other = fast(Tokenizer.from_str(one.backend_tokenizer.to_str()))
    assert same_tokenizer(one, other)
    other.backend_tokenizer.enable_truncation(3)
    assert same_tokenizer(one, other)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert not same_tokenizer(one, other)
    assert not same_tokenizer(one, tokenizer(LLAMA3))
    assert not same_tokenizer(one, fast(train(GPT2, [SCRIPTS["english"]], 600)))
    assert not same_tokenizer(one, Slow())
