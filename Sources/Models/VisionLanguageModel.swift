public import Architecture
public import Bytes
public import Checkpoints
public import Layers
public import Tensors

/// A model ready to run: vision tower, projectors, crayon queries and backbone over weights that stay as they are stored.
///
/// Immutable, so that several sequences can share it; each has a `DecoderState` of its own.
///
/// It is there at once: packed weights are unpacked while it is in use, and a pass waits for those that it needs.
///
///     let model = try VisionLanguageModel(source: source)
///     let state = model.makeState()
///     var logits = try model.prefill(try model.embed(input), state: state)
///     logits = try model.step(token: best(logits), state: state)
public final class VisionLanguageModel: Sendable {
    /// What takes part in a run.
    public struct Options: Sendable, Equatable {
        /// Names of the low-rank sets that act; nil for those that the model marks as active.
        public var lowRankSets: [String]?
        /// Whether the crayon prompt enters the backbone.
        public var usesCrayon: Bool
        /// Whether a sequence that grows past `maxPositions` under dynamic rotary scaling runs again as a whole for every
        /// token, as every position's angles change with the length: what decoding without a cache computes. Otherwise
        /// earlier positions keep what they have computed and only their keys turn, as InternLM's published code does:
        /// as fast as ever, but not the same logits.
        public var recomputesPastMaxPositions: Bool
        /// What products with weights are computed in.
        public var arithmetic: Arithmetic
        /// How the keys and values of a sequence are kept. Those of a position are computed in float32, then rounded once.
        public var cacheFormat: KVCacheFormat

        public init(
            lowRankSets: [String]? = nil, usesCrayon: Bool = true, recomputesPastMaxPositions: Bool = true,
            arithmetic: Arithmetic = .float32, cacheFormat: KVCacheFormat = .f32
        ) {
            self.lowRankSets = lowRankSets
            self.usesCrayon = usesCrayon
            self.recomputesPastMaxPositions = recomputesPastMaxPositions
            self.arithmetic = arithmetic
            self.cacheFormat = cacheFormat
        }
    }

    public let configuration: ModelConfiguration
    /// The source, as the user named it.
    public let place: String
    public let options: Options
    let decoder: Decoder
    let tower: VisionTower?
    let projector: ProjectorMLP?
    let crayon: CrayonPrompt?
    let supply: WeightSupply
    private let reads: [(role: Role, reads: WeightReads)]

    /// Asks the source for every weight once and keeps it as stored.
    ///
    /// A packed weight whose bytes turn out to be damaged is an error of the passes that need it, and of `waitForWeights`.
    /// - Throws: `CrayonError` for a weight that is absent or of another shape than the configuration gives, for a
    ///   configuration that contradicts itself, and for a low-rank set that does not exist.
    /// - Parameter learned: weights to read in place of the source's: the model computes with what they hold at the time.
    public init(
        source: any ModelSource, options: Options = Options(), learned: LearnedTensors? = nil
    ) throws(CrayonError) {
        let configuration = source.configuration
        let loader = WeightLoader(source, learned: learned, arithmetic: options.arithmetic)
        self.configuration = configuration
        self.options = options
        place = source.place
        let sets = try VisionLanguageModel.activeSets(configuration, options, place: source.place)
        if let vision = configuration.vision {
            tower = try VisionTower(vision, loader)
            projector = try ProjectorMLP(.image, loader)
        } else {
            tower = nil
            projector = nil
        }
        if configuration.vision != nil, options.usesCrayon, let crayon = configuration.crayon {
            self.crayon = try CrayonPrompt(crayon, loader)
        } else {
            crayon = nil
        }
        decoder = try Decoder(configuration, sets: sets, loader)
        reads = loader.reads
        supply = loader.supply()
        // A training step needs everything, and does not ask before it computes.
        if learned == nil { supply.start() } else { try supply.finish() }
    }

    /// Returns when everything is unpacked: what is timed, or must not fail later.
    /// - Throws: `CrayonError` for a weight that cannot be unpacked.
    public func waitForWeights() throws(CrayonError) { try supply.finish() }

    /// How often each weight of a linear layer has been read from memory so far: see `WeightReads`.
    public var weightReads: [Role: Int] {
        Dictionary(reads.map { ($0.role, $0.reads.count) }, uniquingKeysWith: +)
    }

    static func activeSets(
        _ configuration: ModelConfiguration, _ options: Options, place: String
    ) throws(CrayonError) -> [LowRankSet] {
        guard let names = options.lowRankSets else { return configuration.lowRankSets.filter(\.isActive) }
        let known = configuration.lowRankSets.map(\.name)
        for name in names where !known.contains(name) {
            throw CrayonError(
                .usage, in: place, item: "low-rank set '\(name)'", found: "no such set",
                expected: known.isEmpty
                    ? "none: the model has no low-rank sets" : "one of \(known.joined(separator: ", "))")
        }
        return configuration.lowRankSets.filter { names.contains($0.name) }
    }

    /// An empty sequence.
    public func makeState() -> DecoderState {
        DecoderState(
            configuration.backbone, rotary: decoder.rotary, recomputes: options.recomputesPastMaxPositions,
            cacheFormat: options.cacheFormat)
    }

    /// Logits of a whole prompt on its own.
    /// - Parameter rows: positions (of the spliced prompt) whose logits are wanted, ascending; nil for all.
    /// - Returns: `[rows, vocabulary]`
    /// - Throws: `CrayonError` for an input that does not fit the model.
    public func logits(_ input: ModelInput, rows: [Int]? = nil) throws(CrayonError) -> Matrix {
        try logits([input], rows: [rows])[0]
    }

    /// Logits of several prompts; pictures that occur more than once are seen once.
    public func logits(_ inputs: [ModelInput], rows: [[Int]?]? = nil) throws(CrayonError) -> [Matrix] {
        precondition(rows.map { $0.count == inputs.count } ?? true)
        let features = FeatureStore()
        var results: [Matrix] = []
        for (index, input) in inputs.enumerated() {
            let state = makeState()
            let prompt = try embed(input, workspace: state.workspace, features: features)
            let wanted = rows?[index] ?? Array(0..<prompt.count)
            for (row, next) in zip(wanted, wanted.dropFirst()) where row >= next {
                throw Self.badRows("\(row), \(next)", prompt)
            }
            if let first = wanted.first, let last = wanted.last, first < 0 || last >= prompt.count {
                throw Self.badRows("\(first < 0 ? first : last)", prompt)
            }
            let logits = Matrix(rows: wanted.count, columns: configuration.backbone.vocabularySize)
            decoder.forward(prompt, rows: wanted, state: state, into: logits.view)
            try supply.failures.check()
            results.append(logits)
        }
        return results
    }

    private static func badRows(_ found: String, _ prompt: EmbeddedPrompt) -> CrayonError {
        CrayonError(
            .usage, in: "prompt", item: "rows of logits", found: found, expected: "ascending rows below \(prompt.count)"
        )
    }
}
