"""What the arms of an experiment earned, from exported impressions and events."""
