import Bytes
import Tensors
import Testing

@Suite struct StridedViewTests {
    /// Each element at its place, by the definition.
    private func plain(_ view: StridedView, _ source: [UInt8]) -> [UInt8] {
        let width = view.type.byteCount
        var result: [UInt8] = []
        for index in 0..<view.shape.count {
            var rest = index
            var place = view.offset
            for axis in (0..<view.shape.rank).reversed() {
                place += rest % view.shape[axis] * view.strides[axis]
                rest /= view.shape[axis]
            }
            let element = source[place * width..<(place + 1) * width]
            result += view.isSwapped ? Array(element.reversed()) : Array(element)
        }
        return result
    }

    @Test(arguments: [ElementType.u8, .f16, .f32, .f64])
    func gatheredAsDefined(type: ElementType) throws {
        var random = SplitMix64(seed: UInt64(type.byteCount))
        let count = 5000
        let source = (0..<count * type.byteCount).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let region = ByteRegion(copying: source)
        var made = 0
        while made < 300 {
            let dims = (0..<random.index(below: 6)).map { _ in random.index(below: made % 7 == 0 ? 70 : 5) }
            let strides = dims.map { _ in random.index(below: 80) }
            guard let shape = Shape(checking: dims), shape.count < 20000,
                let view = StridedView(
                    type, shape: shape, strides: strides, offset: random.index(below: 50),
                    isSwapped: random.index(below: 2) == 1, within: count)
            else { continue }
            made += 1
            #expect(view.tensor(named: "x", over: region).region.array == plain(view, source), "\(dims) \(strides)")
        }
    }

    /// Permuted axes of a dense tensor, longer than a tile.
    @Test func transposed() throws {
        let source = (0..<67 * 45 * 2).map { UInt8(truncatingIfNeeded: $0 &* 31 &>> 3) }
        let shape = Shape([45, 67])
        let view = try #require(StridedView(.i16, shape: shape, strides: [1, 45], within: 67 * 45))
        #expect(!view.isDense)
        #expect(view.tensor(named: "x", over: ByteRegion(copying: source)).region.array == plain(view, source))
        #expect(StridedView.columnMajor(shape) == [1, 45] && StridedView.dense(shape) == [67, 1])
    }

    @Test func denseOnesAreBorrowed() throws {
        let region = ByteRegion(copying: [UInt8](0..<24))
        let view = try #require(
            StridedView(.i16, shape: Shape([1, 2, 3]), strides: [99, 3, 1], offset: 4, within: 12))
        #expect(view.isDense && view.tensor(named: "x", over: region).region.baseAddress == region.baseAddress + 8)
        let swapped = try #require(
            StridedView(.i16, shape: Shape([2]), strides: [1], isSwapped: true, within: 12))
        #expect(!swapped.isDense && swapped.tensor(named: "x", over: region).region.array == [1, 0, 3, 2])
        // A byte has no order.
        #expect(StridedView(.u8, shape: Shape([2]), strides: [1], isSwapped: true, within: 12)?.isDense == true)
    }

    @Test func elementsOutsideAreRefused() {
        func view(_ dims: [Int], _ strides: [Int], _ offset: Int = 0) -> StridedView? {
            StridedView(.f32, shape: Shape(dims), strides: strides, offset: offset, within: 6)
        }
        #expect(view([2, 3], [3, 1]) != nil && view([0, 3], [3, 1], 6) != nil && view([], []) != nil)
        #expect(view([2, 3], [3, 1], 1) == nil && view([2, 3], [4, 1]) == nil && view([7], [1]) == nil)
        #expect(view([2], [-1], 5) == nil && view([2], [1], -1) == nil && view([0], [1], 7) == nil)
        #expect(view([2, 3], [1]) == nil && view([3], [Int.max]) == nil && view([2, 2], [Int.max, Int.max]) == nil)
        #expect(view([], [], 6) == nil)
    }
}
