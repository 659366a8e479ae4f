"""Towards people: what they want goes into the store, what there is comes out of the world, all over HTTP."""
