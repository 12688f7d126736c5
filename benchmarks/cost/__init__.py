"""What a recommendation costs: the CPU time of every process of a stack, beside an earlier version and beside Gorse."""
