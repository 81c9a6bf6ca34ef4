import Kernels
import Tensors
import Testing

/// Products over strips against plain loops in double, for whichever variant is active.
enum StripChecks {
    static func run() {
        var generator = SeededGenerator(seed: 71)
        for (rows, outputs, depth) in [
            (1, 1, 1), (2, 15, 7), (3, 16, 8), (5, 17, 9), (6, 33, 64), (7, 48, 65), (9, 31, 511), (14, 50, 512),
            (23, 64, 40),
        ] {
            let w = generator.floats(outputs * (depth + 5))
            let x = generator.floats(rows * (depth + 3))
            let exact = (0..<rows * outputs).map { index in
                let (row, output) = index.quotientAndRemainder(dividingBy: outputs)
                return (0..<depth).reduce(0.0) {
                    $0 + Double(x[row * (depth + 3) + $1]) * Double(w[output * (depth + 5) + $1])
                }
            }
            var strips = [Float](repeating: .nan, count: StripProduct.elements(outputs: outputs, depth: depth))
            StripProduct.stripsOfOutputs(w, stride: depth + 5, outputs: outputs, depth: depth, into: &strips)
            check(x, rows: rows, strips: strips, outputs: outputs, depth: depth, exact: exact)

            // The same weight lying the other way gives the same strips.
            let turned = (0..<depth).flatMap { k in (0..<outputs).map { w[$0 * (depth + 5) + k] } }
            var same = [Float](repeating: .nan, count: strips.count)
            StripProduct.stripsOfInputs(turned, stride: outputs, outputs: outputs, depth: depth, into: &same)
            #expect(same == strips)
        }
        quantized()
    }

    /// `x` has rows of `depth + 3`.
    private static func check(
        _ x: [Float], rows: Int, strips: [Float], outputs: Int, depth: Int, exact: [Double]
    ) {
        let stride = outputs + 2
        let before = (0..<rows * stride).map { Float($0 % 7) - 3 }
        for (adds, alpha) in [(false, Float(1)), (true, 1), (false, 0.5), (true, -2)] {
            // What is overwritten may be anything.
            var y = adds ? before : [Float](repeating: .nan, count: before.count)
            StripProduct.multiply(
                x, stride: depth + 3, rows: rows, strips: strips, outputs: outputs, depth: depth, alpha: alpha,
                adds: adds, into: &y, yStride: stride)
            for row in 0..<rows {
                for output in 0..<outputs {
                    let expected =
                        Double(alpha) * exact[row * outputs + output]
                        + (adds ? Double(before[row * stride + output]) : 0)
                    #expect((Double(y[row * stride + output]) - expected).magnitude < 1e-6 * Double(depth + 1))
                }
                for outside in row * stride + outputs..<(row + 1) * stride {
                    #expect(adds ? y[outside] == before[outside] : y[outside].isNaN)
                }
            }
        }
    }

    /// Strips of a 4-bit weight are those of what it dequantizes to.
    private static func quantized() {
        var generator = SeededGenerator(seed: 72)
        for (outputs, width, blockSize) in [(19, 70, 64), (40, 300, 128), (16, 64, 64)] {
            let weight = QuantizedSample(outputs * width, blockSize: blockSize, using: &generator)
            let values = weight.values
            let (rows, columns) = (1..<outputs, 3..<width - 2)
            let room = StripProduct.elements(outputs: rows.count, depth: columns.count)
            let first = rows.lowerBound * width + columns.lowerBound
            var strips = [Float](repeating: .nan, count: room)
            var expected = strips
            weight.withView { $0.stripsOfOutputs(width: width, rows: rows, columns: columns, into: &strips) }
            StripProduct.stripsOfOutputs(
                Array(values[first...]), stride: width, outputs: rows.count, depth: columns.count, into: &expected)
            #expect(strips == expected)

            let back = StripProduct.elements(outputs: columns.count, depth: rows.count)
            strips = [Float](repeating: .nan, count: back)
            expected = strips
            weight.withView { $0.stripsOfInputs(width: width, rows: rows, columns: columns, into: &strips) }
            StripProduct.stripsOfInputs(
                Array(values[first...]), stride: width, outputs: columns.count, depth: rows.count, into: &expected)
            #expect(strips == expected)
        }
    }
}

/// A random 4-bit weight with a float32 scale for every block.
struct QuantizedSample {
    let codes: [UInt8]
    let absmax: [Float]
    let count: Int
    let blockSize: Int

    init(_ count: Int, blockSize: Int, using generator: inout SeededGenerator) {
        let x = generator.floats(count)
        var codes = [UInt8](repeating: 0, count: (count + 1) / 2)
        var absmax = [Float](repeating: 0, count: (count + blockSize - 1) / blockSize)
        let bad = x.withUnsafeBytes {
            NF4Kernel.quantize(
                $0.baseAddress!, type: .f32, count: count, blockSize: blockSize, codes: &codes, absmax: &absmax)
        }
        precondition(bad == nil)
        (self.codes, self.absmax, self.count, self.blockSize) = (codes, absmax, count, blockSize)
    }

    func withView<Result>(_ body: (NF4View) -> Result) -> Result {
        codes.withUnsafeBufferPointer { codes in
            absmax.withUnsafeBytes { absmax in
                NF4Kernel.map.withUnsafeBufferPointer { map in
                    body(
                        NF4View(
                            codes: codes.baseAddress!, map: map.baseAddress!, blockSize: blockSize,
                            absmax: absmax.baseAddress!))
                }
            }
        }
    }

    /// Dequantized.
    var values: [Float] {
        var values = [Float](repeating: 0, count: count)
        values.withUnsafeMutableBytes { target in
            withView { $0.dequantize(elements: 0..<count, as: .f32, into: target.baseAddress!) }
        }
        return values
    }
}
