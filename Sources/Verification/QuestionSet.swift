public import Architecture
public import Bytes
import Images
public import Inference
import JSON

/// Questions about pictures with the answers that are right: a JSON file, see `Formats/questions.md`.
public struct QuestionSet: Sendable {
    public struct Question: Codable, Sendable {
        public var question: String
        public var image: String?
        public var panoptic: String?
        public var segments: String?
        public var answer: String?
        public var kind: String?
    }

    public let path: String
    public let questions: [Question]

    /// - Throws: `CrayonError` naming the file and the record.
    public init(path: String) throws(CrayonError) {
        self.path = path
        guard case .array(let records) = try JSONValue.parse(file: path) else {
            throw CrayonError(.malformed, in: path, found: "no array", expected: "an array of questions")
        }
        var questions: [Question] = []
        for (index, record) in records.enumerated() {
            let reader = try JSONReader(record, place: path, path: "[\(index)]")
            let question = Question(
                question: try reader.string("question"), image: try reader.optionalString("image"),
                panoptic: try reader.optionalString("panoptic"), segments: try reader.optionalString("segments"),
                answer: try reader.optionalString("answer"), kind: try reader.optionalString("kind"))
            guard (question.panoptic == nil) == (question.segments == nil) else {
                throw CrayonError(
                    .malformed, in: path, item: "record [\(index)]",
                    found: "a panoptic map without segments, or segments alone",
                    expected: "both 'panoptic' and 'segments', or neither")
            }
            questions.append(question)
        }
        self.questions = questions
    }

    /// The picture of a question, made ready for a model; nil for a question about none.
    public func picture(of question: Question, for configuration: ModelConfiguration) throws(CrayonError) -> Picture? {
        guard let image = question.image else { return nil }
        var map: PanopticMap?
        if let panoptic = question.panoptic, let segments = question.segments {
            map = try PanopticMap(path: resolve(panoptic), segments: resolve(segments), picture: image)
        }
        return try Picture(RGBImage(path: resolve(image)), panoptic: map, for: configuration)
    }

    private func resolve(_ name: String) -> String {
        if name.hasPrefix("/") { return name }
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return folder.isEmpty ? name : folder.joined(separator: "/") + "/" + name
    }
}
