import Architecture
public import Bytes
public import Models

/// A conversation with its answers as token ids, and which of them a model has to say.
public struct AnsweredInput: Sendable, Equatable {
    public var input: ModelInput
    /// Ranges of `input.tokens`, ascending: each answer with what ends it.
    public var answers: [Range<Int>]

    /// As something to learn from: only the answers count.
    public var trainingSequence: TrainingSequence {
        var labels = [Int](repeating: TrainingSequence.ignored, count: input.tokens.count)
        for range in answers { labels.replaceSubrange(range, with: input.tokens[range]) }
        return TrainingSequence(input: input, labels: labels)
    }
}

extension PromptBuilder {
    /// The conversation as a `Generator` would have fed it had the model said every answer itself.
    ///
    /// Up to each answer the ids are those of `input` for the turns so far. An answer is said up to the template's stop text,
    /// that included. A template that writes none after an answer leaves the end to the model's end token, which then
    /// follows the last answer; earlier ones are followed by the next question, as in `input`. Nothing comes after the
    /// last answer's end.
    ///
    /// SentencePiece may join what stands on both sides of a place, so ids are taken from the whole text where every
    /// question and answer begins with a token of its own, as nearly always; else piece by piece, each answer as it is
    /// encoded behind its question's last character.
    ///
    /// - Throws: `CrayonError` as `input` does, for a turn without an answer, for an answer that holds a stop text or a picture's
    ///   mark, and where the tokenizer lets nothing be cut.
    public func answeredInput(_ turns: [Turn]) throws(CrayonError) -> AnsweredInput {
        let pieces = try PromptText(template).pieces(turns)
        let whole = try wholeText(pieces)
        var (ids, answers) = if let whole { whole } else { try byPiece(pieces) }
        if let end = tokens.end.first, let last = answers.last, !endsItself(pieces.last?.text ?? "") {
            ids.append(end)
            answers[answers.count - 1] = last.lowerBound..<last.upperBound + 1
        }
        return AnsweredInput(
            input: ModelInput(tokens: ids, images: turns.flatMap(\.pictures).map(\.input)), answers: answers)
    }

    /// Plain text to go on with: all of it is said, then the end token, where there is one.
    /// - Throws: `CrayonError` for text with a picture's mark, and where the tokenizer fails.
    public func answeredInput(text: String) throws(CrayonError) -> AnsweredInput {
        try PromptText.refuse(PromptTemplate.imageMark, in: text, of: "text")
        let begin = tokens.begin.map { [$0] } ?? []
        let ids = begin + (try ids(of: text)) + (tokens.end.first.map { [$0] } ?? [])
        return AnsweredInput(input: ModelInput(tokens: ids), answers: [begin.count..<ids.count])
    }

    private func endsItself(_ answer: String) -> Bool { template.stop.contains { !$0.isEmpty && answer.hasSuffix($0) } }

    /// Nil where a piece does not begin with a token of its own.
    private func wholeText(_ pieces: [PromptText.Piece]) throws(CrayonError) -> (ids: [Int], answers: [Range<Int>])? {
        var text = ""
        var ends: [[Int]] = []
        for piece in pieces {
            text += piece.text
            ends.append(try sequence(text))
        }
        guard let whole = ends.last, ends.allSatisfy({ whole.starts(with: $0) }) else { return nil }
        var answers: [Range<Int>] = []
        for (index, piece) in pieces.enumerated() where piece.isAnswer {
            answers.append(ends[index - 1].count..<ends[index].count)
        }
        return (whole, answers)
    }

    private func byPiece(_ pieces: [PromptText.Piece]) throws(CrayonError) -> (ids: [Int], answers: [Range<Int>]) {
        var ids: [Int] = []
        var answers: [Range<Int>] = []
        var previous = ""
        for piece in pieces {
            let start = ids.count
            ids += try previous.isEmpty ? sequence(piece.text) : continuation(of: previous, piece.text)
            if piece.isAnswer { answers.append(start..<ids.count) }
            previous = piece.text
        }
        return (ids, answers)
    }

    /// The ids of `text` behind something: the shortest end of `previous` that keeps its own ids in front of it, else a
    /// line's end.
    private func continuation(of previous: String, _ text: String) throws(CrayonError) -> [Int] {
        for anchor in [1, 2, 4, 8, 16].map({ String(previous.suffix($0)) }) + ["\n", ":", "."] {
            let (alone, joined) = (try ids(of: anchor), try ids(of: anchor + text))
            if joined.starts(with: alone) { return Array(joined[alone.count...]) }
        }
        throw CrayonError(
            .unsupported, in: "tokenizer",
            found: "an answer that cannot be told from its question: '\(text.prefix(40))'",
            expected: "a token's end between them")
    }
}
