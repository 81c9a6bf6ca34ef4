import Architecture
import Bytes
import Inference

/// Turns of two speakers as questions and answers.
struct ConversationReading {
    let place: String
    let record: String

    /// - Parameter turns: who speaks, and what: `human` or `user` asks, `gpt` or `assistant` answers, `system` may come first
    ///   and stands before the first question.
    /// - Throws: `CrayonError` unless questions and answers take turns, a question first.
    func exchanges(_ turns: [(role: String, text: String)]) throws(CrayonError) -> [Exchange] {
        var turns = turns[...]
        var system: String?
        if let first = turns.first, first.role == "system" {
            system = first.text
            turns = turns.dropFirst()
        }
        var exchanges: [Exchange] = []
        var question: String?
        for (number, turn) in turns.enumerated() {
            switch (turn.role, question) {
            case ("human", nil), ("user", nil): question = turn.text
            case ("gpt", let asked?), ("assistant", let asked?):
                exchanges.append(Exchange(question: asked, answer: turn.text))
                question = nil
            default:
                throw failure(
                    "turn \(number + 1) from '\(turn.role)'", question == nil ? "a question" : "an answer")
            }
        }
        guard question == nil, !exchanges.isEmpty else {
            throw failure(
                exchanges.isEmpty && question == nil ? "no turns" : "a question without an answer at the end",
                "questions and answers in turn")
        }
        if let system, !system.isEmpty { exchanges[0].question = system + "\n" + exchanges[0].question }
        return exchanges
    }

    /// Says with which question each of `count` pictures is shown.
    ///
    /// A mark at the beginning or end of a question is taken out, so that the prompt template puts the picture
    /// where it puts it when the model is asked; marks between words stay.
    /// - Throws: `CrayonError` for another number of marks than pictures, if there are any.
    func place(_ count: Int, in exchanges: inout [Exchange]) throws(CrayonError) {
        let marks = exchanges.map { $0.question.ranges(of: PromptTemplate.imageMark).count }
        let total = marks.reduce(0, +)
        guard total == count || total == 0 else {
            throw failure("\(total) times \(PromptTemplate.imageMark) for \(count) pictures", "one for each picture")
        }
        if total == 0 {
            exchanges[0].pictureCount = count
            return
        }
        for index in exchanges.indices {
            exchanges[index].pictureCount = marks[index]
            let bare = Self.withoutOuterMarks(exchanges[index].question)
            if !bare.contains(PromptTemplate.imageMark) { exchanges[index].question = String(bare) }
        }
    }

    private static func withoutOuterMarks(_ question: String) -> Substring {
        var text = question[...]
        while true {
            let trimmed = text.trimmed
            if trimmed.hasPrefix(PromptTemplate.imageMark) {
                text = trimmed.dropFirst(PromptTemplate.imageMark.count).trimmed
            } else if trimmed.hasSuffix(PromptTemplate.imageMark) {
                text = trimmed.dropLast(PromptTemplate.imageMark.count).trimmed
            } else {
                return text
            }
        }
    }

    private func failure(_ found: String, _ expected: String) -> CrayonError {
        CrayonError(.malformed, in: place, item: record, found: found, expected: expected)
    }
}
