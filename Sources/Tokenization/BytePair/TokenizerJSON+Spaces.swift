import Bytes
import JSON

/// A SentencePiece model in the form of `tokenizer.json`, as Llama 2, Mistral and LLaVA-1.5 have it: characters are merged, spaces
/// are written as `▁`, and what is no entry becomes its bytes.
extension TokenizerJSON {
    func spacedFile() throws(CrayonError) -> BytePairFile {
        let steps = try spaces()
        return BytePairFile(
            place: reader.place, model: try model(.characters), normalizations: try replacements(), steps: steps,
            decoding: try spacedDecoding())
    }

    private func replacements() throws(CrayonError) -> [BytePairFile.Normalization] {
        var normalizations: [BytePairFile.Normalization] = []
        for value in Self.components(reader.object["normalizer"], list: "normalizers") {
            let component = try JSONReader(value, place: reader.place, path: "normalizer")
            switch Self.type(value) {
            case "NFC": normalizations.append(.compose)
            case "Prepend": normalizations.append(.prepend(Array(try component.string("prepend").utf8)))
            case "Replace":
                let (old, new) = try replacement(component, "normalizer")
                normalizations.append(.replace(old, with: new))
            case let name: throw refusal("normalizer", name ?? value.kind, "NFC, Prepend, Replace, or none")
            }
        }
        return normalizations
    }

    /// `{"pattern": {"String": " "}, "content": "▁"}`
    private func replacement(
        _ component: JSONReader, _ key: String
    ) throws(CrayonError) -> (old: [UInt8], new: [UInt8]) {
        let pattern = try component.object("pattern")
        guard let old = try pattern.optionalString("String"), !old.isEmpty else {
            throw refusal("\(key).pattern", "an expression, or nothing", "a text")
        }
        return (Array(old.utf8), Array(try component.string("content").utf8))
    }

    private func spaces() throws(CrayonError) -> [BytePairFile.Step] {
        let components = Self.components(reader.object["pre_tokenizer"], list: "pretokenizers")
        guard let value = components.first else { return [] }
        guard components.count == 1, Self.type(value) == "Metaspace" else {
            throw refusal(
                "pre_tokenizer", components.map { Self.type($0) ?? $0.kind }.joined(separator: ", "),
                "ByteLevel at the end, or Metaspace alone, or none")
        }
        let component = try JSONReader(value, place: reader.place, path: "pre_tokenizer")
        let space = try component.optionalString("replacement") ?? "\u{2581}"
        guard space.unicodeScalars.count == 1 else {
            throw refusal("pre_tokenizer.replacement", "'\(space)'", "one character")
        }
        let name = try component.optionalString("prepend_scheme")
        // Files of early versions have a flag in place of the name.
        let older = try component.optionalBool("add_prefix_space") ?? true
        let prefix = name.map { BytePairFile.PrefixScheme(rawValue: $0) } ?? (older ? .always : .never)
        guard let prefix else {
            throw refusal("pre_tokenizer.prepend_scheme", "'\(name ?? "")'", "'always', 'first' or 'never'")
        }
        return [.spaces(as: Array(space.utf8), prefix: prefix, cuts: try component.optionalBool("split") ?? true)]
    }

    /// Replace, ByteFallback, Fuse, Strip: in this order, the second and the last optional.
    private func spacedDecoding() throws(CrayonError) -> BytePairFile.Decoding {
        let components = Self.components(reader.object["decoder"], list: "decoders")
        var names = components.map { Self.type($0) ?? $0.kind }
        let refusal = refusal(
            "decoder", names.isEmpty ? "none" : names.joined(separator: ", "),
            "Replace, ByteFallback, Fuse and Strip, in this order")
        guard names.first == "Replace" else { throw refusal }
        let (space, text) = try replacement(
            JSONReader(components[0], place: reader.place, path: "decoder"), "decoder")
        guard text == [0x20] else {
            throw self.refusal("decoder.content", "'\(String(decoding: text, as: UTF8.self))'", "a space")
        }
        var dropsFirst = false
        if names.last == "Strip", let value = components.last {
            let strip = try JSONReader(value, place: reader.place, path: "decoder")
            let (start, stop) = (try strip.int("start"), try strip.int("stop"))
            guard try strip.string("content") == " ", (0...1).contains(start), stop == 0 else {
                throw self.refusal(
                    "decoder.start", "\(start) at the start, \(stop) at the end",
                    "at most one space at the start, none at the end")
            }
            dropsFirst = start == 1
            names.removeLast()
        }
        guard names == ["Replace", "ByteFallback", "Fuse"] || names == ["Replace", "Fuse"] else { throw refusal }
        return .spaces(space, bytes: names.count == 3, dropsFirst: dropsFirst)
    }
}
