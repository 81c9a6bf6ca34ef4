import Architecture
import BundleFormat
import Bytes
import Quantization
import Tensors
import Testing

@Suite struct PackedTensors {
    private func random(_ type: ElementType, _ count: Int, seed: UInt64) -> Tensor {
        var random = SplitMix(state: seed)
        var bytes = [UInt8](repeating: 0, count: count * type.byteCount)
        for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: random.next() >> 24) }
        return Tensor(name: "t", type: type, shape: Shape([count]), region: ByteRegion(copying: bytes))
    }

    private func decode(_ bytes: [UInt8], like tensor: Tensor, blockElements: Int) throws(CrayonError) -> Tensor {
        try PackedTensor.decode(
            ByteRegion(copying: bytes), name: "t", type: tensor.type, shape: tensor.shape,
            blockElements: blockElements, in: "test")
    }

    /// Random bits include NaNs of every payload, both zeros, denormals and infinities.
    @Test(arguments: [ElementType.f16, .bf16, .f32], [0, 1, 2, 31, 63, 64, 65, 1000, 4097, 70_001])
    func bitsSurvive(type: ElementType, count: Int) throws {
        for (seed, blockElements) in [1, 7, 64, 1000, 1 << 18].enumerated() where count / blockElements < 5000 {
            let tensor = random(type, count, seed: UInt64(seed))
            let packed = PackedTensor.encode(tensor, blockElements: blockElements)
            #expect(packed.count % 64 == 0)
            #expect(packed.count <= PackedTensor.upperBound(type: type, count: count, blockElements: blockElements))
            let back = try decode(packed, like: tensor, blockElements: blockElements)
            #expect(back.region.array == tensor.region.array)
        }
    }

    @Test func weightsShrink() throws {
        let tensor = TinyModel.tensor(.head, shape: Shape([300, 1000]))
        #expect(PackedTensor.isWorthwhile(tensor))
        let packed = PackedTensor.encode(tensor)
        // 16 bits become 8 of mantissa and sign and about 2.6 of exponent.
        #expect(Double(packed.count) < 0.70 * Double(tensor.region.count))
        #expect(try decode(packed, like: tensor, blockElements: 1 << 18).region.array == tensor.region.array)
    }

    @Test func narrowValuesInWideTypesShrinkMore() throws {
        let narrow = TinyModel.tensor(.head, shape: Shape([100_000]), type: .f32)
        var bytes = narrow.region.array
        for index in stride(from: 0, to: bytes.count, by: 4) { (bytes[index], bytes[index + 1]) = (0, 0) }
        let tensor = Tensor(name: "t", type: .f32, shape: narrow.shape, region: ByteRegion(copying: bytes))
        let packed = PackedTensor.encode(tensor)
        #expect(Double(packed.count) < 0.40 * Double(bytes.count))
        #expect(try decode(packed, like: tensor, blockElements: 1 << 18).region.array == bytes)
    }

    @Test func noiseIsNotWorthwhile() {
        #expect(!PackedTensor.isWorthwhile(random(.f32, 100_000, seed: 1)))
        #expect(!PackedTensor.isWorthwhile(TinyModel.tensor(.head, shape: Shape([100]))))
        #expect(!PackedTensor.isWorthwhile(Tensor(name: "t", bytes: [UInt8](repeating: 0, count: 100_000))))
    }

    /// Block by block, in any order, and with the same errors.
    @Test func deferredDecoding() throws {
        let tensor = TinyModel.tensor(.head, shape: Shape([1000]))
        let good = PackedTensor.encode(tensor, blockElements: 300)
        func deferred(_ bytes: [UInt8]) throws(CrayonError) -> DeferredTensor {
            try PackedTensor.deferred(
                ByteRegion(copying: bytes), name: "t", type: tensor.type, shape: tensor.shape, blockElements: 300,
                in: "memory")
        }
        let whole = try deferred(good)
        #expect(whole.pieceCount == 4)
        for piece in [2, 0, 3, 1] { try whole.make(piece) }
        #expect(whole.tensor.region.array == tensor.region.array)
        // A frame of the first block that is none: its block is zero, the others are right.
        var bytes = good
        bytes[0] = 0
        let damaged = try deferred(bytes)
        let expected = #expect(throws: CrayonError.self) {
            _ = try PackedTensor.decode(
                ByteRegion(copying: bytes), name: "t", type: tensor.type, shape: tensor.shape, blockElements: 300,
                in: "memory")
        }
        let found = #expect(throws: CrayonError.self) { try damaged.make(0) }
        #expect(found?.description == expected?.description)
        for piece in 1..<4 { try damaged.make(piece) }
        let width = tensor.type.byteCount
        #expect(damaged.tensor.region.array.prefix(300 * width).allSatisfy { $0 == 0 })
        #expect(
            damaged.tensor.region.array.dropFirst(300 * width).elementsEqual(
                tensor.region.array.dropFirst(300 * width)))
        // What the table says is checked at once.
        #expect(throws: CrayonError.self) { _ = try deferred(Array(good.dropLast(64))) }
    }

    /// Bytes that do not follow the format are an error, never a trap or a wrong size.
    @Test func hostileBytes() throws {
        let tensor = TinyModel.tensor(.head, shape: Shape([1000]))
        let good = PackedTensor.encode(tensor, blockElements: 300)
        func expectError(_ bytes: [UInt8], _ text: String, blockElements: Int = 300) {
            let error = #expect(throws: CrayonError.self) {
                _ = try self.decode(bytes, like: tensor, blockElements: blockElements)
            }
            #expect(error?.description.contains(text) == true, "\(String(describing: error))")
        }
        func changed(_ offset: Int, _ value: UInt8) -> [UInt8] {
            var bytes = good
            bytes[offset] = value
            return bytes
        }
        let table = good.count - 4 * 2 * 4
        expectError([], "0 bytes")
        expectError(Array(good.dropLast(64)), "block")
        expectError(good + [0], "multiple of 64")
        expectError([UInt8](repeating: 0, count: 64) + good, "bytes between payload and table")
        expectError(changed(table + 3, 0x7F), "block 0, plane 0")
        expectError(changed(table, 0), "block 0, plane 0")
        expectError(changed(0, 0), "block 0, plane 0")
        expectError(good, "blocks of 0 elements", blockElements: 0)
        expectError(good, "blocks of -5 elements", blockElements: -5)
        expectError(good, "blocks of \(1 << 40) elements", blockElements: 1 << 40)
        // Any other change decodes to something of the right size or is an error.
        var random = SplitMix(state: 5)
        for _ in 0..<3000 {
            var bytes = good
            for _ in 0..<3 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
            }
            if let back = try? decode(bytes, like: tensor, blockElements: 300) {
                #expect(back.region.count == tensor.region.count)
            }
        }
    }
}
