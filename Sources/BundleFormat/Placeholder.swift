// Placeholder until the first file of BundleFormat lands.
