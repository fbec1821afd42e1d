import torch

from benchmarks import decode, toy


def test_tokens_that_one_forward_finds_likeliest_are_counted() -> None:
    model, prompt = toy.llama(32, 3), toy.ids(5)
    written = toy.generate(model, prompt, 7)
    assert decode.right(model, prompt, written) == 7
    other = written.clone()
    other[0, -1] = (other[0, -1] + 1) % toy.VOCAB
    assert decode.right(model, prompt, other) == 6


def test_an_end_that_was_forbidden_is_not_missed() -> None:
    model, prompt = toy.llama(32, 3), toy.ids(5)
    end = int(toy.generate(model, prompt, 1)[0, -1])
    model.generation_config.eos_token_id = end
    written = toy.generate(model, prompt, 7)
    assert written.shape[1] == 12
    assert end not in written[0, 5:]
    assert decode.right(model, prompt, written) == 7


def test_the_parts_read_what_the_composition_read() -> None:
    composed = toy.compose(toy.llama(32, 5), {"a": toy.llama(16, 3, seed=1)})
    ways = decode.ways(composed, toy.ids(5), 3)
    assert torch.equal(ways["composed"](), toy.generate(composed, toy.ids(5), 3))  # type: ignore[arg-type]
    ways["parts"]()
