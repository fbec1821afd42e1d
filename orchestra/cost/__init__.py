"""What a graph costs, worked out from configs: parameters, bytes, FLOPs. No torch; docs/cost.md has the formulas."""
