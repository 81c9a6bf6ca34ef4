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
    /// Where weights that come later are noted.
    private let orders = WeightOrders()
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
        _ = try check(weight.shape, role)
        return weight
    }

    private func check(_ shape: Shape, _ role: Role) throws(CrayonError) -> Parameter {
        guard let parameter = parameters[role] else {
            preconditionFailure("'\(role)' is not a parameter of the configuration")
        }
        guard shape == parameter.shape else {
            throw CrayonError(
                .mismatch, in: source.place, item: role.rawValue, found: "shape \(shape)",
                expected: "shape \(parameter.shape)")
        }
        return parameter
    }

    /// The weight, whose elements may come later.
    /// - Parameter forPictures: whether it is needed only where there is a picture, though it belongs to the backbone.
    private func ordered(
        _ role: Role, forPictures: Bool = false
    ) throws(CrayonError) -> (weight: StoredWeight, arrival: WeightArrival?) {
        guard learned?[role] == nil, let deferred = try source.deferredWeight(role) else {
            return (try weight(role), nil)
        }
        let part = try check(deferred.tensor.shape, role).part
        let arrival = WeightArrival(deferred, failures: orders.failures)
        switch part {
        case .vision, .projectors, .crayon: orders.pictures.append(arrival)
        case .embeddings: orders.last.append(arrival)
        case .backbone, .adapters, .head:
            if forPictures { orders.pictures.append(arrival) } else { orders.text.append(arrival) }
        }
        return (.dense(deferred.tensor), arrival)
    }

    /// What was ordered so far, to be brought.
    func supply() -> WeightSupply {
        // Of the embeddings a prompt needs a few rows, which it makes itself.
        WeightSupply(pictures: orders.pictures, text: orders.text + orders.last, failures: orders.failures)
    }

    /// Counts of the linear layers made so far.
    var reads: [(role: Role, reads: WeightReads)] { orders.reads }

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

    /// - Parameters:
    ///   - forPictures: whether it is needed only where there is a picture, though it belongs to the backbone.
    ///   - seesManyRows: whether it pays to convert a dense weight for products in integers; one that learns stays, and one that
    ///     gradients go back through must.
    func linear(
        _ weight: Role, bias: Role? = nil, forPictures: Bool = false, seesManyRows: Bool = false
    ) throws(CrayonError) -> Linear {
        let (stored, arrival) = try ordered(weight, forPictures: forPictures)
        let bias = try bias.map { role throws(CrayonError) in try row(role) }
        return noted(
            weight,
            Linear(
                weight: stored, bias: bias, arithmetic: arithmetic,
                convertsDense: seesManyRows && learned?[weight] == nil, arrival: arrival))
    }

    func table(_ role: Role) throws(CrayonError) -> WeightTable {
        let (weight, arrival) = try ordered(role)
        return WeightTable(weight, arrival: arrival)
    }

    /// The output head, over the embeddings' table where it is tied to that.
    func head(_ backbone: BackboneConfiguration, embeddings: WeightTable) throws(CrayonError) -> Linear {
        let (weight, arrival) =
            backbone.isHeadTied ? (embeddings.weight, embeddings.arrival) : try ordered(.head)
        return noted(
            .head,
            Linear(weight: weight, outputs: backbone.vocabularySize, arithmetic: arithmetic, arrival: arrival))
    }

    private func noted(_ role: Role, _ linear: Linear) -> Linear {
        orders.reads.append((role, linear.reads))
        return linear
    }

    func layerNorm(_ weight: Role, _ bias: Role, epsilon: Float) throws(CrayonError) -> LayerNorm {
        LayerNorm(weight: try vector(weight), bias: try vector(bias), epsilon: epsilon)
    }
}

/// What a loader has noted while a model is made, by one thread.
private final class WeightOrders {
    let failures = WeightFailures()
    var pictures: [WeightArrival] = []
    var text: [WeightArrival] = []
    var last: [WeightArrival] = []
    var reads: [(role: Role, reads: WeightReads)] = []
}
