"""The explorer in front of a served tiny release."""
