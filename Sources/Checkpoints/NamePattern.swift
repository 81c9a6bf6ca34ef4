/// A tensor name with holes: `model.layers.{n}.attention.wqkv.{p}`.
///
/// `{n}` stands for a layer number without leading zeros, `{p}` for `weight` or `bias`, and `{x:a|b|c}` for
/// one of the words. Patterns are written by programmers; a malformed one traps.
struct NamePattern: Sendable, CustomStringConvertible {
    private enum Piece: Sendable {
        case literal([UInt8])
        case number(String)
        case word(String, [[UInt8]])
    }

    let description: String
    private let pieces: [Piece]

    init(_ text: String) {
        description = text
        var pieces: [Piece] = []
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            if open > rest.startIndex { pieces.append(.literal(Array(rest[..<open].utf8))) }
            guard let close = rest[open...].firstIndex(of: "}") else { preconditionFailure("'\(text)' lacks a }") }
            let hole = rest[rest.index(after: open)..<close].split(separator: ":", maxSplits: 1)
            switch (hole.first.map(String.init), hole.count) {
            case ("n"?, 1): pieces.append(.number("n"))
            case ("p"?, 1): pieces.append(.word("p", ["weight", "bias"].map { Array($0.utf8) }))
            case (let name?, 2):
                pieces.append(.word(name, hole[1].split(separator: "|").map { Array($0.utf8) }))
            default: preconditionFailure("'\(text)' has a hole without words")
            }
            rest = rest[rest.index(after: close)...]
        }
        if !rest.isEmpty { pieces.append(.literal(Array(rest.utf8))) }
        self.pieces = pieces
    }

    /// What the holes stand for in `name`; nil when the name does not follow the pattern.
    func match(_ name: String) -> [String: String]? {
        var captures: [String: String] = [:]
        return match(Array(name.utf8)[...], pieces[...], &captures) ? captures : nil
    }

    /// The name with the holes filled; nil when a hole's value is missing or not one of its words.
    func expand(_ captures: [String: String]) -> String? {
        var name = ""
        for piece in pieces {
            switch piece {
            case .literal(let bytes): name += String(decoding: bytes, as: UTF8.self)
            case .number(let hole):
                guard let value = captures[hole] else { return nil }
                name += value
            case .word(let hole, let words):
                guard let value = captures[hole], words.contains(Array(value.utf8)) else { return nil }
                name += value
            }
        }
        return name
    }

    private func match(
        _ name: ArraySlice<UInt8>, _ pieces: ArraySlice<Piece>, _ captures: inout [String: String]
    ) -> Bool {
        guard let piece = pieces.first else { return name.isEmpty }
        let following = pieces.dropFirst()
        switch piece {
        case .literal(let bytes):
            return name.starts(with: bytes) && match(name.dropFirst(bytes.count), following, &captures)
        case .number(let hole):
            let digits = name.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            // A leading zero would give one layer two names; nine digits fit any integer.
            guard !digits.isEmpty, digits.count <= 9, digits.count == 1 || digits.first != UInt8(ascii: "0")
            else { return false }
            captures[hole] = String(decoding: digits, as: UTF8.self)
            return match(name.dropFirst(digits.count), following, &captures)
        case .word(let hole, let words):
            for word in words where name.starts(with: word) {
                captures[hole] = String(decoding: word, as: UTF8.self)
                if match(name.dropFirst(word.count), following, &captures) { return true }
            }
            return false
        }
    }
}
