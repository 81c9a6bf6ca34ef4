import Bytes
import Kernels
import Quantization
import Tensors

/// A weight that bitsandbytes saved in 8 bits (LLM.int8()): I8 `weight` `[out, in]`, F32 `SCB` `[out]`, the largest
/// absolute value of each row, and a `weight_format` that has been 0, row by row, since the other ones went.
///
/// The type that it had is not saved; bitsandbytes quantizes from float16, so that is taken.
struct VectorwiseWeight: QuantizedWeight {
    let entry: TensorEntry
    let components: [String]
    private let value: Int8Tensor

    init(_ module: String, in stored: any Checkpoint) throws(CrayonError) {
        let (name, scalesName, formatName) = (module + ".weight", module + ".SCB", module + ".weight_format")
        let place = stored.file(of: name)
        func mismatch(_ item: String, _ found: String, _ expected: String) -> CrayonError {
            CrayonError(.mismatch, in: place, item: "tensor '\(item)'", found: found, expected: expected)
        }
        guard let codes = try stored.tensor(name), let scales = try stored.tensor(scalesName) else {
            throw CrayonError(
                .missing, in: place, item: "tensor '\(name)'", found: "nothing",
                expected: "the 8-bit codes that '\(scalesName)' has the scales of")
        }
        guard codes.type == .i8, codes.shape.rank == 2, codes.shape.count > 0 else {
            throw mismatch(name, "\(codes.type.rawValue) of shape \(codes.shape)", "I8 with two axes")
        }
        guard scales.type.isFloat, scales.shape.count == codes.shape.rows else {
            throw mismatch(
                scalesName, "\(scales.type.rawValue) of shape \(scales.shape)", "F32 [\(codes.shape.rows)]")
        }
        var components = [name, scalesName]
        if let format = try stored.tensor(formatName) {
            let values = try format.integers(in: place)
            guard values.allSatisfy({ $0 == 0 }) else {
                throw CrayonError(
                    .unsupported, in: place, item: "tensor '\(formatName)'", found: "\(values)",
                    expected: "0: codes row by row", advice: "Save the model again with bitsandbytes 0.45 or later.")
            }
            components.append(formatName)
        }
        value = try Int8Tensor(
            shape: codes.shape, blockSize: codes.shape.columns, codes: codes.region,
            absmax: FloatConversion.widened(scales),
            quantType: .linear8, sourceType: .f16, name: name, place: place)
        let (byteCount, offset) = Self.extent(components, in: stored)
        self.components = components
        entry = TensorEntry(
            name: name, type: .f16, shape: codes.shape, encoding: "LLM.int8", keepsCodes: true, byteCount: byteCount,
            offset: offset)
    }

    /// bitsandbytes multiplies by the scale, then by 1/127 in float32, and rounds that.
    func tensor() throws(CrayonError) -> Tensor {
        let target = ByteBuffer(uninitialized: entry.denseByteCount)
        let columns = entry.shape.columns
        Parallel.forEach(count: entry.shape.rows) { row in
            let scale = value.absmax.buffer.loadUnaligned(fromByteOffset: row * 4, as: Float.self)
            let codes = value.codes.baseAddress + row * columns
            withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { values in
                for column in 0..<columns {
                    let code = codes.load(fromByteOffset: column, as: Int8.self)
                    values[column] = Float(code) * scale * Self.reciprocal
                }
                guard let start = values.baseAddress else { return }
                FloatConversion.narrow(start, count: columns, to: .f16, into: target.pointer + row * columns * 2)
            }
        }
        return Tensor(name: entry.name, type: .f16, shape: entry.shape, region: target.region)
    }

    func weight() throws(CrayonError) -> StoredWeight { .int8(value) }

    private static let reciprocal: Float = 7.874015718698502e-3
}
