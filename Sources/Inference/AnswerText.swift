import Tokenization

/// The text of an answer while it is made: no space before it, nothing of a stop text.
struct AnswerText {
    private var decoder: StreamingDecoder
    private var matcher: StopMatcher
    private(set) var whole = ""

    init(_ tokenizer: any Tokenizer, stops: [String]) {
        decoder = StreamingDecoder(tokenizer, continuing: true)
        matcher = StopMatcher(stops)
    }

    var hasStopped: Bool { matcher.hasStopped }

    mutating func append(_ token: Int) -> String {
        guard let id = Int32(exactly: token) else { return "" }
        return emit(matcher.append(decoder.append(id)))
    }

    mutating func finish() -> String { emit(matcher.append(decoder.finish()) + matcher.finish()) }

    private mutating func emit(_ text: String) -> String {
        let text = whole.isEmpty ? String(text.drop(while: \.isWhitespace)) : text
        whole += text
        return text
    }
}
