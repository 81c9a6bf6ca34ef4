import Architecture
public import Bytes
public import Layers
public import Tensors

extension VisionLanguageModel {
    /// Looks up the tokens, runs the pictures through the vision tower, and splices the two.
    ///
    /// - Parameters:
    ///   - workspace: scratch memory to use; a passing one by default.
    ///   - features: where features of pictures are kept and found again.
    /// - Throws: `CrayonError` for a token without an embedding, pictures and placeholders that differ in number, a picture
    ///   of another size than the model's, or crayon rows outside the tables.
    public func embed(
        _ input: ModelInput, workspace: Workspace = Workspace(), features: FeatureStore = FeatureStore()
    ) throws(CrayonError) -> EmbeddedPrompt {
        try check(input)
        if input.images.isEmpty { supply.preferText() }
        decoder.embeddings.bring(input.tokens.filter { $0 != configuration.tokens.image })
        let patches = configuration.vision?.patchCount ?? 0
        let width = configuration.backbone.hiddenSize
        let total = input.tokens.count + input.images.count * (patches - 1)
        let hidden = Matrix(rows: total, columns: width)
        let crayons =
            crayon == nil || input.images.isEmpty ? nil : Matrix(rows: input.images.count * patches, columns: width)
        var spans: [Range<Int>] = []
        var row = 0
        for token in input.tokens {
            guard token == configuration.tokens.image else {
                decoder.embed(CollectionOfOne(token), into: hidden.view.rows(row..<row + 1))
                row += 1
                continue
            }
            let image = try self.features(of: input.images[spans.count], workspace: workspace, store: features)
            hidden.view.rows(row..<row + patches).copy(from: image.patches.view)
            if let crayons, let crayon = image.crayon {
                crayons.view.rows(spans.count * patches..<(spans.count + 1) * patches).copy(from: crayon.view)
            }
            spans.append(row..<row + patches)
            row += patches
        }
        try supply.failures.check()
        return EmbeddedPrompt(hidden: hidden, imageSpans: spans, crayon: crayons)
    }

    /// What the vision tower makes of a picture: the last hidden state of its patches, before the projector.
    /// - Returns: `[patches, vision width]`
    /// - Throws: `CrayonError` for a picture of another size than the model's, or a model that reads text only.
    public func visionFeatures(of image: ImageInput) throws(CrayonError) -> Matrix {
        guard let tower else { throw readsTextOnly }
        try check(image, size: tower.configuration.imageSize, item: "picture")
        let seen = tower.forward(image.pixels, workspace: Workspace())
        try supply.failures.check()
        return seen
    }

    /// - Precondition: the picture fits the model.
    private func features(
        of image: ImageInput, workspace: Workspace, store: FeatureStore
    ) throws(CrayonError) -> ImageFeatures {
        if let known = store.features(of: image) { return known }
        guard let tower, let projector else { preconditionFailure("a picture for a model without a vision tower") }
        let seen = tower.forward(image.pixels, workspace: workspace)
        let grid = image.crayon ?? .unknown(side: tower.configuration.gridSize)
        let features = ImageFeatures(
            patches: projector.forward(seen.view, workspace: workspace),
            crayon: crayon?.forward(grid, workspace: workspace))
        try supply.failures.check()
        store.insert(features, of: image)
        return features
    }

    /// - Throws: `CrayonError` for a token without an embedding.
    func check(token: Int) throws(CrayonError) {
        let rows = configuration.backbone.embeddingRows
        guard token >= 0, token < rows else {
            throw CrayonError(
                .usage, in: "prompt", item: "token id", found: "\(token)",
                expected: "0 ..< \(rows), the rows of the embeddings")
        }
    }

    func check(_ input: ModelInput) throws(CrayonError) {
        for token in input.tokens where token != configuration.tokens.image { try check(token: token) }
        let placeholders = input.tokens.count { $0 == configuration.tokens.image }
        guard let vision = configuration.vision, configuration.tokens.image != nil else {
            if !input.images.isEmpty || placeholders > 0 {
                throw readsTextOnly
            }
            return
        }
        guard placeholders == input.images.count else {
            throw CrayonError(
                .usage, in: "prompt", item: "pictures", found: "\(input.images.count) for \(placeholders) placeholders",
                expected: "one picture for each placeholder")
        }
        for (index, image) in input.images.enumerated() {
            try check(image, size: vision.imageSize, item: "picture \(index + 1)")
            if let grid = image.crayon { try check(grid, item: "picture \(index + 1)") }
        }
    }

    private var readsTextOnly: CrayonError {
        CrayonError(
            .usage, in: place, item: "picture", found: "a model that reads text only",
            expected: "a model with a vision part", advice: "Ask without a picture.")
    }

    private func check(_ image: ImageInput, size: Int, item: String) throws(CrayonError) {
        guard image.width == size, image.height == size else {
            throw CrayonError(
                .mismatch, in: "prompt", item: item, found: "\(image.width) x \(image.height) pixels",
                expected: "\(size) x \(size)")
        }
    }

    private func check(_ grid: CrayonGrid, item: String) throws(CrayonError) {
        guard let crayon = configuration.crayon, let vision = configuration.vision else {
            throw CrayonError(
                .usage, in: place, item: item, found: "a crayon map for a model without crayon queries",
                expected: "no map")
        }
        guard grid.side == vision.gridSize else {
            throw CrayonError(
                .mismatch, in: "prompt", item: "crayon map of \(item)", found: "\(grid.side) x \(grid.side) cells",
                expected: "\(vision.gridSize) x \(vision.gridSize)")
        }
        for (name, rows, count) in [
            ("semantic", grid.semantic, crayon.semanticRows), ("numbering", grid.numbering, crayon.numberingRows),
        ] {
            if let cell = rows.firstIndex(where: { $0 < 0 || $0 >= count }) {
                throw CrayonError(
                    .mismatch, in: "prompt", item: "\(name) map of \(item), cell \(cell)", found: "row \(rows[cell])",
                    expected: "0 ..< \(count)")
            }
        }
    }
}
