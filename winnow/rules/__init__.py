"""Business rules, ready to be applied: the filters of ``rules.yaml`` parsed against the columns of a release."""
