import Tensors

/// The pickle of a state_dict: a dict from names to tensors, each dense over a storage of its own. Protocol 2, with nothing in it that
/// `torch.load(weights_only=True)` does not take.
struct StateDictPickle {
    private(set) var bytes: [UInt8] = [0x80, 2]

    /// - Parameter tensors: the storage of each has its position as its key.
    init(_ tensors: [SafetensorsWriter.Declaration]) {
        opcode("}")
        if !tensors.isEmpty {
            opcode("(")
            for (position, tensor) in tensors.enumerated() {
                text(tensor.name)
                rebuild(tensor, key: String(position))
            }
            opcode("u")
        }
        opcode(".")
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; types without a storage class of their own have
    /// `_rebuild_tensor_v3`, which says the type and takes bytes.
    private mutating func rebuild(_ tensor: SafetensorsWriter.Declaration, key: String) {
        let storage = Self.storages[tensor.type]
        global("torch._utils", storage == nil ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2")
        opcode("(")
        opcode("(")
        text("storage")
        if let storage { global("torch", storage) } else { global("torch.storage", "UntypedStorage") }
        text(key)
        text("cpu")
        integer(storage == nil ? tensor.byteCount : tensor.shape.count)
        opcode("t")
        opcode("Q")
        integer(0)
        tuple(tensor.shape.dims)
        tuple(StridedView.dense(tensor.shape))
        bytes.append(0x89)
        global("collections", "OrderedDict")
        opcode(")")
        opcode("R")
        if storage == nil, let name = Self.types[tensor.type] { global("torch", name) }
        opcode("t")
        opcode("R")
    }

    private static let storages: [ElementType: String] = [
        .f64: "DoubleStorage", .f32: "FloatStorage", .f16: "HalfStorage", .bf16: "BFloat16Storage", .i64: "LongStorage",
        .i32: "IntStorage", .i16: "ShortStorage", .i8: "CharStorage", .u8: "ByteStorage", .bool: "BoolStorage",
    ]

    private static let types: [ElementType: String] = [
        .u64: "uint64", .u32: "uint32", .u16: "uint16", .f8e4m3: "float8_e4m3fn", .f8e5m2: "float8_e5m2",
        .f8e4m3fnuz: "float8_e4m3fnuz", .f8e5m2fnuz: "float8_e5m2fnuz", .f8e8m0: "float8_e8m0fnu",
    ]

    private mutating func opcode(_ character: Character) { bytes += Array(String(character).utf8) }

    private mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

    private mutating func text(_ text: String) {
        let utf8 = Array(text.utf8)
        opcode("X")
        little(utf8.count, 4)
        bytes += utf8
    }

    private mutating func integer(_ value: Int) {
        switch value {
        case 0...0xFF:
            opcode("K")
            little(value, 1)
        case 0...0xFFFF:
            opcode("M")
            little(value, 2)
        case 0...0x7FFF_FFFF:
            opcode("J")
            little(value, 4)
        default:
            // LONG1 with 8 bytes.
            bytes += [0x8A, 8]
            little(value, 8)
        }
    }

    private mutating func tuple(_ values: [Int]) {
        guard !values.isEmpty else { return opcode(")") }
        opcode("(")
        for value in values { integer(value) }
        opcode("t")
    }

    private mutating func little(_ value: Int, _ count: Int) {
        for byte in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    }
}
