import Architecture

extension ModelConfiguration {
    /// What a file may claim: bounds far past any model and far below what would overflow, since shapes and loops are
    /// computed from these numbers, and the relations between them that the runtime relies on.
    ///
    /// - Returns: what makes no sense, nil when shapes may be computed from the configuration.
    var problem: String? {
        var check = ConfigurationCheck()
        check.run(backbone)
        if let vision { check.run(vision) }
        if let crayon { check.run(crayon, isPictured: vision != nil) }
        check.run(lowRankSets)
        let readsCrayon = lowRankSets.contains { $0.input == .crayon }
        check.require(!readsCrayon || crayon != nil, "lowRankSets", "a set that reads the crayon prompt of no crayon")
        check.require(
            crayon?.entry != .lowRank || readsCrayon, "crayon.entry", "low-rank, and no set reads the crayon prompt")
        check.run(tokens, vocabulary: backbone.vocabularySize, isPictured: vision != nil)
        return check.problem
    }
}

private struct ConfigurationCheck {
    private static let extents = 1...(1 << 24)
    private static let layers = 0...4096
    private static let heads = 1...4096
    private static let rows = 1...(1 << 28)

    /// The first that was found.
    private(set) var problem: String?

    mutating func require(_ holds: Bool, _ name: String, _ found: String) {
        if problem == nil, !holds { problem = "model.\(name) is \(found)" }
    }

    private mutating func range(_ name: String, _ value: Int, _ range: ClosedRange<Int> = extents) {
        require(range.contains(value), name, "\(value)")
    }

    private mutating func positive(_ name: String, _ value: Double) {
        require(value.isFinite && value > 0, name, "\(value)")
    }

    mutating func run(_ backbone: BackboneConfiguration) {
        range("backbone.vocabularySize", backbone.vocabularySize, Self.rows)
        range("backbone.embeddingRows", backbone.embeddingRows, Self.rows)
        require(
            backbone.embeddingRows >= backbone.vocabularySize, "backbone.embeddingRows",
            "\(backbone.embeddingRows), less than the vocabulary")
        range("backbone.hiddenSize", backbone.hiddenSize)
        range("backbone.layerCount", backbone.layerCount, Self.layers)
        range("backbone.headCount", backbone.headCount, Self.heads)
        range("backbone.keyValueHeadCount", backbone.keyValueHeadCount, Self.heads)
        require(
            backbone.headCount % max(backbone.keyValueHeadCount, 1) == 0, "backbone.keyValueHeadCount",
            "\(backbone.keyValueHeadCount), no divisor of \(backbone.headCount) heads")
        range("backbone.headSize", backbone.headSize, Self.heads)
        require(backbone.headSize % 2 == 0, "backbone.headSize", "\(backbone.headSize), which is odd")
        range("backbone.intermediateSize", backbone.intermediateSize)
        positive("backbone.normEpsilon", Double(backbone.normEpsilon))
        range("backbone.rope.maxPositions", backbone.rope.maxPositions, 1...(1 << 30))
        positive("backbone.rope.base", backbone.rope.base)
        run(backbone.rope.scaling, headSize: backbone.headSize)
        range("backbone.slidingWindow", backbone.slidingWindow ?? 1, 1...(1 << 30))
        range("backbone.firstWindowedLayer", backbone.firstWindowedLayer ?? 0, 0...(1 << 30))
    }

    private mutating func run(_ scaling: RotaryConfiguration.Scaling, headSize: Int) {
        let name = "backbone.rope.scaling"
        switch scaling {
        case .none: break
        case .linear(let factor), .dynamic(let factor): positive(name, factor)
        case .llama3(let scaling):
            positive("\(name).factor", scaling.factor)
            positive("\(name).lowFrequencyFactor", scaling.lowFrequencyFactor)
            positive("\(name).highFrequencyFactor", scaling.highFrequencyFactor)
            require(
                scaling.highFrequencyFactor > scaling.lowFrequencyFactor, "\(name).highFrequencyFactor",
                "\(scaling.highFrequencyFactor), not above lowFrequencyFactor")
            range("\(name).originalMaxPositions", scaling.originalMaxPositions, 1...(1 << 30))
        case .frequencies(let factors):
            range("\(name).factors.count", factors.count, headSize / 2...headSize / 2)
            for factor in factors { positive("\(name).factors", Double(factor)) }
        }
    }

    mutating func run(_ vision: VisionConfiguration) {
        range("vision.width", vision.width)
        range("vision.layerCount", vision.layerCount, Self.layers)
        range("vision.featureLayer", vision.featureLayer ?? 0, 0...max(0, vision.layerCount))
        range("vision.headCount", vision.headCount, Self.heads)
        require(
            vision.width % max(vision.headCount, 1) == 0, "vision.headCount",
            "\(vision.headCount), no divisor of the width, \(vision.width)")
        range("vision.intermediateSize", vision.intermediateSize)
        range("vision.patchSize", vision.patchSize, Self.heads)
        range("vision.imageSize", vision.imageSize, max(1, vision.patchSize)...max(1 << 16, vision.patchSize))
        range("vision.positionRows", vision.positionRows)
        if problem == nil { range("vision.imageSize in patches", vision.patchCount) }
        positive("vision.normEpsilon", Double(vision.normEpsilon))
        range("vision.imageMean.count", vision.imageMean.count, 3...3)
        range("vision.imageStd.count", vision.imageStd.count, 3...3)
        for mean in vision.imageMean { require(mean.isFinite, "vision.imageMean", "\(mean)") }
        for deviation in vision.imageStd { positive("vision.imageStd", Double(deviation)) }
    }

    mutating func run(_ crayon: CrayonConfiguration, isPictured: Bool) {
        require(isPictured, "crayon", "there without a vision tower")
        range("crayon.width", crayon.width)
        range("crayon.semanticRows", crayon.semanticRows)
        range("crayon.numberingRows", crayon.numberingRows)
        require(
            crayon.categories.count == crayon.semanticRows - 1, "crayon.categories",
            "\(crayon.categories.count) categories for \(crayon.semanticRows) rows")
    }

    mutating func run(_ sets: [LowRankSet]) {
        range("lowRankSets.count", sets.count, 0...64)
        for set in sets {
            require(LowRankSet.isName(set.name), "lowRankSets.name", "'\(set.name)'")
            range("lowRankSets.\(set.name).rank", set.rank)
            positive("lowRankSets.\(set.name).alpha", set.alpha)
            for exception in set.exceptions.values {
                range("lowRankSets.\(set.name).exceptions.rank", exception.rank)
                positive("lowRankSets.\(set.name).exceptions.alpha", exception.alpha)
            }
        }
        require(Set(sets.map(\.name)).count == sets.count, "lowRankSets", "two sets of one name")
    }

    mutating func run(_ tokens: SpecialTokens, vocabulary: Int, isPictured: Bool) {
        if let begin = tokens.begin { range("tokens.begin", begin, 0...max(0, vocabulary - 1)) }
        for token in tokens.end { range("tokens.end", token, Self.ids) }
        if let image = tokens.image { range("tokens.image", image, Self.ids) }
        require(!isPictured || tokens.image != nil, "tokens.image", "absent from a model with a vision tower")
        for token in tokens.added.values { range("tokens.added", token, Self.ids) }
    }

    private static let ids = 0...(1 << 28 - 1)
}
