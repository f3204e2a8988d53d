"""The network that tells what an extended object is: classes, inputs, architecture and bundle."""
