public import Architecture
public import Bytes

/// What a template makes of a conversation, as text alone.
public struct PromptText: Sendable {
    public let template: PromptTemplate

    public init(_ template: PromptTemplate) { self.template = template }

    /// A stretch of a conversation.
    public struct Piece: Sendable, Equatable {
        public var text: String
        /// Whether a model says it: an answer up to the stop text that ends it, that included.
        public var isAnswer: Bool

        public init(text: String, isAnswer: Bool) {
            self.text = text
            self.isAnswer = isAnswer
        }
    }

    /// The conversation as text.
    /// - Throws: `CrayonError` for a question with another number of marks than pictures.
    public func text(_ turns: [Turn]) throws(CrayonError) -> String {
        var text = template.begin
        for turn in turns {
            text += try prompt(of: turn)
            if let answer = turn.answer { text += template.answer.replacing("{answer}", with: answer) }
        }
        return text
    }

    /// An answered conversation, question and answer in turn; what the template has behind the last answer's stop is left out.
    /// - Throws: `CrayonError` as `text` does, for a turn without an answer, and for an answer that holds a stop text or a
    ///   picture's mark.
    public func pieces(_ turns: [Turn]) throws(CrayonError) -> [Piece] {
        let parts = template.answer.split(separator: "{answer}", maxSplits: 1, omittingEmptySubsequences: false)
        let before = String(parts[0])
        let after = parts.count > 1 ? String(parts[1]) : ""
        // What is said of the text after an answer: up to the stop text that is complete first.
        let said = template.stop.compactMap { after.firstRange(of: $0)?.upperBound }.min() ?? after.startIndex
        var pieces: [Piece] = []
        var open = template.begin
        for turn in turns {
            guard let answer = turn.answer else {
                throw CrayonError(.missing, in: "conversation", found: "a question without an answer")
            }
            for stop in template.stop + [PromptTemplate.imageMark] { try Self.refuse(stop, in: answer, of: "answer") }
            pieces.append(Piece(text: open + (try prompt(of: turn)), isAnswer: false))
            pieces.append(Piece(text: before + answer + after[..<said], isAnswer: true))
            open = String(after[said...])
        }
        return pieces
    }

    /// What one turn adds before its answer.
    private func prompt(of turn: Turn) throws(CrayonError) -> String {
        let marks = turn.question.ranges(of: PromptTemplate.imageMark).count
        guard marks == 0 || marks == turn.pictures.count else {
            throw CrayonError(
                .usage, in: "question",
                found: "\(marks) times \(PromptTemplate.imageMark) for \(turn.pictures.count) pictures",
                expected: "none, or one for each picture")
        }
        let pictures = marks > 0 ? "" : String(repeating: template.image, count: turn.pictures.count)
        var text = template.user.contains("{images}") ? "" : pictures
        let sentences = turn.pictures.map(\.objectSentence).joined(separator: " ")
        if turn.pictures.contains(where: { $0.maps != nil }) {
            text += template.objects.replacing("{objects}", with: sentences)
        }
        return text + user(turn.question, objects: sentences, pictures: pictures) + template.assistant
    }

    /// The template first, so that a question cannot forge a place-holder.
    private func user(_ question: String, objects: String, pictures: String) -> String {
        let objects = objects.isEmpty ? "" : objects + " "
        return template.user.split(separator: "{question}", omittingEmptySubsequences: false)
            .map { $0.replacing("{objects}", with: objects).replacing("{images}", with: pictures) }
            .joined(separator: question)
    }

    static func refuse(_ mark: String, in text: String, of part: String) throws(CrayonError) {
        guard !mark.isEmpty, text.contains(mark) else { return }
        throw CrayonError(
            .malformed, in: part, found: "'\(mark)' in it", expected: "text without it",
            advice: "The model takes it for more than text.")
    }
}
