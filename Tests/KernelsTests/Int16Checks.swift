import Foundation
import Kernels
import Testing

/// Products in integers against what the integers mean, in double, for whichever variant is active.
enum Int16Checks {
    static func run() {
        narrowing()
        hostileStrips()
        for (outputs, width, blockSize) in [(1, 64, 64), (5, 128, 64), (16, 192, 64), (35, 1344, 64), (50, 1280, 256)] {
            products(outputs: outputs, width: width, blockSize: blockSize)
        }
        for (outputs, depth) in [(1, 1), (16, 64), (5, 100), (37, 640), (18, 1024), (3, 588)] {
            denseStrips(outputs: outputs, depth: depth)
        }
    }

    /// Values come back to half a unit, and no sum of products of a block can leave int32.
    private static func narrowing() {
        var generator = SeededGenerator(seed: 81)
        let most = Int16Levels.nf4!.largest
        var spike = [Float](repeating: 1e-3, count: 64)
        spike[17] = -900
        let blocks: [[Float]] = [
            generator.floats(64), [Float](repeating: 3, count: 64), [Float](repeating: -1e30, count: 64), spike,
            [Float](repeating: 0, count: 64), [Float](repeating: 1e-40, count: 64), generator.floats(64, in: 0...1e-20),
        ]
        let (q, scales) = narrow(blocks.flatMap(\.self), rows: 1, columns: 64 * blocks.count, most: most)
        for (index, block) in blocks.enumerated() {
            let own = q[index * 64..<(index + 1) * 64]
            let sum = own.reduce(0) { $0 + Int64($1).magnitude }
            #expect(sum * UInt64(most) <= UInt64(Int32.max))
            for (value, integer) in zip(block, own) {
                let back = Double(integer) * Double(scales[index])
                #expect((back - Double(value)).magnitude <= max(0.501 * Double(scales[index]), 1e-33))
            }
        }
        for bad: Float in [.nan, .infinity, -.infinity] {
            var values = generator.floats(128)
            values[70] = bad
            let (_, scales) = narrow(values, rows: 1, columns: 128, most: most)
            #expect(scales[0].isFinite && scales[1].isNaN)
        }
        // A last block that is not whole is as one with zeros behind it.
        let values = generator.floats(100)
        let part = narrow(values, rows: 1, columns: 100, most: most)
        let whole = narrow(values + [Float](repeating: 0, count: 28), rows: 1, columns: 128, most: most)
        #expect(part == whole)
    }

    /// A dense weight's strips: values come back to half a unit of their block, zeros fill the last block up, and no sum of
    /// products with narrowed rows can leave int32.
    private static func denseStrips(outputs: Int, depth: Int) {
        var generator = SeededGenerator(seed: UInt64(181 + outputs))
        let w = generator.floats(outputs * depth, in: -3...3)
        let blocks = Int16Product.blocks(columns: depth)
        let room = StripProduct.elements(outputs: outputs, depth: blocks * 64)
        var strips = [Int16](repeating: -1, count: room)
        var scales = [Float](repeating: .nan, count: room / 64)
        Int16Product.strips(w, stride: depth, outputs: outputs, depth: depth, into: &strips, scales: &scales)
        #expect(integersOfStrips(w, outputs: outputs, depth: depth) == (strips, scales))
        for output in 0..<(outputs + 15) / 16 * 16 {
            let (strip, lane) = output.quotientAndRemainder(dividingBy: 16)
            for k in 0..<blocks * 64 {
                let integer = strips[strip * blocks * 64 * 16 + k / 2 * 32 + lane * 2 + k % 2]
                let scale = scales[(strip * blocks + k / 64) * 16 + lane]
                #expect(integer.magnitude <= Int16Product.largestOfDense)
                let value = output < outputs && k < depth ? w[output * depth + k] : 0
                #expect((Float(integer) * scale - value).magnitude <= 0.501 * scale)
            }
        }
        let x = generator.floats(9 * depth)
        let (q, xScales) = narrow(x, rows: 9, columns: depth, most: Int16Product.largestOfDense)
        var y = [Float](repeating: .nan, count: 9 * outputs)
        Int16Product.multiply(
            q, scales: xScales, columns: depth, rows: 9, first: 0, depth: blocks * 64, strips: strips,
            stripScales: scales, outputs: outputs, adds: false, into: &y, yStride: outputs)
        for row in 0..<9 {
            for output in 0..<outputs {
                let terms = (0..<depth).map { Double(x[row * depth + $0]) * Double(w[output * depth + $0]) }
                let size = terms.reduce(0) { $0 + $1.magnitude }
                #expect((Double(y[row * outputs + output]) - terms.reduce(0, +)).magnitude < 2e-4 * size)
            }
        }
    }

    /// The same from strips of floats, 64 inputs at a time.
    private static func integersOfStrips(_ w: [Float], outputs: Int, depth: Int) -> ([Int16], [Float]) {
        let padded = Int16Product.blocks(columns: depth) * 64
        var strips = [Int16](repeating: -1, count: StripProduct.elements(outputs: outputs, depth: padded))
        var scales = [Float](repeating: .nan, count: strips.count / 64)
        for start in stride(from: 0, to: depth, by: 64) {
            let count = min(64, depth - start)
            var floats = [Float](repeating: .nan, count: StripProduct.elements(outputs: outputs, depth: count))
            w.withUnsafeBufferPointer {
                StripProduct.stripsOfOutputs(
                    $0.baseAddress! + start, stride: depth, outputs: outputs, depth: count, into: &floats)
            }
            strips.withUnsafeMutableBufferPointer { strips in
                scales.withUnsafeMutableBufferPointer { scales in
                    Int16Product.strips(
                        ofStrips: floats, outputs: outputs, depth: count, into: strips.baseAddress! + start * 16,
                        stride: padded * 16, scales: scales.baseAddress! + start / 64 * 16)
                }
            }
        }
        return (strips, scales)
    }

    /// Values that are not finite make their scale NaN; those that are nothing beside others become 0.
    private static func hostileStrips() {
        var floats = [Float](repeating: 1, count: 64 * 16)
        (floats[5 * 16 + 1], floats[63 * 16 + 2], floats[3]) = (.nan, -.infinity, 0)
        for k in 0..<64 { floats[k * 16 + 4] = 1e-40 }
        var (strips, scales) = ([Int16](repeating: -1, count: 64 * 16), [Float](repeating: -1, count: 16))
        Int16Product.strips(ofStrips: floats, outputs: 16, depth: 64, into: &strips, stride: 64 * 16, scales: &scales)
        #expect(scales[1].isNaN && scales[2].isNaN && scales[4] == 0)
        #expect(scales[0] * Float(strips[0]) == 1 && strips[2 * 3] == 0 && strips[2 * 4] == 0)
    }

    private static func products(outputs: Int, width: Int, blockSize: Int) {
        var generator = SeededGenerator(seed: UInt64(82 + outputs))
        let weight = QuantizedSample(outputs * width, blockSize: blockSize, using: &generator)
        let levels = Int16Levels.nf4!
        let rows = 15
        let x = generator.floats(rows * width)
        let (q, scales) = narrow(x, rows: rows, columns: width, most: levels.largest)
        let stride = Int16Product.stride(columns: width)

        /// What the integers mean, and the sum of the magnitudes.
        func exact(_ row: Int, _ output: Int) -> (sum: Double, size: Double) {
            var (sum, size) = (0.0, 0.0)
            for k in 0..<width {
                let element = output * width + k
                let byte = weight.codes[element / 2]
                let code = element % 2 == 0 ? byte >> 4 : byte & 15
                let w =
                    Double(levels.values[Int(code)]) * Double(levels.unit) * Double(weight.absmax[element / blockSize])
                let term = w * Double(q[row * stride + k]) * Double(scales[row * (width / 64) + k / 64])
                sum += term
                size += term.magnitude
            }
            return (sum, size)
        }

        for count in [1, 2, 3, 5, 8, 15] {
            let before = (0..<count * outputs).map { Float($0 % 5) }
            var y = [Float](repeating: .nan, count: before.count)
            multiply(
                weight, levels, q, scales, rows: count, outputs: outputs, width: width, alpha: 1, adds: false, into: &y)
            var added = before
            multiply(
                weight, levels, q, scales, rows: count, outputs: outputs, width: width, alpha: -0.5, adds: true,
                into: &added)
            for row in 0..<count {
                for output in 0..<outputs {
                    let (sum, size) = exact(row, output)
                    let at = row * outputs + output
                    #expect((Double(y[at]) - sum).magnitude < 1e-6 * size)
                    #expect((Double(added[at]) - Double(before[at]) + 0.5 * sum).magnitude < 1e-6 * (size + 5))
                }
            }
        }
        rowProducts(weight, levels, x, outputs: outputs, width: width, exact: exact)
    }

    /// One row at a time, from values in the order that the variant wants.
    private static func rowProducts(
        _ weight: QuantizedSample, _ levels: Int16Levels, _ x: [Float], outputs: Int, width: Int,
        exact: (Int, Int) -> (sum: Double, size: Double)
    ) {
        let most = Int16Product.mostRows
        let (q, scales) = narrow(x, rows: most, columns: width, most: levels.largest, for: .nf4Rows)
        let stride = Int16Product.stride(columns: width)
        for first in 0..<min(outputs, 3) {
            let yStride = outputs - first + 1
            func product(_ start: Int, _ count: Int) -> [Float] {
                var y = [Float](repeating: .nan, count: count * yStride)
                weight.withView {
                    $0.multiply(
                        columns: width, rows: first..<outputs, levels: levels, int16: Array(q[(start * stride)...]),
                        scales: Array(scales[(start * width / 64)...]), count: count, into: &y, yStride: yStride)
                }
                return y
            }
            let all = product(0, most)
            for row in 0..<most {
                for output in first..<outputs {
                    let (sum, size) = exact(row, output)
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

    static func narrow(
        _ x: [Float], rows: Int, columns: Int, most: Int32, for use: Int16Product.Use = .strips
    ) -> (q: [Int16], scales: [Float]) {
        var q = [Int16](repeating: 0, count: rows * Int16Product.stride(columns: columns))
        var scales = [Float](repeating: 0, count: rows * Int16Product.blocks(columns: columns))
        Int16Product.narrow(
            x, stride: columns, rows: rows, columns: columns, largestLevel: most, for: use, into: &q, scales: &scales)
        return (q, scales)
    }

    private static func multiply(
        _ weight: QuantizedSample, _ levels: Int16Levels, _ q: [Int16], _ scales: [Float], rows: Int, outputs: Int,
        width: Int, alpha: Float, adds: Bool, into y: inout [Float]
    ) {
        for start in Swift.stride(from: 0, to: width, by: Int16Product.largestDepth) {
            let columns = start..<min(start + Int16Product.largestDepth, width)
            let room = StripProduct.elements(outputs: outputs, depth: columns.count)
            var strips = [Int16](repeating: 0, count: room)
            var stripScales = [Float](repeating: 0, count: room / 64)
            weight.withView {
                $0.int16Strips(
                    width: width, rows: 0..<outputs, columns: columns, levels: levels, into: &strips,
                    scales: &stripScales)
            }
            Int16Product.multiply(
                q, scales: scales, columns: width, rows: rows, first: start, depth: columns.count, strips: strips,
                stripScales: stripScales, outputs: outputs, alpha: alpha, adds: adds || start > 0, into: &y,
                yStride: outputs)
        }
    }
}

@Suite struct Int16LevelTests {
    /// The levels' own rounding and what is left for the other factor, both in parts of the root mean square.
    @Test func nf4() throws {
        let levels = try #require(Int16Levels.nf4)
        var (error, size) = (0.0, 0.0)
        for (level, value) in zip(NF4Kernel.map, levels.values) {
            let difference = Double(value) * Double(levels.unit) - Double(level)
            error += difference * difference
            size += Double(level * level)
        }
        #expect((error / size).squareRoot() < 5e-5)
        #expect(levels.largest == levels.values.map { abs(Int32($0)) }.max())
        // 64 values of 4,096 on the average fit.
        #expect(Int64(levels.largest) * 64 * 4096 <= Int64(Int32.max))
    }

    /// Weighed by a normal density, as weights in blocks of 256 have it beside their largest.
    @Test func dynamic8() throws {
        let levels = try #require(Int16Levels.dynamic8)
        var (error, size) = (0.0, 0.0)
        let map = Dynamic8Kernel.map.map(Double.init)
        for (index, value) in levels.values.enumerated() {
            let width = map[min(index + 1, 255)] - map[max(index - 1, 0)]
            let share = width * exp(-0.5 * (2.8 * map[index]) * (2.8 * map[index]))
            let difference = Double(value) * Double(levels.unit) - map[index]
            error += share * difference * difference
            size += share * map[index] * map[index]
        }
        #expect((error / size).squareRoot() < 3e-5)
        #expect(levels.largest == levels.values.map { abs(Int32($0)) }.max())
        #expect(Int64(levels.largest) * 64 * 4096 <= Int64(Int32.max))
    }

    @Test func othersAndNone() throws {
        let map = (0..<16).map { Float($0 - 9) * 3.5 }
        let levels = try #require(Int16Levels(map))
        for (level, value) in zip(map, levels.values) { #expect(abs(Float(value) * levels.unit - level) < 1e-3) }
        #expect(Int16Levels([Float](repeating: 0, count: 16)) == nil)
        #expect(Int16Levels([Float](repeating: .nan, count: 16)) == nil)
        #expect(Int16Levels([1, 2]) == nil)
    }
}
