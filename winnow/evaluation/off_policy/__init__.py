"""Off-policy evaluation: what a release would have earned, estimated from what another one was logged to show.

``log`` holds the logged slots, the policy to evaluate, and the weights between them; ``reward_model`` predicts rewards;
``estimators`` has the three estimators and ``intervals`` their intervals; ``support`` refuses a conclusion where the
log says too little. ``feedback`` reads a log from exported events and impressions, ``replay`` asks a release what it
would have shown, and ``report`` puts them together (`winnow off-policy`).
"""
