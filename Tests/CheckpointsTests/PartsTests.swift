import Architecture
import Bytes
import Checkpoints
import Tensors
import Testing

/// A model put together from a backbone, a CLIP folder, a crayon file and LoRA folders.
@Suite struct PartsTests {
    private let backbone = FixtureModels.path("parts/backbone")
    private let clip = FixtureModels.path("clip")
    private let crayon = FixtureModels.path("parts/crayon.safetensors")

    private func parts(crayon: Bool = true, adapters: [(name: String, path: String)] = []) -> CheckpointParts {
        CheckpointParts(
            backbone: backbone, vision: clip, crayon: crayon ? self.crayon : nil, adapters: adapters)
    }

    @Test func allOfThem() throws {
        let adapters = ["object", "language"].map { (name: $0, path: FixtureModels.path("parts/\($0)")) }
        let model = try CheckpointModel.open(parts(adapters: adapters), options: .init(imageSize: 42))
        let configuration = model.configuration
        #expect(configuration.layout == "internlm2")
        let kinds: [CheckpointModel.Origin.Kind] = [.backbone, .vision, .crayon, .adapter, .adapter]
        #expect(model.origins.map(\.kind) == kinds && model.warnings.isEmpty)
        var counts: [Part: [Int]] = [:]
        for binding in model.bindings {
            counts[binding.part, default: [Int](repeating: 0, count: kinds.count)][binding.origin] += 1
        }
        #expect(
            counts == [
                .embeddings: [1, 0, 0, 0, 0], .backbone: [19, 0, 0, 0, 0], .head: [1, 0, 0, 0, 0],
                .vision: [0, 39, 0, 0, 0], .crayon: [0, 0, 2, 0, 0], .projectors: [0, 0, 8, 0, 0],
                .adapters: [0, 0, 0, 20, 12],
            ])
        // CLIP's text tower and its contrastive head, for a reason each.
        #expect(model.unused.count == 62 - 39 && model.unused.allSatisfy { $0.reason != nil })
        #expect(model.unused.contains { $0.name == "logit_scale" })

        // 4 x 4 patches in the file, 6 x 6 for pictures of 42: the table is resized when it is used.
        let vision = try #require(configuration.vision)
        #expect(vision.positionRows == 17 && vision.gridSize == 6 && vision.imageSize == 42 && vision.headCount == 3)
        #expect(model.binding(.positionEmbedding)?.shape == Shape([17, 36]))
        #expect(configuration.crayon?.entry == .additive && configuration.crayon?.categories.count == 133)
        #expect(configuration.prompt == .paper && configuration.tokens.image == 69)

        let object = configuration.lowRankSets[0]
        #expect(object.name == "object" && object.rank == 4 && object.alpha == 8 && !object.isRankStabilized)
        #expect(
            object.modules == [.qkv, .output, .gate, .up, .down] && object.scope == .all && object.input == .hidden)
        #expect(object.scale(layer: 1, module: .qkv) == 2 && object.exceptions.isEmpty)
        let language = configuration.lowRankSets[1]
        #expect(language.rank == 9 && language.isRankStabilized && language.modules == [.qkv, .output, .down])
        #expect(language.scale(layer: 0, module: .output) == 2)

        let names = Set(model.files.map(\.name))
        #expect(names.isSuperset(of: ["config.json", "vision/config.json", "adapters/object/adapter_config.json"]))
    }

    @Test func exceptionsOfAnAdapter() throws {
        let model = try CheckpointModel.open(
            CheckpointParts(
                backbone: FixtureModels.path("llama"),
                adapters: [("style", FixtureModels.path("llama-lora/style"))]))
        let set = try #require(model.configuration.lowRankSets.first)
        #expect(set.modules == [.query, .key, .value, .output, .gate, .down] && set.rank == 5 && set.alpha == 7)
        #expect(set.rank(layer: 1, module: .query) == 2 && set.rank(layer: 0, module: .query) == 5)
        #expect(set.rank(layer: 0, module: .down) == 3 && set.scale(layer: 0, module: .down) == Float(7.0 / 3))
        #expect(set.scale(layer: 1, module: .output) == Float(11.0 / 5))
        #expect(
            set.scale(layer: 0, module: .gate) == Float(4.0 / 5) && set.scale(layer: 1, module: .gate) == Float(7.0 / 5)
        )
        #expect(model.binding(.adapter("style", 1, .key, .a))?.shape == Shape([2, 48]))
    }

    @Test func freshWeightsComeFromTheSeed() throws {
        func fresh(_ seed: UInt64) throws -> CheckpointModel {
            try CheckpointModel.open(parts(crayon: false), options: .init(seed: seed))
        }
        func values(_ model: CheckpointModel) throws -> [Role: [UInt8]] {
            let made = model.bindings.filter { $0.part == .crayon || $0.part == .projectors }
            #expect(made.count == 10 && made.allSatisfy { model.origins[$0.origin].kind == .fresh })
            return Dictionary(uniqueKeysWithValues: try made.map { ($0.role, try $0.tensor().region.array) })
        }
        let first = try fresh(1)
        #expect(first.origins.map(\.kind) == [.backbone, .vision, .fresh])
        #expect(first.warnings.count == 1 && first.warnings[0].contains("seed 1"))
        #expect(first.warnings[0].contains("crayon queries") && first.warnings[0].contains("crayon projector"))
        let again = try values(fresh(1))
        #expect(try values(first) == again)
        let other = try values(fresh(2))
        for (role, bytes) in again {
            let isBias = role.rawValue.hasSuffix(".bias")
            #expect((other[role] == bytes) == isBias, "\(role)")
            #expect(bytes.allSatisfy { $0 == 0 } == isBias, "\(role)")
        }
        // No two of them are the same draw.
        #expect(again[.projector(.image, 2, .weight)] != again[.projector(.crayon, 2, .weight)])

        let table = try #require(first.binding(.semanticTable)).tensor()
        #expect(table.shape == Shape([134, 36]) && table.type == .f32)
        let floats = table.region.buffer.withMemoryRebound(to: Float.self) { Array($0) }
        let mean = floats.reduce(0.0) { $0 + Double($1) } / Double(floats.count)
        let deviation = (floats.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(floats.count))
            .squareRoot()
        #expect(mean.magnitude < 0.002 && (deviation - 0.02).magnitude < 0.001)
    }

    /// Projectors alone, say of a pretrained LLaVA: the queries are made, the projectors kept.
    @Test func aCrayonFileWithoutQueries() throws {
        let folder = TemporaryFolder()
        let file = try SafetensorsFile(path: crayon)
        let some = file.names.filter { $0.hasPrefix("vision_proj.") }.compactMap { file.tensor($0) }
        try SafetensorsWriter.write(some, to: folder.file("projector.safetensors"))
        let model = try CheckpointModel.open(
            CheckpointParts(backbone: backbone, vision: clip, crayon: folder.file("projector.safetensors")))
        #expect(model.origins.map(\.kind) == [.backbone, .vision, .crayon, .fresh])
        let origins = { (role: Role) in model.binding(role).map { model.origins[$0.origin].kind } }
        #expect(origins(.projector(.image, 0, .weight)) == .crayon)
        #expect(origins(.projector(.crayon, 0, .weight)) == .fresh && origins(.semanticTable) == .fresh)
        // Half a projector is an accident, not a wish for a new one.
        let half = file.names.filter { $0.hasPrefix("vision_proj.0") }.compactMap { file.tensor($0) }
        try SafetensorsWriter.write(half, to: folder.file("half.safetensors"))
        let error = #expect(throws: CrayonError.self) {
            try CheckpointModel.open(
                CheckpointParts(backbone: backbone, vision: clip, crayon: folder.file("half.safetensors")))
        }
        #expect(error?.code == .missing && error?.found.contains("vision_proj.2.weight") == true)
        #expect(error?.place == folder.file("half.safetensors"))
    }

    @Test func imageSizes() throws {
        func vision(_ options: CheckpointOptions) throws -> VisionConfiguration? {
            try CheckpointModel.open(parts(), options: options).configuration.vision
        }
        #expect(try vision(.init())?.imageSize == 28)
        #expect(try vision(.init(imageSize: 21))?.gridSize == 3)
        // A margin that fills no patch is cut off by the convolution.
        #expect(try vision(.init(imageSize: 30))?.gridSize == 4)
        for size in [6, 1 << 17] {
            let error = #expect(throws: CrayonError.self) { try vision(.init(imageSize: size)) }
            #expect(error?.place == "--image-size")
        }
    }

    @Test func partsThatDoNotGoTogether() throws {
        func error(_ parts: CheckpointParts, _ options: CheckpointOptions = .init()) -> CrayonError? {
            #expect(throws: CrayonError.self) { try CheckpointModel.open(parts, options: options) }
        }
        #expect(error(CheckpointParts())?.code == .usage)
        #expect(error(CheckpointParts(checkpoint: backbone, backbone: backbone))?.place == "--backbone")
        #expect(error(CheckpointParts(backbone: backbone, crayon: crayon))?.place == "--crayon")
        #expect(error(CheckpointParts(backbone: clip))?.code == .usage)
        #expect(error(CheckpointParts(backbone: backbone, vision: backbone))?.code == .usage)
        #expect(error(CheckpointParts(backbone: backbone, vision: clip, crayon: clip))?.place.hasPrefix(clip) == true)
        // Projectors for a backbone of another width.
        let width = error(
            CheckpointParts(backbone: FixtureModels.path("qwen2"), vision: clip, crayon: crayon))
        #expect(width?.code == .mismatch && width?.item?.contains("vision_proj") == true && width?.place == crayon)
        let object = FixtureModels.path("parts/object")
        for names in [["a", "a"], [""], ["a b"], ["../a"]] {
            let twice = error(CheckpointParts(backbone: backbone, adapters: names.map { ($0, object) }))
            #expect(twice?.place == "--adapter", "\(names)")
        }
        // The published checkpoint has sets of its own, under these names.
        let taken = error(
            CheckpointParts(checkpoint: FixtureModels.path("collavo-grouped"), adapters: [("image", object)]))
        #expect(taken?.place == "--adapter")
        #expect(error(parts(), .init(promptTemplate: "nobody's"))?.place == "--template")
    }
}
