public import Bytes
public import Checkpoints
public import Quantization
import Tensors

/// A checkpoint as a base: 16-bit, or 4-bit under bitsandbytes' names.
public struct CheckpointBase: BaseModel {
    public let checkpoint: any Checkpoint
    /// A folder stays one, with its configuration and tokenizer, where its weights are a single file.
    public let place: String
    public let weights: [BaseWeight]
    /// Whether weights that the files hold in another coding than NF4 are given out dequantized.
    let isDequantized: Bool
    private let quantized: Set<String>

    /// - Throws: `CrayonError` for a file or folder that is no checkpoint, and for quant states that make no sense.
    public init(path: String) throws(CrayonError) {
        let checkpoint = try openWeights(path, kinds: Set(QuantizedCheckpoint.Kind.allCases).subtracting([.nf4]))
        guard !(checkpoint is GGUFFile) else {
            throw CrayonError(
                .unsupported, in: path, found: "a GGUF file, whose names and rows are llama.cpp's",
                expected: "a checkpoint under Hugging Face's names",
                advice: "Make one of it first: crayon convert \(path) -o DIR.")
        }
        try self.init(checkpoint, place: path)
    }

    /// - Parameter place: what the user named; the checkpoint's own place where that is nil.
    public init(_ checkpoint: any Checkpoint, place: String? = nil) throws(CrayonError) {
        self.checkpoint = checkpoint
        self.place = place ?? checkpoint.place
        let stateSuffix = NF4Tensor.Component.quantState.rawValue
        let quantized = Set(
            checkpoint.names.filter { $0.hasSuffix(stateSuffix) }.map { String($0.dropLast(stateSuffix.count)) })
        let components = Set(
            quantized.flatMap { name in NF4Tensor.Component.allCases.map { name + $0.rawValue } })
        var weights: [BaseWeight] = []
        for name in checkpoint.names where !components.contains(name) {
            guard let entry = checkpoint.entry(name) else { continue }
            if quantized.contains(name) {
                let stored = try NF4Tensor(named: name, place: checkpoint.place) { (name) throws(CrayonError) in
                    try checkpoint.tensor(name)
                }
                weights.append(BaseWeight(name: name, shape: stored.shape, type: stored.sourceType, storage: .nf4))
            } else {
                weights.append(BaseWeight(name: name, shape: entry.shape, type: entry.type, storage: .dense))
            }
        }
        self.weights = weights
        isDequantized = checkpoint is QuantizedCheckpoint
        self.quantized = quantized
    }

    public var sourcePaths: [String] { checkpoint.sourceFiles.map(\.path) }
    public func checkUnchanged() throws(CrayonError) { try checkpoint.checkUnchanged() }

    public func stored(_ name: String) throws(CrayonError) -> StoredWeight {
        if quantized.contains(name) {
            return .nf4(
                try NF4Tensor(named: name, place: place) { (name) throws(CrayonError) in try checkpoint.tensor(name) })
        }
        guard let tensor = try checkpoint.tensor(name) else {
            throw CrayonError(.missing, in: place, item: "tensor '\(name)'", found: "nothing")
        }
        return .dense(tensor)
    }
}
