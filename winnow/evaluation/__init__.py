"""What recommendations are worth: metrics, the classic baselines, and the report that compares them."""
