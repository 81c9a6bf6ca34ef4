import Foundation
import Layers
import Quantization
import Tensors
import Testing

@Suite struct LinearTests {
    let workspace = Workspace()

    /// Rows on both sides of the change from row products to tiles; outputs and inputs on both sides of a tile's edges.
    @Test(arguments: [1, 3, 4, 5, 37, 300], [(1, 1), (7, 13), (255, 64), (257, 96), (600, 33), (40, 4097), (3, 8200)])
    func matchesPlain(rows: Int, extents: (out: Int, in: Int)) {
        let values = random(extents.out * extents.in, seed: 1)
        let bias = random(extents.out, seed: 2)
        let x = randomMatrix(rows, extents.in, seed: 3)
        let y = Matrix(rows: rows, columns: extents.out)
        let linear = Linear(
            weight: dense(values, [extents.out, extents.in]),
            bias: Matrix(rows: 1, columns: bias.count, values: bias))
        linear.forward(x.view, into: y.view, workspace: workspace)
        #expect(relativeError(y.values, Reference.linear(x, values, outputs: extents.out, bias: bias)) < 1e-6)
    }

    @Test(arguments: [1, 4, 6, 200]) func quantizedWeightIsItsDequantizedSelf(rows: Int) throws {
        let (out, input) = (270, 4160)
        let tensor = try NF4Quantizer().quantize(
            Tensor(name: "weight", shape: Shape([out, input]), values: random(out * input, seed: 4)))
        var values = [Float](repeating: 0, count: out * input)
        values.withUnsafeMutableBufferPointer {
            StoredWeight.nf4(tensor).dequantizeRows(0..<out, into: $0.baseAddress!)
        }
        let x = randomMatrix(rows, input, seed: 5)
        let y = Matrix(rows: rows, columns: out)
        Linear(weight: .nf4(tensor)).forward(x.view, into: y.view, workspace: workspace)
        #expect(relativeError(y.values, Reference.linear(x, values, outputs: out, bias: nil)) < 1e-6)
    }

    /// What a layer gives in integers, for inputs of one size and for inputs with outliers.
    @Test(arguments: [1, 4, 5, 31, 300], [Float(1), 200]) func integersAreClose(rows: Int, outlier: Float) throws {
        let (out, input) = (270, 4160)
        let source = Tensor(name: "weight", shape: Shape([out, input]), values: random(out * input, seed: 4))
        let x = randomMatrix(rows, input, seed: 5)
        for row in 0..<rows { for column in stride(from: 7, to: input, by: 900) { x.row(row)[column] *= outlier } }
        let bias = Matrix(rows: 1, columns: out, values: random(out, seed: 6))
        let weights = [
            StoredWeight.nf4(try NF4Quantizer().quantize(source)), .int8(try Int8Quantizer().quantize(source)),
        ]
        for weight in weights {
            let exact = Matrix(rows: rows, columns: out)
            let fast = Matrix(rows: rows, columns: out)
            Linear(weight: weight, bias: bias).forward(x.view, into: exact.view, workspace: workspace)
            Linear(weight: weight, bias: bias, arithmetic: .int16)
                .forward(x.view, into: fast.view, workspace: workspace)
            let error = relativeError(fast.values, exact.values.map(Double.init))
            // 7e-5 for normal values; 0 would say that float32 was used.
            #expect(error < 1.5e-4 && error > 1e-6)
            if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil {
                print("figure int16 linear", weight.kind, rows, outlier, error)
            }
        }
    }

    /// A dense weight converted for products in integers; extents on both sides of a tile's edges, and rows that are not whole
    /// blocks. A few rows have the bits that they have alone.
    @Test(arguments: [1, 4, 5, 300], [(7, 13), (128, 1024), (130, 1100), (260, 4160), (40, 588)])
    func convertedIsClose(rows: Int, extents: (out: Int, in: Int)) {
        let values = random(extents.out * extents.in, seed: 14)
        let x = randomMatrix(rows, extents.in, seed: 15)
        let bias = Matrix(rows: 1, columns: extents.out, values: random(extents.out, seed: 16))
        let weight = dense(values, [extents.out, extents.in])
        let linear = Linear(weight: weight, bias: bias, arithmetic: .int16, convertsDense: true)
        let y = Matrix(rows: rows, columns: extents.out)
        linear.forward(x.view, into: y.view, workspace: workspace)
        let expected = Reference.linear(x, values, outputs: extents.out, bias: bias.values)
        let error = relativeError(y.values, expected)
        #expect(error < 1.5e-4 && error > 1e-6)
        if ProcessInfo.processInfo.environment["CRAYON_TEST_FIGURES"] != nil {
            print("figure int16 linear", weight.kind, extents, rows, error)
        }
        for row in 0..<rows where rows <= Linear.directRows {
            let alone = Matrix(rows: 1, columns: extents.out)
            linear.forward(x.view.rows(row..<row + 1), into: alone.view, workspace: workspace)
            #expect(alone.values == Array(y.row(row)[0..<extents.out]))
        }
        // Added to what is there, without a bias.
        let pure = Linear(weight: weight, arithmetic: .int16, convertsDense: true)
        let start = randomMatrix(rows, extents.out, seed: 17)
        let sum = start.copy()
        pure.accumulate(x.view, scale: -0.5, into: sum.view, workspace: workspace)
        let plain = Reference.linear(x, values, outputs: extents.out, bias: nil)
        #expect(relativeError(sum.values, zip(start.values, plain).map { Double($0) - 0.5 * $1 }) < 1.5e-4)
    }

    /// Quantized weights add, too, in integers: few rows and many.
    @Test(arguments: [1, 3, 40]) func integersAdd(rows: Int) throws {
        let (out, input) = (140, 1088)
        let source = Tensor(name: "weight", shape: Shape([out, input]), values: random(out * input, seed: 18))
        let x = randomMatrix(rows, input, seed: 19)
        for weight in [
            StoredWeight.nf4(try NF4Quantizer().quantize(source)), .int8(try Int8Quantizer().quantize(source)),
        ] {
            let (exact, fast) = (randomMatrix(rows, out, seed: 20), randomMatrix(rows, out, seed: 20))
            Linear(weight: weight).accumulate(x.view, scale: 0.25, into: exact.view, workspace: workspace)
            Linear(weight: weight, arithmetic: .int16)
                .accumulate(x.view, scale: 0.25, into: fast.view, workspace: workspace)
            let error = relativeError(fast.values, exact.values.map(Double.init))
            #expect(error < 1.5e-4 && error > 1e-6)
        }
    }

    /// A few rows meet a weight whose rows are not made of whole blocks, or that is not quantized, in float32; many rows meet it
    /// in integers.
    @Test(arguments: [4, 7, 150], [(9, 100), (300, 588)])
    func integersOfWhatHasNone(rows: Int, extents: (out: Int, in: Int)) throws {
        let (out, input) = extents
        let x = randomMatrix(rows, input, seed: 7)
        let values = random(out * input, seed: 8)
        let source = Tensor(name: "weight", shape: Shape([out, input]), values: values)
        let weights = [
            dense(values, [out, input]), .nf4(try NF4Quantizer().quantize(source)),
            .int8(try Int8Quantizer().quantize(source)),
        ]
        for weight in weights {
            let (a, b) = (Matrix(rows: rows, columns: out), Matrix(rows: rows, columns: out))
            Linear(weight: weight).forward(x.view, into: a.view, workspace: workspace)
            Linear(weight: weight, arithmetic: .int16).forward(x.view, into: b.view, workspace: workspace)
            let error = relativeError(b.values, a.values.map(Double.init))
            #expect(rows <= Linear.directRows ? error == 0 : error < 1.5e-4 && error > 1e-6)
        }
    }

    @Test(arguments: [2, 150]) func accumulateAddsScaledRows(rows: Int) {
        let (a, b) = (random(5 * 40, seed: 6), random(300 * 5, seed: 7))
        let pair = LowRankPair(
            a: Linear(weight: dense(a, [5, 40])), b: Linear(weight: dense(b, [300, 5])), scale: 0.5)
        let x = randomMatrix(rows, 40, seed: 8)
        let start = randomMatrix(rows, 300, seed: 9)
        let y = start.copy()
        pair.accumulate(x.view, into: y.view, workspace: workspace)
        let inner = Matrix(
            rows: rows, columns: 5, values: Reference.linear(x, a, outputs: 5, bias: nil).map(Float.init))
        let expected = zip(start.values, Reference.linear(inner, b, outputs: 300, bias: nil)).map {
            Double($0) + 0.5 * $1
        }
        #expect(relativeError(y.values, expected) < 1e-6)
    }

    @Test func writesInsideItsColumnsOnly() {
        let whole = Matrix(rows: 6, columns: 12, values: [Float](repeating: 7, count: 72))
        let x = randomMatrix(6, 9, seed: 10)
        let values = random(4 * 9, seed: 11)
        Linear(weight: dense(values, [4, 9])).forward(x.view, into: whole.view.columns(5..<9), workspace: workspace)
        let expected = Reference.linear(x, values, outputs: 4, bias: nil)
        for row in 0..<6 {
            #expect(whole.row(row)[0..<5].allSatisfy { $0 == 7 } && whole.row(row)[9...].allSatisfy { $0 == 7 })
            #expect(relativeError(Array(whole.row(row)[5..<9]), Array(expected[row * 4..<row * 4 + 4])) < 1e-6)
        }
    }

    @Test func firstRowsOfAWeight() {
        let values = random(10 * 9, seed: 12)
        let x = randomMatrix(2, 9, seed: 13)
        let y = Matrix(rows: 2, columns: 6)
        Linear(weight: dense(values, [10, 9]), outputs: 6).forward(x.view, into: y.view, workspace: workspace)
        #expect(relativeError(y.values, Reference.linear(x, values, outputs: 6, bias: nil)) < 1e-6)
    }
}

extension StoredWeight {
    fileprivate var kind: String {
        switch self {
        case .dense(let tensor): tensor.type.rawValue
        case .nf4: "NF4"
        case .int8: "8-bit"
        }
    }
}
