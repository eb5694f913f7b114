"""How the flows are run: served from one machine, by work pools, or on a cluster. No computation in here."""
