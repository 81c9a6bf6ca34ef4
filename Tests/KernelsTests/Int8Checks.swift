import Kernels
import Testing

/// 8-bit rows against the same rule in Swift, for whichever variant is active.
enum Int8Checks {
    static func run() {
        rounding()
        edges()
        decoding()
    }

    /// The codes and scales that the rule gives: the same bits from every variant.
    static func rounding() {
        var generator = SeededGenerator(seed: 70)
        for columns in VectorChecks.lengths {
            for range in [Float(-1)...1, -3e-30...1e-30, -1e30...3e30] {
                let x = generator.floats(2 * columns, in: range)
                let (codes, scales) = encode(x, columns: columns)
                for run in 0..<2 {
                    let values = x[run * columns..<(run + 1) * columns]
                    let scale = (values.map(\.magnitude).max() ?? 0) / 127
                    #expect(scales[run] == scale)
                    let expected = values.map { Int8(($0 / scale).rounded(.toNearestOrEven)) }
                    #expect(Array(codes[run * columns..<(run + 1) * columns]) == expected)
                }
            }
        }
        // Ties: 127 is the scale's own multiple, so the others are halves exactly.
        let (codes, scales) = encode([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, -127, 126.5], columns: 9)
        #expect(scales == [1])
        #expect(codes == [127, 0, 2, 2, 0, -2, -2, -127, 126])
    }

    static func edges() {
        for columns in [1, 16, 37] {
            var x = [Float](repeating: 0.25, count: 4 * columns)
            for column in 0..<columns {
                x[columns + column] = 0
                x[2 * columns + column] = 1e-40
            }
            x[4 * columns - 1] = .nan
            let (codes, scales) = encode(x, columns: columns)
            #expect(codes[0..<columns].allSatisfy { $0 == 127 })
            #expect(scales[1] == 0 && scales[2] == 0 && scales[3].isNaN)
            #expect(codes[columns...].allSatisfy { $0 == 0 })
            #expect(decode(codes, scales, columns: columns)[(3 * columns)...].allSatisfy { $0.isNaN })
        }
        #expect(encode([.infinity, 1], columns: 2).scales[0].isNaN)
    }

    /// Rows are decoded where they lie.
    static func decoding() {
        var generator = SeededGenerator(seed: 71)
        for columns in VectorChecks.lengths {
            let rows = 3
            // Two groups side by side, as a cache has them; the second one is read.
            let (codes, scales) = encode(generator.floats(rows * 2 * columns), columns: columns)
            let wide = decode(codes, scales, columns: columns)
            var decoded = [Float](repeating: .nan, count: rows * columns)
            codes.withUnsafeBufferPointer { codes in
                scales.withUnsafeBufferPointer { scales in
                    Int8Rows(
                        codes: codes.baseAddress! + columns, scales: scales.baseAddress! + 1, rows: rows,
                        columns: columns, stride: 2 * columns, scaleStride: 2
                    ).decode(into: &decoded)
                }
            }
            for row in 0..<rows {
                let place = (2 * row + 1) * columns
                #expect(Array(decoded[row * columns..<(row + 1) * columns]) == Array(wide[place..<place + columns]))
            }
        }
    }

    private static func encode(_ x: [Float], columns: Int) -> (codes: [Int8], scales: [Float]) {
        var codes = [Int8](repeating: 99, count: x.count)
        var scales = [Float](repeating: -1, count: x.count / columns)
        Int8Rows.encode(x, runs: x.count / columns, columns: columns, codes: &codes, scales: &scales)
        return (codes, scales)
    }

    private static func decode(_ codes: [Int8], _ scales: [Float], columns: Int) -> [Float] {
        codes.indices.map { Float(codes[$0]) * scales[$0 / columns] }
    }
}
