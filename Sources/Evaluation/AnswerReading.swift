import Bytes

/// What an answer says, however it is put.
public enum AnswerReading {
    /// Whether an answer begins with yes or no; nil for one that does neither.
    public static func yesOrNo(_ answer: String) -> Bool? {
        let first = answer.lowercased().drop { !$0.isLetter }.prefix { $0.isLetter }
        switch first {
        case "yes": return true
        case "no": return false
        default: return nil
        }
    }

    /// The thing that an answer names: in lower case, words one space apart, without marks at the ends, and without what people
    /// put before a name ("It is a", "the").
    public static func name(_ answer: String) -> String {
        var words = answer.lowercased().split { $0.isWhitespace }.map(trimMarks).filter { !$0.isEmpty }
        for opening in [["it", "is"], ["it's"], ["this", "is"], ["there", "is"], ["that", "is"]]
        where words.count > opening.count && words.starts(with: opening) {
            words.removeFirst(opening.count)
            break
        }
        if words.count > 1, let first = words.first, ["a", "an", "the"].contains(first) { words.removeFirst() }
        return words.joined(separator: " ")
    }

    /// The same to the letter, white space at the ends aside.
    public static func isSame(_ answer: String, _ right: String) -> Bool { answer.trimmed == right.trimmed }

    private static func trimMarks(_ word: Substring) -> String {
        var word = word
        while let last = word.last, last.isPunctuation { word.removeLast() }
        while let first = word.first, first.isPunctuation { word.removeFirst() }
        return String(word)
    }
}
