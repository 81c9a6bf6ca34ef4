import Architecture
import Bytes
import Layers
import Tensors

extension TrainableModel {
    /// Looks up tokens, splices pictures in, and says what predicts what.
    /// - Throws: `CrayonError` for an input that does not fit the model, and for a target outside the vocabulary.
    func batch(_ sequences: [TrainingSequence]) throws(CrayonError) -> LearningBatch {
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
