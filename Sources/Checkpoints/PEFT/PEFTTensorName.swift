public import Bytes

/// What a tensor of a PEFT folder is, by its name: `base_model.model.` + the module's path + what it is of the module.
public struct PEFTTensorName: Sendable, Hashable {
    /// The module in the base; of a tensor that replaces one of the base's, the module that it belongs to.
    public let path: String
    public let kind: Kind

    public enum Kind: Sendable, Hashable {
        case a
        case b
        case embeddingA
        case embeddingB
        /// `lora_B.bias`
        case pairBias
        /// DoRA's
        case magnitude
        /// A parameter of the base beside a pair (`base_layer.weight`), by its last word.
        case beside(String)
        /// A parameter of the base elsewhere, by its last word.
        case instead(String)
    }

    static let prefix = "base_model.model."
    private static let suffixes: [(text: String, kind: Kind)] = [
        (".lora_A.weight", .a), (".lora_B.weight", .b), (".lora_embedding_A", .embeddingA),
        (".lora_embedding_B", .embeddingB), (".lora_B.bias", .pairBias), (".lora_magnitude_vector", .magnitude),
    ]
    /// The names of pairs that act at some positions only; see `PEFTRestriction`.
    private static let restrictedSuffixes: [(text: String, kind: Kind)] = [
        (".crayon_lora_A.weight", .a), (".crayon_lora_B.weight", .b),
    ]

    public init(path: String, kind: Kind) {
        self.path = path
        self.kind = kind
    }

    /// - Throws: `CrayonError` for a name that PEFT would not write.
    public init(_ key: String, isRestricted: Bool = false, place: String) throws(CrayonError) {
        func refuse(_ found: String, _ expected: String, _ code: CrayonError.Code = .unsupported) -> CrayonError {
            CrayonError(code, in: place, item: "tensor '\(key)'", found: found, expected: expected)
        }
        let pairs = "pairs named 'lora_A.weight' and 'lora_B.weight'"
        guard key.hasPrefix(Self.prefix) else {
            throw refuse("a name without '\(Self.prefix)'", pairs, .malformed)
        }
        let rest = String(key.dropFirst(Self.prefix.count))
        for (text, kind) in isRestricted ? Self.restrictedSuffixes : Self.suffixes where rest.hasSuffix(text) {
            self.init(path: String(rest.dropLast(text.count)), kind: kind)
            guard !path.isEmpty else { throw refuse("a name without a module", pairs, .malformed) }
            return
        }
        if rest.contains("lora_A.") || rest.contains("lora_B.") || rest.contains(".lora_embedding_")
            || rest.contains(".lora_magnitude_vector")
        {
            throw refuse("a key with an adapter's name in it", pairs, .malformed)
        }
        if rest.contains("lora_") || rest.contains(".token_adapter.") || rest.contains(".modules_to_save.") {
            throw refuse("a part of an adapter that is not done", pairs)
        }
        guard let dot = rest.lastIndex(of: "."), dot != rest.startIndex else {
            throw refuse("a tensor of no module", pairs, .malformed)
        }
        let last = String(rest[rest.index(after: dot)...])
        let path = String(rest[..<dot])
        let marker = ".base_layer"
        if path.hasSuffix(marker) {
            self.init(path: String(path.dropLast(marker.count)), kind: .beside(last))
        } else {
            self.init(path: path, kind: .instead(last))
        }
    }

    /// The key in the file.
    public func key(isRestricted: Bool = false) -> String {
        switch kind {
        case .beside(let parameter): return "\(Self.prefix)\(path).base_layer.\(parameter)"
        case .instead(let parameter): return "\(Self.prefix)\(path).\(parameter)"
        default:
            let suffixes = isRestricted ? Self.restrictedSuffixes : Self.suffixes
            guard let suffix = suffixes.first(where: { $0.kind == kind }) else {
                preconditionFailure("no name for \(kind)")
            }
            return Self.prefix + path + suffix.text
        }
    }
}
