"""How much of a value a frozen model holds, and where: the most that a bridge could learn to read."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

_ROWS = 500


def linear_probe(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    fit: tuple[Sequence[str], Sequence[int]],
    test: tuple[Sequence[str], Sequence[int]],
    num_classes: int,
) -> list[float]:
    """Fit a linear classifier on the state after a text's last token, layer by layer.

    Args:
        fit, test: texts and the class of each.

    Returns:
        For each layer, the percentage of test texts whose class is read right.
    """
    seen, unseen = last_states(model, tokenizer, fit[0]), last_states(model, tokenizer, test[0])
    wanted, held_out = torch.tensor(fit[1]), torch.tensor(test[1])
    scores = []
    for inputs, fresh in zip(seen, unseen, strict=True):
        probe = _fitted(inputs, wanted, num_classes)
        scores.append(100 * (probe(fresh).argmax(-1) == held_out).float().mean().item())
    return scores


@torch.no_grad()
def explained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    fit: tuple[Sequence[str], Sequence[int]],
    test: tuple[Sequence[str], Sequence[int]],
    goals: Tensor,
) -> list[float]:
    """How well a linear map carries the state after a text's last token to the goal of its class, layer by layer.

    This bounds what one bridge can bring, which is linear in what stands at a place; a class that a probe can tell may
    be out of its reach.

    Args:
        fit, test: texts and the class of each.
        goals: ``(classes, d_goal)``.

    Returns:
        For each layer, the share of the variance of the test texts' goals that a ridge regression explains.
    """
    seen, unseen = last_states(model, tokenizer, fit[0]), last_states(model, tokenizer, test[0])
    middle = goals[list(fit[1])].float().mean(0)
    wanted, held_out = (goals[list(classes)].float() - middle for _, classes in (fit, test))
    shares = []
    for inputs, fresh in zip(seen, unseen, strict=True):
        inputs, fresh = (functional.pad(states, (0, 1), value=1.0) for states in (inputs, fresh))
        gram = inputs.T @ inputs + 1e-2 * len(inputs) / inputs.shape[1] * torch.eye(inputs.shape[1])
        linear = torch.linalg.solve(gram, inputs.T @ wanted)
        shares.append(1 - ((fresh @ linear - held_out).square().sum() / held_out.square().sum()).item())
    return shares


@torch.no_grad()
def last_states(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Tensor]:
    """RMS-normalised states after each text's last token, a tensor ``(texts, d_model)`` per layer."""
    chunks = []
    for start in range(0, len(texts), _ROWS):
        inputs = tokenizer(list(texts[start : start + _ROWS]), return_tensors="pt", padding=True, padding_side="left")
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        output = model(**inputs, position_ids=positions, output_hidden_states=True, use_cache=False)
        chunks.append(
            [functional.rms_norm(state[:, -1].float(), state.shape[-1:]) for state in output.hidden_states[1:]]
        )
    return [torch.cat(layer) for layer in zip(*chunks, strict=True)]


def _fitted(inputs: Tensor, wanted: Tensor, num_classes: int) -> nn.Linear:
    """Multinomial logistic regression with a little weight decay, by L-BFGS."""
    probe = nn.Linear(inputs.shape[1], num_classes)
    nn.init.zeros_(probe.weight)
    nn.init.zeros_(probe.bias)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(probe(inputs), wanted) + 5e-4 * probe.weight.pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return probe
