public import Bytes
import Images
import Tensors

/// Crayon instructions about the pictures of a COCO panoptic data set: one example for each picture and epoch, drawn anew
/// in each epoch.
///
/// What a question asks, its wording and its class follow from the seed, the epoch and the picture's index alone. Answers
/// are made from the panoptic map as the model sees it: an object without a cell of the crayon grid is not told of, numbers
/// are those of the crayon prompt, and boxes go around all of an object's pixels.
public struct CrayonInstructions: Dataset {
    public struct Options: Sendable, Equatable {
        /// How often each kind is asked, in proportion.
        public var weights: [InstructionKind: Double]
        /// Questions about one picture, in one conversation.
        public var questionsPerPicture: Int
        /// An answer that would list more objects is not asked for.
        public var mostObjects: Int
        /// Whether the box of a `class` question may be written and placed less exactly.
        public var variesBoxes: Bool
        public var seed: UInt64

        public init(
            weights: [InstructionKind: Double] = [.list: 1, .box: 1, .class: 2, .presence: 2],
            questionsPerPicture: Int = 1, mostObjects: Int = 30, variesBoxes: Bool = true, seed: UInt64 = 0
        ) {
            self.weights = weights
            self.questionsPerPicture = questionsPerPicture
            self.mostObjects = mostObjects
            self.variesBoxes = variesBoxes
            self.seed = seed
        }
    }

    public let coco: COCOPanoptic
    public let view: CrayonView
    public let options: Options
    /// How readily each class is asked about where it is not.
    private let absentWeights: [Double]

    public var name: String { coco.name }
    public var count: Int { coco.count }

    /// - Throws: `CrayonError` for options that make no sense, and for data of which the model knows no class.
    public init(_ coco: COCOPanoptic, view: CrayonView, options: Options = Options()) throws(CrayonError) {
        let weights = options.weights.values
        guard weights.allSatisfy({ $0 >= 0 && $0.isFinite }), weights.contains(where: { $0 > 0 }) else {
            throw CrayonError(
                .usage, in: "kinds of instructions", found: "weights \(weights.sorted())",
                expected: "numbers from 0, one of them above")
        }
        for (name, value) in [
            ("questions for each picture", options.questionsPerPicture), ("objects of an answer", options.mostObjects),
        ] where value < 1 {
            throw CrayonError(.usage, in: name, found: "\(value)", expected: "1 or more")
        }
        try view.check(coco)
        self.coco = coco
        self.view = view
        self.options = options
        absentWeights = Self.absentWeights(coco, view)
    }

    /// A class that is in every other picture would nearly always be asked about where it is, and then yes is a good guess
    /// without a look. With the odds of a class's presence as its weight, yes and no are about as frequent for each class.
    private static func absentWeights(_ coco: COCOPanoptic, _ view: CrayonView) -> [Double] {
        // A sample tells the shares well enough; the generator is a constant, as they are the data's.
        var generator = SplitMix64(seed: 0, name: "shares of classes")
        var counts = [Int](repeating: 0, count: view.categories.count)
        var read = 0
        for index in generator.permutation(of: coco.count).prefix(2000) {
            guard let annotation = try? coco.annotation(Int(index)) else { continue }
            for category in Set(annotation.panoptic.segments.compactMap(view.category)) { counts[category] += 1 }
            read += 1
        }
        return counts.map { count in
            let share = min((Double(count) + 0.5) / (Double(read) + 1), 0.95)
            return share / (1 - share)
        }
    }

    public func example(_ index: Int, epoch: Int) throws(CrayonError) -> Example {
        let annotation = try coco.annotation(index)
        let (picture, objects) = try view.picture(annotation)
        var writer = InstructionWriter(
            objects: objects, maps: picture.maps ?? .unknown(side: view.side), view: view, options: options,
            absentWeights: absentWeights,
            generator: SplitMix64(seed: options.seed, name: "crayon instruction \(epoch) \(index)"))
        var exchanges: [Exchange] = []
        var kinds: [InstructionKind] = []
        // A picture with little in it has few questions; one drawn twice is asked once.
        for _ in 0..<options.questionsPerPicture {
            for _ in 0..<4 {
                let (kind, exchange) = writer.next()
                guard !exchanges.contains(where: { $0.question == exchange.question }) else { continue }
                exchanges.append(exchange)
                kinds.append(kind)
                break
            }
        }
        exchanges[0].pictureCount = 1
        return Example(
            content: .conversation(exchanges),
            pictures: [picture],
            kind: kinds.count == 1 ? kinds[0].rawValue : "instructions", source: annotation.source)
    }
}
