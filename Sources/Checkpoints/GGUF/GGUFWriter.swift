public import Bytes
public import Tensors

/// Writes a GGUF file, version 3: metadata, the names of tensors, their bytes.
///
/// The file appears under its name at `commit`; a writer dropped before that leaves nothing behind. See
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
public final class GGUFWriter {
    /// A value of the metadata, of the kinds that are needed here.
    public enum Value: Sendable, Equatable {
        case string(String)
        case uint32(UInt32)
        case float32(Float)
    }

    /// A tensor to be written.
    public struct Declaration: Sendable {
        public let name: String
        public let type: ElementType
        /// Outermost first, as everywhere here; the file has them innermost first.
        public let shape: Shape

        public init(name: String, type: ElementType, shape: Shape) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        public var byteCount: Int { shape.count * type.byteCount }
    }

    /// ggml's limits on a name and on the number of dimensions.
    private static let nameLimit = 63
    private static let rankLimit = 4
    /// Where data may begin; the format's default.
    private static let alignment = 32

    public let path: String
    private let file: AtomicFile
    private var offsets: [String: (offset: Int, count: Int)] = [:]
    private var remaining: Set<String>

    /// - Throws: `CrayonError` for names that are given twice or are too long for ggml, types that it has not, and when the
    ///   file cannot be created.
    public init(path: String, metadata: [(name: String, value: Value)], tensors: [Declaration]) throws(CrayonError) {
        self.path = path
        remaining = Set(tensors.map(\.name))
        var header = Header()
        header.put(Array("GGUF".utf8))
        header.put(UInt32(3))
        header.put(UInt64(tensors.count))
        header.put(UInt64(metadata.count))
        for (name, value) in metadata {
            header.put(name)
            header.put(value)
        }
        var end = 0
        for tensor in tensors {
            func refuse(_ found: String, _ expected: String) -> CrayonError {
                CrayonError(.unsupported, in: path, item: "tensor '\(tensor.name)'", found: found, expected: expected)
            }
            guard offsets[tensor.name] == nil else { throw refuse("a name that is taken", "names that are unique") }
            guard tensor.name.utf8.count <= Self.nameLimit else {
                throw refuse("a name of \(tensor.name.utf8.count) bytes", "at most \(Self.nameLimit), ggml's limit")
            }
            guard let type = tensor.type.ggmlType, (1...Self.rankLimit).contains(tensor.shape.rank) else {
                throw refuse("\(tensor.type.rawValue) \(tensor.shape)", "F32, F16 or BF16 of 1 to 4 dimensions")
            }
            header.put(tensor.name)
            header.put(UInt32(tensor.shape.rank))
            for extent in tensor.shape.dims.reversed() { header.put(UInt64(extent)) }
            header.put(type)
            header.put(UInt64(end))
            offsets[tensor.name] = (end, tensor.byteCount)
            end = Self.aligned(end + tensor.byteCount)
        }
        header.pad(to: Self.alignment)
        let start = header.bytes.count
        offsets = offsets.mapValues { (start + $0.offset, $0.count) }
        file = try AtomicFile(path: path)
        try file.write(header.bytes, at: 0)
        // The last tensor is padded too.
        let size = start + end
        if let last = tensors.last, let place = offsets[last.name], place.offset + place.count < size {
            try file.write([0], at: size - 1)
        }
    }

    /// Writes a whole tensor.
    /// - Precondition: it is declared, with as many bytes.
    public func write(_ bytes: UnsafeRawBufferPointer, of name: String) throws(CrayonError) {
        guard let place = offsets[name], place.count == bytes.count else {
            preconditionFailure("tensor '\(name)' is not declared so")
        }
        try file.write(bytes, at: place.offset)
        remaining.remove(name)
    }

    /// Makes the file durable and visible.
    /// - Precondition: every tensor has been written.
    public func commit() throws(CrayonError) {
        precondition(remaining.isEmpty, "tensors of '\(path)' were not written")
        try file.commit()
    }

    private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    /// The bytes before the data.
    private struct Header {
        var bytes: [UInt8] = []

        mutating func put(_ raw: [UInt8]) { bytes += raw }
        mutating func put(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        mutating func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        mutating func put(_ text: String) {
            put(UInt64(text.utf8.count))
            bytes += Array(text.utf8)
        }

        mutating func put(_ value: Value) {
            switch value {
            case .uint32(let number):
                put(UInt32(4))
                put(number)
            case .float32(let number):
                put(UInt32(6))
                put(number.bitPattern)
            case .string(let text):
                put(UInt32(8))
                put(text)
            }
        }

        mutating func pad(to alignment: Int) {
            while bytes.count % alignment != 0 { bytes.append(0) }
        }
    }
}

extension ElementType {
    /// ggml's number for the type; nil for one that is not written here.
    fileprivate var ggmlType: UInt32? {
        switch self {
        case .f32: 0
        case .f16: 1
        case .bf16: 30
        default: nil
        }
    }
}
