// Placeholder until the first file of Quantization lands.
