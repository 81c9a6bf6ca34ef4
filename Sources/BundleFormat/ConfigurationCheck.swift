import Architecture

extension ModelConfiguration {
    /// Bounds on what a file may claim, far past any model and far below what would overflow: shapes and
    /// loops are computed from these numbers.
    private static let extents = 1...(1 << 24)
    private static let layers = 0...4096

    /// - Returns: what makes no sense, nil when shapes may be computed from the configuration.
    var problem: String? {
        var problem: String?
        func check(_ name: String, _ value: Int, _ range: ClosedRange<Int> = Self.extents) {
            if problem == nil, !range.contains(value) { problem = "model.\(name) is \(value)" }
        }
        check("backbone.vocabularySize", backbone.vocabularySize)
        check("backbone.embeddingRows", backbone.embeddingRows)
        check("backbone.hiddenSize", backbone.hiddenSize)
        check("backbone.layerCount", backbone.layerCount, Self.layers)
        check("backbone.headCount", backbone.headCount, 1...4096)
        check("backbone.keyValueHeadCount", backbone.keyValueHeadCount, 1...max(1, min(4096, backbone.headCount)))
        check("backbone.headSize", backbone.headSize, 1...4096)
        check("backbone.intermediateSize", backbone.intermediateSize)
        check("backbone.rope.maxPositions", backbone.rope.maxPositions)
        if let vision {
            check("vision.width", vision.width)
            check("vision.layerCount", vision.layerCount, Self.layers)
            check("vision.headCount", vision.headCount, 1...4096)
            check("vision.intermediateSize", vision.intermediateSize)
            check("vision.patchSize", vision.patchSize, 1...4096)
            check("vision.imageSize", vision.imageSize, max(1, vision.patchSize)...(1 << 16))
            check("vision.positionRows", vision.positionRows)
            check("vision.imageMean.count", vision.imageMean.count, 3...3)
            check("vision.imageStd.count", vision.imageStd.count, 3...3)
        }
        if let crayon {
            check("crayon.width", crayon.width)
            check("crayon.semanticRows", crayon.semanticRows)
            check("crayon.numberingRows", crayon.numberingRows)
        }
        check("lowRankSets.count", lowRankSets.count, 0...64)
        for set in lowRankSets {
            check("lowRankSets.\(set.name).rank", set.rank)
            for (_, exception) in set.exceptions { check("lowRankSets.\(set.name).exceptions.rank", exception.rank) }
        }
        if problem == nil, Set(lowRankSets.map(\.name)).count != lowRankSets.count {
            problem = "two low-rank sets of one name"
        }
        return problem
    }
}
