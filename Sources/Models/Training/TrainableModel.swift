public import Architecture
public import Bytes
public import Checkpoints
import Layers
import Quantization
public import Tensors

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
    private let workspace = Workspace()
    private let tapes = TapePool()
    private let features: VisionFeatureCache

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

    private func batch(_ sequences: [TrainingSequence]) throws(CrayonError) -> LearningBatch {
        for sequence in sequences { try check(sequence) }
        let configuration = model.configuration
        let patches = configuration.vision?.patchCount ?? 0
        let counts = sequences.map { $0.input.tokens.count + $0.input.images.count * (patches - 1) }
        let pictureCount = sequences.reduce(0) { $0 + $1.input.images.count }
        let hidden = Matrix(rows: counts.reduce(0, +), columns: configuration.backbone.hiddenSize)
        let crayon = model.crayon.flatMap { _ in
            pictureCount > 0 ? Matrix(rows: pictureCount * patches, columns: hidden.columns) : nil
        }
        var spans: [Range<Int>] = []
        var pictures: [LearningBatch.Picture] = []
        var predictors: [Int] = []
        var targets: [Int] = []
        var row = 0
        for (sequence, count) in zip(sequences, counts) {
            spans.append(row..<row + count)
            var images = sequence.input.images.makeIterator()
            for (index, token) in sequence.input.tokens.enumerated() {
                if index > 0, sequence.labels[index] != TrainingSequence.ignored {
                    predictors.append(row - 1)
                    targets.append(sequence.labels[index])
                }
                guard token == configuration.tokens.image, let image = images.next() else {
                    model.decoder.embed(CollectionOfOne(token), into: hidden.view.rows(row..<row + 1))
                    row += 1
                    continue
                }
                let picture = picture(image, rows: row..<row + patches)
                embed(picture, at: pictures.count, into: hidden, crayon: crayon)
                pictures.append(picture)
                row += patches
            }
        }
        return LearningBatch(
            hidden: hidden, spans: spans, pictures: pictures, crayon: crayon, predictors: predictors, targets: targets)
    }

    private func check(_ sequence: TrainingSequence) throws(CrayonError) {
        try model.check(sequence.input)
        guard !sequence.input.tokens.isEmpty else {
            throw CrayonError(.usage, in: "training sequence", found: "no tokens", expected: "at least one")
        }
        let vocabulary = model.configuration.backbone.vocabularySize
        if let label = sequence.labels.first(where: {
            $0 != TrainingSequence.ignored && !(0..<vocabulary).contains($0)
        }) {
            throw CrayonError(
                .usage, in: "training sequence", item: "label", found: "\(label)",
                expected: "0 ..< \(vocabulary), what the head can say, or \(TrainingSequence.ignored)")
        }
    }

    /// - Precondition: the picture fits the model.
    private func picture(_ image: ImageInput, rows: Range<Int>) -> LearningBatch.Picture {
        guard let tower = model.tower else { preconditionFailure("a picture for a model without a vision tower") }
        let seen = features.features(of: image) { tower.forward(image.pixels, workspace: workspace) }
        let grid = image.crayon ?? .unknown(side: tower.configuration.gridSize)
        return LearningBatch.Picture(rows: rows, features: seen, grid: model.crayon == nil ? nil : grid)
    }

    private func embed(_ picture: LearningBatch.Picture, at index: Int, into hidden: Matrix, crayon: Matrix?) {
        guard let projector = model.projector else { return }
        let patches = picture.rows.count
        let projected = projector.forward(picture.features.view, workspace: workspace)
        hidden.view.rows(picture.rows).copy(from: projected.view)
        guard let crayon, let prompt = model.crayon, let grid = picture.grid else { return }
        crayon.view.rows(index * patches..<(index + 1) * patches)
            .copy(from: prompt.forward(grid, workspace: workspace).view)
    }
}
