"""What exists and what is allowed: entities, the world, resolution and the blueprint.  Pure."""
