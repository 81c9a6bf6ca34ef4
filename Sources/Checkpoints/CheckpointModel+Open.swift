import Architecture
public import Bytes
import JSON

extension CheckpointModel {
    /// Opens the parts, recognises their layouts, and binds every tensor to its role.
    /// - Throws: `CrayonError` for files that do not follow their format, an unknown layout, tensors that
    ///   are missing or have another shape than the configuration says.
    public static func open(
        _ parts: CheckpointParts, options: CheckpointOptions = CheckpointOptions()
    ) throws(CrayonError) -> CheckpointModel {
        var opened = try OpenedParts(parts, options: options)
        let configuration = try opened.configuration()
        var binder = ParameterBinder(configuration)
        for source in opened.sources { binder.add(source) }
        for adapter in opened.adapters { binder.add(adapter) }
        if configuration.vision != nil, opened.base.layout.content != .model { binder.addFresh(seed: options.seed) }
        let bindings = try binder.bind(opened)
        return CheckpointModel(
            place: opened.base.place, configuration: configuration, files: try opened.files(), bindings: bindings,
            origins: binder.origins, unused: binder.unused(opened),
            warnings: opened.sources.flatMap(\.context.warnings) + opened.warnings + binder.warnings(opened))
    }

    /// Opens a checkpoint that holds a whole model, or a backbone alone.
    public static func open(
        _ path: String, options: CheckpointOptions = CheckpointOptions()
    ) throws(CrayonError) -> CheckpointModel {
        try open(CheckpointParts(checkpoint: path), options: options)
    }
}

/// All places that the user named, opened, and the configuration that they add up to.
struct OpenedParts {
    let options: CheckpointOptions
    /// The whole model, or the backbone.
    let base: OpenedSource
    let vision: OpenedSource?
    let crayon: OpenedSource?
    let adapters: [AdapterReading]
    private let parts: CheckpointParts
    private let crayonConfiguration: CrayonFileConfiguration?
    var warnings: [String] = []

    var sources: [OpenedSource] { [base] + [vision, crayon].compactMap { $0 } }

    init(_ parts: CheckpointParts, options: CheckpointOptions) throws(CrayonError) {
        self.parts = parts
        self.options = options
        guard let path = parts.checkpoint ?? parts.backbone else {
            throw CrayonError(
                .usage, in: "checkpoint", found: "nothing", expected: "a checkpoint, or --backbone with its parts")
        }
        if parts.checkpoint != nil, let backbone = parts.backbone {
            throw CrayonError(
                .usage, in: "--backbone", found: "'\(backbone)' beside the checkpoint '\(path)'",
                expected: "one of the two")
        }
        if let crayon = parts.crayon, parts.vision == nil {
            throw CrayonError(
                .usage, in: "--crayon", found: "'\(crayon)' without a vision tower", expected: "--vision too")
        }
        // A checkpoint with its own vision tower takes no second one.
        let isWhole = parts.checkpoint != nil && parts.vision == nil
        base = try OpenedSource(
            path, kind: parts.checkpoint == nil ? .backbone : .checkpoint,
            contents: isWhole ? [.model, .backbone] : [.backbone], options: options)
        vision = try parts.vision.map { path throws(CrayonError) in
            try OpenedSource(path, kind: .vision, contents: [.vision], options: options)
        }
        crayon = try parts.crayon.map { path throws(CrayonError) in
            try OpenedSource(path, kind: .crayon, contents: [.crayon], options: options)
        }
        guard let backbone = base.description.backbone else {
            preconditionFailure("layout '\(base.layout.name)' describes no backbone")
        }
        var adapters: [AdapterReading] = []
        var taken = Set(base.description.lowRankSets.map(\.name))
        for (name, path) in parts.adapters {
            guard LowRankSet.isName(name), taken.insert(name).inserted else {
                throw CrayonError(
                    .usage, in: "--adapter", found: "the name '\(name)'",
                    expected: "letters, digits, '-' and '_', and no name twice")
            }
            adapters.append(try AdapterReading(name: name, path: path, layout: base.layout, backbone: backbone))
        }
        self.adapters = adapters
        var reader = try crayon?.reader(CrayonFileConfiguration.fileName)
        if reader == nil { reader = try base.reader(CrayonFileConfiguration.fileName) }
        crayonConfiguration = try reader.map { reader throws(CrayonError) in try CrayonFileConfiguration(reader) }
    }

    mutating func configuration() throws(CrayonError) -> ModelConfiguration {
        guard let backbone = base.description.backbone else { preconditionFailure("described at init") }
        let sets = base.description.lowRankSets + adapters.map(\.set)
        let vision = try visionConfiguration()
        var crayon: CrayonConfiguration?
        if let vision, base.description.readsCrayon { crayon = try crayonSettings(vision, sets) }
        return ModelConfiguration(
            layout: base.layout.name, backbone: backbone, vision: vision,
            crayon: crayon,
            lowRankSets: sets,
            tokens: try TokenReading(
                folder: base.folder, config: base.description.textConfiguration ?? base.context.config
            ).read(
                vocabularySize: backbone.vocabularySize, hasImages: vision != nil,
                image: base.description.imageToken),
            prompt: try prompt(hasVision: vision != nil))
    }

    private mutating func visionConfiguration() throws(CrayonError) -> VisionConfiguration? {
        guard var configuration = base.description.vision ?? vision?.description.vision else { return nil }
        let file = crayonConfiguration
        if let size = options.imageSize ?? file?.imageSize {
            configuration.imageSize = size
        }
        guard (configuration.patchSize...(1 << 16)).contains(configuration.imageSize) else {
            throw CrayonError(
                .usage, in: options.imageSize == nil ? file?.place ?? base.place : "--image-size",
                found: "pictures of \(configuration.imageSize) x \(configuration.imageSize)",
                expected: "\(configuration.patchSize), the size of a patch, to \(1 << 16)")
        }
        let preprocessor = try preprocessor(vision ?? base)
        let mean = try preprocessor.map { reader throws(CrayonError) in
            try CrayonFileConfiguration.channels(reader, "image_mean")
        }
        let std = try preprocessor.map { reader throws(CrayonError) in
            try CrayonFileConfiguration.channels(reader, "image_std")
        }
        if let preprocessor { try readPreparation(preprocessor, &configuration) }
        configuration.imageMean = file?.imageMean ?? mean.flatMap { $0 } ?? configuration.imageMean
        configuration.imageStd = file?.imageStd ?? std.flatMap { $0 } ?? configuration.imageStd
        return configuration
    }

    private mutating func crayonSettings(
        _ vision: VisionConfiguration, _ sets: [LowRankSet]
    ) throws(CrayonError) -> CrayonConfiguration {
        let file = crayonConfiguration
        let known = file?.categories ?? PanopticCategory.cocoPanoptic
        let tables =
            base.description.crayonTables ?? crayon?.description.crayonTables
            ?? .init(width: vision.width, semanticRows: known.count + 1, numberingRows: 21)
        var categories = known
        if tables.semanticRows != known.count + 1 {
            if let file, file.categories != nil {
                throw CrayonError(
                    .mismatch, in: file.place, item: "key 'categories'", found: "\(known.count) categories",
                    expected: "\(tables.semanticRows - 1), one less than the semantic table has rows")
            }
            warnings.append(
                "\(base.place): the semantic table has \(tables.semanticRows) rows, COCO's panoptic categories call for "
                    + "\(known.count + 1); name the categories in \(CrayonFileConfiguration.fileName)")
            categories = (1..<max(tables.semanticRows, 1)).map {
                PanopticCategory(id: $0, name: "class \($0)", isThing: true)
            }
        }
        let readsCrayon = sets.contains { $0.input == .crayon }
        let entry = file?.entry ?? (readsCrayon ? .lowRank : .additive)
        if entry == .lowRank, !readsCrayon {
            throw CrayonError(
                .mismatch, in: file?.place ?? base.place, item: "key 'crayon_input'", found: "'low-rank'",
                expected: "'additive': no low-rank set of this model reads the crayon prompt")
        }
        return CrayonConfiguration(
            width: tables.width, semanticRows: tables.semanticRows, numberingRows: tables.numberingRows, entry: entry,
            gridSampling: file?.gridSampling ?? .centre, categories: categories)
    }

    private func prompt(hasVision: Bool) throws(CrayonError) -> PromptTemplate {
        if let name = options.promptTemplate {
            guard let template = PromptTemplate.builtIn.first(where: { $0.name == name }) else {
                throw CrayonError(
                    .usage, in: "--template", found: "'\(name)'",
                    expected: "one of " + PromptTemplate.builtIn.map(\.name).joined(separator: ", "))
            }
            return template
        }
        return crayonConfiguration?.promptTemplate ?? base.description.prompt ?? (hasVision ? .paper : .plain)
    }

    /// The small files of all parts; those that are not the backbone's under a folder of their part.
    func files() throws(CrayonError) -> [AuxiliaryFile] {
        var files: [AuxiliaryFile] = []
        func add(_ names: [String], of folder: FolderFiles, under prefix: String = "") throws(CrayonError) {
            for name in names where !files.contains(where: { $0.name == prefix + name }) {
                guard let file = try folder.bytes(name) else { continue }
                let small = AuxiliaryFile(name: prefix + name, region: file)
                files.append(name == "config.json" ? try small.withoutQuantization(in: folder.path) : small)
            }
        }
        try add(
            [
                "config.json", "generation_config.json", "tokenizer.model", "tokenizer_config.json",
                "added_tokens.json",
                "special_tokens_map.json", "preprocessor_config.json", "processor_config.json", "chat_template.jinja",
                "chat_template.json",
            ], of: base.folder)
        // Without a SentencePiece model there is nothing else to make an exported checkpoint speak.
        if !files.contains(where: { $0.name == "tokenizer.model" }) { try add(["tokenizer.json"], of: base.folder) }
        if let crayon { try add([CrayonFileConfiguration.fileName], of: crayon.folder) }
        try add([CrayonFileConfiguration.fileName], of: base.folder)
        if let vision { try add(["config.json", "preprocessor_config.json"], of: vision.folder, under: "vision/") }
        for adapter in adapters {
            files.append(
                AuxiliaryFile(
                    name: "adapters/\(adapter.set.name)/adapter_config.json", region: adapter.configurationFile.whole))
        }
        return files
    }
}
