"""A small language model of Python code, with a tokenizer of its own, trained on the standard library from nothing."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from orchestra.lab.batches import Batch
from orchestra.lab.clock import timed
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.models import small_llama
from orchestra.lab.tokenizer import BEGIN, BEGIN_ID, END, PAD, finished

Chunk = tuple[list[int]]


def tokenizer(texts: Sequence[str], *, size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of a vocabulary that is learnt on these texts."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=[PAD, BEGIN, END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return finished(made)


def augment(
    folder: Path, texts: Sequence[str], settings: Fit, *, width: int, layers: int, vocabulary: int, length: int
) -> Path:
    """The folder of the model, which is trained where it is not there.

    Args:
        length: tokens that are read at once.
    """
    if folder.is_dir():
        return folder
    words = tokenizer(texts, size=vocabulary)
    model = small_llama(words, width=width, layers=layers, inner=3 * width, seed=settings.seed)
    stream: list[int] = []
    for ids in words(list(texts), add_special_tokens=False)["input_ids"]:
        stream += [BEGIN_ID, *ids]

    def chunk(rng: random.Random, _: int) -> tuple[Chunk]:
        at = rng.randrange(len(stream) - length)
        return ((stream[at : at + length],),)

    def encode(chunks: Sequence[tuple[Chunk]]) -> Batch:
        ids = torch.tensor([only[0] for (only,) in chunks])
        return Batch(ids, ids)

    with timed(folder.with_name(f"{folder.name}.time")):
        fit(model, chunk, encode, settings, checkpoint=folder.with_name(f"{folder.name}.pt"), title=folder.name)
    unfinished = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    words.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder
