// Placeholder until the first file of Architecture lands.
