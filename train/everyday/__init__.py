"""Everyday functions, and conversations about them made from templates, without a teacher."""
