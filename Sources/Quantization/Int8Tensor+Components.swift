public import Bytes
import JSON
public import Tensors

/// An 8-bit weight as the tensors of a bundle. bitsandbytes has no saved form for the dynamic coding; the
/// names follow its 4-bit ones.
extension Int8Tensor {
    /// What is appended to the weight's name.
    public enum Component: String, CaseIterable, Sendable {
        /// F32 `[blocks]`
        case absmax = ".absmax"
        /// F32 `[256]`
        case quantMap = ".quant_map"
        /// U8, JSON: `quant_type` "dynamic8" or "linear8", `blocksize`, `dtype`, `shape`
        case quantState = ".quant_state.crayon__int8"
    }

    /// The tensors that a bundle holds for this weight, the codes (U8, in the weight's shape) first.
    public func components(named name: String) -> [Tensor] {
        let state = Int8Tensor.stateText(
            quantType, blockSize: blockSize, sourceType: sourceType, shape: shape)
        func tensor(_ part: Component, _ type: ElementType, _ region: ByteRegion) -> Tensor {
            Tensor(
                name: name + part.rawValue, type: type, shape: Shape([region.count / type.byteCount]), region: region)
        }
        return [
            Tensor(name: name, type: .u8, shape: shape, region: codes),
            tensor(.absmax, .f32, absmax),
            tensor(.quantMap, .f32, quantMap),
            tensor(.quantState, .u8, ByteRegion(copying: Array(state.utf8))),
        ]
    }

    /// The text of the state tensor.
    public static func stateText(
        _ quantType: EightBitType = .dynamic8, blockSize: Int, sourceType: ElementType, shape: Shape
    ) -> String {
        let state: JSONValue = [
            "quant_type": .string(quantType.rawValue), "blocksize": .int(blockSize),
            "dtype": .string(sourceType.torchName ?? "float32"), "shape": .array(shape.dims.map(JSONValue.int)),
        ]
        return state.text(style: .python)
    }

    /// Puts a weight together from a bundle's tensors.
    /// - Throws: `CrayonError` naming the tensor that is missing, or of the wrong type or size.
    public init(
        named name: String, place: String, find: (String) throws(CrayonError) -> Tensor?
    ) throws(CrayonError) {
        func part(_ suffix: String, _ type: ElementType) throws(CrayonError) -> Tensor {
            guard let tensor = try find(name + suffix) else {
                throw CrayonError(
                    .missing, in: place, item: "tensor '\(name)\(suffix)'", found: "nothing",
                    expected: "a part of the 8-bit weight '\(name)'")
            }
            guard tensor.type == type else {
                throw CrayonError(
                    .mismatch, in: place, item: "tensor '\(tensor.name)'", found: tensor.type.rawValue,
                    expected: type.rawValue)
            }
            return tensor
        }
        let stateTensor = try part(Component.quantState.rawValue, .u8)
        let here = "\(place): tensor '\(stateTensor.name)'"
        let state = try JSONReader(
            JSONValue.parse(stateTensor.region, name: here, limits: .init(depth: 4, bytes: 1 << 16)), place: here)
        let quantName = try state.string("quant_type")
        let typeName = try state.string("dtype")
        guard let quantType = EightBitType(rawValue: quantName), let type = ElementType(torchName: typeName) else {
            throw CrayonError(
                .unsupported, in: here, found: "quant_type '\(quantName)', dtype '\(typeName)'",
                expected: "dynamic8 or linear8, and a float type")
        }
        let dims = try state.ints("shape")
        guard let shape = Shape(checking: dims) else {
            throw CrayonError(
                .malformed, in: here, found: "shape \(dims)", expected: "extents whose product fits 64 bits")
        }
        let map = try part(Component.quantMap.rawValue, .f32).region
        try self.init(
            shape: shape, blockSize: state.int("blocksize"), codes: part("", .u8).region,
            absmax: part(Component.absmax.rawValue, .f32).region,
            quantMap: (0..<map.count / 4).map { map.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) },
            quantType: quantType, sourceType: type, name: name, place: place)
    }
}
