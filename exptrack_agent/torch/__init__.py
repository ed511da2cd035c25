"""For PyTorch: gradients, stability, throughput, architecture, ranks. Importing it imports torch."""
