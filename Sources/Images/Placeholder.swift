// Placeholder until the first file of Images lands.
