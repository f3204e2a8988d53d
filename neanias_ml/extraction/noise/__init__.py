"""Background and noise of a map: mesh, masks, sidelobes of bright sources."""
