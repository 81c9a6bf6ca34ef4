import Bytes
import Checkpoints
import JSON
import Tensors
import Testing

@Suite struct SafetensorsTests {
    @Test func validSamples() throws {
        let samples = try Samples("safetensors")
        #expect(!samples.valid.isEmpty)
        for (name, holds) in samples.valid {
            let file = try SafetensorsFile(path: samples.path(valid: name))
            #expect(Set(file.names) == Set(holds.object.names), "\(name)")
            for tensorName in holds.object.names {
                let expected = try holds.object(tensorName)
                let tensor = try #require(file.tensor(tensorName), "\(name): \(tensorName)")
                #expect(tensor.type.rawValue == (try expected.string("dtype")), "\(name): \(tensorName)")
                #expect(tensor.shape.dims == (try expected.ints("shape")), "\(name): \(tensorName)")
                #expect(hex(tensor.region.array) == (try expected.string("bytes")), "\(name): \(tensorName)")
                let range = try #require(file.range(of: tensorName))
                #expect(
                    hex(file.mapping.region(offset: range.lowerBound, count: range.count).array)
                        == hex(tensor.region.array))
            }
        }
    }

    @Test func invalidSamples() throws {
        try Samples("safetensors").expectErrors { _ = try SafetensorsFile(path: $0) }
    }

    /// Every element type that the format names is in a valid sample.
    @Test func everyTypeIsSampled() throws {
        let samples = try Samples("safetensors")
        let file = try SafetensorsFile(path: samples.path(valid: "every-type.safetensors"))
        #expect(Set(file.names.compactMap { file.tensor($0)?.type }) == Set(ElementType.allCases))
    }

    @Test func metadataAreInOrder() throws {
        let file = try SafetensorsFile(path: Samples("safetensors").path(valid: "metadata-only.safetensors"))
        #expect(file.metadata.map(\.name) == ["format", "note"])
        #expect(file.metadata("note") == "ein Wort")
        #expect(file.metadata("absent") == nil)
    }

    /// Whatever becomes of a file's bytes, it opens or throws, and what opens lies inside the file.
    @Test(arguments: ["every-type", "names", "many-axes", "no-elements", "entries-out-of-order", "metadata-only"])
    func mutations(sample: String) throws {
        let whole = try MappedFile(path: Samples("safetensors").path(valid: "\(sample).safetensors")).whole.array
        let folder = TemporaryFolder()
        var random = SplitMix64(seed: UInt64(sample.utf8.count))
        func pick(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        // What a header consists of, so that mutations reach past the JSON parser.
        let words = ["0", "9", "-1", "18446744073709551615", "[", "]", ",", "\"", "{}", "U8", "null", "1e9", "\\u0000"]
        var opened = 0
        for round in 0..<1000 {
            var bytes = whole
            switch round % 4 {
            case 0: bytes[pick(bytes.count)] ^= 1 << UInt8(pick(8))
            case 1: bytes.removeLast(1 + pick(bytes.count))
            case 2:
                let header = min(bytes.count - 8, Int(bytes[0]) | Int(bytes[1]) << 8)
                let word = Array(words[pick(words.count)].utf8)
                let start = 8 + pick(header)
                let end = min(start + pick(3), 8 + header)
                bytes.replaceSubrange(start..<end, with: word)
                let length = header + word.count - (end - start)
                for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
            default: for _ in 0..<3 { bytes[pick(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            }
            let path = folder.write(bytes, "mutant.safetensors")
            do throws(CrayonError) {
                let file = try SafetensorsFile(path: path)
                opened += 1
                var total = 0
                for name in file.names {
                    guard let tensor = file.tensor(name) else {
                        Issue.record("\(name) is named but not there")
                        continue
                    }
                    #expect(tensor.region.count == tensor.shape.count * tensor.type.byteCount)
                    total += tensor.region.count
                }
                #expect(file.dataOffset + total == bytes.count)
            } catch {
                #expect(error.place == path)
            }
        }
        // Flips in the data and in names leave a file whole: both ways out are taken.
        #expect(opened > 0 && opened < 1000)
    }

    @Test func writtenFilesAreRead() throws {
        let folder = TemporaryFolder()
        let tensors = [
            Tensor(name: "a \"b\"\n", shape: Shape([2, 3]), values: [Float(1), 2, 3, 4, 5, 6]),
            Tensor(name: "empty", type: .bf16, shape: Shape([0, 4]), region: ByteRegion(copying: [])),
            Tensor(name: "scalar", shape: Shape([]), values: [Int64(-7)]),
        ]
        try SafetensorsWriter.write(tensors, to: folder.file("a.safetensors"))
        let file = try SafetensorsFile(path: folder.file("a.safetensors"))
        #expect(file.names == tensors.map(\.name))
        #expect(file.metadata("format") == "pt")
        #expect(file.dataOffset % 8 == 0)
        for tensor in tensors {
            let read = try #require(file.tensor(tensor.name))
            #expect(read.type == tensor.type && read.shape == tensor.shape)
            #expect(read.region.array == tensor.region.array)
        }
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
