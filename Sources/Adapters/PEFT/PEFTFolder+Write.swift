public import Bytes
import Checkpoints
import Foundation
import JSON
import Tensors

extension PEFTFolder {
    /// Writes an adapter as a folder that PEFT loads, its numbers one tensor at a time.
    ///
    /// Pairs that act at image positions only, or on the crayon prompt, become a folder of a type that PEFT refuses.
    /// - Parameters:
    ///   - folder: created where it is not there.
    ///   - baseName: what `base_model_name_or_path` shall say; by default what the adapter knows.
    ///   - overwrites: whether an adapter that is there may be replaced.
    ///   - progress: called after each tensor with the bytes done and all of them.
    /// - Throws: `CrayonError` for what the format has no words for, and when the folder cannot be written.
    public static func write(
        _ adapter: Adapter, to folder: String, baseName: String? = nil, overwrites: Bool = false,
        progress: ((_ tensor: String, _ done: Int, _ total: Int) -> Void)? = nil
    ) throws(CrayonError) {
        let configuration = try configuration(of: adapter, baseName: baseName)
        let items = try items(of: adapter, configuration)
        let root = folder.count > 1 && folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        if !overwrites { try checkVacant(root) }
        let output = try OutputFolder(root, makesParents: true)
        do throws(CrayonError) {
            let writer = try SafetensorsWriter(
                path: "\(root)/\(PEFTFiles.weightsName)", declarations: items.map(\.declaration))
            let total = items.reduce(0) { $0 + $1.declaration.byteCount }
            var done = 0
            for item in items {
                let tensor = try item.fetch()
                try writer.write(tensor.named(item.declaration.name))
                done += item.declaration.byteCount
                progress?(item.declaration.name, done, total)
            }
            try adapter.checkUnchanged()
            try AtomicFile.write(Array(configuration.text.utf8), to: "\(root)/\(PEFTConfiguration.fileName)")
            if let card = adapter.files.first(where: { $0.name == PEFTFiles.modelCardName }) {
                try AtomicFile.write(card.region.array, to: "\(root)/\(PEFTFiles.modelCardName)")
            }
            // A folder that has its tensors is whole.
            try writer.commit()
        } catch {
            output.removeIfEmpty()
            throw error
        }
    }

    /// What the folder would say of the adapter: what it came with as long as that is true, else what is made from it.
    static func configuration(of adapter: Adapter, baseName: String?) throws(CrayonError) -> PEFTConfiguration {
        guard let file = adapter.files.first(where: { $0.name == PEFTConfiguration.fileName }) else {
            return try PEFTConfiguration(describing: adapter, baseName: baseName ?? adapter.baseName)
        }
        var object = try JSONReader(JSONValue.parse(file.region, name: file.name), place: adapter.place).object
        if let baseName { object["base_model_name_or_path"] = .string(baseName) }
        let carried = try PEFTConfiguration(object, place: "\(adapter.place): \(file.name)")
        if carried.describes(adapter) { return carried }
        return try PEFTConfiguration(describing: adapter, baseName: baseName ?? carried.baseModelName)
    }

    /// A tensor to be written.
    private struct Item {
        let declaration: SafetensorsWriter.Declaration
        let fetch: () throws(CrayonError) -> Tensor

        init(_ name: PEFTTensorName, _ factor: AdapterFactor, isRestricted: Bool) {
            declaration = .init(name: name.key(isRestricted: isRestricted), type: factor.type, shape: factor.shape)
            fetch = { () throws(CrayonError) in try factor.tensor() }
        }
    }

    /// All tensors in the order of the safetensors library: types by falling width, then names.
    private static func items(
        of adapter: Adapter, _ configuration: PEFTConfiguration
    ) throws(CrayonError) -> [Item] {
        let isRestricted = configuration.restriction != nil
        var items: [Item] = []
        for module in adapter.modules {
            func add(_ kind: PEFTTensorName.Kind, _ factor: AdapterFactor) {
                items.append(Item(.init(path: module.path, kind: kind), factor, isRestricted: isRestricted))
            }
            let isEmbedding = module.kind == .embedding
            add(isEmbedding ? .embeddingA : .a, module.a)
            add(isEmbedding ? .embeddingB : .b, module.b)
            if let magnitude = module.magnitude { add(.magnitude, AdapterFactor(magnitude)) }
            if configuration.hasPairBiases { add(.pairBias, AdapterFactor(module.bias ?? module.zeroBias)) }
        }
        let pairs = Set(adapter.modules.map(\.path))
        for replacement in adapter.replacements {
            let name = PEFTTensorName(replacing: replacement.name, pairs: pairs)
            items.append(Item(name, AdapterFactor(replacement.tensor), isRestricted: isRestricted))
        }
        let types: [ElementType] = [.f64, .f32, .bf16, .f16]
        return items.sorted { left, right in
            let a = types.firstIndex(of: left.declaration.type) ?? types.count
            let b = types.firstIndex(of: right.declaration.type) ?? types.count
            return a != b
                ? a < b
                : left.declaration.name.utf8.lexicographicallyPrecedes(right.declaration.name.utf8)
        }
    }

    /// That no adapter lies in the folder: what a long job wants to know before it begins.
    static func checkVacant(_ folder: String) throws(CrayonError) {
        for name in [PEFTConfiguration.fileName, PEFTFiles.weightsName]
        where FileManager.default.fileExists(atPath: "\(folder)/\(name)") {
            throw CrayonError(
                .usage, in: "\(folder)/\(name)", found: "a file that is already there",
                expected: "a new or empty folder", advice: "Name another folder, or give --overwrite.")
        }
    }
}

extension PEFTTensorName {
    /// The name under which PEFT keeps a parameter of the base whole.
    init(replacing name: String, pairs: Set<String>) {
        let dot = name.lastIndex(of: ".") ?? name.startIndex
        let path = String(name[..<dot])
        let parameter = String(name[dot...].drop { $0 == "." })
        self.init(path: path, kind: pairs.contains(path) ? .beside(parameter) : .instead(parameter))
    }
}

extension AdapterModule {
    /// What stands for a bias where only other modules have one.
    var zeroBias: Tensor {
        let shape = Shape([b.shape[0]])
        return Tensor(
            name: "bias", type: b.type, shape: shape, region: ByteBuffer(count: shape.count * b.type.byteCount).region)
    }
}
