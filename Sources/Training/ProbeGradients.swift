import Architecture
import BundleFormat
public import Bytes
public import Checkpoints
public import Models
import Tensors

/// Loss and gradients of one recorded prompt: what any two implementations of the backward pass can be held against.
public enum ProbeGradients {
    /// What a pass gave.
    public struct Result: Sendable, Codable, Equatable {
        /// Mean cross-entropy over the labels, as PyTorch's `CrossEntropyLoss` has it.
        public var loss: Double
        public var targets: Int
        public var positions: Int
        /// Tensors whose gradient was written.
        public var tensors: Int
        /// Euclidean norm of all gradients together.
        public var norm: Double
    }

    /// Runs a probe forward and backward and writes `loss` and the gradient of every tensor that learns.
    ///
    /// The file: safetensors, F32, under the names that the tensors have in their source (`BundleManifest.sourceName` for a
    /// bundle), `loss` F32 `[1]` first. Where two have the same (the pairs of two PEFT folders), and for sets that never had a
    /// file, the role is the name. Gradients are of the mean over the labels.
    /// - Parameters:
    ///   - source: a bundle or a checkpoint.
    ///   - output: the file to write.
    /// - Throws: `CrayonError` for a part that the model lacks, a probe without labels, a file that cannot be written.
    public static func write(
        source: any ModelSource, probe: String, parts: [LearnablePart], options: VisionLanguageModel.Options,
        pass: TrainableModel.PassOptions, to output: String
    ) throws(CrayonError) -> Result {
        let recorded = try Probe(SafetensorsFile(path: probe), for: source.configuration)
        let sequence = try TrainingSequence(recorded, for: source.configuration)
        let roles = try LearnablePart.roles(parts, of: source, options: options)
        let model = try TrainableModel(source: source, learning: roles, options: options)
        let loss = try model.accumulate([sequence], options: pass)
        guard loss.targets > 0 else {
            throw CrayonError(
                .mismatch, in: probe, item: "tensor 'labels'", found: "no label that counts",
                expected: "at least one behind the first position")
        }
        model.learned.scaleGradients(by: 1 / Float(loss.targets))
        let mean = loss.loss / Double(loss.targets)
        let names = sourceNames(of: source)
        let counts = Dictionary(model.learned.tensors.map { (names[$0.role] ?? "", 1) }, uniquingKeysWith: +)
        var tensors = [Tensor(name: "loss", shape: Shape([1]), values: [Float(mean)])]
        for learned in model.learned.tensors {
            let name = names[learned.role].flatMap { counts[$0] == 1 ? $0 : nil } ?? learned.role.rawValue
            tensors.append(learned.gradient.tensor(named: name, shape: learned.shape))
        }
        try SafetensorsWriter.write(tensors, to: output)
        return Result(
            loss: mean, targets: loss.targets, positions: loss.positions, tensors: tensors.count - 1,
            norm: GradientNorm.of(model.learned))
    }

    private static func sourceNames(of source: any ModelSource) -> [Role: String] {
        switch source {
        case let bundle as BundleReader:
            Dictionary(bundle.manifest.weights.map { ($0.role, $0.sourceName) }) { first, _ in first }
        case let checkpoint as CheckpointModel:
            Dictionary(checkpoint.bindings.map { ($0.role, $0.sourceName) }) { first, _ in first }
        default: [:]
        }
    }
}
