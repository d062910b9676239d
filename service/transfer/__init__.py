"""Export, import and copy of everything in a store: `polystow export`, `import` and `copy`."""
