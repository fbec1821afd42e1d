import pytest
import torch

from orchestra.lab import tokenizer
from orchestra.lab.contest import kept
from orchestra.lab.models import small_llama


def test_loss_on_english_is_that_of_the_second_half_of_each_text() -> None:
    words = tokenizer.characters()
    model = small_llama(words, width=32, layers=2, inner=32, seed=0).eval()
    texts = ["to be", "or not to be"]
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([words(text)["input_ids"]])
        labels = ids.clone()
        labels[:, : ids.shape[1] // 2] = -100
        learnt = int((labels != -100).sum())
        total, count = total + learnt * model(ids, labels=labels).loss.item(), count + learnt
    assert kept.loss(model, words, texts) == pytest.approx(total / count, rel=1e-5)


def test_english_is_prose_of_the_standard_library() -> None:
    found = kept.texts(30)
    assert len(found) == 30 == len(set(found))
    assert all(len(text) > 200 and "\n" not in text for text in found)
