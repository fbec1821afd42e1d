import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from orchestra.lab.models import freeze_answers, small_llama, write_number_embeddings


def test_adding_a_number_turns_every_embedding_by_the_same_angles(words: PreTrainedTokenizerFast) -> None:
    model = small_llama(words, width=32, layers=1, inner=32, seed=0)
    write_number_embeddings(model, words)
    rows = model.model.embed_tokens.weight[[words.convert_tokens_to_ids(str(n)) for n in (3, 10, 50, 57)]]
    near, far = (
        functional.cosine_similarity(rows[0], rows[1], dim=0),
        functional.cosine_similarity(rows[2], rows[3], dim=0),
    )
    torch.testing.assert_close(near, far)


def test_fresh_models_are_the_same_for_the_same_seed(words: PreTrainedTokenizerFast) -> None:
    first, again, other = (small_llama(words, width=32, layers=1, inner=32, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.lm_head.weight, again.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


def test_frozen_answers_are_orthogonal_and_do_not_learn(words: PreTrainedTokenizerFast) -> None:
    model = small_llama(words, width=32, layers=1, inner=32, seed=0)
    tokens = [words.get_vocab()[str(number)] for number in range(11)]
    freeze_answers(model, tokens, size=2.0)
    rows = model.lm_head.weight[tokens]
    torch.testing.assert_close(rows @ rows.T, 4 * torch.eye(11), atol=1e-5, rtol=0)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {"lm_head.weight", "model.norm.weight"}


def test_only_as_many_answers_are_frozen_as_can_be_orthogonal(words: PreTrainedTokenizerFast) -> None:
    model = small_llama(words, width=32, layers=1, inner=32, seed=0)
    before = model.lm_head.weight.clone()
    freeze_answers(model, list(range(40)))
    changed = (model.lm_head.weight != before).any(1).nonzero().flatten().tolist()
    assert changed == list(range(32))
