"""The services of the mesh, each blind to the others."""
