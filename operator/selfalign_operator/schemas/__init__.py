"""Schemas generated from the API models: the CustomResourceDefinition and the chart's values.schema.json."""
