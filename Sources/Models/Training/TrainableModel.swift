public import Architecture
public import Bytes
public import Checkpoints
import Layers
import Quantization
import Tensors

/// A model that learns: gradients of what was chosen, through a backbone that stays as it is stored.
///
///     let model = try TrainableModel(source: source, learning: Set(roles))
///     model.learned.clearGradients()
///     let loss = try model.accumulate(sequences)
///
/// For one thread at a time; it uses all cores itself, and its results do not depend on their number.
public final class TrainableModel {
    /// What a pass does beside the arithmetic.
    public struct PassOptions: Sendable, Equatable {
        public var checkpointing: GradientCheckpointing
        /// The share of a learning pair's inputs that become 0; 0 for none.
        public var dropout: Double
        /// Names the pass among all passes of a run: what dropout draws from.
        public var key: UInt64

        public init(checkpointing: GradientCheckpointing = .every(1), dropout: Double = 0, key: UInt64 = 0) {
            self.checkpointing = checkpointing
            self.dropout = dropout
            self.key = key
        }
    }

    /// The model as it is, for answers between two steps.
    public let model: VisionLanguageModel
    public let learned: LearnedTensors
    let workspace = Workspace()
    private let tapes = TapePool()
    let features: VisionFeatureCache

    /// - Parameters:
    ///   - roles: what learns. Values are widened to float32 once.
    ///   - featureBytes: how much memory to spend on the tower's output of pictures that were seen.
    /// - Throws: `CrayonError` as `VisionLanguageModel` does; for a role that the model lacks, or that no gradient exists for.
    public init(
        source: any ModelSource, learning roles: Set<Role>, options: VisionLanguageModel.Options = .init(),
        featureBytes: Int = 256 << 20
    ) throws(CrayonError) {
        let sets = try VisionLanguageModel.activeSets(source.configuration, options, place: source.place)
        let learnable = Set(
            LearnablePart.roles(of: source.configuration, sets: sets.map(\.name), usesCrayon: options.usesCrayon))
        if let role = roles.subtracting(learnable).map(\.rawValue).min() {
            throw CrayonError(
                .unsupported, in: source.place, item: role, found: "a weight that cannot learn here",
                expected: "pairs of active sets, projectors, crayon queries")
        }
        let loader = WeightLoader(source)
        var tensors: [LearnedTensor] = []
        for parameter in source.configuration.parameters where roles.contains(parameter.role) {
            let weight = try loader.weight(parameter.role)
            let value = Matrix(rows: weight.rows, columns: weight.columns)
            weight.dequantizeRows(0..<weight.rows, into: value.pointer)
            tensors.append(LearnedTensor(role: parameter.role, shape: parameter.shape, value: value))
        }
        learned = LearnedTensors(tensors)
        model = try VisionLanguageModel(source: source, options: options, learned: learned)
        features = VisionFeatureCache(byteCount: featureBytes)
    }

    /// Forward and backward over sequences that lie side by side: adds the gradients of the sum of their cross-entropies.
    /// - Returns: the sum and what it is of.
    /// - Throws: `CrayonError` for an input that does not fit the model, and for a target outside the vocabulary.
    @discardableResult
    public func accumulate(
        _ sequences: [TrainingSequence], options: PassOptions = PassOptions()
    ) throws(CrayonError) -> LossSum {
        let batch = try batch(sequences)
        guard !batch.targets.isEmpty else { return LossSum(positions: batch.hidden.rows) }
        let pass = pass(over: batch, options: options, learns: true)
        let (loss, gradient) = model.decoder.learn(
            batch, pass: pass, checkpointing: options.checkpointing, tapes: tapes)
        backward(batch, gradient: gradient, pass: pass)
        return LossSum(loss: loss, targets: batch.targets.count, positions: batch.hidden.rows)
    }

    /// The cross-entropies alone, without dropout.
    public func loss(_ sequences: [TrainingSequence]) throws(CrayonError) -> LossSum {
        let batch = try batch(sequences)
        guard !batch.targets.isEmpty else { return LossSum(positions: batch.hidden.rows) }
        let pass = pass(over: batch, options: PassOptions(), learns: false)
        let loss = model.decoder.loss(batch, pass: pass, tapes: tapes)
        return LossSum(loss: loss, targets: batch.targets.count, positions: batch.hidden.rows)
    }

    private func pass(over batch: LearningBatch, options: PassOptions, learns: Bool) -> LearningPass {
        let crayon = batch.crayon.flatMap { crayon in
            learns && model.crayon?.learns(learned) == true
                ? Matrix(rows: crayon.rows, columns: crayon.columns) : nil
        }
        return LearningPass(
            spans: batch.spans, images: batch.imageRuns, crayonGradients: crayon,
            addsCrayon: model.configuration.crayon?.entry == .additive,
            rotaries: batch.spans.map { model.decoder.rotary.table(length: $0.count) }, learned: learned,
            dropout: options.dropout > 0 && learns
                ? LearningDropout(rate: options.dropout, key: options.key, learned: learned) : nil,
            workspace: workspace)
    }

    /// What stands before the backbone: the two projectors and the tables.
    private func backward(_ batch: LearningBatch, gradient: MatrixView, pass: LearningPass) {
        if let projector = model.projector, projector.learns(learned) {
            for picture in batch.pictures {
                projector.backward(
                    gradient.rows(picture.rows), x: picture.features.view, learned: learned, workspace: workspace)
            }
        }
        guard let crayon = model.crayon, let toCrayon = pass.crayonGradients else { return }
        for (index, picture) in batch.pictures.enumerated() {
            guard let grid = picture.grid else { continue }
            crayon.backward(
                toCrayon.view.rows(pass.crayonRows(index)), grid: grid, learned: learned, workspace: workspace)
        }
    }
}
