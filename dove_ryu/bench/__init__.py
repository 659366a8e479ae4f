"""The benchmark of section 5 and the comparisons (F54)."""
