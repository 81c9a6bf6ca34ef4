// Placeholder until the first file of Inference lands.
