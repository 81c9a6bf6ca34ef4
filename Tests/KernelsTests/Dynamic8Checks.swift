import Kernels
import Testing

/// Products of an 8-bit weight in integers against what the integers mean, in double, for whichever variant is active.
struct Dynamic8Checks {
    private let outputs: Int
    private let width: Int
    private let blockSize: Int
    private let levels: Int16Levels
    private let codes: [UInt8]
    private let absmax: [Float]
    private let x: [Float]

    static func run() {
        let other = (0..<256).map { Float(($0 * 37) % 256 - 100) / 7 }  // no dynamic map: not even ascending
        for map in [Dynamic8Kernel.map, other] {
            for (outputs, width, blockSize) in [
                (1, 64, 64), (5, 128, 256), (16, 192, 256), (35, 1344, 64), (20, 320, 4096),
            ] {
                let sample = Dynamic8Checks(map: map, outputs: outputs, width: width, blockSize: blockSize)
                sample.rowProducts()
                sample.stripProducts()
            }
        }
    }

    /// Rows of x for every count of rows that a kernel treats in its own way.
    private static let rows = 15

    private init(map: [Float], outputs: Int, width: Int, blockSize: Int) {
        var generator = SeededGenerator(seed: UInt64(91 + outputs))
        (self.outputs, self.width, self.blockSize) = (outputs, width, blockSize)
        levels = Int16Levels(map)!
        let count = outputs * width
        // Every code, the first and the last included.
        codes = (0..<count).map { $0 < 256 ? UInt8($0) : UInt8.random(in: 0...255, using: &generator) }
        absmax = generator.floats((count + blockSize - 1) / blockSize, in: 0.01...3)
        x = generator.floats(Self.rows * width)
    }

    /// What the integers mean, and the sum of the magnitudes.
    private func exact(_ q: [Int16], _ scales: [Float], _ row: Int, _ output: Int) -> (sum: Double, size: Double) {
        var (sum, size) = (0.0, 0.0)
        for k in 0..<width {
            let element = output * width + k
            let w =
                Double(levels.values[Int(codes[element])]) * Double(levels.unit) * Double(absmax[element / blockSize])
            let value = Double(q[row * Int16Product.stride(columns: width) + k])
            let term = w * value * Double(scales[row * (width / 64) + k / 64])
            sum += term
            size += term.magnitude
        }
        return (sum, size)
    }

    private func withView<Result>(_ body: (Dynamic8View) -> Result) -> Result {
        codes.withUnsafeBufferPointer { codes in
            absmax.withUnsafeBytes { absmax in
                body(
                    Dynamic8View(codes: codes.baseAddress!, absmax: absmax.baseAddress!, blockSize: blockSize))
            }
        }
    }

    private func stripProducts() {
        let (q, scales) = Int16Checks.narrow(x, rows: Self.rows, columns: width, most: levels.largest)
        for count in [1, 2, 3, 5, 8, 15] {
            var y = [Float](repeating: .nan, count: count * outputs)
            for start in Swift.stride(from: 0, to: width, by: Int16Product.largestDepth) {
                let columns = start..<min(start + Int16Product.largestDepth, width)
                let room = StripProduct.elements(outputs: outputs, depth: columns.count)
                var strips = [Int16](repeating: 0, count: room)
                var stripScales = [Float](repeating: 0, count: room / 64)
                withView {
                    $0.int16Strips(
                        width: width, rows: 0..<outputs, columns: columns, levels: levels, into: &strips,
                        scales: &stripScales)
                }
                Int16Product.multiply(
                    q, scales: scales, columns: width, rows: count, first: start, depth: columns.count, strips: strips,
                    stripScales: stripScales, outputs: outputs, adds: start > 0, into: &y, yStride: outputs)
            }
            for row in 0..<count {
                for output in 0..<outputs {
                    let (sum, size) = exact(q, scales, row, output)
                    #expect((Double(y[row * outputs + output]) - sum).magnitude < 1e-6 * size)
                }
            }
        }
    }

    /// A few rows at a time, from values in the order that the variant wants.
    private func rowProducts() {
        let most = Int16Product.mostRows
        let natural = Int16Checks.narrow(x, rows: most, columns: width, most: levels.largest)
        let (q, scales) = Int16Checks.narrow(x, rows: most, columns: width, most: levels.largest, for: .dynamic8Rows)
        let stride = Int16Product.stride(columns: width)
        #expect(scales == natural.scales)
        for first in 0..<min(outputs, 3) {
            let yStride = outputs - first + 1
            func product(_ start: Int, _ count: Int) -> [Float] {
                var y = [Float](repeating: .nan, count: count * yStride)
                withView {
                    $0.multiply(
                        columns: width, rows: first..<outputs, levels: levels, int16: Array(q[(start * stride)...]),
                        scales: Array(scales[(start * width / 64)...]), count: count, into: &y, yStride: yStride)
                }
                return y
            }
            let all = product(0, most)
            for row in 0..<most {
                for output in first..<outputs {
                    let (sum, size) = exact(natural.q, scales, row, output)
                    #expect((Double(all[row * yStride + output - first]) - sum).magnitude < 1e-6 * size)
                }
                #expect(all[row * yStride + outputs - first].isNaN)
            }
            // The same bits alone and with others.
            for count in 1..<most {
                for start in 0...most - count {
                    let few = product(start, count)
                    for row in 0..<count {
                        let (a, b) = (row * yStride, (start + row) * yStride)
                        #expect(few[a..<a + outputs - first] == all[b..<b + outputs - first])
                    }
                }
            }
        }
    }
}
