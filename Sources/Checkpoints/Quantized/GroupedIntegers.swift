import Bytes
import JSON
import Kernels
import Quantization
import Tensors

/// A weight in 4-bit integers with a float16 scale and a zero point for each group of inputs: GPTQ (Frantar et al. 2023) as AutoGPTQ
/// saves it, and AWQ (Lin et al. 2024) as AutoAWQ's GEMM version does. Value = scale x (code - zero), rounded to float16.
///
/// Both keep the matrix transposed, `[in, out]`, eight codes in an I32, the lowest bits first. GPTQ packs along the inputs, its
/// zeros along the outputs and, in its first version, one too small; `g_idx` says which group an input is of. AWQ packs both along
/// the outputs, each eight in the order 0, 2, 4, 6, 1, 3, 5, 7.
struct GroupedIntegers: QuantizedWeight {
    /// What a quantization_config says of all weights.
    struct Form: Sendable {
        /// Whether zeros of GPTQ are stored as they are, as its second version does.
        var hasPlainZeros = false

        /// - Throws: `CrayonError` for another number of bits or an unknown version.
        init(_ configuration: JSONReader?) throws(CrayonError) {
            guard let configuration, let method = try configuration.optionalString("quant_method"),
                method == "gptq" || method == "awq"
            else { return }
            func unsupported(_ key: String, _ found: String, _ expected: String) -> CrayonError {
                CrayonError(
                    .unsupported, in: configuration.place, item: "key '\(key)'", found: found, expected: expected,
                    advice: "Convert from the unquantized checkpoint.")
            }
            if let bits = try configuration.optionalInt("bits"), bits != 4 { throw unsupported("bits", "\(bits)", "4") }
            if method == "gptq" {
                let format = try configuration.optionalString("checkpoint_format") ?? "gptq"
                guard ["gptq", "gptq_v2"].contains(format) else {
                    throw unsupported("checkpoint_format", "'\(format)'", "'gptq' or 'gptq_v2'")
                }
                hasPlainZeros = format == "gptq_v2"
            } else {
                let version = (try configuration.optionalString("version") ?? "gemm").lowercased()
                guard version == "gemm" else { throw unsupported("version", "'\(version)'", "'gemm'") }
            }
        }
    }

    let entry: TensorEntry
    let components: [String]
    private let codes: Tensor
    private let zeros: Tensor
    private let scales: Tensor
    /// The group of each input.
    private let groups: [Int]
    private let isAWQ: Bool
    private let hasPlainZeros: Bool

    private var inputs: Int { entry.shape.columns }
    private var outputs: Int { entry.shape.rows }

    init(_ module: String, in stored: any Checkpoint, form: Form) throws(CrayonError) {
        let codesName = module + ".qweight"
        let place = stored.file(of: codesName)
        func part(_ suffix: String) throws(CrayonError) -> Tensor {
            guard let tensor = try stored.tensor(module + suffix) else {
                throw CrayonError(
                    .missing, in: place, item: "tensor '\(module)\(suffix)'", found: "nothing",
                    expected: "a part of the 4-bit weight '\(codesName)'")
            }
            guard tensor.shape.rank == 2 else { throw Self.mismatch(tensor, "two axes", place) }
            return tensor
        }
        let (codes, zeros, scales) = (try part(".qweight"), try part(".qzeros"), try part(".scales"))
        for tensor in [codes, zeros] where tensor.type != .i32 { throw Self.mismatch(tensor, "I32", place) }
        guard scales.type == .f16 || scales.type == .bf16 || scales.type == .f32 else {
            throw Self.mismatch(scales, "F16, BF16 or F32", place)
        }
        let outputs = scales.shape[1]
        isAWQ = codes.shape[1] != outputs
        // A product of an extent of the file with 8 does not overflow: the file has those bytes.
        let inputs = isAWQ ? codes.shape[0] : codes.shape[0] * 8
        guard outputs > 0, inputs > 0, outputs % 8 == 0,
            codes.shape == Shape(isAWQ ? [inputs, outputs / 8] : [inputs / 8, outputs])
        else { throw Self.mismatch(codes, "[in / 8, \(outputs)] or [in, \(outputs / 8)]", place) }
        let groupCount = scales.shape[0]
        guard zeros.shape == Shape([groupCount, outputs / 8]) else {
            throw Self.mismatch(zeros, "[\(groupCount), \(outputs / 8)]", place)
        }
        var components = [codesName, module + ".qzeros", module + ".scales"]
        if let order = try stored.tensor(module + ".g_idx") {
            components.append(order.name)
            groups = try order.integers(in: place)
            guard groups.count == inputs, groups.allSatisfy({ (0..<groupCount).contains($0) }) else {
                throw Self.mismatch(order, "\(inputs) numbers below \(groupCount)", place)
            }
        } else {
            guard groupCount > 0, inputs % groupCount == 0 else {
                throw Self.mismatch(scales, "a number of groups that divides \(inputs)", place)
            }
            groups = (0..<inputs).map { $0 / (inputs / groupCount) }
        }
        let (byteCount, offset) = Self.extent(components, in: stored)
        self.components = components
        entry = TensorEntry(
            name: module + ".weight", type: scales.type, shape: Shape([outputs, inputs]),
            encoding: isAWQ ? "AWQ" : "GPTQ", byteCount: byteCount, offset: offset)
        hasPlainZeros = isAWQ || form.hasPlainZeros
        (self.codes, self.zeros, self.scales) = (codes, zeros, scales)
    }

    func weight() throws(CrayonError) -> StoredWeight { .dense(try tensor()) }

    func tensor() throws(CrayonError) -> Tensor {
        let target = ByteBuffer(uninitialized: entry.denseByteCount)
        let (inputs, outputs, type) = (self.inputs, self.outputs, entry.type)
        var scale = [Float](repeating: 0, count: scales.shape.count)
        FloatConversion.widen(scales, elements: 0..<scale.count, into: &scale)
        withExtendedLifetime((codes, zeros)) {
            let codeWords = codes.region.buffer
            let zeroWords = zeros.region.buffer
            // Eight outputs, which share their words, at a time.
            Parallel.forEach(count: outputs / 8) { eight in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: inputs) { row in
                    guard let start = row.baseAddress else { return }
                    for lane in 0..<8 {
                        let output = eight * 8 + lane
                        let shift = UInt32(4 * (isAWQ ? Self.awqPosition[lane] : lane))
                        for input in 0..<inputs {
                            let group = groups[input]
                            let word =
                                isAWQ ? input * (outputs / 8) + eight : (input / 8) * outputs + output
                            let codeShift = isAWQ ? shift : UInt32(4 * (input % 8))
                            let code = Self.nibble(codeWords, word, codeShift)
                            let zero = Self.nibble(zeroWords, group * (outputs / 8) + eight, shift)
                            // One more than 15 wraps, as it does where the peers compute it.
                            let point = hasPlainZeros ? zero : (zero + 1) & 15
                            row[input] = Float(code - point) * scale[group * outputs + output]
                        }
                        FloatConversion.narrow(
                            start, count: inputs, to: type,
                            into: target.pointer + output * inputs * type.byteCount)
                    }
                }
            }
        }
        return Tensor(name: entry.name, type: type, shape: entry.shape, region: target.region)
    }

    /// Which nibble of a word of AWQ's has the output of a lane.
    private static let awqPosition = [0, 4, 1, 5, 2, 6, 3, 7]

    private static func nibble(_ words: UnsafeRawBufferPointer, _ index: Int, _ shift: UInt32) -> Int {
        Int(words.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self) &>> shift & 15)
    }

    private static func mismatch(_ tensor: Tensor, _ expected: String, _ place: String) -> CrayonError {
        CrayonError(
            .mismatch, in: place, item: "tensor '\(tensor.name)'",
            found: "\(tensor.type.rawValue) of shape \(tensor.shape)", expected: expected)
    }
}
