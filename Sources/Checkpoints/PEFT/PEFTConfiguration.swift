public import Bytes
public import JSON

/// PEFT's `adapter_config.json` of a LoRA adapter: how its tensors act, and every key as it was written.
///
/// PEFT's own files load without a word when they are half understood, so what would act otherwise than as this type says
/// is refused by name.
public struct PEFTConfiguration: Sendable {
    /// Every key in the file's order, those that mean nothing here included.
    public let object: JSONObject
    /// The file.
    public let place: String
    public let rank: Int
    public let alpha: Double
    /// `use_rslora`: alpha / sqrt(rank) in place of alpha / rank.
    public let isRankStabilized: Bool
    /// `use_dora`.
    public let hasMagnitudes: Bool
    /// `lora_bias`.
    public let hasPairBiases: Bool
    /// `fan_in_fan_out`: linear layers are `[in, out]`, GPT-2's Conv1D.
    public let isTransposed: Bool
    public let trainedBiases: TrainedBiases
    /// `modules_to_save`.
    public let savedModules: [String]
    /// `base_model_name_or_path`.
    public let baseModelName: String?
    /// `init_lora_weights` where it takes the pairs out of the base's own weights (pissa, olora, corda, loftq, lora_ga), so that
    /// they go with what is left of them and with nothing else.
    public let decomposition: String?
    /// Nil for what PEFT itself writes.
    public let restriction: PEFTRestriction?

    private let rankPattern: [(key: ModulePattern, value: Int)]
    private let alphaPattern: [(key: ModulePattern, value: Double)]
    private let targets: ModuleSelection
    private let excluded: ModuleSelection?
    private let layers: LayerSelection?
    private let savedPatterns: [ModulePattern]

    /// `bias`: which of the base's biases were trained.
    public enum TrainedBiases: String, Sendable, CaseIterable {
        case none
        /// Those of the layers with pairs.
        case pairs = "lora_only"
        case all
    }

    public static let fileName = "adapter_config.json"
    /// Keys that change what an adapter computes and that are not done.
    private static let unsupported = [
        "layer_replication", "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "use_qalora",
        "use_bdlora", "arrow_config", "kasa_config", "velora_config", "monteclora_config", "megatron_config",
    ]
    private static let decomposing = ["pissa", "olora", "corda", "loftq", "lora_ga"]

    /// - Throws: `CrayonError` for JSON that is none, keys that are missing or make no sense, and ways of adapting that are
    ///   not done.
    public init(file: String) throws(CrayonError) {
        try self.init(JSONReader(file: file).object, place: file)
    }

    /// - Parameter place: what errors call the file.
    public init(_ object: JSONObject, place: String) throws(CrayonError) {
        let reader = JSONReader(object, place: place)
        self.object = object
        self.place = place
        let type = try reader.string("peft_type")
        guard type == "LORA" || type == PEFTRestriction.type else {
            throw Self.unsupported("peft_type", .string(type), "\"LORA\"", place)
        }
        restriction = type == "LORA" ? nil : try PEFTRestriction(reader)
        for key in Self.unsupported where PEFTConfiguration.isSet(object[key]) {
            throw Self.unsupported(key, object[key] ?? .null, "an adapter without it", place)
        }
        rank = try reader.extent("r")
        alpha = try reader.positive("lora_alpha")
        isRankStabilized = try reader.optionalBool("use_rslora") ?? false
        hasMagnitudes = try reader.optionalBool("use_dora") ?? false
        hasPairBiases = try reader.optionalBool("lora_bias") ?? false
        isTransposed = try reader.optionalBool("fan_in_fan_out") ?? false
        let bias = try reader.optionalString("bias") ?? "none"
        guard let trained = TrainedBiases(rawValue: bias) else {
            throw Self.unsupported("bias", .string(bias), "\"none\", \"lora_only\" or \"all\"", place)
        }
        trainedBiases = trained
        savedModules = PEFTConfiguration.isSet(object["modules_to_save"]) ? try reader.strings("modules_to_save") : []
        baseModelName = try reader.optionalString("base_model_name_or_path")
        if case .string(let start)? = object["init_lora_weights"], Self.decomposing.contains(where: start.hasPrefix) {
            decomposition = start
        } else {
            decomposition = nil
        }

        var ranks: [(key: ModulePattern, value: Int)] = []
        if let pattern = try reader.optionalObject("rank_pattern") {
            for key in pattern.object.names {
                ranks.append((try ModulePattern(suffix: key, in: pattern), try pattern.extent(key)))
            }
        }
        rankPattern = ranks
        var alphas: [(key: ModulePattern, value: Double)] = []
        if let pattern = try reader.optionalObject("alpha_pattern") {
            for key in pattern.object.names {
                alphas.append((try ModulePattern(suffix: key, in: pattern), try pattern.positive(key)))
            }
        }
        alphaPattern = alphas
        guard let targets = try ModuleSelection(reader, "target_modules") else {
            throw CrayonError(
                .missing, in: place, item: "key 'target_modules'", found: "nothing",
                expected: "the modules that the adapter acts on")
        }
        self.targets = targets
        excluded = try ModuleSelection(reader, "exclude_modules")
        layers = try LayerSelection(reader)
        var saved: [ModulePattern] = []
        for name in savedModules {
            saved.append(
                try ModulePattern(whole: "(?:.*\\.)?(?:\(name))(?:\\..*)?", item: "key 'modules_to_save'", place: place)
            )
        }
        savedPatterns = saved
    }

    /// Whether PEFT would put a pair at the module.
    public func targets(_ path: String) -> Bool {
        if excluded?.contains(path) == true || saves(path) { return false }
        guard targets.contains(path) else { return false }
        // A path that is named whole is meant whatever its layer.
        if let layers, case .names(let names) = targets, !names.contains(path) { return layers.contains(path) }
        return true
    }

    /// Whether `modules_to_save` names the module or one that it lies in.
    public func saves(_ path: String) -> Bool { savedPatterns.contains { $0.matches(path) } }

    /// Whether a parameter of the module may lie in the file whole. PEFT looks at the ends of names here, dots or not.
    public func keepsWhole(_ path: String) -> Bool {
        var path = path[...]
        while true {
            if savedModules.contains(where: path.hasSuffix) { return true }
            guard let dot = path.lastIndex(of: ".") else { return false }
            path = path[..<dot]
        }
    }

    /// The first pattern that matches decides; else the adapter's own.
    public func rank(of path: String) -> Int { rankPattern.first { $0.key.matches(path) }?.value ?? rank }
    public func alpha(of path: String) -> Double { alphaPattern.first { $0.key.matches(path) }?.value ?? alpha }

    /// The file's text as PEFT writes it: Python's `json.dumps(indent=2)`, without a line break at its end.
    public var text: String { JSONValue.object(object).text(style: .pretty(indent: 2), asciiOnly: true) }

    /// Whether a value says anything: not null, false or empty.
    static func isSet(_ value: JSONValue?) -> Bool {
        switch value {
        case nil, .null?, .bool(false)?: false
        case .array(let elements)?: !elements.isEmpty
        case .object(let object)?: !object.isEmpty
        default: true
        }
    }

    static func unsupported(_ key: String, _ value: JSONValue, _ expected: String, _ place: String) -> CrayonError {
        CrayonError(.unsupported, in: place, item: "key '\(key)'", found: value.kind, expected: expected)
    }
}

extension JSONReader {
    /// A positive, finite number that must be there.
    func positive(_ key: String) throws(CrayonError) -> Double {
        if let value = try optionalPositive(key) { return value }
        return try double(key)
    }
}
