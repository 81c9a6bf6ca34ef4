import Bytes
import Kernels
import Quantization

/// A dense weight converted once to int16 with a scale for every 64 values, in the strips and tiles in which products read it:
/// 2.06 bytes for each value.
struct Int16Strips: Sendable {
    /// Outputs and inputs of a tile: 256 KiB.
    static let tileOutputs = 128
    static let tileDepth = Int16Product.largestDepth

    let inputs: Int
    private let outputs: Int
    private let strips: ByteRegion
    private let scales: ByteRegion

    /// Converts on all cores.
    /// - Precondition: the weight is of a float type if dense.
    init(_ weight: StoredWeight) {
        let (outputs, inputs) = (weight.rows, weight.columns)
        (self.outputs, self.inputs) = (outputs, inputs)
        let elements = StripProduct.elements(
            outputs: outputs, depth: Int16Product.blocks(columns: inputs) * Int16Product.blockSize)
        let strips = ByteBuffer(uninitialized: elements * MemoryLayout<Int16>.stride)
        let scales = ByteBuffer(uninitialized: elements / Int16Product.blockSize * MemoryLayout<Float>.stride)
        Parallel.forEachRange(of: outputs, size: StripProduct.width) { rows in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * inputs) { values in
                guard let values = values.baseAddress else { return }
                weight.dequantizeRows(rows, into: values)
                for start in stride(from: 0, to: inputs, by: Self.tileDepth) {
                    let offset = Self.offset(output: rows.lowerBound, outputs: outputs, input: start, inputs: inputs)
                    Int16Product.strips(
                        values + start, stride: inputs, outputs: rows.count, depth: min(Self.tileDepth, inputs - start),
                        into: strips.pointer.assumingMemoryBound(to: Int16.self) + offset,
                        scales: scales.pointer.assumingMemoryBound(to: Float.self) + offset / Int16Product.blockSize)
                }
            }
        }
        self.strips = strips.region
        self.scales = scales.region
    }

    /// Where the strips of some outputs and inputs lie. Tiles follow each other, in each the parts of the inputs, in those the
    /// strips.
    /// - Parameters:
    ///   - output: the first of a strip.
    ///   - input: the first of a part of `tileDepth`.
    private static func offset(output: Int, outputs: Int, input: Int, inputs: Int) -> Int {
        let padded = Int16Product.blocks(columns: inputs) * Int16Product.blockSize
        let tile = output / tileOutputs * tileOutputs
        let width = StripProduct.elements(outputs: min(tileOutputs, outputs - tile), depth: 1)
        let depth = min(tileDepth, padded - input)
        return tile * padded + width * input + (output - tile) * depth
    }

    /// The strips of a tile from `output` on and of inputs from `input` on, and their scales.
    func withTile<Result>(
        output: Int, input: Int, _ body: (UnsafePointer<Int16>, UnsafePointer<Float>) -> Result
    ) -> Result {
        precondition(output % Self.tileOutputs == 0 && input % Self.tileDepth == 0)
        let offset = Self.offset(output: output, outputs: outputs, input: input, inputs: inputs)
        return withExtendedLifetime(self) {
            body(
                strips.baseAddress.assumingMemoryBound(to: Int16.self) + offset,
                scales.baseAddress.assumingMemoryBound(to: Float.self) + offset / Int16Product.blockSize)
        }
    }
}
