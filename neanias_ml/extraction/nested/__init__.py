"""Islands inside islands: blobs, the component tree, the emission underneath."""
