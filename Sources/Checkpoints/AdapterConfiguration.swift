import Bytes
import JSON

/// PEFT's `adapter_config.json` of a LoRA adapter, as far as it says how the pairs act. What would act
/// otherwise than as plain pairs is refused by name, since PEFT's files load without a word when half understood.
struct AdapterConfiguration {
    var rank: Int
    var alpha: Double
    var isRankStabilized: Bool
    private var rankPattern: [(key: ModulePattern, value: Int)] = []
    private var alphaPattern: [(key: ModulePattern, value: Double)] = []
    private var targets: Selection
    private var excluded: Selection?

    /// What `target_modules` and `exclude_modules` choose.
    private enum Selection {
        case allLinear
        /// Ends of module paths, at a dot.
        case suffixes([String])
        case pattern(ModulePattern)

        func contains(_ path: String) -> Bool {
            switch self {
            case .allLinear: true
            case .suffixes(let names): names.contains { path == $0 || path.hasSuffix("." + $0) }
            case .pattern(let pattern): pattern.matches(path)
            }
        }
    }

    /// Keys that change what an adapter computes and that are not done.
    private static let unsupported = [
        "use_dora", "lora_bias", "fan_in_fan_out", "modules_to_save", "layers_to_transform", "layer_replication",
        "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "use_qalora", "use_bdlora",
        "arrow_config", "kasa_config", "velora_config", "monteclora_config", "megatron_config",
    ]
    /// Initialisations that take the pairs out of the base's weights, so that the base itself differs.
    private static let decomposing = ["pissa", "olora", "corda", "loftq", "lora_ga"]

    init(file: String) throws(CrayonError) {
        let reader = try JSONReader(file: file)
        func unsupported(_ key: String, _ value: JSONValue, _ expected: String) -> CrayonError {
            CrayonError(.unsupported, in: file, item: "key '\(key)'", found: value.kind, expected: expected)
        }
        let type = try reader.string("peft_type")
        guard type == "LORA" else { throw unsupported("peft_type", .string(type), "\"LORA\"") }
        for key in Self.unsupported {
            guard let value = reader.object[key] else { continue }
            switch value {
            case .null, .bool(false): continue
            case .array(let elements) where elements.isEmpty: continue
            case .object(let object) where object.isEmpty: continue
            default: throw unsupported(key, value, "an adapter without it")
            }
        }
        if let bias = reader.object["bias"], bias != .null, bias != .string("none") {
            throw unsupported("bias", bias, "\"none\"")
        }
        if case .string(let start)? = reader.object["init_lora_weights"],
            Self.decomposing.contains(where: { start.hasPrefix($0) })
        {
            throw unsupported(
                "init_lora_weights", .string(start), "true: this one changes the base's weights on loading")
        }
        rank = try reader.extent("r")
        alpha = try Self.positive(reader.double("lora_alpha"), reader, "lora_alpha")
        isRankStabilized = try reader.optionalBool("use_rslora") ?? false
        if let pattern = try reader.optionalObject("rank_pattern") {
            for key in pattern.object.names {
                rankPattern.append((try ModulePattern(suffix: key, in: pattern), try pattern.extent(key)))
            }
        }
        if let pattern = try reader.optionalObject("alpha_pattern") {
            for key in pattern.object.names {
                let value = try Self.positive(pattern.double(key), pattern, "alpha_pattern.\(key)")
                alphaPattern.append((try ModulePattern(suffix: key, in: pattern), value))
            }
        }
        guard let targets = try Self.selection(reader, "target_modules") else {
            throw CrayonError(
                .missing, in: file, item: "key 'target_modules'", found: "nothing",
                expected: "the modules that the adapter acts on")
        }
        self.targets = targets
        excluded = try Self.selection(reader, "exclude_modules")
    }

    /// Whether PEFT would put a pair at the module.
    func targets(_ path: String) -> Bool { targets.contains(path) && excluded?.contains(path) != true }

    /// The first pattern that matches decides; else the adapter's own.
    func rank(of path: String) -> Int { rankPattern.first { $0.key.matches(path) }?.value ?? rank }
    func alpha(of path: String) -> Double { alphaPattern.first { $0.key.matches(path) }?.value ?? alpha }

    private static func positive(_ value: Double, _ reader: JSONReader, _ key: String) throws(CrayonError) -> Double {
        guard value.isFinite, value > 0 else {
            throw CrayonError(
                .malformed, in: reader.place, item: "key '\(key)'", found: "\(value)", expected: "a positive number")
        }
        return value
    }

    private static func selection(_ reader: JSONReader, _ key: String) throws(CrayonError) -> Selection? {
        switch reader.object[key] {
        case nil, .null?: return nil
        case .string("all-linear")?: return .allLinear
        case .string(let text)?: return .pattern(try ModulePattern(whole: text, in: reader, key: key))
        default: return .suffixes(try reader.strings(key))
        }
    }
}

/// A regular expression over module paths, as PEFT applies it.
struct ModulePattern {
    private let regex: Regex<AnyRegexOutput>

    /// A key of `rank_pattern` or `alpha_pattern`: `(.*\.)?(key)$`.
    init(suffix key: String, in reader: JSONReader) throws(CrayonError) {
        try self.init("(.*\\.)?(\(key))", item: "key '\(reader.path).\(key)'", place: reader.place)
    }

    /// A pattern that a whole path must match.
    init(whole text: String, in reader: JSONReader, key: String) throws(CrayonError) {
        try self.init(text, item: "key '\(key)'", place: reader.place)
    }

    private init(_ text: String, item: String, place: String) throws(CrayonError) {
        guard let regex = try? Regex(text) else {
            throw CrayonError(
                .malformed, in: place, item: item, found: "'\(text)'", expected: "a regular expression")
        }
        self.regex = regex
    }

    func matches(_ path: String) -> Bool { (try? regex.wholeMatch(in: path)) != nil }
}
