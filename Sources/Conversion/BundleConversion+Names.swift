import Architecture
import Bytes
import Checkpoints
import Tensors

extension BundleConversion {
    /// Bindings in the order of their files, so that a disk reads forwards.
    static func inFileOrder(_ model: CheckpointModel) -> [Binding] {
        var fileIndex: [String: Int] = [:]
        for origin in model.origins {
            for file in origin.checkpoint?.sourceFiles ?? [] where fileIndex[file.path] == nil {
                fileIndex[file.path] = fileIndex.count
            }
        }
        let keyed = model.bindings.enumerated().map { index, binding in
            let checkpoint = checkpoint(of: binding, in: model)
            return (
                binding: binding, file: checkpoint.flatMap { fileIndex[$0.file(of: binding.sourceName)] } ?? .max,
                offset: checkpoint == nil ? index : binding.entry.offset, index: index
            )
        }
        return keyed.sorted { ($0.file, $0.offset, $0.index) < ($1.file, $1.offset, $1.index) }.map(\.binding)
    }

    static func sourceFiles(of model: CheckpointModel) -> [(file: SourceFile, origin: String)] {
        var seen: Set<String> = []
        return model.origins.enumerated().flatMap { index, origin in
            let folder = model.bindings.first { $0.origin == index }.map { Self.folder(of: $0, in: model) } ?? ""
            return (origin.checkpoint?.sourceFiles ?? []).filter { seen.insert($0.path).inserted }.map { ($0, folder) }
        }
    }

    static func checkpoint(of binding: Binding, in model: CheckpointModel) -> (any Checkpoint)? {
        model.origins[binding.origin].checkpoint
    }

    /// The folder that `export` puts a weight's file in: the parts given apart have their own.
    static func folder(of binding: Binding, in model: CheckpointModel) -> String {
        switch model.origins[binding.origin].kind {
        case .checkpoint, .backbone: ""
        case .vision: "vision"
        case .crayon: "crayon"
        case .adapter: "adapters/\(binding.setName)"
        case .fresh: binding.part == .adapters ? "adapters/\(binding.setName)" : "crayon"
        }
    }

    /// Names are the source's; PEFT gives every set the same ones, so those of adapters are told apart.
    static func name(of binding: Binding, in model: CheckpointModel) -> String {
        switch model.origins[binding.origin].kind {
        case .adapter: "adapters.\(binding.setName).\(binding.sourceName)"
        case .checkpoint, .backbone, .vision, .crayon, .fresh: binding.sourceName
        }
    }
}

extension Binding {
    /// `SET` of `adapters.SET.layers…`.
    fileprivate var setName: String {
        let parts = role.rawValue.split(separator: ".")
        return parts.count > 1 ? String(parts[1]) : ""
    }
}
