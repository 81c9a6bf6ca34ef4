public import Bytes
import JSON
import Kernels
public import Tensors

/// A 4-bit weight as the tensors of a checkpoint, under bitsandbytes' names.
extension NF4Tensor {
    /// What bitsandbytes appends to a weight's name, in the order in which it saves them.
    public enum Component: String, CaseIterable, Sendable {
        /// U8 `[blocks]`, or F32 without double quantization
        case absmax = ".absmax"
        /// F32 `[16]`
        case quantMap = ".quant_map"
        /// F32 `[ceil(blocks / 256)]`
        case nestedAbsmax = ".nested_absmax"
        /// F32 `[256]`
        case nestedQuantMap = ".nested_quant_map"
        /// U8, the text of a `QuantState`
        case quantState = ".quant_state.bitsandbytes__nf4"
        /// The same of an FP4 weight
        case fp4QuantState = ".quant_state.bitsandbytes__fp4"

        /// What holds the text for a weight of some type.
        public static func quantState(_ type: FourBitType) -> Component {
            switch type {
            case .nf4: .quantState
            case .fp4: .fp4QuantState
            }
        }
    }

    public var quantState: QuantState {
        var nested: QuantState.Nested?
        if case .double(let scales) = scales {
            nested = QuantState.Nested(blockSize: scales.nestedBlockSize, offset: scales.offset)
        }
        return QuantState(
            quantType: quantType, blockSize: blockSize, sourceType: sourceType, shape: shape, nested: nested)
    }

    /// The tensors that a checkpoint holds for this weight, the codes (U8 `[n, 1]`) first.
    /// - Parameter name: the weight's name, as in `model.layers.0.mlp.up_proj.weight`.
    public func components(named name: String) -> [Tensor] {
        func tensor(_ part: Component, _ type: ElementType, _ region: ByteRegion) -> Tensor {
            Tensor(
                name: name + part.rawValue, type: type, shape: Shape([region.count / type.byteCount]), region: region)
        }
        var parts = [Tensor(name: name, type: .u8, shape: Shape([codes.count, 1]), region: codes)]
        let state = ByteRegion(copying: Array(quantState.text.utf8))
        switch scales {
        case .single(let absmax):
            parts += [tensor(.absmax, .f32, absmax), tensor(.quantMap, .f32, quantMap)]
        case .double(let nested):
            parts += [
                tensor(.absmax, .u8, nested.codes), tensor(.quantMap, .f32, quantMap),
                tensor(.nestedAbsmax, .f32, nested.nestedAbsmax), tensor(.nestedQuantMap, .f32, nested.nestedMap),
            ]
        }
        return parts + [tensor(.quantState(quantType), .u8, state)]
    }

    /// Puts a weight together from a checkpoint's tensors. The maps are the file's: a first entry of -1.0
    /// and entries computed without FMA exist in the wild.
    ///
    /// - Parameters:
    ///   - name: the weight's name.
    ///   - place: the file, for errors.
    ///   - find: the checkpoint's tensor of a name, or nil.
    /// - Throws: `CrayonError` naming the tensor that is missing, of the wrong type or size, or in another coding.
    public init(
        named name: String, place: String, find: (String) throws(CrayonError) -> Tensor?
    ) throws(CrayonError) {
        func part(_ suffix: String) throws(CrayonError) -> Tensor {
            guard let tensor = try find(name + suffix) else {
                throw CrayonError(
                    .missing, in: place, item: "tensor '\(name)\(suffix)'", found: "nothing",
                    expected: "a part of the 4-bit weight '\(name)'")
            }
            return tensor
        }
        let isFP4 = try find(name + Component.fp4QuantState.rawValue) != nil
        let stateTensor = try part((isFP4 ? Component.fp4QuantState : .quantState).rawValue)
        let state = try QuantState(text: stateTensor.region, place: place, item: stateTensor.name)
        guard state.quantType == (isFP4 ? .fp4 : .nf4) else {
            throw CrayonError(
                .mismatch, in: place, item: "tensor '\(stateTensor.name)'",
                found: "quant_type '\(state.quantType.rawValue)'", expected: "the one in the tensor's name")
        }
        let codes = try part("")
        let absmax = try part(Component.absmax.rawValue)
        let scales: Scales
        if let nested = state.nested {
            try require(absmax, .u8, place)
            let nestedAbsmax = try part(Component.nestedAbsmax.rawValue)
            scales = .double(
                DoubleQuantizedScales(
                    codes: absmax.region, nestedAbsmax: try floatRegion(nestedAbsmax, place),
                    nestedMap: try floats(part(Component.nestedQuantMap.rawValue), count: 256, place),
                    nestedBlockSize: nested.blockSize, offset: nested.offset))
        } else {
            scales = .single(absmax: try floatRegion(absmax, place))
        }
        // With another `quant_storage` the same bytes come as BF16 [n / 4, 1] or the like.
        try self.init(
            shape: state.shape, blockSize: state.blockSize, codes: codes.region, scales: scales,
            quantMap: try floats(part(Component.quantMap.rawValue), count: 16, place), quantType: state.quantType,
            sourceType: state.sourceType,
            name: name, place: place)
    }
}

private func require(_ tensor: Tensor, _ type: ElementType, _ place: String) throws(CrayonError) {
    guard tensor.type == type else {
        throw CrayonError(
            .mismatch, in: place, item: "tensor '\(tensor.name)'", found: tensor.type.rawValue,
            expected: type.rawValue)
    }
}

/// Scales are F32; 16-bit ones, which some tools write, are widened.
private func floatRegion(_ tensor: Tensor, _ place: String) throws(CrayonError) -> ByteRegion {
    if tensor.type == .f16 || tensor.type == .bf16 { return FloatConversion.widened(tensor) }
    try require(tensor, .f32, place)
    return tensor.region
}

private func floats(_ tensor: Tensor, count: Int, _ place: String) throws(CrayonError) -> [Float] {
    let region = try floatRegion(tensor, place)
    guard region.count == count * 4 else {
        throw CrayonError(
            .mismatch, in: place, item: "tensor '\(tensor.name)'", found: "\(region.count / 4) values",
            expected: "\(count)")
    }
    return (0..<count).map { region.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
}
