import Bytes
import Kernels
import Tensors

/// Half of a pair, or a delta, as float32 in memory of its own.
struct FactorNumbers: Sendable {
    let rows: Int
    let columns: Int
    /// `[rows, columns]`
    var values: [Float]

    init(rows: Int, columns: Int, values: [Float]) {
        precondition(values.count == rows * columns)
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// - Precondition: the tensor is of a float type.
    init(_ tensor: Tensor) {
        let count = tensor.shape.count
        self.init(
            rows: tensor.shape.rows, columns: tensor.shape.columns,
            values: [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
                if let start = buffer.baseAddress { FloatConversion.widen(tensor, elements: 0..<count, into: start) }
                initialized = count
            })
    }

    func transposed() -> FactorNumbers {
        var result = [Float](repeating: 0, count: values.count)
        for row in 0..<rows {
            for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
        }
        return FactorNumbers(rows: columns, columns: rows, values: result)
    }

    func gathering(_ order: [Int]) -> FactorNumbers {
        FactorNumbers(
            rows: order.count, columns: columns,
            values: order.flatMap { values[$0 * columns..<($0 + 1) * columns] })
    }

    /// Rounded once.
    mutating func scale(by factor: Double) {
        for index in values.indices { values[index] = Float(Double(values[index]) * factor) }
    }

    /// In float32, as a tensor library multiplies by a number.
    func multiplied(by factor: Float) -> FactorNumbers {
        FactorNumbers(rows: rows, columns: columns, values: values.map { $0 * factor })
    }

    func tensor(named name: String) -> Tensor {
        Tensor(name: name, shape: Shape([rows, columns]), values: values)
    }
}
