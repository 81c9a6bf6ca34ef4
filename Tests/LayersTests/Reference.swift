import Layers
import Quantization
import Tensors

/// Plain twins of the layers, in double and with no thought of speed.
enum Reference {
    /// `[rows, out]`
    static func linear(_ x: Matrix, _ weight: [Float], outputs: Int, bias: [Float]?) -> [Double] {
        (0..<x.rows).flatMap { row in
            (0..<outputs).map { out in
                (0..<x.columns).reduce(Double(bias?[out] ?? 0)) {
                    $0 + Double(x.row(row)[$1]) * Double(weight[out * x.columns + $1])
                }
            }
        }
    }

    /// `[tokens, heads * headSize]` for queries `[tokens, heads * headSize]`, keys and values `[positions, groups * headSize]`.
    static func attention(
        queries: Matrix, keys: Matrix, values: Matrix, groups: Int, headSize: Int, isCausal: Bool, window: Int?
    ) -> [Double] {
        let heads = queries.columns / headSize
        let past = keys.rows - queries.rows
        var output = [Double](repeating: 0, count: queries.rows * heads * headSize)
        for token in 0..<queries.rows {
            for head in 0..<heads {
                let group = head / (heads / groups)
                var scores: [(position: Int, score: Double)] = []
                for position in 0..<keys.rows {
                    let distance = past + token - position
                    if isCausal, distance < 0 || distance >= window ?? .max { continue }
                    let score = (0..<headSize).reduce(0.0) {
                        $0 + Double(queries.row(token)[head * headSize + $1])
                            * Double(keys.row(position)[group * headSize + $1])
                    }
                    scores.append((position, score / Double(headSize).squareRoot()))
                }
                let largest = scores.map(\.score).max() ?? 0
                let weights = scores.map { ($0.position, exponential($0.score - largest)) }
                let total = weights.reduce(0) { $0 + $1.1 }
                for (position, weight) in weights {
                    for index in 0..<headSize {
                        output[(token * heads + head) * headSize + index] +=
                            weight / total * Double(values.row(position)[group * headSize + index])
                    }
                }
            }
        }
        return output
    }

    private static func exponential(_ x: Double) -> Double {
        // (1 + y + y^2 / 2 ...)^1024 with y = x / 1024
        var power = (1...12).reduce((sum: 1.0, term: 1.0)) { state, k in
            let term = state.term * (x / 1024) / Double(k)
            return (state.sum + term, term)
        }.sum
        for _ in 0..<10 { power *= power }
        return power
    }
}

/// Values in -1 ..< 1 that depend on the seed alone.
func random(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { _ in Float(generator.uniform() * 2 - 1) }
}

func randomMatrix(_ rows: Int, _ columns: Int, seed: UInt64) -> Matrix {
    Matrix(rows: rows, columns: columns, values: random(rows * columns, seed: seed))
}

func dense(_ values: [Float], _ dims: [Int]) -> StoredWeight {
    .dense(Tensor(name: "weight", shape: Shape(dims), values: values))
}

/// Norm of the difference over the norm of the reference.
func relativeError(_ value: [Float], _ reference: [Double]) -> Double {
    precondition(value.count == reference.count)
    let difference = zip(value, reference).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    return (difference / reference.reduce(0) { $0 + $1 * $1 }).squareRoot()
}
