import Architecture
import BundleFormat
import Bytes
import Checkpoints
import Tensors

/// A tensor of an export, and what it is made from.
struct ExportedTensor {
    enum Content {
        /// Bytes of the bundle as they are.
        case stored(Tensor)
        /// A losslessly packed weight, unpacked.
        case unpacked(BundleWeight)
        /// A quantized weight, as numbers.
        case dequantized(BundleWeight)
    }

    let name: String
    let type: ElementType
    let shape: Shape
    let content: Content

    var declaration: SafetensorsWriter.Declaration { .init(name: name, type: type, shape: shape) }
}

/// A folder of an export with weights in it.
struct ExportFolder {
    /// Below the output folder; empty for that itself.
    let path: String
    var tensors: [ExportedTensor] = []

    private var isAdapter: Bool { path.hasPrefix("adapters/") }
    /// PEFT reads one file of this name.
    var baseName: String { isAdapter ? "adapter_model" : "model" }
    var isSharded: Bool { !isAdapter }
    var weightsName: String { (path.isEmpty ? "" : path + "/") + baseName + ".safetensors" }
}

/// Everything that an export consists of, known before the first byte is written.
struct ExportPlan {
    /// The main folder first.
    private(set) var folders: [ExportFolder] = [ExportFolder(path: "")]
    private(set) var files: [(name: String, bytes: [UInt8])] = []
    private(set) var warnings: [String] = []

    var byteCount: Int {
        folders.reduce(0) { $0 + $1.tensors.reduce(0) { $0 + $1.declaration.byteCount } }
    }

    init(_ bundle: BundleReader, options: ExportOptions) throws(CrayonError) {
        guard options.shardLimit > 0 else {
            throw CrayonError(.usage, in: "--shard-size", found: "\(options.shardLimit)", expected: "a positive size")
        }
        switch options.format {
        case .safetensors:
            for weight in bundle.manifest.weights {
                try add(Self.tensor(weight, of: bundle, type: options.type), to: weight.origin)
            }
            files = bundle.files.map { ($0.name, $0.region.array) }
        case .bitsandbytes:
            guard options.type == .source else {
                throw CrayonError(
                    .usage, in: "--type", found: "'\(options.type.rawValue)' with the format bitsandbytes",
                    expected:
                        "'source': its quantized weights stay as they are, and all others have their source's type")
            }
            try addBitsandbytes(bundle)
        }
        folders.removeAll { $0.tensors.isEmpty }
        try checkNames(bundle.place)
    }

    private mutating func addBitsandbytes(_ bundle: BundleReader) throws(CrayonError) {
        let checkpoint = try BitsandbytesCheckpoint(bundle)
        for weight in bundle.manifest.weights where weight.origin.isEmpty {
            if let tensors = try checkpoint.tensors(of: weight, in: bundle) {
                for tensor in tensors { add(tensor, to: "") }
            } else {
                add(try Self.tensor(weight, of: bundle, type: .source), to: "")
            }
        }
        warnings = checkpoint.warnings
        for file in bundle.files where checkpoint.carries(file.name) {
            let isConfiguration = file.name == "config.json"
            files.append((file.name, isConfiguration ? Array(checkpoint.configurationText.utf8) : file.region.array))
        }
    }

    private mutating func add(_ tensor: ExportedTensor, to path: String) {
        let index = folders.firstIndex { $0.path == path } ?? folders.endIndex
        if index == folders.endIndex { folders.append(ExportFolder(path: path)) }
        folders[index].tensors.append(tensor)
    }

    /// A weight as one tensor under its source name.
    private static func tensor(
        _ weight: BundleWeight, of bundle: BundleReader, type: ExportOptions.DequantizedType
    ) throws(CrayonError) -> ExportedTensor {
        let shape = Shape(weight.coding.shape)
        switch weight.coding.kind {
        case .plain:
            guard let tensor = bundle.tensor(weight.name) else {
                throw CrayonError(.missing, in: bundle.place, item: "tensor '\(weight.name)'", found: "nothing")
            }
            return ExportedTensor(name: weight.sourceName, type: tensor.type, shape: shape, content: .stored(tensor))
        case .packed:
            return ExportedTensor(
                name: weight.sourceName, type: weight.coding.type, shape: shape, content: .unpacked(weight))
        case .nf4, .fp4, .int8:
            let target: ElementType =
                switch type {
                case .source: weight.coding.type
                case .f32: .f32
                case .f16: .f16
                case .bf16: .bf16
                }
            return ExportedTensor(name: weight.sourceName, type: target, shape: shape, content: .dequantized(weight))
        }
    }

    /// Names come from the bundle: none may stand for two things.
    private func checkNames(_ place: String) throws(CrayonError) {
        var taken: Set<String> = []
        for name in files.map(\.name) + folders.map(\.weightsName) where !taken.insert(name).inserted {
            throw CrayonError(
                .malformed, in: place, item: "file '\(name)'", found: "a name that two files of the export would have")
        }
    }
}
