import dataclasses

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from orchestra.runtime.traits import describe, first_and_inner, opening, traits, why_unfoldable
from tests.trained import KINDS, LLAMA3, fast, tokenizer


def traits_of(normalizer: object = None, pre_tokenizer: object = None, **model: object) -> set[str]:
    """The traits that a tokenizer has."""
    made = Tokenizer(models.BPE(vocab={"a": 0, "?": 1}, merges=[], **model))
    made.normalizer = normalizer  # type: ignore[assignment]
    made.pre_tokenizer = pre_tokenizer  # type: ignore[assignment]
    return {name for name, value in dataclasses.asdict(traits(describe(fast(made)))).items() if value}


def test_each_trait_is_read_from_what_makes_it() -> None:
    assert traits_of(unk_token="?") == set()
    assert traits_of() == {"drops"}
    assert traits_of(pre_tokenizer=pre_tokenizers.Metaspace()) == {"drops"}
    assert traits_of(continuing_subword_prefix="##") == {"drops", "affixes", "whole_words"}
    for normaliser in (normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD()):
        assert traits_of(normalizers.Sequence([normalizers.Lowercase(), normaliser])) == {"drops", "composes"}
    assert traits_of(normalizers.Replace(Regex(" {2,}"), " ")) == {"drops", "looks_ahead"}
    assert traits_of(normalizers.Replace(" ", "_")) == {"drops"}
    assert traits_of(None, pre_tokenizers.ByteLevel()) == {"drops", "looks_ahead", "contracts"}
    assert traits_of(None, pre_tokenizers.ByteLevel(use_regex=False)) == {"drops"}
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    assert traits_of(None, split) == {"drops", "looks_ahead", "contracts", "groups", "attaches"}
    assert traits_of(None, pre_tokenizers.Split(Regex(r"\p{L}+(?=x)"), "isolated")) == {"drops", "looks_ahead"}
    assert traits_of(None, pre_tokenizers.Split("'", "isolated")) == {"drops"}


def test_a_mark_of_words_is_an_affix_where_blanks_are_gone_before_it_is_put() -> None:
    metaspace = pre_tokenizers.Metaspace(prepend_scheme="always")
    made = Tokenizer(models.BPE(unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    assert traits(describe(fast(made))).affixes == ("\u2581",)
    _, inner = first_and_inner(describe(fast(made)))
    assert inner.pre_tokenizer.pre_tokenize_str(" ab c") == [("\u2581ab", (1, 3)), ("\u2581c", (4, 5))]
    made.pre_tokenizer = metaspace
    assert traits(describe(fast(made))).affixes == ()


def test_whole_words_are_looked_at_where_one_unknown_character_makes_all_of_a_word_unknown() -> None:
    for model in (models.WordLevel(vocab={"?": 0}, unk_token="?"), models.WordPiece(vocab={"?": 0}, unk_token="?")):
        assert traits(describe(fast(Tokenizer(model)))).whole_words


def test_an_added_token_that_takes_blanks_is_seen() -> None:
    made = Tokenizer(models.BPE(vocab={"?": 0}, merges=[], unk_token="?"))
    made.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    assert traits(describe(fast(made))).eats_blanks


def test_the_inside_of_a_text_gets_nothing_in_front_and_loses_nothing_at_its_ends() -> None:
    made = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    strip = normalizers.Strip(left=True, right=True)
    made.normalizer = normalizers.Sequence([strip, normalizers.Prepend("_"), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    first, inner = first_and_inner(describe(fast(made)))
    assert first.normalizer.normalize_str(" Ab ") == "_ab "
    assert inner.normalizer.normalize_str(" Ab ") == " ab "
    assert first.pre_tokenizer.pre_tokenize_str("a")[0][0] == "\u2581\u0120a"
    assert inner.pre_tokenizer.pre_tokenize_str("a")[0][0] == "a"
    made.normalizer, made.pre_tokenizer = strip, None
    first, inner = first_and_inner(describe(fast(made)))
    assert (first.normalizer.normalize_str(" a "), inner.normalizer) == ("a ", None)


def test_one_tokenizer_does_for_both_where_nothing_is_put_in_front() -> None:
    shared = {}
    for kind in KINDS:
        first, inner = first_and_inner(describe(tokenizer(kind)))
        shared[kind] = first is inner
    assert [kind for kind, same in shared.items() if not same] == ["unigram, Metaspace", "BPE with bytes, Llama 2"]


def test_a_tokenizer_that_cannot_be_folded_says_why() -> None:
    def why(model: object) -> list[str]:
        return list(why_unfoldable(fast(Tokenizer(model))))  # type: ignore[arg-type]

    assert [list(why_unfoldable(tokenizer(kind))) for kind in KINDS] == [[]] * len(KINDS)
    assert why(models.BPE()) == []
    assert why(models.BPE(dropout=0.25)) == ["it tokenizes by chance (dropout 0.25)"]
    assert why(models.Unigram([("a", 0.0)])) == ["its Unigram has no token for what it does not know"]
    assert why(models.WordPiece(vocab={"a": 0}, unk_token="?")) == [
        "its WordPiece has no token for what it does not know"
    ]
    assert why(models.WordLevel(vocab={"a": 0}, unk_token="?")) == [
        "its WordLevel has no token for what it does not know"
    ]


def test_what_stands_before_any_text_is_what_the_tokenizer_puts_there() -> None:
    made = Tokenizer(models.BPE(vocab={"a": 0, "<s>": 1, "</s>": 2}, merges=[]))
    assert opening(fast(made)) == ()
    made.post_processor = processors.TemplateProcessing(
        single="<s> <s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert opening(fast(made)) == (1, 1)
    padded = fast(made)
    padded.backend_tokenizer.enable_padding(direction="left", length=13, pad_id=2)
    assert opening(padded) == (1, 1)
