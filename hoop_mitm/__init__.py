"""hoop-mitm: a Layer 7 gateway between AI coding assistants and BigQuery."""

__version__ = "0.1.0"
