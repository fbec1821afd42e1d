import torch
from transformers import PreTrainedTokenizerFast

from orchestra.lab.models import small_llama
from orchestra.lab.probe import explained, last_states, linear_probe


def test_a_probe_reads_what_stands_at_the_end_of_a_text_and_not_what_is_not_there(
    words: PreTrainedTokenizerFast,
) -> None:
    model = small_llama(words, width=32, layers=2, inner=64, seed=0).eval()
    letters = "abcdefghij"
    fit = [f"{first}{last}" for first in letters[:5] for last in letters]
    test = [f"{first}{last}" for first in letters[5:] for last in letters]

    def classes(texts: list[str], place: int) -> list[int]:
        return [letters.index(text[place]) for text in texts]

    last = linear_probe(model, words, fit=(fit, classes(fit, 1)), test=(test, classes(test, 1)), num_classes=10)
    first = linear_probe(model, words, fit=(fit, classes(fit, 0)), test=(test, classes(test, 0)), num_classes=10)
    assert last[0] > 90
    assert first[0] == 0  # none of these letters was fitted on


def test_padding_does_not_change_a_state(words: PreTrainedTokenizerFast) -> None:
    model = small_llama(words, width=32, layers=2, inner=64, seed=0).eval()
    alone, padded = last_states(model, words, ["ab"]), last_states(model, words, ["ab", "abcdef"])
    torch.testing.assert_close(alone[1][0], padded[1][0], rtol=0, atol=1e-5)


def test_a_linear_map_explains_what_stands_in_a_state_and_nothing_of_what_does_not(
    words: PreTrainedTokenizerFast,
) -> None:
    model = small_llama(words, width=32, layers=1, inner=64, seed=0).eval()
    letters = "abcdefghij"
    fit = [f"{first}{last}" for first in letters[:6] for last in letters]
    test = [f"{first}{last}" for first in letters[6:] for last in letters]
    goals = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))

    def explain(place: int) -> float:
        classes = [[letters.index(text[place]) for text in texts] for texts in (fit, test)]
        [share] = explained(model, words, fit=(fit, classes[0]), test=(test, classes[1]), goals=goals)
        return share

    assert explain(1) > 0.8
    assert explain(0) < 0.2
