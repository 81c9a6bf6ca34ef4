import Bytes
import Tensors
import Testing

@Suite struct Shapes {
    @Test func count() {
        #expect(Shape([]).count == 1)
        #expect(Shape([3, 4]).count == 12)
        #expect(Shape([3, 0, 4]).count == 0)
    }

    @Test(arguments: [[-1], [Int.max, 2], [1 << 32, 1 << 32], [0, Int.max, Int.max], [2, Int.max, 0]])
    func refusesWhatOverflows(_ dims: [Int]) {
        #expect(Shape(checking: dims) == nil)
    }

    @Test func matrixView() {
        #expect(Shape([5]).rows == 1 && Shape([5]).columns == 5)
        #expect(Shape([2, 3, 4]).rows == 2 && Shape([2, 3, 4]).columns == 12)
    }
}

@Suite struct TensorViews {
    @Test func readsIntegersOfEveryWidth() throws {
        #expect(
            try Tensor(name: "a", shape: Shape([2]), values: [Int64](arrayLiteral: -5, 9)).integers(in: "t") == [-5, 9])
        let bytes = Tensor(name: "b", bytes: [1, 255])
        #expect(try bytes.integers(in: "t") == [1, 255])
        let huge = Tensor(
            name: "c", type: .u64, shape: Shape([1]), region: ByteRegion(copying: [UInt8](repeating: 255, count: 8)))
        #expect(throws: CrayonError.self) { try huge.integers(in: "t") }
        let floats = Tensor(name: "d", shape: Shape([1]), values: [Float(1)])
        #expect(throws: CrayonError.self) { try floats.integers(in: "t") }
    }

    @Test func slicesShareBytes() {
        let tensor = Tensor(name: "a", shape: Shape([4]), values: [Float(1), 2, 3, 4])
        let slice = tensor.elements(1..<3)
        #expect(slice.region.count == 8)
        #expect(slice.region.baseAddress == tensor.region.baseAddress + 4)
    }
}
