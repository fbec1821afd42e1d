"""What will run, in which order, and what it costs. Pure values; never imports torch."""

from dataclasses import dataclass

from orchestra.graph import Graph, Site
from orchestra.wiring import reaching

ELEMENT_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentCost:
    """What one augment adds to the composition.

    Attributes:
        runs: whether it is on, and what it makes reaches the anchor through others that are on.
        layers_run: its layers up to the highest one that is tapped; those above are never run.
        bridge_params: trained parameters of its stacks.
        bridge_bytes: their size in memory, in fp32 as they are trained.
        weight_bytes: size of the frozen checkpoint on disk; None when unknown, 0 for a checkpoint counted before.
    """

    augment: str
    enabled: bool
    runs: bool
    num_layers: int
    layers_run: int
    num_bridges: int
    bridge_params: int
    bridge_bytes: int
    weight_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph, ready to run: `print(plan)` reads it aloud."""

    graph: Graph
    costs: tuple[AugmentCost, ...]

    def __str__(self) -> str:
        return "\n".join(str(site) for site in self.graph.sites)


def plan(graph: Graph) -> Plan:
    """Work out order, depth and cost of a graph."""
    counted = {graph.anchor.facts.source}
    running = reaching(graph.feeds, (node.name for node in graph.augments if node.enabled))
    costs = []
    for node in graph.augments:
        sites = [site for site in graph.sites if site.augment == node.name]
        params = sum(map(num_params, sites))
        again = node.facts.source in counted
        counted.add(node.facts.source)
        costs.append(
            AugmentCost(
                augment=node.name,
                enabled=node.enabled,
                runs=node.name in running,
                num_layers=node.facts.num_layers,
                layers_run=1 + max(site.augment_layer for site in sites),
                num_bridges=len(sites),
                bridge_params=params,
                bridge_bytes=params * ELEMENT_BYTES["float32"],
                weight_bytes=0 if again else node.facts.weight_bytes,
            )
        )
    return Plan(graph=graph, costs=tuple(costs))


def num_params(site: Site) -> int:
    """Trained parameters of one bridge; a test holds it to the count of the real module.

    Source: CALM, section 3.1 (arXiv 2401.02412) for D_A * D_B + 4 * D_B^2; norms, biases and gates are ours.
    """
    count = site.d_augment * site.d_anchor + 4 * site.d_anchor**2
    if site.variant == "orchestra":
        count += site.d_augment + site.d_anchor  # the two norms
    if site.positions == "rotary":
        count += 2 * site.d_anchor  # biases of queries and keys
    if site.gate == "scalar":
        count += 1
    if site.gate == "token":
        count += site.d_anchor + 1
    return count
