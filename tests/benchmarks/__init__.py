"""What the shim costs: `python -m tests.benchmarks` prints it; `test_cost.py` holds it to a budget."""
