public import Architecture
public import Bytes

/// The data of a run as a user names it.
public struct DataSources: Sendable {
    /// Crayon instructions are made of it, and conversations get their pictures' maps from it.
    public var coco: COCOLayout?
    public var conversations: String?
    /// The folder of the conversations' pictures.
    public var images: String?
    /// JSON lines.
    public var text: String?
    public var instructions: CrayonInstructions.Options
    /// Whether `coco` only lends its maps to the conversations, and no instructions are made of it.
    public var mapsOnly: Bool
    /// In proportion to what examples are drawn, by source; as many as each has when empty.
    public var shares: [Source: Double]

    public enum Source: String, CaseIterable, Sendable {
        case conversations
        case coco
        case text
    }

    public init(
        coco: COCOLayout? = nil, conversations: String? = nil, images: String? = nil, text: String? = nil,
        instructions: CrayonInstructions.Options = .init(), mapsOnly: Bool = false, shares: [Source: Double] = [:]
    ) {
        self.coco = coco
        self.conversations = conversations
        self.images = images
        self.text = text
        self.instructions = instructions
        self.mapsOnly = mapsOnly
        self.shares = shares
    }

    /// Opens all of it.
    /// - Parameter configuration: the model that will learn; nil for looking at data without one.
    /// - Throws: `CrayonError` for files that are missing or broken, for no data at all, and for shares of some sources only.
    public func open(for configuration: ModelConfiguration? = nil) throws(CrayonError) -> DataMixture {
        let panoptic: COCOPanoptic?
        if let coco { panoptic = try COCOPanoptic(coco) } else { panoptic = nil }
        let view = configuration.flatMap(CrayonView.init)
        var datasets: [any Dataset] = []
        var sources: [Source] = []
        if let conversations {
            let images: DataFolder?
            if let folder = self.images { images = try DataFolder(folder) } else { images = nil }
            let seen = configuration == nil ? panoptic.map { CrayonView(categories: $0.categories) } : view
            datasets.append(try Conversations(path: conversations, images: images, coco: panoptic, view: seen))
            sources.append(.conversations)
        }
        if let panoptic, !mapsOnly {
            let side = configuration?.vision?.gridSize ?? 35
            let seen = view ?? CrayonView(categories: panoptic.categories, side: side)
            datasets.append(try CrayonInstructions(panoptic, view: seen, options: instructions))
            sources.append(.coco)
        }
        if let text {
            datasets.append(try TextLines(path: text))
            sources.append(.text)
        }
        guard !shares.isEmpty else { return try DataMixture(datasets) }
        guard Set(shares.keys) == Set(sources) else {
            throw CrayonError(
                .usage, in: "shares", found: shares.keys.map(\.rawValue).sorted().joined(separator: ", "),
                expected: "a share of each of \(sources.map(\.rawValue).joined(separator: ", "))")
        }
        return try DataMixture(datasets, weights: sources.map { shares[$0, default: 0] })
    }
}
