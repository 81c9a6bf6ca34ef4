/// Proposes what may come next: what followed the last tokens where they stood before, in the prompt or the answer.
///
/// Prompt look-up decoding (Saxena 2023): a draft that costs no model. Answers about objects repeat names, numbers and boxes
/// of the prompt.
struct PromptLookup: Sendable {
    /// The last three tokens are looked for, then the last two, then the last.
    static let longestMatch = 3

    /// Tokens so far; nil where a picture stands, which nothing matches.
    private var tokens: [Int?] = []

    init(_ prompt: some Sequence<Int?>) { tokens = Array(prompt) }

    mutating func append(_ token: Int) { tokens.append(token) }

    /// Up to `count` tokens that followed the latest earlier occurrence of as many of the last tokens as can be found.
    func proposals(_ count: Int) -> [Int] {
        guard count > 0 else { return [] }
        for length in (1...Self.longestMatch).reversed() where tokens.count > length {
            let wanted = tokens.suffix(length)
            guard !wanted.contains(nil) else { continue }
            for end in (length..<tokens.count).reversed() where tokens[end - length..<end] == wanted {
                let found = tokens[end...].prefix(count).prefix { $0 != nil }.compactMap(\.self)
                if !found.isEmpty { return found }
            }
        }
        return []
    }
}
