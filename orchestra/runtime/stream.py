"""What an augment with a tokenizer of its own reads: an append-only stream, folded over the anchor's tokens.

Each token of the anchor appends its text. Once the text so far can be cut, the augment's tokens before the cut are
committed, and never taken back. So what was committed at or before an anchor token depends on nothing that comes later,
and reading a text at once or token by token is the same fold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from transformers import PreTrainedTokenizerBase

from orchestra.errors import ComposeError
from orchestra.io.facts import tokenizer_digest
from orchestra.runtime.cut import LIMIT, Cutter
from orchestra.runtime.detext import Detext, Tail, why_unreadable
from orchestra.runtime.traits import describe, opening, why_unfoldable


@dataclass(frozen=True, slots=True)
class State:
    """All that the fold knows of the tokens before; small, and never changed, so it can be kept for each of them.

    Attributes:
        held: text that is not committed yet.
        opened: whether the tokens that come before any text are committed.
        first: whether the augment's tokenizer takes what is held for the start of a text.
    """

    tail: Tail
    held: str = ""
    opened: bool = False
    first: bool = True


START = State(Tail())


class Stream:
    """The fold for one anchor and one augment.

    Args:
        anchor, augment: the two tokenizers.
        template: the text that a special token of the anchor stands for; the others stand for nothing.
        name: the augment's, for errors.
        vocab_size: how many tokens the augment's model has embeddings for; an added token past them is read as the
            text that it is.
        provisional: whether what is held at a token of the anchor is shown to that token, and to no other.

    Raises:
        ComposeError: one of the tokenizers cannot be used so; every reason is named.
    """

    def __init__(
        self,
        anchor: PreTrainedTokenizerBase,
        augment: PreTrainedTokenizerBase,
        template: Mapping[str, str] | None = None,
        *,
        name: str = "augment",
        vocab_size: int | None = None,
        provisional: bool = False,
    ) -> None:
        check_foldable(anchor, augment, name=name)
        self._name = name
        self.tokenizer = augment
        self.provisional = provisional
        self._text = Detext(anchor, template, field=f"{name}.template")
        self._cutter = Cutter(augment, vocab_size)
        self._opening = opening(augment)

    def step(self, state: State, token: int) -> tuple[State, tuple[int, ...]]:
        """Read one more token of the anchor.

        Returns:
            The next state, and the augment's tokens that it commits.

        Raises:
            ComposeError: the augment's tokenizer has no token for a character.
        """
        tail, text = self._text.step(state.tail, token)
        committed = () if state.opened else self._opening
        state = replace(state, tail=tail, held=state.held + text, opened=True)
        place = self._cutter.cut(state.held, state.first) if text else 0
        while place:
            state, more = self._commit(state, place)
            committed += more
            place = self._cutter.cut(state.held, state.first) if len(state.held) > LIMIT else 0
        return state, committed

    def close(self, state: State) -> tuple[State, tuple[int, ...]]:
        """Commit what is held, on purpose, as at a prompt's end: its last word is read before the first is written.

        Bytes that do not make a character yet still wait. Arguments as for `step`; the fold goes on from here.
        """
        return self._commit(state, len(state.held)) if state.held else (state, ())

    def _commit(self, state: State, place: int) -> tuple[State, tuple[int, ...]]:
        text, held = state.held[:place], state.held[place:]
        if (sign := self._cutter.lost(text)) is not None:
            raise ComposeError(
                f"{self._name}: its tokenizer has no token for {sign!r} (U+{ord(sign):04X}), nor one for what it does "
                "not know, and the text would be lost."
            )
        ids = self._cutter.tokens(state.held, place, state.first)
        return replace(state, held=held, first=self._cutter.begins_again(text)), ids


class Reading:
    """What an augment has read of one row: its tokens, and how many of them each token of the anchor committed.

    Attributes:
        ids: the augment's tokens.
        counts: for each token of the anchor, how many of `ids` are committed at or before it.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.provisional = stream.provisional
        self._states: list[State] = []
        self.ids: list[int] = []
        self.counts: list[int] = []

    @property
    def held(self) -> str:
        """The text that is not committed yet."""
        return self._states[-1].held if self._states else ""

    @property
    def committed(self) -> list[int]:
        """For each of `ids`, the index of the anchor's token at which it was committed."""
        before = [0, *self.counts]
        return [index for index, count in enumerate(self.counts) for _ in range(count - before[index])]

    def read(self, tokens: Iterable[int], prompt_length: int | None = None) -> None:
        """Read tokens of the anchor, padding left out.

        Args:
            prompt_length: where the prompt is known to end; what is held there is committed, as `close` does. Training
                and generation say it alike.
        """
        for token in tokens:
            state, ids = self._stream.step(self._states[-1] if self._states else START, token)
            self._states.append(state)
            self.ids += ids
            self.counts.append(len(self.ids))
            if len(self.counts) == prompt_length:
                self.close()

    def close(self) -> None:
        """Commit what is held, at the last token of the anchor; where there is none there is nothing to commit."""
        if self._states:
            self._states[-1], ids = self._stream.close(self._states[-1])
            self.ids += ids
            self.counts[-1] = len(self.ids)

    def tail(self, index: int) -> tuple[int, ...]:
        """What would be committed at a token of the anchor if the text ended there, and is not."""
        return self._stream.close(self._states[index])[1]

    def crop(self, length: int) -> None:
        """Forget all but the first tokens of the anchor, and what the others committed."""
        del self._states[length:], self.counts[length:]
        del self.ids[self.counts[-1] if self.counts else 0 :]

    def copy(self) -> "Reading":
        """One that goes on by itself, as rows do that are repeated or reordered."""
        twin = Reading(self._stream)
        twin._states, twin.ids, twin.counts = self._states[:], self.ids[:], self.counts[:]
        return twin


def check_foldable(anchor: PreTrainedTokenizerBase, augment: PreTrainedTokenizerBase, *, name: str = "augment") -> None:
    """See that an augment's tokenizer can be folded over an anchor's tokens.

    Raises:
        ComposeError: it cannot; every reason is named.
    """
    problems = [f"the anchor's tokenizer cannot be read token by token: {why}." for why in why_unreadable(anchor)]
    problems += [f"{name}: its tokenizer cannot be folded: {why}." for why in why_unfoldable(augment)]
    if problems:
        raise ComposeError.listing(problems)


def differing(committed: Sequence[int], whole: Sequence[int]) -> int:
    """How many committed tokens are not, in this order, among those of the whole text tokenized at once."""
    matcher = SequenceMatcher(None, committed, whole, autojunk=False)
    return len(committed) - sum(block.size for block in matcher.get_matching_blocks())


def same_tokenizer(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers give the same tokens for every text, so that one model can take the other's."""
    if not (one.is_fast and other.is_fast) or len(one) != len(other):  # the latter is quickly seen
        return False
    return tokenizer_digest(describe(one)) == tokenizer_digest(describe(other))
