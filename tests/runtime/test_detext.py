import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerBase

from orchestra import ComposeError
from orchestra.runtime.detext import Detext, Tail, why_unreadable
from tests.trained import END, KINDS, ODD, SCRIPTS, fast, tokenizer

TEXTS = (*SCRIPTS.values(), *ODD)
GPT2, LLAMA2 = "byte-level, GPT-2", "BPE with bytes, Llama 2"


def pieces(anchor: PreTrainedTokenizerBase, ids: list[int], template: dict[str, str] | None = None) -> list[str]:
    detext, tail, texts = Detext(anchor, template), Tail(), []
    for token in ids:
        tail, text = detext.step(tail, token)
        texts.append(text)
    return texts


def ids_of(anchor: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = anchor.backend_tokenizer.encode(text).ids
    return ids


def anchor_of(decoder: decoders.Decoder | None, *tokens: str) -> PreTrainedTokenizerBase:
    made = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=[]))
    made.decoder = decoder
    return fast(made)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pieces_joined_are_the_text_without_any_cleaning_up(kind: str) -> None:
    anchor = tokenizer(kind)
    assert not list(why_unreadable(anchor))
    for text in TEXTS:
        text = text.replace(END, "")
        ids = ids_of(anchor, text)
        joined = "".join(pieces(anchor, ids))
        assert joined == anchor.backend_tokenizer.decode(ids, skip_special_tokens=True)
        if kind != "WordPiece, Bert":
            assert joined == (unicodedata.normalize("NFC", text) if "NFC" in kind else text)


@pytest.mark.parametrize("kind", [GPT2, LLAMA2, "unigram, no pre-tokenizer"])
def test_half_a_character_waits_for_the_other_half(kind: str) -> None:
    anchor = tokenizer(kind)
    texts = pieces(anchor, ids_of(anchor, "\U0001f9ed\u16a0"))
    assert len(texts) > 2
    assert "".join(texts) == "\U0001f9ed\u16a0"
    assert "" in texts
    assert set("".join(texts)) == {"\U0001f9ed", "\u16a0"}


@given(st.lists(st.integers(0, 955), max_size=23))
def test_any_ids_make_pieces_and_only_what_can_never_be_a_character_is_replaced(ids: list[int]) -> None:
    anchor = tokenizer(GPT2)
    texts = pieces(anchor, ids, {END: END})
    whole = anchor.backend_tokenizer.decode(ids, skip_special_tokens=False)
    assert whole.rstrip("\ufffd") == "".join(texts).rstrip("\ufffd")


def test_a_blank_is_dropped_before_the_first_word_only_and_special_tokens_are_no_words() -> None:
    anchor = tokenizer(LLAMA2)
    ids = [anchor.backend_tokenizer.get_vocab()[token] for token in (END, "\u2581the", "\u2581the")]
    assert pieces(anchor, ids) == ["", "the", " the"]
    assert pieces(anchor, ids, {END: "<s>"}) == ["<s>", "the", " the"]


def test_spaces_before_signs_are_not_cleaned_up() -> None:
    anchor = tokenizer(GPT2)
    anchor.clean_up_tokenization_spaces = True
    try:
        assert "".join(pieces(anchor, ids_of(anchor, " it 's so , n't ."))) == " it 's so , n't ."
    finally:
        anchor.clean_up_tokenization_spaces = False


def test_words_and_their_insides() -> None:
    anchor = anchor_of(decoders.WordPiece(cleanup=True), "play", "##ing", "!")
    assert pieces(anchor, [0, 1, 2, 0]) == ["play", "ing", " !", " play"]


def test_metaspace_that_puts_no_blank_in_front_takes_none_away() -> None:
    assert pieces(anchor_of(decoders.Metaspace(prepend_scheme="never"), "\u2581a"), [0, 0]) == [" a", " a"]
    assert pieces(anchor_of(decoders.Metaspace(prepend_scheme="always"), "\u2581a"), [0, 0]) == ["a", " a"]


def test_added_tokens_are_taken_as_they_are() -> None:
    anchor = anchor_of(decoders.ByteLevel(), "\u00e9", "a")
    anchor.add_tokens(["\u00e9t\u00e9"])
    assert pieces(anchor, [2, 1, 0, 1]) == ["\u00e9t\u00e9", "a", "", "\ufffda"]


def test_what_only_looks_like_a_byte_is_text() -> None:
    anchor = anchor_of(decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]), "<0x41", "<0x41>", "<0xZZ>")
    assert pieces(anchor, [0, 1]) == ["<0x41", "A"]
    assert pieces(anchor, [2]) == ["<0xZZ>"]


def test_an_id_without_a_token_is_nothing() -> None:
    assert pieces(tokenizer(GPT2), [10**6]) == [""]


def test_special_tokens_are_what_the_template_says_or_nothing() -> None:
    anchor = tokenizer(GPT2)
    ids = [anchor.backend_tokenizer.get_vocab()[token] for token in ("a", END, "a")]
    assert pieces(anchor, ids) == ["a", "", "a"]
    assert pieces(anchor, ids, {END: "\n"}) == ["a", "\n", "a"]


def test_a_template_for_no_special_token_is_refused() -> None:
    message = "template maps <s>, which the anchor's tokenizer does not have as a special token; it has <|endoftext|>."
    with pytest.raises(ComposeError, match=f"^{re.escape(message)}$"):
        Detext(tokenizer(GPT2), {"<s>": "", END: ""})
    with pytest.raises(ComposeError, match=r"token; it has none\.$"):
        Detext(anchor_of(decoders.Fuse(), "a"), {"<s>": ""})


def test_tokenizers_that_cannot_be_read_token_by_token_say_why() -> None:
    def why(decoder: decoders.Decoder | None) -> list[str]:
        return list(why_unreadable(anchor_of(decoder, "a")))

    assert why(decoders.Fuse()) == []
    assert why(None) == ["it has no decoder, so that its tokens would be joined by blanks that are not in the text"]
    assert why(decoders.CTC()) == ["its decoder CTC does not work token by token"]
    replaces = decoders.Sequence([decoders.Replace(Regex("a+"), "b"), decoders.Fuse(), decoders.Strip(" ", 0, 1)])
    assert why(replaces) == [
        "its decoder Replace does not work token by token",
        "its decoder Strip does not work token by token",
    ]
    assert why(decoders.Strip(" ", 1, 0)) == ["its decoder Strip does not work token by token"]
