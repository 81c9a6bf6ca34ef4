public import Bytes

/// A named dense tensor over borrowed bytes: row-major, little-endian, without strides.
public struct Tensor: Sendable {
    public let name: String
    public let type: ElementType
    public let shape: Shape
    /// Exactly `shape.count * type.byteCount` bytes. Files give no alignment; read multi-byte elements
    /// with unaligned loads or through the kernels, which do.
    public let region: ByteRegion

    /// - Precondition: `region` has the size that type and shape call for.
    public init(name: String, type: ElementType, shape: Shape, region: ByteRegion) {
        precondition(region.count == shape.count * type.byteCount)
        self.name = name
        self.type = type
        self.shape = shape
        self.region = region
    }

    /// A tensor that owns a copy of `values`.
    public init(name: String, shape: Shape, values: [Float]) {
        self.init(name: name, type: .f32, shape: shape, region: values.withUnsafeBytes { ByteRegion(copying: $0) })
    }

    public init(name: String, shape: Shape, values: [Int64]) {
        self.init(name: name, type: .i64, shape: shape, region: values.withUnsafeBytes { ByteRegion(copying: $0) })
    }

    public init(name: String, bytes: [UInt8]) {
        self.init(name: name, type: .u8, shape: Shape([bytes.count]), region: ByteRegion(copying: bytes))
    }

    /// The same bytes under another name.
    public func named(_ name: String) -> Tensor { Tensor(name: name, type: type, shape: shape, region: region) }

    /// A run of elements as a vector of the same type, sharing the bytes.
    /// - Precondition: the range lies inside the tensor.
    public func elements(_ range: Range<Int>) -> Tensor {
        Tensor(
            name: name, type: type, shape: Shape([range.count]),
            region: region.slice(offset: range.lowerBound * type.byteCount, count: range.count * type.byteCount))
    }

    /// A copy as 64-bit integers, for index tensors of any integer type.
    /// - Throws: `CrayonError` when the elements are no integers or do not fit.
    public func integers(in place: String) throws(CrayonError) -> [Int] {
        let bytes = region.buffer
        var values = [Int](repeating: 0, count: shape.count)
        for index in values.indices {
            let value: Int? =
                switch type {
                case .i64: Int(bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self))
                case .i32: Int(bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
                case .i16: Int(bytes.loadUnaligned(fromByteOffset: index * 2, as: Int16.self))
                case .i8: Int(bytes.load(fromByteOffset: index, as: Int8.self))
                case .u64: Int(exactly: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
                case .u32: Int(bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
                case .u16: Int(bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
                case .u8, .bool: Int(bytes[index])
                default: nil
                }
            guard let value else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(name)'", found: "\(type.rawValue) element \(index)",
                    expected: "integers")
            }
            values[index] = value
        }
        return values
    }
}
