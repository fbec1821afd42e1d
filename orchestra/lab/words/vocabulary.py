"""The tokenizer of the stories: every word of the three languages is a token, and so is every number below 1,000."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from orchestra.lab.tokenizer import BEGIN, END, PAD, UNKNOWN, finished
from orchestra.lab.words.lexicon import GAINS, KINDS, LANGUAGES, LOSSES, NAMES, NOUNS
from orchestra.lab.words.numerals import NUMERALS
from orchestra.lab.words.phrases import PHRASES

_MARKS = (*".,?;=+-*",)


def build() -> PreTrainedTokenizerFast:
    """Make it."""
    spoken = (word for language in LANGUAGES for word in words_of(language))
    tokens = dict.fromkeys(
        [PAD, BEGIN, END, UNKNOWN, *map(str, range(1000)), *_MARKS, *NAMES, *spoken, *KINDS.values()]
    )
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return finished(tokenizer)


def words_of(language: str) -> list[str]:
    """Every word of a language that a story may hold, names, marks and numbers in digits left out."""
    found = [meaning.word(language) for meaning in (*NOUNS, *GAINS, *LOSSES)]  # type: ignore[arg-type]
    found += NUMERALS[language]  # type: ignore[index]
    for phrases in PHRASES[language].values():  # type: ignore[index]
        found += [word.text for pattern in phrases.seen + phrases.held_out for word in pattern]
    glosses = [w.english for kinds in PHRASES.values() for p in kinds.values() for q in p.seen + p.held_out for w in q]
    found += glosses if language == "english" else []
    return sorted({word for word in found if word.strip("'-").replace("'", "").replace("-", "").isalpha()})
