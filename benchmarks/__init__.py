"""Benchmarks: what the gateway costs, against named baselines measured in the same run.

Nothing here is imported by the product. It knows the product's public faces and the devkit, and starts everything that it
measures as a process of its own.
"""
