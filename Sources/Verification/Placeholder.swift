// Placeholder until the first file of Verification lands.
