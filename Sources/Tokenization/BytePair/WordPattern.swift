/// The regular expressions by which byte-level tokenizers cut text into words, each written out as a scanner.
///
/// A scanner reads a text once from left to right; what would be backtracking in the expression is known from the
/// runs of characters of one kind. Each does what Oniguruma does with the expression, whose version of Unicode the
/// Python package has.
enum WordPattern: CaseIterable, Sendable {
    case gpt2
    case llama3
    case qwen2

    /// The expression as files have it.
    var expression: String {
        switch self {
        case .gpt2: #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        case .llama3: Self.newer(numbers: #"\p{N}{1,3}"#)
        case .qwen2: Self.newer(numbers: #"\p{N}"#)
        }
    }

    private static func newer(numbers: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// Nil for an expression that is none of these.
    init?(expression: String) {
        guard let known = Self.allCases.first(where: { $0.expression == expression }) else { return nil }
        self = known
    }

    /// The words of a text: consecutive ranges of its bytes that cover all of it.
    /// - Parameter text: valid UTF-8.
    func words(_ text: ArraySlice<UInt8>) -> [Range<Int>] {
        var scanner = WordScanner(text)
        return scanner.words(self)
    }
}

/// One pass over one text.
private struct WordScanner {
    private let scalars: [Unicode.Scalar]
    private let kinds: [CharacterKind]
    /// Where each character begins, and at last where the text ends.
    private let offsets: [Int]

    init(_ text: ArraySlice<UInt8>) {
        var scalars: [Unicode.Scalar] = []
        var offsets: [Int] = []
        scalars.reserveCapacity(text.count)
        offsets.reserveCapacity(text.count + 1)
        var offset = text.startIndex
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            scalars.append(scalar)
            offsets.append(offset)
            offset += UTF8.width(scalar)
        }
        offsets.append(offset)
        self.scalars = scalars
        self.offsets = offsets
        kinds = scalars.map(CharacterKind.init)
    }

    mutating func words(_ pattern: WordPattern) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var start = 0
        while start < kinds.count {
            let end =
                switch pattern {
                case .gpt2: gpt2(start)
                case .llama3: newer(start, mostDigits: 3)
                case .qwen2: newer(start, mostDigits: 1)
                }
            words.append(offsets[start]..<offsets[end])
            start = end
        }
        return words
    }

    private func gpt2(_ start: Int) -> Int {
        if let end = contraction(start, ignoringCase: false) { return end }
        // ` ?` before letters, numbers or others.
        let first = scalars[start] == " " && start + 1 < kinds.count ? start + 1 : start
        let kind = kinds[first]
        if !kind.isSpace { return run(first) { $0 == kind } }
        return spaces(start)
    }

    private func newer(_ start: Int, mostDigits: Int) -> Int {
        if let end = contraction(start, ignoringCase: true) { return end }
        let kind = kinds[start]
        let next = start + 1
        // `[^\r\n\p{L}\p{N}]?\p{L}+`
        if kind == .letter { return run(start) { $0 == .letter } }
        if kind == .space || kind == .other, next < kinds.count, kinds[next] == .letter {
            return run(next) { $0 == .letter }
        }
        if kind == .number {
            var end = next
            while end < kinds.count, end - start < mostDigits, kinds[end] == .number { end += 1 }
            return end
        }
        // ` ?[^\s\p{L}\p{N}]+[\r\n]*`
        let first = scalars[start] == " " && next < kinds.count ? next : start
        if kinds[first] == .other { return run(run(first) { $0 == .other }) { $0 == .newline } }
        // `\s*[\r\n]+`: to the last line end of the run.
        let end = run(start) { $0.isSpace }
        if let last = kinds[start..<end].lastIndex(of: .newline) { return last + 1 }
        return spaces(start, end)
    }

    /// `\s+(?!\S)|\s+`
    private func spaces(_ start: Int, _ knownEnd: Int? = nil) -> Int {
        let end = knownEnd ?? run(start) { $0.isSpace }
        // The last one is left to the word behind, unless it is all there is.
        return end == kinds.count || end == start + 1 ? end : end - 1
    }

    private func run(_ start: Int, _ holds: (CharacterKind) -> Bool) -> Int {
        var end = start
        while end < kinds.count, holds(kinds[end]) { end += 1 }
        return end
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d`
    private func contraction(_ start: Int, ignoringCase: Bool) -> Int? {
        guard scalars[start] == "'" else { return nil }
        func letter(_ index: Int) -> Unicode.Scalar? {
            guard index < scalars.count else { return nil }
            let scalar = scalars[index]
            guard ignoringCase else { return scalar }
            if scalar.value < 128, scalar.properties.isUppercase { return Unicode.Scalar(scalar.value + 32) }
            // The long s is an s where case does not count.
            return scalar == "\u{17f}" ? "s" : scalar
        }
        switch (letter(start + 1), letter(start + 2)) {
        case ("s"?, _), ("t"?, _), ("m"?, _), ("d"?, _): return start + 2
        case ("r"?, "e"?), ("v"?, "e"?), ("l"?, "l"?): return start + 3
        default: return nil
        }
    }
}
