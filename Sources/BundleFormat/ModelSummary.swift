public import Architecture
public import Bytes
import Checkpoints
import Tensors

/// What a file or folder holds, without reading its weights.
public struct ModelSummary: Codable, Sendable {
    public var path: String
    /// `bundle`, or `checkpoint` with the layout's name, or the kind of file for one that no layout knows.
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
        /// Of the elements as they are given out: dense, row-major, little-endian. Nil unless it was asked for.
        public var sha256: String?
    }

    /// One weight of a part.
    private struct Weight {
        var part: String
        var format: String
        var parameters: Int
        var bytes: Int
    }

    /// - Parameter digests: also read every tensor, for its SHA-256.
    /// - Throws: `CrayonError` for what cannot be opened, or a tensor that cannot be made out.
    public init(path: String, digests: Bool = false) throws(CrayonError) {
        let model: any ModelSource
        do {
            model = try openModel(path: path)
        } catch  where !path.hasSuffix(".crayon") {
            // Still worth a look: any file with tensors will do.
            // Parts that do not make up weights are shown as they lie.
            let checkpoint: any Checkpoint
            if let weights = try? openWeights(path) {
                checkpoint = weights
            } else {
                checkpoint = try openCheckpoint(path)
            }
            self.init(path: path, checkpoint: checkpoint, warning: error.description)
            if digests { try addDigests { name throws(CrayonError) in try Self.read(checkpoint, name) } }
            return
        }
        if let bundle = model as? BundleReader {
            self.init(path: path, bundle: bundle)
            if digests {
                try addDigests { name throws(CrayonError) in try Self.read(bundle.safetensors, name) }
            }
        } else if let checkpoint = model as? CheckpointModel {
            self.init(path: path, checkpoint: checkpoint)
            if digests {
                var index = 0
                try addDigests { _ throws(CrayonError) in
                    defer { index += 1 }
                    return try SHA256Digest.of(checkpoint.bindings[index].tensor().region)
                }
            }
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
        let layout = checkpoint.configuration.layout
        self.init(path: path, kind: "checkpoint (\(layout))\(Self.container(checkpoint))")
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
        self.init(path: path, kind: "\(checkpoint.format) of no known layout")
        byteCount = checkpoint.sourceFiles.reduce(0) { $0 + $1.byteCount }
        let all = checkpoint.names.compactMap { checkpoint.entry($0) }
        parts = Self.parts(
            all.map {
                Weight(part: "tensors", format: $0.encoding, parameters: $0.shape.count, bytes: $0.byteCount)
            })
        warnings = [warning]
        if let skipped = (checkpoint as? PyTorchFile)?.skipped, !skipped.isEmpty {
            warnings.append(
                "\(checkpoint.place): \(skipped.count) members without tensors, skipped: "
                    + skipped.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (skipped.count > 20 ? ", …" : ""))
        }
        tensors = all.map { Self.summary($0, nil) }
    }

    /// What kind of files the main source is, where it is not safetensors.
    private static func container(_ checkpoint: CheckpointModel) -> String {
        guard let source = checkpoint.origins.first?.checkpoint else { return "" }
        let format = source is GGUFModel ? "GGUF" : source.format
        return ["safetensors", "tensors"].contains(format) ? "" : ", \(format)"
    }

    /// In the order of `tensors`.
    private mutating func addDigests(_ digest: (String) throws(CrayonError) -> SHA256Digest?) throws(CrayonError) {
        for index in tensors.indices { tensors[index].sha256 = try digest(tensors[index].name)?.description }
    }

    private static func read(_ checkpoint: any Checkpoint, _ name: String) throws(CrayonError) -> SHA256Digest? {
        checkpoint.willNeed(name)
        defer { checkpoint.dontNeed(name) }
        return try checkpoint.tensor(name).map { SHA256Digest.of($0.region) }
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
