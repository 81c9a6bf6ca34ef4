public import Architecture
public import Bytes
import Checkpoints
import Tensors

/// What a file or folder holds, without reading its weights.
public struct ModelSummary: Codable, Sendable {
    public var path: String
    /// `bundle`, or `checkpoint` with the layout's name, or `safetensors` or `GGUF` for one that no layout knows.
    public var kind: String
    public var byteCount: Int
    public var configuration: ModelConfiguration?
    public var parts: [PartSummary]
    public var files: [String]
    public var probes: [ProbeSummary]
    /// One line for each step.
    public var history: [String]
    /// Tensors that play no role.
    public var unused: [String]
    public var warnings: [String]
    public var tensors: [TensorSummary]

    public struct PartSummary: Codable, Sendable {
        public var name: String
        /// How its weights are stored, commonest first.
        public var formats: [String]
        public var tensorCount: Int
        public var parameterCount: Int
        public var byteCount: Int
    }

    public struct ProbeSummary: Codable, Sendable {
        public var name: String
        public var relativeError: Double?
    }

    public struct TensorSummary: Codable, Sendable {
        public var name: String
        public var type: String
        public var shape: [Int]
        public var byteCount: Int
        public var role: String?
    }

    /// One weight of a part.
    private struct Weight {
        var part: String
        var format: String
        var parameters: Int
        var bytes: Int
    }

    /// - Throws: `CrayonError` for what cannot be opened.
    public init(path: String) throws(CrayonError) {
        let model: any ModelSource
        do {
            model = try openModel(path: path)
        } catch  where !path.hasSuffix(".crayon") {
            // Still worth a look: any safetensors or GGUF will do.
            let checkpoint = try openCheckpoint(path)
            self.init(path: path, checkpoint: checkpoint, warning: error.description)
            return
        }
        if let bundle = model as? BundleReader {
            self.init(path: path, bundle: bundle)
        } else if let checkpoint = model as? CheckpointModel {
            self.init(path: path, checkpoint: checkpoint)
        } else {
            preconditionFailure("openModel returns bundles and checkpoints")
        }
    }

    private init(path: String, bundle: BundleReader) {
        self.init(path: path, kind: "bundle")
        byteCount = bundle.safetensors.mapping.count
        configuration = bundle.configuration
        var roles: [String: String] = [:]
        var weights: [Weight] = []
        for entry in bundle.manifest.weights {
            var bytes = 0
            for component in entry.coding.components {
                let name = entry.name + component.suffix
                roles[name] = entry.role.rawValue
                bytes += bundle.tensor(name)?.region.count ?? 0
            }
            weights.append(
                Weight(
                    part: entry.part.rawValue, format: entry.coding.label,
                    parameters: entry.coding.shape.reduce(1, *), bytes: bytes))
        }
        parts = Self.parts(weights)
        for section in bundle.manifest.sections where Part(rawValue: section.name) == nil && section.bytes > 0 {
            parts.append(
                PartSummary(
                    name: section.name, formats: [], tensorCount: section.tensors, parameterCount: 0,
                    byteCount: section.bytes))
        }
        files = bundle.manifest.files
        probes = bundle.manifest.probes.map { ProbeSummary(name: $0.name, relativeError: $0.relativeError) }
        history = bundle.manifest.history.map { step in
            let options = step.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            let sources = step.sources.map {
                "\($0.origin.isEmpty ? "" : $0.origin + "/")\($0.name) \($0.sha256.prefix(12))"
            }
            return
                "\(step.kind) by \(step.producer): \(options.joined(separator: " ")); from \(sources.joined(separator: ", "))"
        }
        tensors = bundle.safetensors.names.compactMap { bundle.safetensors.entry($0) }.map {
            Self.summary($0, roles[$0.name])
        }
    }

    private init(path: String, checkpoint: CheckpointModel) {
        self.init(path: path, kind: "checkpoint (\(checkpoint.configuration.layout))")
        configuration = checkpoint.configuration
        byteCount = checkpoint.origins.reduce(0) {
            $0 + ($1.checkpoint?.sourceFiles.reduce(0) { $0 + $1.byteCount } ?? 0)
        }
        parts = Self.parts(
            checkpoint.bindings.map {
                Weight(
                    part: $0.part.rawValue, format: $0.entry.encoding, parameters: $0.shape.count,
                    bytes: $0.entry.byteCount)
            })
        files = checkpoint.files.map(\.name)
        unused = checkpoint.unused.map { tensor in tensor.name + (tensor.reason.map { " (\($0))" } ?? "") }
        warnings = checkpoint.warnings
        tensors = checkpoint.bindings.map { Self.summary($0.entry, $0.role.rawValue) }
    }

    private init(path: String, checkpoint: any Checkpoint, warning: String) {
        self.init(path: path, kind: "\(checkpoint is GGUFFile ? "GGUF" : "safetensors") of no known layout")
        byteCount = checkpoint.sourceFiles.reduce(0) { $0 + $1.byteCount }
        let all = checkpoint.names.compactMap { checkpoint.entry($0) }
        parts = Self.parts(
            all.map {
                Weight(part: "tensors", format: $0.encoding, parameters: $0.shape.count, bytes: $0.byteCount)
            })
        warnings = [warning]
        tensors = all.map { Self.summary($0, nil) }
    }

    private init(path: String, kind: String) {
        self.path = path
        self.kind = kind
        byteCount = 0
        parts = []
        files = []
        probes = []
        history = []
        unused = []
        warnings = []
        tensors = []
    }

    private static func summary(_ entry: TensorEntry, _ role: String?) -> TensorSummary {
        TensorSummary(
            name: entry.name, type: entry.encoding, shape: entry.shape.dims, byteCount: entry.byteCount,
            role: role)
    }

    /// Sums by part, in the order of their first weight.
    private static func parts(_ weights: [Weight]) -> [PartSummary] {
        var order: [String] = []
        var groups: [String: [Weight]] = [:]
        for weight in weights {
            if groups[weight.part] == nil { order.append(weight.part) }
            groups[weight.part, default: []].append(weight)
        }
        return order.map { name in
            let group = groups[name] ?? []
            var bytes: [String: Int] = [:]
            for weight in group { bytes[weight.format, default: 0] += weight.bytes }
            return PartSummary(
                name: name, formats: bytes.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map(\.key),
                tensorCount: group.count, parameterCount: group.reduce(0) { $0 + $1.parameters },
                byteCount: group.reduce(0) { $0 + $1.bytes })
        }
    }
}
