/// Names of tensors and metadata that a bundle reserves; all else keeps the names of its source.
public enum BundleNames {
    /// Metadata keys. Python's loaders look at `format` and leave the others alone.
    static let format = "format"
    static let version = "crayon.version"
    static let manifest = "crayon.manifest"
    static let digest = "crayon.digest"

    static let reservedPrefix = "crayon."
    static let filePrefix = "crayon.file."
    static let paddingPrefix = "crayon.pad."
    static let probePrefix = "crayon.probe."

    public static func file(_ name: String) -> String { filePrefix + name }
    static func padding(_ index: Int) -> String { paddingPrefix + String(index) }
    public static func probe(_ name: String, _ field: String) -> String { "\(probePrefix)\(name).\(field)" }

    /// Whether a tensor of a source may keep this name in a bundle. The crayon tables of a source are
    /// named otherwise (`seg_prompt_embed.weight`), so the prefix is free in practice.
    static func isReserved(_ name: String) -> Bool { name.hasPrefix(reservedPrefix) || name == "__metadata__" }

    /// A path below a folder, such as `tokenizer.model` or `vision/config.json`: what `export` may create.
    static func isSafePath(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return !name.isEmpty && name.utf8.count <= 1024 && !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x5C })
            && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// A probe's name: one word, so that it can be told from the field that follows it.
    static func isProbeName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 128 && !name.contains(".") && !name.utf8.contains(where: { $0 <= 0x20 })
    }
}
