import Bytes
import Checkpoints
import Testing

/// Pickles made to cost more than their size: each is read or refused in time and memory that follow from its bytes.
@Suite struct HostilePickleTests {
    private static let tensor = Array("ctorch._utils\n_rebuild_tensor_v2\n".utf8)
    private static let count = 1 << 20

    private static func text(_ value: String) -> [UInt8] {
        let utf8 = Array(value.utf8)
        return [0x58] + (0..<4).map { UInt8(truncatingIfNeeded: utf8.count >> (8 * $0)) } + utf8
    }

    private static func repeated(_ bytes: [UInt8], _ times: Int) -> [UInt8] { (0..<times).flatMap { _ in bytes } }

    /// A pickle of protocol 2 from pieces.
    private static func stream(_ pieces: [UInt8]...) -> [UInt8] { [0x80, 2] + pieces.flatMap { $0 } + [0x2E] }

    private static func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// What the stream is, the stream, what the error says.
    static let streams: [(name: String, bytes: [UInt8], error: String)] = {
        let left = stream(repeated([0x5D], count))
        let lists = stream(repeated([0x5D], count), repeated([0x61], count - 1))
        let tuples = stream([0x29], repeated([0x85], count))
        // Each parameter's data is the one before.
        let parameters = stream(
            ascii("}X\u{1}\0\0\0xctorch._utils\n_rebuild_parameter\nq\0)R"),
            repeated([0x71, 1, 0x30, 0x68, 0, 0x68, 1, 0x85, 0x52], count / 8), [0x73])
        let marks = stream(repeated([0x28], count))
        let duplicates = stream([0x4E], repeated([0x32], count))
        let itself = stream([0x5D, 0x71, 0, 0x28], repeated([0x68, 0], count), [0x65])
        // Four of the list before, sixty times.
        let tower = stream([0x5D], repeated([0x71, 0, 0x30, 0x5D, 0x28, 0x68, 0, 0x68, 0, 0x68, 0, 0x68, 0, 0x65], 60))
        let pairs = stream(
            [0x5D, 0x28], repeated([0x4E, 0x4E, 0x86], 1000), [0x65, 0x85, 0x71, 0, 0x30],
            ascii("ccollections\nOrderedDict\nq\u{1}0"), repeated([0x68, 1, 0x68, 0, 0x52, 0x30], 100_000), [0x4E])
        let digits = stream([0x4C], repeated([0x39], count), ascii("L\n"))
        let escapes = stream([0x56], repeated(ascii("\\u0041"), count / 6), ascii("\n"))
        let names = stream(
            text(String(repeating: "n", count: 4000)), [0x71, 1, 0x30], ascii("]q\u{2}0}("),
            (0..<2000).flatMap { text("k\($0)") + [0x7D, 0x68, 1, 0x68, 2, 0x73] }, [0x75])
        let endless = stream(repeated([0x4E, 0x30], 1 << 22), [0x4E])
        let memo = stream(
            [0x7D],
            (0..<200_000).flatMap { index in
                [0x72] + (0..<4).map { UInt8(truncatingIfNeeded: (index &* 2_654_435_761) >> (8 * $0)) }
            }, text("x"), [0x4E, 0x73])
        return [
            ("lists that are left", left, "1048576 values at the end"),
            ("lists in lists", lists, "nested deeper than 64"),
            ("tuples in tuples", tuples, "nested deeper than 64"),
            ("parameters in parameters", parameters, "tensor 'x': a tensor of a class of its own"),
            ("marks", marks, "values at the end"),
            ("duplicates", duplicates, "1048577 values at the end"),
            ("a list that holds itself", itself, "nested deeper than 64"),
            ("a tower of lists", tower, "hold one another too often"),
            ("dicts of one list of pairs", pairs, "dicts made of more pairs than the stream has bytes"),
            ("a number of a million digits", digits, "holds no dict of tensors"),
            ("escapes", escapes, "holds no dict of tensors"),
            ("a long name in many places", names, "hold one another too often"),
            ("opcodes without end", endless, "a pickle of more than 8388608 opcodes"),
            ("memo entries of 32 bits", memo, "no tensor, only 'x'"),
        ]
    }()

    @Test(.timeLimit(.minutes(1)), arguments: streams.map(\.name))
    func streamsAreRefused(name: String) throws {
        let stream = try #require(Self.streams.first { $0.name == name })
        let folder = TemporaryFolder()
        let path = folder.write(ZipBytes.archive([("archive/data.pkl", stream.bytes)]), "hostile.pt")
        let clock = ContinuousClock()
        let began = clock.now
        let error = #expect(throws: CrayonError.self) { _ = try openCheckpoint(path) }
        #expect(error?.description.contains(stream.error) == true, "\(String(describing: error))")
        // Each takes well below a second; a walk that is not linear would take hours.
        #expect(clock.now - began < .seconds(20))
    }

    /// Many tensors over one shape of many axes.
    @Test func shapesThatAreShared() throws {
        let ones = [UInt8(0x28)] + Self.repeated([0x4B, 1], 64) + [0x74]
        var bytes = [0x80, 2] + Self.tensor + [0x71, 0, 0x30]
        bytes +=
            [0x28, 0x28] + Self.text("storage") + Array("ctorch\nByteStorage\n".utf8) + Self.text("0")
            + Self.text("cpu")
        bytes += [0x4B, 1, 0x74, 0x51, 0x4B, 0] + ones + ones + [0x89, 0x4E, 0x74, 0x71, 1, 0x30, 0x5D, 0x28]
        bytes += Self.repeated([0x68, 0, 0x68, 1, 0x52], 200_000) + [0x65, 0x2E]
        let folder = TemporaryFolder()
        let path = folder.write(ZipBytes.archive([("a/data.pkl", bytes), ("a/data/0", [7])]), "hostile.pt")
        let error = #expect(throws: CrayonError.self) { _ = try openCheckpoint(path) }
        let text = error?.description ?? ""
        #expect(text.contains("more axes than the pickle has bytes") || text.contains("too often"), "\(text)")
    }
}
