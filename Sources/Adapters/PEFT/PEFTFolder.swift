import Architecture
public import Bytes
import Checkpoints

/// PEFT's folder of one adapter: `adapter_config.json`, `adapter_model.safetensors` and a model card. See `Formats/peft.md`.
///
/// What is read and written again has PEFT's bytes, the three files alike; what is made here loads in PEFT without a warning.
public enum PEFTFolder {
    /// Names of embeddings and heads, whose whole weights PEFT keeps when their vocabulary was resized or they have a pair.
    static let vocabularyModules: Set<String> = [
        "embed_tokens", "lm_head", "tok_embeddings", "output", "wte", "word_embeddings", "embed_in", "embed_out",
        "shared",
    ]

    /// Reads an adapter; its numbers stay mapped.
    ///
    /// - Parameters:
    ///   - path: the folder, or the safetensors file in it.
    ///   - name: what to call the adapter; the folder's name by default.
    ///   - baseIsResidual: whether the base that it goes with is what "pissa" and its kin left of one.
    /// - Throws: `CrayonError` naming the key or tensor for what PEFT would take wrongly or refuse: half of a pair, shapes that are
    ///   not the configuration's rank, numbers that are none, tensors that the configuration does not speak of.
    public static func read(
        path: String, name: String? = nil, baseIsResidual: Bool = false
    ) throws(CrayonError) -> Adapter {
        let files = try PEFTFiles(path: path)
        let configuration = files.configuration
        if let decomposition = configuration.decomposition, !baseIsResidual {
            throw CrayonError(
                .unsupported, in: configuration.place, item: "key 'init_lora_weights'", found: "\"\(decomposition)\"",
                expected:
                    "true: these pairs were taken out of the base's own weights and go with what was left of them",
                advice: "Save the adapter with PEFT's 'path_initial_model_for_weight_conversion', or give the residual "
                    + "base and set 'init_lora_weights' to true.")
        }
        var reading = PEFTReading(files)
        try reading.collect()
        let restriction = configuration.restriction
        var small = [AuxiliaryFile(name: PEFTConfiguration.fileName, region: files.configurationFile.whole)]
        if let card = files.modelCard { small.append(AuxiliaryFile(name: PEFTFiles.modelCardName, region: card.whole)) }
        return Adapter(
            name: name ?? Self.name(of: path), place: path, scope: restriction?.positions == "image" ? .image : .all,
            input: restriction?.input == "crayon" ? .crayon : .hidden, modules: try reading.modules(),
            replacements: reading.replacements, baseName: configuration.baseModelName, files: small,
            promises: { configuration.targets($0) },
            checkUnchanged: { () throws(CrayonError) in try files.checkpoint.checkUnchanged() })
    }

    /// The last part of the path that says something.
    private static func name(of path: String) -> String {
        var parts = path.split(separator: "/").map(String.init)
        if parts.last == PEFTFiles.weightsName { parts.removeLast() }
        while let last = parts.last, last == "." || last == ".." { parts.removeLast() }
        return parts.last ?? "adapter"
    }
}
