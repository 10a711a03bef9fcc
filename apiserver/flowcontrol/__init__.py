"""API priority and fairness (KEP-1040): who gets how much of the server when not everybody can get what they want.

controller.py follows the objects, levels.py is one priority level with its queues, pacing.py says when they dispatch,
estimate.py how wide a request is. filters/fairness.py is the only one that puts requests through it.
"""
