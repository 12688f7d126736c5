"""The Helm charts of ``eks/charts.txt``: their versions, their sources, and what they render."""
