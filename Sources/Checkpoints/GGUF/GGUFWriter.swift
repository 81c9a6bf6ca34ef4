public import Bytes
public import Quantization
public import Tensors

/// Writes a GGUF file, version 3: metadata, the names of tensors, their bytes.
///
/// The file appears under its name at `commit`; a writer dropped before that leaves nothing behind. See `Formats/gguf.md`.
public final class GGUFWriter: Sendable {
    /// A value of the metadata, of the kinds that are needed here.
    public enum Value: Sendable, Equatable {
        case string(String)
        case uint32(UInt32)
        case float32(Float)
        case bool(Bool)
        case int32s([Int32])
        case float32s([Float])
        case bools([Bool])
        /// Texts as their bytes.
        case strings([[UInt8]])
    }

    /// A tensor to be written.
    public struct Declaration: Sendable {
        public let name: String
        public let type: GGMLType
        /// Outermost first, as everywhere here; the file has them innermost first.
        public let shape: Shape

        public init(name: String, type: GGMLType, shape: Shape) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        /// - Precondition: rows are whole blocks.
        public var byteCount: Int {
            guard let count = type.byteCount(of: shape.count) else {
                preconditionFailure("'\(name)' is no whole blocks of \(type.label)")
            }
            return count
        }
    }

    public let path: String
    private let file: AtomicFile
    private let places: [String: Range<Int>]

    /// - Throws: `CrayonError` for names that are given twice or are too long for ggml, rows that are no whole blocks, and when the
    ///   file cannot be created.
    public init(path: String, metadata: [(name: String, value: Value)], tensors: [Declaration]) throws(CrayonError) {
        self.path = path
        var header = Header()
        header.put(GGUFHeader.magic)
        header.put(UInt32(3))
        header.put(UInt64(tensors.count))
        header.put(UInt64(metadata.count))
        for (name, value) in metadata {
            header.put(name)
            header.put(value)
        }
        var offsets: [String: Range<Int>] = [:]
        var end = 0
        for tensor in tensors {
            try Self.check(tensor, taken: offsets[tensor.name] != nil, in: path)
            header.put(tensor.name)
            header.put(UInt32(tensor.shape.rank))
            for extent in tensor.shape.dims.reversed() { header.put(UInt64(extent)) }
            header.put(tensor.type.rawValue)
            header.put(UInt64(end))
            offsets[tensor.name] = end..<end + tensor.byteCount
            end = Self.aligned(end + tensor.byteCount)
        }
        header.pad(to: GGUFHeader.defaultAlignment)
        let start = header.bytes.count
        places = offsets.mapValues { start + $0.lowerBound..<start + $0.upperBound }
        file = try AtomicFile(path: path)
        try file.write(header.bytes, at: 0)
        // The last tensor is padded too.
        if end > 0 { try file.write([0], at: start + end - 1) }
    }

    private static func check(_ tensor: Declaration, taken: Bool, in path: String) throws(CrayonError) {
        func refuse(_ found: String, _ expected: String) -> CrayonError {
            CrayonError(.unsupported, in: path, item: "tensor '\(tensor.name)'", found: found, expected: expected)
        }
        guard !taken else { throw refuse("a name that is taken", "names that are unique") }
        guard tensor.name.utf8.count <= GGUFHeader.nameLimit else {
            throw refuse("a name of \(tensor.name.utf8.count) bytes", "at most \(GGUFHeader.nameLimit), ggml's limit")
        }
        guard (1...GGUFHeader.rankLimit).contains(tensor.shape.rank) else {
            throw refuse("shape \(tensor.shape)", "1 to \(GGUFHeader.rankLimit) dimensions")
        }
        guard (tensor.shape.dims.last ?? 1) % tensor.type.blockElements == 0 else {
            throw refuse(
                "shape \(tensor.shape)",
                "rows of a multiple of \(tensor.type.blockElements), a block of \(tensor.type.label)")
        }
    }

    /// Writes a part of a tensor, or all of it. Safe to call from several threads for parts that do not overlap.
    /// - Parameter offset: from the tensor's first byte.
    /// - Precondition: the tensor is declared, and the bytes lie inside it.
    public func write(_ bytes: UnsafeRawBufferPointer, of name: String, at offset: Int = 0) throws(CrayonError) {
        guard let place = places[name], offset >= 0, bytes.count <= place.count - offset else {
            preconditionFailure("tensor '\(name)' is not declared so")
        }
        try file.write(bytes, at: place.lowerBound + offset)
    }

    /// Makes the file durable and visible.
    /// - Precondition: every tensor has been written.
    public func commit() throws(CrayonError) { try file.commit() }

    private static func aligned(_ count: Int) -> Int {
        (count + GGUFHeader.defaultAlignment - 1) / GGUFHeader.defaultAlignment * GGUFHeader.defaultAlignment
    }

    /// The bytes before the data.
    private struct Header {
        var bytes: [UInt8] = []

        mutating func put(_ raw: [UInt8]) { bytes += raw }
        mutating func put(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        mutating func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        mutating func put(_ type: GGUFValueType) { put(type.rawValue) }
        mutating func put(_ text: String) {
            put(UInt64(text.utf8.count))
            bytes += Array(text.utf8)
        }

        mutating func put(_ value: Value) {
            switch value {
            case .uint32(let number):
                put(.uint32)
                put(number)
            case .float32(let number):
                put(.float32)
                put(number.bitPattern)
            case .bool(let flag):
                put(.bool)
                bytes.append(flag ? 1 : 0)
            case .string(let text):
                put(.string)
                put(text)
            case .int32s(let numbers):
                array(.int32, numbers.count)
                for number in numbers { put(UInt32(bitPattern: number)) }
            case .float32s(let numbers):
                array(.float32, numbers.count)
                for number in numbers { put(number.bitPattern) }
            case .bools(let flags):
                array(.bool, flags.count)
                bytes += flags.map { $0 ? 1 : 0 }
            case .strings(let texts):
                array(.string, texts.count)
                for text in texts {
                    put(UInt64(text.count))
                    bytes += text
                }
            }
        }

        private mutating func array(_ type: GGUFValueType, _ count: Int) {
            put(.array)
            put(type)
            put(UInt64(count))
        }

        mutating func pad(to alignment: Int) {
            while bytes.count % alignment != 0 { bytes.append(0) }
        }
    }
}
