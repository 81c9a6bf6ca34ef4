import Bytes
import Foundation

/// One mapped file of a model in GGUF, and its head.
struct GGUFPart: Sendable {
    let mapping: MappedFile
    let header: GGUFHeader
    /// What errors call it.
    let place: String

    /// - Parameter first: the name of the model's first part, for another one.
    init(mapping: MappedFile, of first: String? = nil) throws(CrayonError) {
        self.mapping = mapping
        place = first.map { "\(mapping.path), a part of '\($0)'" } ?? mapping.path
        header = try GGUFHeader(mapping.whole, place: place)
    }
}

/// A model in several files, as llama-gguf-split leaves it: `NAME-00001-of-00003.gguf` and so on, each with a head of its own, in which
/// `split.no`, from 0, and `split.count` say which it is. The first has the metadata.
struct GGUFSplit {
    /// `uint16`, so that a lie costs no more than so many names.
    private static let mostParts = 65535

    private let first: GGUFPart
    private let number: Int
    private let count: Int

    /// Nil for a file that stands alone.
    /// - Throws: `CrayonError` for numbers that make no sense.
    init?(_ part: GGUFPart) throws(CrayonError) {
        let count = try Self.integer("split.count", in: part) ?? 1
        guard count != 1 else { return nil }
        first = part
        self.count = count
        guard let number = try Self.integer("split.no", in: part) else {
            throw Self.error(part, .missing, "split.no", "nothing", "the number of this part, from 0")
        }
        self.number = number
        guard (1...Self.mostParts).contains(count), (0..<count).contains(number) else {
            throw Self.error(
                part, .malformed, number < 0 || count > 0 && number >= count ? "split.no" : "split.count",
                "part \(number) of \(count)", "at most \(Self.mostParts) parts, counted from 0")
        }
    }

    private static func integer(_ key: String, in part: GGUFPart) throws(CrayonError) -> Int? {
        guard let value = part.header.metadata.first(where: { $0.name == key })?.value else { return nil }
        guard let number = value.integer else { throw error(part, .malformed, key, value.kind, "an integer") }
        return number
    }

    private static func error(
        _ part: GGUFPart, _ code: CrayonError.Code, _ key: String, _ found: String, _ expected: String,
        advice: String? = nil
    ) -> CrayonError {
        CrayonError(
            code, in: part.place, item: "key '\(key)'", found: found, expected: expected, advice: advice)
    }

    /// All parts in order, opened and held against each other.
    /// - Throws: `CrayonError` for a part that is missing, another's, or not where its name says, and for tensors that come twice or
    ///   are not as many as the first part promises.
    func parts() throws(CrayonError) -> [GGUFPart] {
        let path = first.mapping.path
        let name = Folder.lastPart(of: path)
        let ending = Self.ending(number, of: count)
        guard name.hasSuffix(ending), name.utf8.count > ending.utf8.count else {
            throw CrayonError(
                .mismatch, in: path, item: "file name", found: "'\(name)', for part \(number + 1) of \(count)",
                expected: "a name that ends in '\(ending)'",
                advice: "Give the parts the names that they had, or join them with llama-gguf-split --merge.")
        }
        let prefix = String(name.dropLast(ending.count))
        guard number == 0 else {
            throw Self.error(
                first, .usage, "split.no", "part \(number + 1) of \(count)", "the first part, which has the metadata",
                advice: "Name '\(prefix)\(Self.ending(0, of: count))', or the folder.")
        }
        let folder = try FolderFiles(containing: path)
        var paths: [String] = []
        var missing: [String] = []
        for index in 1..<count {
            let other = prefix + Self.ending(index, of: count)
            if let path = try folder.path(of: other) { paths.append(path) } else { missing.append(other) }
        }
        guard missing.isEmpty else {
            throw CrayonError(
                .missing, in: path, found: "\(missing.count) of \(count) parts missing: \(ShardedFolder.list(missing))",
                expected: "every part in the folder of the first", advice: "Download the missing files.")
        }
        var parts = [first]
        for (index, path) in paths.enumerated() {
            let part = try GGUFPart(mapping: MappedFile(path: path), of: name)
            let (found, total) = (try Self.integer("split.no", in: part), try Self.integer("split.count", in: part))
            guard found == index + 1, total == count else {
                throw Self.error(
                    part, .mismatch, found == index + 1 ? "split.count" : "split.no",
                    "part \(found.map { "\($0 + 1)" } ?? "?") of \(total.map { "\($0)" } ?? "?")",
                    "part \(index + 2) of \(count), as the name says", advice: "Download the file again.")
            }
            parts.append(part)
        }
        try check(parts)
        return parts
    }

    private func check(_ parts: [GGUFPart]) throws(CrayonError) {
        var owners: [String: String] = [:]
        for part in parts {
            for entry in part.header.entries {
                if let other = owners.updateValue(part.mapping.path, forKey: entry.name) {
                    throw CrayonError(
                        .malformed, in: part.place, item: "tensor '\(entry.name)'",
                        found: "a name that is taken, in '\(Folder.lastPart(of: other))'", expected: "names that differ"
                    )
                }
            }
        }
        let total = parts.reduce(0) { $0 + $1.header.entries.count }
        if let promised = try Self.integer("split.tensors.count", in: first), promised != total {
            throw Self.error(
                first, .mismatch, "split.tensors.count", "\(promised)", "\(total), which is how many the parts have",
                advice: "Parts come from different models or are cut off; download them again.")
        }
    }

    /// `-00001-of-00003.gguf`
    private static func ending(_ number: Int, of count: Int) -> String {
        String(format: "-%05d-of-%05d.gguf", number + 1, count)
    }

    /// The first part among a folder's GGUF files; nil where they are not all parts of one model.
    static func first(among names: [String]) -> String? {
        let parts = names.compactMap { name -> (prefix: Substring, count: Substring)? in
            guard let match = name.wholeMatch(of: /(.+)-[0-9]{5}-of-([0-9]{5})\.gguf/) else { return nil }
            return (match.output.1, match.output.2)
        }
        guard let one = parts.first, parts.count == names.count,
            parts.allSatisfy({ $0.prefix == one.prefix && $0.count == one.count })
        else { return nil }
        return "\(one.prefix)-00001-of-\(one.count).gguf"
    }
}
