public import Bytes
public import Datasets
import Inference

/// How a model follows instructions: the answers to examples, to the letter and by form.
///
///     let examples = try (0..<100).map { try instructions.example($0, epoch: 0) }
///     let scores = try InstructionScores(asking: examples, of: model)
public struct InstructionScores: Codable, Sendable, Equatable {
    public struct Kind: Codable, Sendable, Equatable {
        public var kind: String
        /// The right answer to the letter, white space at the ends aside.
        public var exact = Tally()
        /// An answer that ends of itself and has the form that was asked for, right or wrong.
        public var followed = Tally()
    }

    /// By kind, in the order of their first question.
    public var kinds: [Kind]

    /// Over all kinds.
    public var exact: Tally { sum(\.exact) }
    public var followed: Tally { sum(\.followed) }

    /// Asks the questions of each example, of a conversation each with the right answers before it.
    ///
    /// - Parameters:
    ///   - maxNewTokens: of an answer; one that goes on longer follows nothing.
    ///   - onAnswer: called after each question with the example, the exchange, and the model's answer.
    /// - Throws: `CrayonError` for a picture that cannot be read, and for a model that cannot be asked.
    public init(
        asking examples: [Example], of model: ModelUnderTest, maxNewTokens: Int = 256,
        onAnswer: (Example, Exchange, String) -> Void = { _, _, _ in }
    ) throws(CrayonError) {
        kinds = []
        let questioning = try Questioning(model, maxNewTokens: maxNewTokens)
        for example in examples where !example.exchanges.isEmpty {
            let conversations = Self.conversations(example, try model.pictures(example.pictures))
            for (exchange, answer) in zip(example.exchanges, try questioning.answers(to: conversations)) {
                count(
                    example.exchanges.count == 1 ? example.kind : InstructionForm(of: exchange.answer).rawValue,
                    isExact: AnswerReading.isSame(answer.text, exchange.answer),
                    follows: answer.reason != .length
                        && InstructionForm(of: exchange.answer).holds(answer.text))
                onAnswer(example, exchange, answer.text)
            }
        }
    }

    /// What is asked of an example: each question with the right answers to those before it.
    private static func conversations(_ example: Example, _ pictures: [Picture]) -> [[Turn]] {
        var turns: [Turn] = []
        var rest = pictures[...]
        return example.exchanges.map { exchange in
            turns.append(Turn(question: exchange.question, pictures: Array(rest.prefix(exchange.pictureCount))))
            rest = rest.dropFirst(exchange.pictureCount)
            defer { turns[turns.count - 1].answer = exchange.answer }
            return turns
        }
    }

    private mutating func count(_ kind: String, isExact: Bool, follows: Bool) {
        let index = kinds.firstIndex { $0.kind == kind } ?? kinds.count
        if index == kinds.count { kinds.append(Kind(kind: kind)) }
        kinds[index].exact.count(isExact)
        kinds[index].followed.count(follows)
    }

    private func sum(_ tally: KeyPath<Kind, Tally>) -> Tally {
        kinds.reduce(into: Tally()) { sum, kind in
            sum.right += kind[keyPath: tally].right
            sum.asked += kind[keyPath: tally].asked
        }
    }
}

/// What form an answer has, seen from the right one.
public enum InstructionForm: String, Sendable {
    case yesOrNo = "yes or no"
    /// Objects with numbers and boxes, or that there is none.
    case objects
    /// A name, or free text: anything that is there.
    case text

    public init(of right: String) {
        if ["yes", "no"].contains(right.lowercased()) {
            self = .yesOrNo
        } else if Self.isObjects(right) {
            self = .objects
        } else {
            self = .text
        }
    }

    /// Whether an answer has the form.
    public func holds(_ answer: String) -> Bool {
        switch self {
        case .yesOrNo: AnswerReading.yesOrNo(answer) != nil
        case .objects: Self.isObjects(answer)
        // A name in place of a list, or a list in place of a name, follows nothing.
        case .text: answer.contains { !$0.isWhitespace } && !Self.isObjects(answer)
        }
    }

    /// `Sure, it is (#1 horse) [0.06, 0.38, 0.27, 0.91], …`, or `There is no horse in this image.`
    private static func isObjects(_ answer: String) -> Bool {
        let number = "[01]\\.[0-9]{2}"
        let object = "\\(#[0-9]+ [^()]+\\) \\[\(number), \(number), \(number), \(number)\\]"
        guard
            let pattern = try? Regex("\\s*(Sure, it is \(object)(, \(object))*|There is no [^.]+ in this image\\.)\\s*")
        else { return false }
        return answer.wholeMatch(of: pattern) != nil
    }
}
