import Foundation
import Kernels
import Tensors
import Testing

/// Low-rank products bit for bit, and a merge's sums, for whichever variant is active.
enum LowRankChecks {
    static func run() {
        products()
        splits()
        packed()
        sums()
        bfloat16()
    }

    /// The rule as it is documented, an element at a time.
    static func plain(_ left: [Float], _ right: [Float], rows: Int, columns: Int, depth: Int) -> [Float] {
        let block = depth <= 192 ? max(depth, 1) : depth <= 384 ? depth / 2 : 192
        var product = [Float](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            for column in 0..<columns {
                var total: Float = 0
                for first in stride(from: 0, to: depth, by: block) {
                    var sum: Float = 0
                    for k in first..<min(first + block, depth) {
                        sum = sum.addingProduct(left[row * depth + k], right[k * columns + column])
                    }
                    total = first == 0 ? sum : total + sum
                }
                product[row * columns + column] = total
            }
        }
        return product
    }

    static func products() {
        var generator = SeededGenerator(seed: 40)
        let shapes = [
            (1, 1, 1), (1, 16, 3), (5, 7, 2), (6, 16, 8), (7, 17, 64), (13, 33, 191), (6, 31, 192), (9, 20, 193),
            (12, 48, 384), (4, 19, 385), (8, 16, 600),
        ]
        for (rows, columns, depth) in shapes {
            let left = generator.floats(rows * depth)
            let right = generator.floats(depth * columns)
            var product = [Float](repeating: .nan, count: rows * columns)
            LowRankProduct.multiply(
                left, stride: depth, by: right, stride: columns, rows: rows, columns: columns, depth: depth,
                into: &product, stride: columns)
            let expected = plain(left, right, rows: rows, columns: columns, depth: depth)
            #expect(
                product.map(\.bitPattern) == expected.map(\.bitPattern), "\(rows) x \(columns), depth \(depth)")
        }
    }

    /// A part of the product has the bits that it has in the whole.
    static func splits() {
        var generator = SeededGenerator(seed: 41)
        let (rows, columns, depth) = (11, 45, 24)
        let left = generator.floats(rows * depth)
        let right = generator.floats(depth * columns)
        let whole = plain(left, right, rows: rows, columns: columns, depth: depth)
        for (row, column, height, width) in [(0, 0, 3, 45), (5, 9, 6, 20), (10, 44, 1, 1), (2, 17, 4, 16)] {
            var part = [Float](repeating: .nan, count: height * width)
            left.withUnsafeBufferPointer { left in
                right.withUnsafeBufferPointer { right in
                    LowRankProduct.multiply(
                        left.baseAddress! + row * depth, stride: depth, by: right.baseAddress! + column,
                        stride: columns, rows: height, columns: width, depth: depth, into: &part, stride: width)
                }
            }
            for index in part.indices {
                let expected = whole[(row + index / width) * columns + column + index % width]
                #expect(part[index].bitPattern == expected.bitPattern)
            }
        }
    }

    /// A factor in panels gives the same bits, times the factor, wherever its columns are cut.
    static func packed() {
        var generator = SeededGenerator(seed: 43)
        for (rows, columns, depth) in [(1, 1, 1), (6, 16, 3), (13, 45, 64), (7, 33, 200), (12, 64, 400)] {
            let left = generator.floats(rows * depth)
            let right = generator.floats(depth * columns)
            let whole = plain(left, right, rows: rows, columns: columns, depth: depth)
            let factor = PackedFactor(right, depth: depth, columns: columns)
            for range in [0..<columns, 0..<1, columns / 3..<columns, columns / 2..<columns / 2 + 1] {
                let stride = range.count + 2
                var part = [Float](repeating: 7, count: rows * stride)
                factor.multiply(left, rows: rows, columns: range, factor: 1.7, into: &part, stride: stride)
                for row in 0..<rows {
                    for column in range {
                        let expected = whole[row * columns + column] * 1.7
                        #expect(part[row * stride + column - range.lowerBound].bitPattern == expected.bitPattern)
                    }
                    // Nothing beside it.
                    #expect(part[row * stride + range.count] == 7 && part[row * stride + range.count + 1] == 7)
                }
            }
        }
    }

    /// One pass over bfloat16 against its parts: widening, adding, narrowing, and the sums of what is stored.
    static func bfloat16() {
        var generator = SeededGenerator(seed: 44)
        for count in [1, 15, 16, 17, 1024, 1030] {
            var stored = [UInt16](repeating: 0, count: count)
            FloatConversion.narrow(generator.floats(count), count: count, to: .bf16, into: &stored)
            let delta = generator.floats(count, in: -0.1...0.1)
            var base = [Float](repeating: 0, count: count)
            FloatConversion.widen(&stored, type: .bf16, count: count, into: &base)
            var expected = [UInt16](repeating: 0, count: count)
            FloatConversion.narrow(zip(base, delta).map { $0 + $1 }, count: count, to: .bf16, into: &expected)
            var values = base
            FloatConversion.widen(&expected, type: .bf16, count: count, into: &values)
            var merged = [UInt16](repeating: 9, count: count + 1)
            let sums = MergeSums.mergeBF16(base: &stored, delta: delta, count: count, into: &merged)
            #expect(merged == expected + [9])
            #expect(sums == MergeSums(base: base, delta: delta, merged: values, count: count))
        }
        for bad in [Float.nan, .infinity, 3.4e38] {
            var stored: [UInt16] = [0x7f7f, 0]
            var merged = stored
            let sums = MergeSums.mergeBF16(base: &stored, delta: [bad, 0], count: 2, into: &merged)
            #expect(!sums.squaredChange.isFinite)
        }
    }

    static func sums() {
        var generator = SeededGenerator(seed: 42)
        for count in [0, 1, 15, 16, 17, 1023, 1024, 1025, 5000] {
            let base = generator.floats(count)
            let delta = generator.floats(count, in: -0.1...0.1)
            let merged = zip(base, generator.floats(count, in: -0.2...0.2)).map { $0 + $1 }
            let sums = MergeSums(base: base, delta: delta, merged: merged, count: count)
            func exact(_ term: (Double, Double, Double) -> Double) -> Double {
                (0..<count).reduce(0) { $0 + term(Double(base[$1]), Double(delta[$1]), Double(merged[$1])) }
            }
            let pairs: [(Double, Double)] = [
                (sums.squaredBase, exact { base, _, _ in base * base }),
                (sums.squaredDelta, exact { _, delta, _ in delta * delta }),
                (sums.squaredChange, exact { ($2 - $0) * ($2 - $0) }),
                (sums.squaredError, exact { ($2 - $0 - $1) * ($2 - $0 - $1) }),
                (sums.squaredTarget, exact { base, delta, _ in (base + delta) * (base + delta) }),
            ]
            // Float32 terms, and partial sums of at most 64 of them.
            for (value, expected) in pairs { #expect((value - expected).magnitude <= 2e-6 * expected) }
            let product = exact { $1 * ($2 - $0) }
            #expect((sums.deltaChange - product).magnitude <= 2e-6 * exact { ($1 * ($2 - $0)).magnitude } + 1e-12)
            let largest = zip(merged, base).map { ($0 - $1).magnitude }.max() ?? 0
            #expect(sums.largestChange == largest)
        }
    }
}
