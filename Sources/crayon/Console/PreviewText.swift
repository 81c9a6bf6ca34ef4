import CrayonKit

/// An example of `crayon data preview`, as `--json` prints it.
struct PreviewOutput: Encodable {
    var kind: String?
    var source: String?
    /// Prompt and answers in turn.
    var text: [Piece] = []
    var pictures: [Picture] = []
    var tokens: [Int]?
    /// As tokens; -100 where nothing is learned.
    var labels: [Int]?
    /// In the backbone, those of the pictures included.
    var positions: Int?
    var error: String?

    struct Piece: Encodable {
        var text: String
        var isLearned: Bool
    }

    struct Picture: Encodable {
        var path: String
        /// Cells a side of the crayon map.
        var cells: Int?
        var objects: [String]
        var drawn: String?
    }

    init(_ preview: DataPreview, pictures drawn: [String], encoder: ExampleEncoder?) {
        kind = preview.example.kind
        source = preview.example.source
        text = preview.pieces.map { Piece(text: $0.text, isLearned: $0.isAnswer) }
        pictures = preview.example.pictures.enumerated().map { index, picture in
            Picture(
                path: picture.path, cells: picture.maps?.side, objects: picture.maps?.objects.map(\.text) ?? [],
                drawn: index < drawn.count ? drawn[index] : nil)
        }
        tokens = preview.encoded?.sequence.input.tokens
        labels = preview.encoded?.sequence.labels
        positions = preview.encoded?.positions
    }

    init(error: CrayonError) { self.error = "\(error)" }
}

/// The same for a person.
enum PreviewText {
    static func render(_ example: PreviewOutput, number: Int) -> String {
        if let error = example.error { return "\(number). left out: \(error)" }
        var lines = ["\(number). \(example.kind ?? ""), \(example.source ?? "")"]
        for picture in example.pictures {
            let map = picture.cells.map { "crayon map of \($0) x \($0) cells" } ?? "no panoptic map: all is unknown"
            lines.append("   \(picture.path): \(map)\(picture.drawn.map { ", drawn in \($0)" } ?? "")")
            for object in picture.objects { lines.append("     \(object)") }
        }
        let text = example.text.map { $0.isLearned ? "«\($0.text)»" : $0.text }.joined()
        lines += text.split(separator: "\n", omittingEmptySubsequences: false).map { "   | \($0)" }
        if let tokens = example.tokens, let labels = example.labels, let positions = example.positions {
            let learned = labels.count { $0 >= 0 }
            lines.append("   \(tokens.count) tokens, \(positions) positions, \(learned) learned:")
            let words = zip(tokens, labels).map { $1 >= 0 ? "[\($0)]" : "\($0)" }
            lines.append("   " + words.joined(separator: " "))
        }
        return lines.joined(separator: "\n")
    }
}
