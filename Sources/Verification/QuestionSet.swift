public import Architecture
public import Bytes
public import Checkpoints
import Images
public import Inference
import JSON
public import Models

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

/// What a model answered to a set of questions.
public struct AnswerSheet: Codable, Sendable {
    public struct Answer: Codable, Sendable {
        public var question: QuestionSet.Question
        public var answer: String
        /// Whether it is the right one to the letter, white space at the ends aside; nil where none is known.
        public var isRight: Bool?
    }

    public struct Rate: Codable, Sendable {
        public var kind: String
        public var right: Int
        public var asked: Int
        public var share: Double { asked == 0 ? 0 : Double(right) / Double(asked) }
    }

    public var model: String
    public var answers: [Answer]
    /// By kind in the order of their first question, then over all as "all"; empty when no right answers are known.
    public var rates: [Rate]
    /// What it took; not part of the JSON form.
    public private(set) var statistics = GenerationStatistics()

    private enum CodingKeys: CodingKey { case model, answers, rates }

    /// Asks every question, each in a conversation of its own.
    /// - Parameters:
    ///   - template: nil for the model's own.
    ///   - onAnswer: called after each with how many are done.
    public init(
        asking questions: QuestionSet, of source: any ModelSource, options: VisionLanguageModel.Options = .init(),
        template: PromptTemplate? = nil, generation: GenerationOptions = .init(),
        onAnswer: (Answer, Int) -> Void = { _, _ in }
    ) throws(CrayonError) {
        let chat = try ChatSession(source: source, options: options, template: template)
        model = source.place
        answers = []
        for question in questions.questions {
            let picture = try questions.picture(of: question, for: source.configuration)
            chat.reset()
            let text: String
            do {
                let found = try chat.ask(question.question, pictures: picture.map { [$0] } ?? [], options: generation)
                statistics += found.statistics
                text = found.text
            } catch let error as CrayonError {
                throw error
            } catch {
                throw CrayonError(.io, in: questions.path, found: "\(error)")
            }
            let answer = Answer(
                question: question, answer: text,
                isRight: question.answer.map { Self.trim($0) == Self.trim(text) })
            answers.append(answer)
            onAnswer(answer, answers.count)
        }
        rates = Self.rates(of: answers)
    }

    static func rates(of answers: [Answer]) -> [Rate] {
        var rates: [Rate] = []
        var total = Rate(kind: "all", right: 0, asked: 0)
        for answer in answers {
            guard let isRight = answer.isRight else { continue }
            let kind = answer.question.kind ?? "question"
            let index = rates.firstIndex { $0.kind == kind } ?? rates.count
            if index == rates.count { rates.append(Rate(kind: kind, right: 0, asked: 0)) }
            rates[index].asked += 1
            total.asked += 1
            if isRight {
                rates[index].right += 1
                total.right += 1
            }
        }
        return total.asked == 0 ? [] : rates + [total]
    }

    private static func trim(_ text: String) -> Substring {
        var text = text[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
