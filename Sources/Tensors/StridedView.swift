public import Bytes

/// A tensor as PyTorch and NumPy may keep it: a window on a run of elements, with a step for each axis, in either byte order.
public struct StridedView: Sendable {
    public let type: ElementType
    public let shape: Shape
    /// In elements, from 0; one for each axis.
    public let strides: [Int]
    /// The first element's place, in elements.
    public let offset: Int
    /// Big-endian, that is.
    public let isSwapped: Bool

    /// - Parameter count: the elements that there are.
    /// - Returns: nil when a stride or the offset is negative, or an element lies outside.
    public init?(
        _ type: ElementType, shape: Shape, strides: [Int], offset: Int = 0, isSwapped: Bool = false, within count: Int
    ) {
        guard strides.count == shape.rank, offset >= 0, offset <= count else { return nil }
        if shape.count > 0 {
            var last = offset
            for (extent, stride) in zip(shape.dims, strides) {
                let (step, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
                let (next, past) = last.addingReportingOverflow(step)
                guard stride >= 0, !overflow, !past else { return nil }
                last = next
            }
            guard last < count else { return nil }
        }
        self.type = type
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.isSwapped = isSwapped && type.byteCount > 1
    }

    /// Row-major strides.
    public static func dense(_ shape: Shape) -> [Int] {
        var strides: [Int] = []
        var step = 1
        for extent in shape.dims.reversed() {
            strides.append(step)
            // A zero anywhere leaves no element to reach.
            step *= max(extent, 1)
        }
        return strides.reversed()
    }

    /// Column-major strides, as Fortran has them.
    public static func columnMajor(_ shape: Shape) -> [Int] {
        dense(Shape(shape.dims.reversed())).reversed()
    }

    public var byteCount: Int { shape.count * type.byteCount }

    /// Whether the elements lie side by side, in order and little-endian: then the tensor is a slice of the bytes.
    public var isDense: Bool {
        guard !isSwapped else { return false }
        return shape.count == 0
            || zip(zip(shape.dims, strides), Self.dense(shape)).allSatisfy { $0.0 == 1 || $0.1 == $1 }
    }

    /// The tensor: borrowed where it is dense, else gathered into memory of its own.
    /// - Precondition: `region` has the elements that the view was made for.
    public func tensor(named name: String, over region: ByteRegion) -> Tensor {
        let bytes =
            isDense
            ? region.slice(offset: shape.count == 0 ? 0 : offset * type.byteCount, count: byteCount) : gathered(region)
        return Tensor(name: name, type: type, shape: shape, region: bytes)
    }

    private func gathered(_ region: ByteRegion) -> ByteRegion {
        let result = ByteBuffer(uninitialized: byteCount)
        guard shape.count > 0 else { return result.region }
        let source = region.buffer
        switch type.byteCount {
        case 1: gather(source, into: result.bytes, as: UInt8.self)
        case 2: gather(source, into: result.bytes, as: UInt16.self)
        case 4: gather(source, into: result.bytes, as: UInt32.self)
        default: gather(source, into: result.bytes, as: UInt64.self)
        }
        return result.region
    }

    /// Axes as few as they can be, at least two: those of one element go, and neighbours that step as one become one.
    private var merged: [(extent: Int, stride: Int)] {
        var axes: [(extent: Int, stride: Int)] = []
        for (extent, stride) in zip(shape.dims, strides) where extent != 1 {
            if let last = axes.last, last.stride == extent * stride {
                axes[axes.count - 1] = (last.extent * extent, stride)
            } else {
                axes.append((extent, stride))
            }
        }
        while axes.count < 2 { axes.insert((1, 0), at: 0) }
        return axes
    }

    /// Element by element, the last two axes in tiles: a transposed matrix is read along its rows while its columns are in the cache.
    private func gather<Bits: FixedWidthInteger & BitwiseCopyable>(
        _ source: UnsafeRawBufferPointer, into result: UnsafeMutableRawBufferPointer, as: Bits.Type
    ) {
        let axes = merged
        let tile = 32
        let width = MemoryLayout<Bits>.size
        let (rows, rowStride) = axes[axes.count - 2]
        let (columns, columnStride) = axes[axes.count - 1]
        let outer = axes.dropLast(2)
        var position = [Int](repeating: 0, count: outer.count)
        var start = offset
        var made = 0
        while true {
            for row0 in stride(from: 0, to: rows, by: tile) {
                for column0 in stride(from: 0, to: columns, by: tile) {
                    for row in row0..<min(row0 + tile, rows) {
                        for column in column0..<min(column0 + tile, columns) {
                            let from = start + row * rowStride + column * columnStride
                            let bits = source.loadUnaligned(fromByteOffset: from * width, as: Bits.self)
                            result.storeBytes(
                                of: isSwapped ? bits.byteSwapped : bits,
                                toByteOffset: (made + row * columns + column) * width, as: Bits.self)
                        }
                    }
                }
            }
            made += rows * columns
            // The next position of the outer axes, the last of them first.
            var axis = outer.count - 1
            while axis >= 0 {
                position[axis] += 1
                start += outer[axis].stride
                if position[axis] < outer[axis].extent { break }
                start -= outer[axis].extent * outer[axis].stride
                position[axis] = 0
                axis -= 1
            }
            if axis < 0 { return }
        }
    }
}
