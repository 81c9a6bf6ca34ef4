public import Bytes
import JSON
public import Quantization
public import Tensors

/// A checkpoint with quantized weights, as the weights that they stand for: bitsandbytes' 4 and 8 bits, GPTQ and AWQ.
///
/// Codes, scales and what else belongs to a weight are one entry under the weight's name. `weight` gives bitsandbytes' as they
/// are stored; GPTQ and AWQ, whose groups lie across the rows that the kernels read, are dequantized whenever they are asked for.
/// See `Formats/quantized-checkpoints.md`.
public struct QuantizedCheckpoint: Checkpoint {
    /// The tensors as the files have them.
    public let stored: any Checkpoint
    /// In the order of the files: quantized weights stand where the first of their tensors does.
    public let names: [String]
    private let listed: Set<String>
    private let weights: [String: any QuantizedWeight]

    /// The checkpoint itself where nothing in it is quantized.
    /// - Parameters:
    ///   - configuration: the `quantization_config` of its config.json; GPTQ and AWQ say there how they are laid out.
    ///   - kinds: what to put together; others stay as they are.
    /// - Throws: `CrayonError` naming the tensor for weights whose parts are missing or do not fit each other.
    static func reading(
        _ stored: any Checkpoint, configuration: JSONReader? = nil, kinds: Set<Kind> = Set(Kind.allCases)
    ) throws(CrayonError) -> any Checkpoint {
        let groups = try GroupedIntegers.Form(configuration)
        var weights: [String: any QuantizedWeight] = [:]
        for name in stored.names {
            guard let (kind, module) = Kind.recognise(name), kinds.contains(kind) else { continue }
            let weight: any QuantizedWeight =
                switch kind {
                case .nf4, .fp4: try BlockwiseWeight(module, in: stored)
                case .llmInt8: try VectorwiseWeight(module, in: stored)
                case .grouped: try GroupedIntegers(module, in: stored, form: groups)
                }
            guard weights.updateValue(weight, forKey: weight.entry.name) == nil else {
                throw CrayonError(
                    .malformed, in: stored.file(of: name), item: "tensor '\(name)'",
                    found: "a second description of '\(weight.entry.name)'", expected: "one")
            }
        }
        return weights.isEmpty ? stored : QuantizedCheckpoint(stored, weights)
    }

    /// Codings by the tensor that gives them away.
    public enum Kind: CaseIterable, Sendable {
        case nf4
        case fp4
        case llmInt8
        /// GPTQ and AWQ
        case grouped

        /// - Returns: the coding, and the path of the module that the tensor belongs to.
        static func recognise(_ name: String) -> (kind: Kind, module: String)? {
            let marks: [(String, Kind)] = [
                (".weight.quant_state.bitsandbytes__nf4", .nf4), (".weight.quant_state.bitsandbytes__fp4", .fp4),
                (".SCB", .llmInt8), (".qweight", .grouped),
            ]
            for (mark, kind) in marks where name.hasSuffix(mark) { return (kind, String(name.dropLast(mark.count))) }
            return nil
        }
    }

    private init(_ stored: any Checkpoint, _ weights: [String: any QuantizedWeight]) {
        self.stored = stored
        self.weights = weights
        var owners: [String: String] = [:]
        for (name, weight) in weights {
            for component in weight.components { owners[component] = name }
        }
        var seen: Set<String> = []
        names = stored.names.compactMap { name in
            let owner = owners[name] ?? name
            return seen.insert(owner).inserted ? owner : nil
        }
        listed = seen
    }

    public var place: String { stored.place }
    public var format: String { stored.format }
    public var sourceFiles: [SourceFile] { stored.sourceFiles }
    public func checkUnchanged() throws(CrayonError) { try stored.checkUnchanged() }

    /// The stored tensors that a name stands for.
    public func components(of name: String) -> [String] { weights[name]?.components ?? [name] }

    public func file(of name: String) -> String { stored.file(of: components(of: name)[0]) }

    public func entry(_ name: String) -> TensorEntry? {
        guard let weight = weights[name] else { return listed.contains(name) ? stored.entry(name) : nil }
        return weight.entry
    }

    public func tensor(_ name: String) throws(CrayonError) -> Tensor? {
        guard let weight = weights[name] else { return listed.contains(name) ? try stored.tensor(name) : nil }
        return try weight.tensor()
    }

    public func weight(_ name: String) throws(CrayonError) -> StoredWeight? {
        guard let weight = weights[name] else { return listed.contains(name) ? try stored.weight(name) : nil }
        return try weight.weight()
    }

    public func willNeed(_ name: String) {
        for component in components(of: name) { stored.willNeed(component) }
    }

    public func dontNeed(_ name: String) {
        for component in components(of: name) { stored.dontNeed(component) }
    }
}

/// A weight that several tensors of a checkpoint make up.
protocol QuantizedWeight: Sendable {
    var entry: TensorEntry { get }
    /// The names of the tensors, codes first.
    var components: [String] { get }
    /// Dequantized to the type that it had.
    func tensor() throws(CrayonError) -> Tensor
    func weight() throws(CrayonError) -> StoredWeight
}

extension QuantizedWeight {
    /// Bytes of the components, and where the first begins.
    static func extent(_ components: [String], in stored: any Checkpoint) -> (byteCount: Int, offset: Int) {
        let entries = components.compactMap { stored.entry($0) }
        return (entries.reduce(0) { $0 + $1.byteCount }, entries.first?.offset ?? 0)
    }
}
