public import Architecture
public import Bytes
public import Images
public import Inference
import Models

/// One example as a model would see it, to be looked at.
public struct DataPreview: Sendable {
    public var example: Example
    /// Prompt and answers as text, in turn.
    public var pieces: [PromptText.Piece]
    /// Token ids and labels, where a model was given.
    public var encoded: EncodedExample?

    /// The first examples of a run with this seed, by its order before it is sorted by length; broken ones as what is wrong
    /// with them.
    /// - Parameters:
    ///   - template: how a conversation becomes text; ignored where there is an encoder, which has its own.
    ///   - encoder: the model's; nil for text alone.
    public static func first(
        _ count: Int, of mixture: DataMixture, seed: UInt64, template: PromptTemplate = .paper,
        encoder: ExampleEncoder? = nil
    ) -> [Result<DataPreview, CrayonError>] {
        var order = DataOrder(mixture, seed: seed)
        return (0..<count).map { _ in
            let item = order.next()
            return Result { () throws(CrayonError) in
                let example = try mixture.datasets[item.dataset].example(item.index, epoch: item.epoch)
                return DataPreview(
                    example: example,
                    pieces: try Self.pieces(example, template: encoder?.builder.template ?? template),
                    encoded: try encoder?.encode(example))
            }
        }
    }

    private static func pieces(
        _ example: Example, template: PromptTemplate
    ) throws(CrayonError) -> [PromptText.Piece] {
        switch example.content {
        case .text(let text): [PromptText.Piece(text: text, isAnswer: true)]
        case .conversation(let exchanges):
            try PromptText(template).pieces(example.turns(exchanges) { $0.maps })
        }
    }

    /// A picture with its crayon map drawn over it: a colour for each class and number, cell by cell as the model sees them;
    /// where nothing is known the picture shows. Scaled up where it is small.
    /// - Throws: `CrayonError` for a picture that cannot be read.
    public static func overlay(_ picture: ExamplePicture) throws(CrayonError) -> RGBImage {
        var image = try picture.read()
        let short = min(image.width, image.height)
        if short < 448 {
            let factor = (448 + short - 1) / short
            image = try image.resized(
                width: image.width * factor, height: image.height * factor, resampling: .pillowBilinear)
        }
        guard let maps = picture.maps else { return image }
        let ids = zip(maps.semantic, maps.numbering).map { UInt32($0 * 64 + $1) }
        let cells = PanopticMap(width: maps.side, height: maps.side, ids: ids, segments: [])
        return PanopticOverlay.draw(cells, over: image)
    }
}
