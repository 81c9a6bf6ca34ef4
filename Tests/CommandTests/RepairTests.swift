import Foundation
import Testing

/// `crayon repair` gives back the bytes that were written, or says what stays lost.
@Suite struct RepairTests {
    private struct Bundle {
        let whole: Data
        /// Where data begin.
        let dataOffset: Int
        /// Byte ranges of tensors, by name.
        let tensors: [String: Range<Int>]

        init() throws {
            whole = try Data(contentsOf: URL(filePath: SampleBundle.path.get()))
            dataOffset = 8 + whole.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
            let header = try #require(
                JSONSerialization.jsonObject(with: whole[8..<dataOffset]) as? [String: [String: Any]])
            var tensors: [String: Range<Int>] = [:]
            for (name, entry) in header {
                guard let ends = entry["data_offsets"] as? [Int] else { continue }
                tensors[name] = dataOffset + ends[0]..<dataOffset + ends[1]
            }
            self.tensors = tensors
        }

        /// The bundle with bits flipped, in a file.
        func write(flipping offsets: [Int], to path: String) throws {
            var bytes = whole
            for offset in offsets { bytes[offset] ^= 1 << UInt8(offset % 8) }
            try bytes.write(to: URL(filePath: path))
        }

        func offsets(in names: (String) -> Bool) -> [Int] {
            tensors.filter { names($0.key) && !$0.value.isEmpty }.map { $0.value.lowerBound + $0.value.count / 2 }
        }
    }

    private func entries(_ folder: String) throws -> Set<String> {
        try Set(FileManager.default.contentsOfDirectory(atPath: folder))
    }

    /// Every tensor of both copies is damaged in one of them, and the header in the first.
    @Test func twoDamagedCopiesGiveAWholeOne() throws {
        let bundle = try Bundle()
        try withFolder { folder in
            let sorted = bundle.tensors.keys.sorted()
            let half = Set(sorted.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element))
            try bundle.write(flipping: [bundle.dataOffset / 3] + bundle.offsets(in: half.contains), to: "\(folder)/a")
            try bundle.write(flipping: bundle.offsets { !half.contains($0) }, to: "\(folder)/b")
            let found = try Command("repair", "\(folder)/a", "-o", "\(folder)/c.crayon", "--from", "\(folder)/b")
            #expect(found.status == 0, "\(found)")
            #expect(try Data(contentsOf: URL(filePath: "\(folder)/c.crayon")) == bundle.whole)
            #expect(found.output.contains("restored: header from \(folder)/b"))
            #expect(try entries(folder) == ["a", "b", "c.crayon"])
        }
    }

    /// Weights and carried files come back from the checkpoint; a recorded answer does not, and then nothing is written.
    @Test func fromTheSource() throws {
        let bundle = try Bundle()
        try withFolder { folder in
            let ours = bundle.offsets { !$0.hasPrefix("crayon.probe.") }
            try bundle.write(flipping: ours, to: "\(folder)/a")
            let words = ["repair", "\(folder)/a", "-o", "\(folder)/c.crayon", "--from-source", Repository.checkpoint]
            let found = try Command(words)
            #expect(found.status == 0, "\(found)")
            #expect(try Data(contentsOf: URL(filePath: "\(folder)/c.crayon")) == bundle.whole)
            #expect(try entries(folder) == ["a", "c.crayon"])

            let probe = "crayon.probe.000-class.logits"
            try bundle.write(flipping: ours + bundle.offsets { $0 == probe }, to: "\(folder)/a")
            try FileManager.default.removeItem(atPath: "\(folder)/c.crayon")
            let lost = try Command(words + ["--json"])
            #expect(lost.status == 1, "\(lost)")
            #expect(try lost.json["lost"] as? [String] == [probe])
            #expect(try entries(folder) == ["a"])
        }
    }

    /// Length, padding, the digest's own digits, an end that is missing or too much.
    @Test func headersAreRebuilt() throws {
        let bundle = try Bundle()
        let key = try #require(bundle.whole.range(of: Data("\"crayon.digest\":\"".utf8)))
        let cases = [
            (1, "length"), (5, "length"), (bundle.dataOffset - 1, "padding"), (key.upperBound + 9, "digest"),
        ]
        for (offset, part) in cases {
            try withFolder { folder in
                try bundle.write(flipping: [offset], to: "\(folder)/a.crayon")
                let verified = try Command("verify", "\(folder)/a.crayon")
                #expect(verified.status == 1 && verified.output.contains("header: its \(part)"), "\(verified)")
                // In its own place.
                let found = try Command("repair", "\(folder)/a.crayon", "-o", "\(folder)/a.crayon")
                #expect(found.status == 0 && found.output.contains("header from rebuilt: \(part)"), "\(found)")
                #expect(try Data(contentsOf: URL(filePath: "\(folder)/a.crayon")) == bundle.whole)
            }
        }
        try withFolder { folder in
            // A text that is damaged has no second copy.
            try bundle.write(flipping: [bundle.dataOffset / 3], to: "\(folder)/a.crayon")
            let found = try Command("repair", "\(folder)/a.crayon", "-o", "\(folder)/b.crayon")
            #expect(found.status == 1 && found.output.contains("lost: header"), "\(found)")
            // Longer, and shorter.
            try (bundle.whole + Data(count: 5000)).write(to: URL(filePath: "\(folder)/a.crayon"))
            #expect(try Command("repair", "\(folder)/a.crayon", "-o", "\(folder)/b.crayon").status == 0)
            #expect(try Data(contentsOf: URL(filePath: "\(folder)/b.crayon")) == bundle.whole)
            try bundle.whole.prefix(bundle.dataOffset + 1000).write(to: URL(filePath: "\(folder)/a.crayon"))
            let cut = try Command(
                "repair", "\(folder)/a.crayon", "-o", "\(folder)/c.crayon", "--from", "\(folder)/b.crayon")
            #expect(cut.status == 0, "\(cut)")
            #expect(try Data(contentsOf: URL(filePath: "\(folder)/c.crayon")) == bundle.whole)
        }
    }

    /// A header is not taken from a bundle that is another.
    @Test func anotherBundleIsNoCopy() throws {
        let bundle = try Bundle()
        try withFolder { folder in
            try bundle.write(flipping: [bundle.dataOffset / 3], to: "\(folder)/a.crayon")
            let made = try Command(
                "quantize", Repository.checkpoint, "-o", "\(folder)/other.crayon", "--profile", "compact", "--quiet")
            #expect(made.status == 0)
            let found = try Command(
                "repair", "\(folder)/a.crayon", "-o", "\(folder)/b.crayon", "--from", "\(folder)/other.crayon")
            #expect(found.status == 2 && found.errors.contains("a copy of the same bundle"), "\(found)")
            #expect(try entries(folder) == ["a.crayon", "other.crayon"])
        }
    }

    /// `Scripts/crashes --flips 10000` does it with more.
    @Test func eachOfManyFlippedBitsIsFoundAndNamed() throws {
        let bundle = try Bundle()
        var state: UInt64 = 11
        try withFolder { folder in
            for _ in 0..<40 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let offset = Int(state >> 33) % bundle.whole.count
                try bundle.write(flipping: [offset], to: "\(folder)/a.crayon")
                let found = try Command("verify", "\(folder)/a.crayon", "--quiet")
                let name = bundle.tensors.first { $0.value.contains(offset) }?.key ?? "header: its "
                #expect(found.status == 1 && found.output.contains(name), "byte \(offset) of \(name): \(found.output)")
            }
        }
    }
}
