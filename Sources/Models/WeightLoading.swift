import Architecture
import Bytes
import Checkpoints
import Layers
import Quantization
import Tensors

/// Asks a source for the weights of layers, and checks that they have the shapes that the configuration gives.
struct WeightLoader {
    let source: any ModelSource
    /// Weights that learn: they stand in for the source's, where they lie.
    let learned: LearnedTensors?
    /// Of the layers' products with weights.
    let arithmetic: Arithmetic
    private let parameters: [Role: Parameter]

    init(_ source: any ModelSource, learned: LearnedTensors? = nil, arithmetic: Arithmetic = .float32) {
        self.source = source
        self.learned = learned
        self.arithmetic = arithmetic
        parameters = Dictionary(source.configuration.parameters.map { ($0.role, $0) }) { first, _ in first }
    }

    /// - Throws: `CrayonError` when the weight is absent or has another shape.
    func weight(_ role: Role) throws(CrayonError) -> StoredWeight {
        if let own = learned?[role] {
            return .dense(own.value.tensor(named: role.rawValue, shape: own.shape))
        }
        guard let weight = try source.weight(role) else {
            throw CrayonError(.missing, in: source.place, item: role.rawValue, found: "no such weight")
        }
        guard let parameter = parameters[role] else {
            preconditionFailure("'\(role)' is not a parameter of the configuration")
        }
        guard weight.shape == parameter.shape else {
            throw CrayonError(
                .mismatch, in: source.place, item: role.rawValue, found: "shape \(weight.shape)",
                expected: "shape \(parameter.shape)")
        }
        return weight
    }

    /// All of a small tensor, widened to float32.
    func vector(_ role: Role) throws(CrayonError) -> [Float] { try row(role).values }

    /// The same where it may change: one row.
    private func row(_ role: Role) throws(CrayonError) -> Matrix {
        if let own = learned?[role] { return own.value }
        let weight = try weight(role)
        let row = Matrix(rows: 1, columns: weight.shape.count)
        if row.count > 0 { weight.dequantize(elements: 0..<row.count, into: row.pointer) }
        return row
    }

    /// - Parameter seesManyRows: whether it pays to convert a dense weight for products in integers; one that learns stays.
    func linear(_ weight: Role, bias: Role? = nil, seesManyRows: Bool = false) throws(CrayonError) -> Linear {
        Linear(
            weight: try self.weight(weight), bias: try bias.map { role throws(CrayonError) in try row(role) },
            arithmetic: arithmetic, convertsDense: seesManyRows && learned?[weight] == nil)
    }

    func layerNorm(_ weight: Role, _ bias: Role, epsilon: Float) throws(CrayonError) -> LayerNorm {
        LayerNorm(weight: try vector(weight), bias: try vector(bias), epsilon: epsilon)
    }
}
