public import Bytes
import JSON
public import Tensors

/// What bitsandbytes keeps beside the tensors of a 4-bit weight: the JSON in
/// `….quant_state.bitsandbytes__nf4`, or `__fp4`.
public struct QuantState: Hashable, Sendable {
    public struct Nested: Hashable, Sendable {
        public var blockSize: Int
        public var offset: Float

        public init(blockSize: Int, offset: Float) {
            self.blockSize = blockSize
            self.offset = offset
        }
    }

    public var quantType: FourBitType
    public var blockSize: Int
    public var sourceType: ElementType
    public var shape: Shape
    /// Present with double quantization.
    public var nested: Nested?

    public init(
        quantType: FourBitType = .nf4, blockSize: Int, sourceType: ElementType, shape: Shape, nested: Nested?
    ) {
        self.quantType = quantType
        self.blockSize = blockSize
        self.sourceType = sourceType
        self.shape = shape
        self.nested = nested
    }

    /// The text as Python's `json.dumps` writes it, key for key what bitsandbytes saves.
    public var text: String {
        var object = JSONObject([
            "quant_type": .string(quantType.rawValue), "blocksize": .int(blockSize),
            "dtype": .string(sourceType.torchName ?? "float32"),
            "shape": .array(shape.dims.map(JSONValue.int)),
        ])
        if let nested {
            object["nested_blocksize"] = .int(nested.blockSize)
            object["nested_dtype"] = "float32"
            object["nested_offset"] = .double(Double(nested.offset))
        }
        return JSONValue.object(object).text(style: .python)
    }

    /// Reads the text.
    /// - Parameters:
    ///   - place: the file, for errors.
    ///   - item: the tensor that holds the text.
    /// - Throws: `CrayonError` for text that is no quant state, and for codings that are neither NF4 nor FP4.
    public init(text: ByteRegion, place: String, item: String) throws(CrayonError) {
        let here = "\(place): tensor '\(item)'"
        let state = try JSONReader(
            JSONValue.parse(text, name: here, limits: .init(depth: 4, bytes: 1 << 16)), place: here)
        let name = try state.string("quant_type")
        guard let quantType = FourBitType(rawValue: name) else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(item)'", found: "quant_type '\(name)'",
                expected: "nf4 or fp4", advice: "Quantize the 16-bit checkpoint instead.")
        }
        self.quantType = quantType
        let typeName = try state.string("dtype")
        guard let type = ElementType(torchName: typeName), type != .f64 else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(item)'", found: "dtype '\(typeName)'",
                expected: "float32, float16 or bfloat16")
        }
        let dims = try state.ints("shape")
        guard let shape = Shape(checking: dims) else {
            throw CrayonError(
                .malformed, in: place, item: "tensor '\(item)'", found: "shape \(dims)",
                expected: "extents whose product fits 64 bits")
        }
        blockSize = try state.int("blocksize")
        sourceType = type
        self.shape = shape
        guard state.object["nested_blocksize"] != nil || state.object["nested_offset"] != nil else { return }
        let nestedBlockSize = try state.int("nested_blocksize")
        let nestedType = try state.optionalString("nested_dtype") ?? "float32"
        let offset = Float(try state.double("nested_offset"))
        guard nestedType == "float32" else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(item)'", found: "nested_dtype '\(nestedType)'",
                expected: "float32")
        }
        guard nestedBlockSize > 0, offset.isFinite else {
            throw CrayonError(
                .malformed, in: place, item: "tensor '\(item)'",
                found: "nested_blocksize \(nestedBlockSize), nested_offset \(offset)",
                expected: "a positive block size and a finite offset")
        }
        nested = Nested(blockSize: nestedBlockSize, offset: offset)
    }
}
