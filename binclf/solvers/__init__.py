"""How the optimum is reached: each solver takes a store of rows and gives back weights and a record."""
