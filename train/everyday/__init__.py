"""Generates conversations about everyday functions from templates, without a teacher."""
