"""What the paper asked and what goes beyond it: numbers, recipes, budgets, the grid of cells. Imports no torch."""
