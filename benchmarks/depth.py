"""Does it help that an augment feeds an augment? An account number behind a name, and a balance behind the number.

The shipped `kv` knows which number stands behind a key, a fresh `ledger` which balance behind a number, the anchor
`digits` how to compute. `#34;` asks for the balance of 34, `#<kqz>;` for that of whatever stands behind the key kqz:
nobody knows that, `kv` and `ledger` only together.

    python benchmarks/depth.py --output runs/depth          # 15 CPU minutes
    python benchmarks/depth.py --output runs/depth --ship   # and write what graphs/ledger.json names

trains `ledger`, its stack into the anchor (on `#34;`, all numbers), and then one more stack from `kv`, of one size
each: into the anchor (flat) and into `ledger` (deep), on the same questions `#<kqz>;`, of which the balances of a fifth
of the numbers are left out; `apart`, into `ledger` with `ledger` as the anchor, and no balance in sight; and with no
training at all, the bundle that ships (`as it ships`). One thread, CPU; what is there already is not done again.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import orchestra
from orchestra.lab import recital
from orchestra.lab.domain import Domain, Piece
from orchestra.lab.exercises import encode_with_twins, example, exercise, question
from orchestra.lab.expressions import MAX_VALUE
from orchestra.lab.fitting import Fit, fit
from orchestra.lab.measure import score
from orchestra.lab.models import freeze_answers, small_llama, write_number_embeddings
from orchestra.lab.surroundings import letters
from orchestra.lab.table import Table
from orchestra.lab.tokenizer import END, NUMBERS, PAD_ID, build

SHIPPED = Path(__file__).parents[1]
TABLE = Table()
_RNG = random.Random("ledger")
BALANCES = tuple(_RNG.sample(range(MAX_VALUE + 1), MAX_VALUE + 1))
HELD_OUT = frozenset(_RNG.sample(range(MAX_VALUE + 1), 20))
"""Numbers whose balance no question shows."""
GATED = {"gate": "token"}
BRIDGES = Fit(steps=500, batch=64, rate=3e-3, muon=0.0, weight_decay=0.01, warmup=50)


def _number(rng: random.Random, _: bool | None) -> str:
    return f"#{rng.randint(0, MAX_VALUE)};"


def _number_pieces(atom: str) -> tuple[Piece, ...]:
    return (atom[:-1], None), (";", BALANCES[int(atom[1:-1])]), (" ", None)


def _key_pieces(atom: str) -> tuple[Piece, ...]:
    return (atom[:-1], None), (";", BALANCES[TABLE.values[atom[2:-2]]]), (" ", None)


def _named_pieces(atom: str) -> tuple[Piece, ...]:
    """Not what the number's balance is, but which number it is, once the key has been read."""
    return (atom[:-2], None), (">", TABLE.values[atom[2:-2]]), ("; ", None)


def _keys(pieces: Callable[[str], tuple[Piece, ...]], *, held_out: bool | None) -> Domain:
    """Keys whose number is, or is not, one of those held out; None for all."""
    groups = {
        seen: [key for key in keys if held_out is None or (TABLE.values[key] in HELD_OUT) is held_out]
        for seen, keys in ((True, TABLE.seen), (False, TABLE.unseen))
    }
    return Domain(name="kv", draw=lambda rng, seen: f"#<{rng.choice(groups[bool(seen)])}>;", pieces=pieces)


NUMBER = Domain(name="ledger", draw=_number, pieces=_number_pieces)
KEYS, KEYS_HELD_OUT = _keys(_key_pieces, held_out=False), _keys(_key_pieces, held_out=True)
NAMED = _keys(_named_pieces, held_out=None)


def lesson(rng: random.Random, _: int) -> recital.Recital:
    """What `ledger` reads: numbers that are asked for, after letters or not, among numbers that are not."""
    found: list[Piece] = []
    for _ in range(rng.randint(1, 3)):
        number = rng.randint(0, MAX_VALUE)
        before = f"<{letters(rng, 6)}" if rng.random() < 0.6 else ""
        asked = rng.random() < 0.75
        found += [(("#" if asked else "") + before, None)] if asked or before else []
        found += [(str(number), None), (";", BALANCES[number] if asked else None), (" ", None)]
        if rng.random() < 0.5:
            found.append((rng.choice(("+ ", "- ", "=", "x ")), None))
    return tuple(found)


def learn_ledger(output: Path) -> Path:
    """Train `ledger`: two layers, a hundred balances."""
    folder, words = output / "ledger", build()
    if folder.is_dir():
        return folder
    model = small_llama(words, width=128, layers=2, inner=512, seed=5)
    write_number_embeddings(model, words)
    vocabulary = words.get_vocab()
    encode = partial(recital.encode, words, answers=NUMBERS)
    for index, (steps, rate, size) in enumerate(((700, 1e-3, 0.9), (400, 3e-4, 0.6))):
        freeze_answers(model, [vocabulary[token] for token in (*NUMBERS, END)], size=size)
        settings = Fit(steps=steps, batch=96, rate=rate, weight_decay=0.02, warmup=50, seed=index, noise=0.2)
        loss = fit(model, lesson, encode, settings, checkpoint=output / f"ledger-{index}.pt", title=f"ledger {index}")
        print("ledger", index, round(loss, 4), flush=True)
    model.bfloat16().save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def document(output: Path, **augments: dict[str, Any]) -> dict[str, Any]:
    """A graph of the shipped anchor and these augments."""
    folders = {"kv": SHIPPED / "graphs/models/kv", "ledger": output / "ledger"}
    return {
        "format": "orchestra/graph@1",
        "anchor": {"model": str(SHIPPED / "graphs/models/digits"), "dtype": "float32"},
        "augments": {
            name: {"model": str(folders[name]), "dtype": "float32", **fields} for name, fields in augments.items()
        },
    }


def fresh(layer: int) -> dict[str, Any]:
    """One bridge, from a last layer into an embedding."""
    return {**GATED, "pairs": [{"augment_layer": layer, "anchor_layer": "embedding"}]}


def learn_stack(output: Path, name: str, content: dict[str, Any], augment: str, domain: Domain) -> Path:
    """Train one stack of a graph on questions, all others as they are."""
    bundle = output / name
    if bundle.is_dir():
        return bundle
    model = orchestra.load(content)
    for stack in model.plan.graph.stacks:
        model.stack(stack.augment, stack.into).requires_grad_(stack.augment == augment)
    started = time.process_time()
    loss = fit(
        model,
        lambda rng, _: exercise(rng, domain),
        partial(encode_with_twins, build()),
        BRIDGES,
        checkpoint=output / f"{name}.pt",
        title=name,
    )
    print(name, round(loss, 4), f"{time.process_time() - started:.0f} CPU-s", flush=True)
    model.save_stack(augment, bundle, recipe=recipe(name))
    return bundle


def recipe(name: str) -> dict[str, Any]:
    """How a stack was trained, for the card."""
    fields = ("steps", "batch", "rate", "weight_decay")
    return {"command": f"python benchmarks/depth.py ({name})", **{field: getattr(BRIDGES, field) for field in fields}}


def learn_apart(output: Path) -> Path:
    """Train `kv` into `ledger` with `ledger` as the anchor: the end of a key is to be read as its number is."""
    bundle, words = output / "apart", build()
    if bundle.is_dir():
        return bundle
    content = document(output, kv={"bridges": fresh(2)})
    content["anchor"]["model"] = str(output / "ledger")
    model, rng = orchestra.load(content), random.Random("apart")
    weights = [weight for _, weight in model.trainable()]
    optimizer = torch.optim.AdamW(weights, lr=BRIDGES.rate, betas=(0.9, 0.98), weight_decay=BRIDGES.weight_decay)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=BRIDGES.rate, total_steps=BRIDGES.steps)
    embed, started = model.get_input_embeddings(), time.process_time()
    for step in range(BRIDGES.steps):
        ids, _, twins = encode_with_twins(words, [exercise(rng, NAMED) for _ in range(BRIDGES.batch)])
        real, goal = (ids != PAD_ID)[..., None], embed(twins)
        states = model(ids, attention_mask=real[..., 0], output_hidden_states=True).hidden_states[0]
        gap = ((states - goal).square() * real).sum() / ((embed(ids) - goal).square() * real).sum()
        gap.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == BRIDGES.steps - 1:
            print("apart", step, f"gap {gap.item():.3f}", flush=True)
    print("apart", f"{time.process_time() - started:.0f} CPU-s", flush=True)
    model.save_stack("kv", bundle, recipe=recipe("apart"))
    return bundle


def measure(content: dict[str, Any], questions: int) -> dict[str, str]:
    """What a composition answers at once, in percent of these questions."""
    model = orchestra.load(content)
    domains: dict[str, list[Domain]] = {
        "#34;": [NUMBER],
        "#<kqz>;": [KEYS],
        "#<kqz>; balance held out": [KEYS_HELD_OUT],
        "digits": [],
    }
    found = {}
    for name, domain in domains.items():
        rng = random.Random(f"questions {name}")
        asked = [example(question(rng, domain, working=False)) for _ in range(questions)]
        found[name] = str(score(model, build(), asked))
    return found


def ship(output: Path) -> None:
    """Put `ledger` and the two stacks that were trained apart where graphs/ledger.json names them."""
    places = {"ledger": "graphs/models/ledger", "alone": "bridges/ledger/ledger", "apart": "bridges/ledger/kv"}
    for name, place in places.items():
        shutil.rmtree(SHIPPED / place, ignore_errors=True)
        shutil.copytree(output / name, SHIPPED / place)


def main() -> None:
    """Train what is missing, measure, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--ship", action="store_true")
    given = parser.parse_args()
    output: Path = given.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    learn_ledger(output)
    alone = learn_stack(output, "alone", document(output, ledger={"bridges": fresh(1)}), "ledger", NUMBER)
    ledger = {"bridges": str(alone)}

    def graph(into: str, bridges: str | dict[str, Any]) -> dict[str, Any]:
        return document(output, kv={"into": {into: bridges}}, ledger=ledger)

    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "as it ships": lambda: graph("anchor", str(SHIPPED / "bridges/kv-small/kv")),
        "apart": lambda: graph("ledger", str(learn_apart(output))),
        "flat": lambda: graph("anchor", str(learn_stack(output, "flat", graph("anchor", fresh(2)), "kv", KEYS))),
        "deep": lambda: graph("ledger", str(learn_stack(output, "deep", graph("ledger", fresh(2)), "kv", KEYS))),
    }
    results = {}
    for name, way in ways.items():
        results[name] = measure(way(), given.questions)
        print(name, json.dumps(results[name]), flush=True)
        (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if given.ship:
        ship(output)


if __name__ == "__main__":
    main()
