public import Architecture
public import Bytes
public import Checkpoints
public import Inference
public import Models
import Tokenization

/// What a model answered to a set of questions.
public struct AnswerSheet: Codable, Sendable {
    public struct Answer: Codable, Sendable {
        public var question: QuestionSet.Question
        public var answer: String
        /// Whether it is the right one to the letter, white space at the ends aside; nil where none is known.
        public var isRight: Bool?

        init(to question: QuestionSet.Question, text: String) {
            self.question = question
            answer = text
            isRight = question.answer.map { $0.trimmed == text.trimmed }
        }
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
    /// What it took, with the passes and the time of all answers together; not part of the JSON form.
    public private(set) var statistics = GenerationStatistics()

    private enum CodingKeys: CodingKey { case model, answers, rates }

    /// Asks every question, each in a conversation of its own. What a question has in common with an earlier one from the
    /// start, the picture above all, is computed once.
    /// - Parameters:
    ///   - template: nil for the model's own.
    ///   - batch: how many answers are made at a time, see `BatchGenerator`.
    ///   - onAnswer: called after each, in the order in which they end, with how many are done.
    public init(
        asking questions: QuestionSet, of source: any ModelSource, options: VisionLanguageModel.Options = .init(),
        template: PromptTemplate? = nil, generation: GenerationOptions = .init(), batch: Int = 1,
        onAnswer: (Answer, Int) -> Void = { _, _ in }
    ) throws(CrayonError) {
        let tokenizer = try source.tokenizer()
        let configuration = source.configuration
        let builder = PromptBuilder(
            template: template ?? configuration.prompt, tokens: configuration.tokens, tokenizer: tokenizer)
        let generator = try BatchGenerator(
            model: VisionLanguageModel(source: source, options: options), tokenizer: tokenizer, size: batch)
        var found = [Answer?](repeating: nil, count: questions.questions.count)
        var statistics = GenerationStatistics()
        var rest = questions.questions.makeIterator()
        do {
            try generator.generate(options: generation, stop: builder.template.stop) {
                guard let question = rest.next() else { return nil }
                let picture = try questions.picture(of: question, for: configuration)
                return try builder.input([Turn(question: question.question, pictures: picture.map { [$0] } ?? [])])
            } onAnswer: { number, made in
                statistics += made.statistics
                let answer = Answer(to: questions.questions[number], text: made.text)
                found[number] = answer
                onAnswer(answer, statistics.answers)
            }
        } catch let error as CrayonError {
            try source.checkUnchanged()
            throw error
        } catch {
            throw CrayonError(.io, in: questions.path, found: "\(error)")
        }
        statistics.decodingSteps = generator.decodingPasses
        statistics.decodingSeconds = generator.decodingSeconds
        try source.checkUnchanged()
        model = source.place
        answers = found.compactMap(\.self)
        rates = Self.rates(of: answers)
        self.statistics = statistics
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
}
