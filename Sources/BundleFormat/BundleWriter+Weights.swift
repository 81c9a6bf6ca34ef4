public import Bytes
public import Quantization
public import Tensors

extension BundleCoding {
    /// The coding that stores a weight as it is in memory.
    /// - Parameters:
    ///   - packing: dense weights are packed where that pays.
    ///   - sourceType: the element type before any conversion; nil for the weight's own.
    ///   - codeRule: how a quantized weight's 8-bit codes were chosen.
    public init(
        storing weight: StoredWeight, packing: Bool = true, sourceType: ElementType? = nil, codeRule: String? = nil
    ) {
        switch weight {
        case .dense(let tensor):
            let isPacked = packing && PackedTensor.isWorthwhile(tensor)
            self.init(
                kind: isPacked ? .packed : .plain, sourceType: sourceType ?? tensor.type, type: tensor.type,
                shape: tensor.shape, blockSize: isPacked ? PackedTensor.blockElements : nil)
        case .nf4(let tensor):
            var nestedBlockSize: Int?
            if case .double(let scales) = tensor.scales { nestedBlockSize = scales.nestedBlockSize }
            self.init(
                kind: tensor.quantType == .nf4 ? .nf4 : .fp4, sourceType: sourceType ?? tensor.sourceType,
                type: tensor.sourceType, shape: tensor.shape,
                blockSize: tensor.blockSize, nestedBlockSize: nestedBlockSize,
                codeRule: nestedBlockSize == nil ? nil : codeRule)
        case .int8(let tensor):
            self.init(
                kind: .int8, sourceType: sourceType ?? tensor.sourceType, type: tensor.sourceType, shape: tensor.shape,
                blockSize: tensor.blockSize, codeRule: codeRule)
        }
    }
}

extension BundleWriter {
    /// Writes a weight that is at hand whole.
    /// - Precondition: it is the next in the manifest, and `entry.coding` is one for this weight.
    public func append(_ weight: StoredWeight, of entry: BundleWeight) throws(CrayonError) {
        switch weight {
        case .dense(let tensor):
            if entry.coding.kind == .packed {
                try append(
                    PackedTensor.encode(tensor, blockElements: entry.coding.blockSize ?? PackedTensor.blockElements),
                    to: entry.name)
            } else {
                try append(tensor.region, to: entry.name)
            }
        case .nf4(let tensor):
            try append(tensor.components(named: entry.name), of: entry)
        case .int8(let tensor):
            try append(tensor.components(named: entry.name), of: entry)
        }
    }

    private func append(_ components: [Tensor], of entry: BundleWeight) throws(CrayonError) {
        let quantState = entry.name + (entry.coding.quantStateSuffix ?? "")
        for tensor in components {
            if tensor.name == quantState {
                setQuantState(tensor.region.array, of: entry)
            } else {
                try append(tensor.region, to: tensor.name)
            }
        }
    }

    /// Writes what follows a 4-bit weight's codes.
    /// - Parameter quantMap: F32 `[16]`.
    public func append(
        scales: NF4Tensor.Scales, quantMap: ByteRegion, of entry: BundleWeight
    ) throws(CrayonError) {
        func put(_ region: ByteRegion, _ part: NF4Tensor.Component) throws(CrayonError) {
            try append(region, to: entry.name + part.rawValue)
        }
        var nested: QuantState.Nested?
        switch scales {
        case .single(let absmax):
            try put(absmax, .absmax)
            try put(quantMap, .quantMap)
        case .double(let scales):
            try put(scales.codes, .absmax)
            try put(quantMap, .quantMap)
            try put(scales.nestedAbsmax, .nestedAbsmax)
            try put(scales.nestedMap, .nestedQuantMap)
            nested = QuantState.Nested(blockSize: scales.nestedBlockSize, offset: scales.offset)
        }
        let state = QuantState(
            blockSize: entry.coding.blockSize ?? 0, sourceType: entry.coding.type, shape: Shape(entry.coding.shape),
            nested: nested)
        setQuantState(Array(state.text.utf8), of: entry)
    }

    /// Writes what follows an 8-bit weight's codes.
    /// - Parameters:
    ///   - absmax: F32 `[blocks]`.
    ///   - quantMap: F32 `[256]`.
    public func append(absmax: ByteRegion, quantMap: ByteRegion, of entry: BundleWeight) throws(CrayonError) {
        try append(absmax, to: entry.name + Int8Tensor.Component.absmax.rawValue)
        try append(quantMap, to: entry.name + Int8Tensor.Component.quantMap.rawValue)
        let state = Int8Tensor.stateText(
            blockSize: entry.coding.blockSize ?? 0, sourceType: entry.coding.type, shape: Shape(entry.coding.shape))
        setQuantState(Array(state.utf8), of: entry)
    }
}
