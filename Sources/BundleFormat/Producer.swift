/// The program that writes bundles, as provenance names it.
public enum Producer {
    public static let version = "0.1.0"
    public static let name = "crayon \(version)"
}
