"""Schemas generated from models: the CustomResourceDefinition and the chart's values.schema.json.

Both are committed in the chart, where Helm reads them, and tests fail when they differ from the models.
"""
