"""Data out of a store and into another one: `polystow export`, `import` and `copy`."""
