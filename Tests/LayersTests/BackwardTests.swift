import Foundation
import Layers
import Quantization
import Tensors
import Testing

/// Backward passes against slopes: along a random direction the loss `sum(weights * output)` must change as the gradient says.
@Suite struct BackwardTests {
    let workspace = Workspace()

    /// - Parameters:
    ///   - inputs: what is moved; `forward` reads them where they lie.
    ///   - gradients: of the loss with respect to each.
    private func checkSlope(
        _ inputs: [Matrix], gradients: [Matrix], step: Float = 1e-2, tolerance: Double = 2e-3, forward: () -> Double
    ) {
        for (which, (input, gradient)) in zip(inputs, gradients).enumerated() {
            let direction = random(input.count, seed: UInt64(100 + which))
            let expected = (0..<input.count).reduce(0.0) { $0 + Double(direction[$1]) * Double(gradient.pointer[$1]) }
            let before = input.values
            func moved(_ step: Float) -> Double {
                for index in 0..<input.count { input.pointer[index] = before[index] + step * direction[index] }
                return forward()
            }
            let measured = (moved(step) - moved(-step)) / Double(2 * step)
            input.pointer.update(from: before, count: before.count)
            let scale = (0..<input.count).reduce(0.0) { sum, index in
                sum + (Double(direction[index]) * Double(gradient.pointer[index])).magnitude
            }
            #expect(
                (measured - expected).magnitude < tolerance * (scale / 4 + 1e-3), "\(which): \(measured), \(expected)")
        }
    }

    private func weighted(_ output: Matrix, _ weights: Matrix) -> Double {
        (0..<output.count).reduce(0.0) { $0 + Double(output.pointer[$1]) * Double(weights.pointer[$1]) }
    }

    /// Outputs and inputs on both sides of a tile's edges.
    @Test(arguments: [1, 5, 37, 300], [(1, 1), (7, 13), (255, 64), (257, 96), (600, 33), (40, 1025), (300, 2100)])
    func linearInputGradientIsTheTransposedProduct(rows: Int, extents: (out: Int, in: Int)) {
        let values = random(extents.out * extents.in, seed: 1)
        let dy = randomMatrix(rows, extents.out, seed: 2)
        let before = randomMatrix(rows, extents.in, seed: 3)
        let linear = Linear(weight: dense(values, [extents.out, extents.in]))
        var expected = [Double](repeating: 0, count: rows * extents.in)
        for row in 0..<rows {
            for out in 0..<extents.out {
                let factor = Double(dy.row(row)[out])
                for column in 0..<extents.in {
                    expected[row * extents.in + column] += factor * Double(values[out * extents.in + column])
                }
            }
        }
        let dx = before.copy()
        linear.inputGradient(dy.view, scale: 0.5, into: dx.view, workspace: workspace)
        #expect(relativeError(dx.values, expected.map { $0 * 0.5 }) < 1e-6)
        let sum = before.copy()
        linear.inputGradient(dy.view, adds: true, into: sum.view, workspace: workspace)
        #expect(relativeError(sum.values, zip(before.values, expected).map { Double($0) + $1 }) < 1e-6)
    }

    @Test(arguments: [5, 200]) func quantizedWeightIsItsDequantizedSelf(rows: Int) throws {
        let (out, input) = (270, 2080)
        let tensor = try NF4Quantizer().quantize(
            Tensor(name: "weight", shape: Shape([out, input]), values: random(out * input, seed: 4)))
        var values = [Float](repeating: 0, count: out * input)
        values.withUnsafeMutableBufferPointer {
            StoredWeight.nf4(tensor).dequantizeRows(0..<out, into: $0.baseAddress!)
        }
        let dy = randomMatrix(rows, out, seed: 5)
        let (dx, plain) = (Matrix(rows: rows, columns: input), Matrix(rows: rows, columns: input))
        Linear(weight: .nf4(tensor)).inputGradient(dy.view, into: dx.view, workspace: workspace)
        Linear(weight: dense(values, [out, input])).inputGradient(dy.view, into: plain.view, workspace: workspace)
        #expect(dx.values == plain.values)
    }

    /// The gradient in integers, through weights of every kind.
    @Test(arguments: [1, 5, 200], [(270, 2080), (100, 588), (33, 64)])
    func inputGradientInIntegers(rows: Int, extents: (out: Int, in: Int)) throws {
        let (out, input) = extents
        let values = random(out * input, seed: 24)
        let source = Tensor(name: "weight", shape: Shape([out, input]), values: values)
        let dy = randomMatrix(rows, out, seed: 25)
        for weight in [
            dense(values, [out, input]), .nf4(try NF4Quantizer().quantize(source)),
            .int8(try Int8Quantizer().quantize(source)),
        ] {
            let (exact, fast) = (randomMatrix(rows, input, seed: 26), randomMatrix(rows, input, seed: 26))
            Linear(weight: weight).inputGradient(
                dy.view, scale: -0.5, adds: true, into: exact.view, workspace: workspace)
            Linear(weight: weight, arithmetic: .int16).inputGradient(
                dy.view, scale: -0.5, adds: true, into: fast.view, workspace: workspace)
            let error = relativeError(fast.values, exact.values.map(Double.init))
            #expect(error < 1.5e-4 && error > 1e-6)
        }
    }

    @Test(arguments: [(1, 3, 4), (50, 130, 1030), (7, 300, 20)])
    func weightAndBiasGradients(rows: Int, out: Int, input: Int) {
        let dy = randomMatrix(rows, out, seed: 6)
        let x = randomMatrix(rows, input, seed: 7)
        let weight = randomMatrix(out, input, seed: 8)
        var expected = weight.values.map(Double.init)
        var bias = [Double](repeating: 0, count: out)
        for row in 0..<rows {
            for o in 0..<out {
                bias[o] += Double(dy.row(row)[o])
                for i in 0..<input {
                    expected[o * input + i] += 2 * Double(dy.row(row)[o]) * Double(x.row(row)[i])
                }
            }
        }
        LinearGradient.addWeight(dy.view, x: x.view, scale: 2, to: weight.view)
        #expect(relativeError(weight.values, expected) < 1e-6)
        let row = Matrix(rows: 1, columns: out)
        LinearGradient.addBias(dy.view, to: row.view)
        #expect(relativeError(row.values, bias) < 1e-5)
    }

    @Test(arguments: [0.0, 0.4]) func lowRankPair(rate: Double) {
        let (rows, rank, out, input) = (9, 4, 21, 13)
        let a = randomMatrix(rank, input, seed: 9)
        let b = randomMatrix(out, rank, seed: 10)
        let x = randomMatrix(rows, input, seed: 11)
        let weights = randomMatrix(rows, out, seed: 12)
        let pair = LowRankPair(
            a: Linear(weight: .dense(a.tensor(named: "a", shape: Shape([rank, input])))),
            b: Linear(weight: .dense(b.tensor(named: "b", shape: Shape([out, rank])))), scale: 0.5)
        let dropout = Dropout(rate: rate, key: 3)
        #expect((dropout == nil) == (rate == 0))
        let (toA, toB) = (Matrix(rows: rank, columns: input), Matrix(rows: out, columns: rank))
        let toX = Matrix(rows: rows, columns: input)
        pair.backward(
            weights.view, x: x.view, dropout: dropout, gradients: .init(a: toA, b: toB), into: toX.view,
            workspace: workspace)
        checkSlope([a, b, x], gradients: [toA, toB, toX]) {
            let y = Matrix(rows: rows, columns: out)
            pair.accumulate(x.view, dropout: dropout, into: y.view, workspace: workspace)
            return weighted(y, weights)
        }
    }

    @Test func dropoutDropsItsShareAndKeepsTheMean() {
        let (rows, columns) = (40, 1001)
        let ones = Matrix(rows: rows, columns: columns, values: [Float](repeating: 1, count: rows * columns))
        let pair = LowRankPair(
            a: Linear(weight: dense([Float](repeating: 1, count: columns), [1, columns])),
            b: Linear(weight: dense([1], [1, 1])), scale: 1)
        let y = Matrix(rows: rows, columns: 1)
        pair.accumulate(ones.view, dropout: Dropout(rate: 0.25, key: 1), into: y.view, workspace: workspace)
        // Of 40,040 draws the standard deviation of the mean is 0.003.
        let mean = y.values.reduce(0.0) { $0 + Double($1) } / Double(rows * columns)
        #expect((mean - 1).magnitude < 0.015)
        #expect(Set(y.values).count > 20, "rows are drawn apart")
    }

    @Test(arguments: [(1, 8), (6, 33)]) func rmsNorm(rows: Int, width: Int) {
        let x = randomMatrix(rows, width, seed: 13)
        let weights = randomMatrix(rows, width, seed: 14)
        let norm = RMSNorm(weight: random(width, seed: 15), epsilon: 1e-5)
        let dx = Matrix(rows: rows, columns: width)
        norm.backward(weights.view, x: x.view, addingTo: dx.view)
        checkSlope([x], gradients: [dx], step: 1e-3) {
            let y = Matrix(rows: rows, columns: width)
            norm.forward(x.view, into: y.view)
            return weighted(y, weights)
        }
    }

    @Test func activations() {
        let (rows, width) = (5, 37)
        let gate = randomMatrix(rows, width, seed: 16)
        let up = randomMatrix(rows, width, seed: 17)
        let weights = randomMatrix(rows, width, seed: 18)
        let (toGate, toUp) = (gate.copy(), up.copy())
        Elementwise.siluMultiplyBackward(gradient: weights.view, gate: toGate.view, up: toUp.view)
        checkSlope([gate, up], gradients: [toGate, toUp]) {
            let y = Matrix(rows: rows, columns: width)
            Elementwise.siluMultiply(gate: gate.view, up: up.view, into: y.view)
            return weighted(y, weights)
        }
        let toX = weights.copy()
        Elementwise.geluBackward(gate.view, gradient: toX.view)
        checkSlope([gate], gradients: [toX]) {
            let y = gate.copy()
            Elementwise.gelu(y.view)
            return weighted(y, weights)
        }
    }

    @Test(
        arguments: [
            (tokens: 1, groups: 1, headsPerGroup: 1, headSize: 2, window: nil, isCausal: true),
            (tokens: 9, groups: 2, headsPerGroup: 3, headSize: 5, window: nil, isCausal: true),
            (tokens: 70, groups: 1, headsPerGroup: 2, headSize: 8, window: nil, isCausal: true),
            (tokens: 130, groups: 2, headsPerGroup: 1, headSize: 4, window: 7, isCausal: true),
            (tokens: 40, groups: 3, headsPerGroup: 1, headSize: 6, window: nil, isCausal: false),
        ] as [(tokens: Int, groups: Int, headsPerGroup: Int, headSize: Int, window: Int?, isCausal: Bool)])
    func attention(
        _ test: (tokens: Int, groups: Int, headsPerGroup: Int, headSize: Int, window: Int?, isCausal: Bool)
    ) {
        let attention = Attention(
            groupCount: test.groups, headsPerGroup: test.headsPerGroup, headSize: test.headSize,
            isCausal: test.isCausal, window: test.window)
        // As in a fused projection: the group's key and value stand between its queries and the next group's.
        let stride = (test.headsPerGroup + 2) * test.headSize
        let width = test.groups * test.headsPerGroup * test.headSize
        let queries = randomMatrix(test.tokens, test.groups * stride, seed: 19)
        let keys = randomMatrix(test.tokens, test.groups * test.headSize, seed: 20)
        let values = randomMatrix(test.tokens, test.groups * test.headSize, seed: 21)
        let weights = randomMatrix(test.tokens, width, seed: 22)
        let toQueries = Matrix(rows: test.tokens, columns: queries.columns)
        let (toKeys, toValues) = (randomMatrix(test.tokens, keys.columns, seed: 23), keys.copy())
        attention.backward(
            queries: queries.view, groupStride: stride, keys: keys.view, values: values.view, gradient: weights.view,
            queryGradient: toQueries.view, keyGradient: toKeys.view, valueGradient: toValues.view,
            workspace: workspace)
        checkSlope([queries, keys, values], gradients: [toQueries, toKeys, toValues]) {
            let y = Matrix(rows: test.tokens, columns: width)
            attention.forward(
                queries: queries.view, groupStride: stride, keys: keys.view, values: values.view, into: y.view,
                workspace: workspace)
            return weighted(y, weights)
        }
    }

    @Test(arguments: [(1, 2), (7, 50), (40, 3000)]) func crossEntropy(rows: Int, vocabulary: Int) {
        let logits = randomMatrix(rows, vocabulary, seed: 24)
        let targets = (0..<rows).map { $0 * 7 % vocabulary }
        let gradient = logits.copy()
        let loss = CrossEntropy.forwardBackward(gradient.view, targets: targets)
        for row in 0..<rows {
            let sum = gradient.row(row).reduce(0.0) { $0 + Double($1) }
            #expect(sum.magnitude < 1e-5, "probabilities that add up to 1")
        }
        let plain = (0..<rows).reduce(0.0) { sum, row in
            sum + log(logits.row(row).reduce(0.0) { $0 + exp(Double($1)) }) - Double(logits.row(row)[targets[row]])
        }
        #expect((loss - plain).magnitude < 1e-6 * plain)
        checkSlope([logits], gradients: [gradient]) {
            CrossEntropy.forwardBackward(logits.copy().view, targets: targets)
        }
    }
}
