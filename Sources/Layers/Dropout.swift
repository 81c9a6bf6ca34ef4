import Tensors

/// Inverted dropout (Srivastava et al. 2014) that can be made again: which elements are kept is a function of a key and
/// of an element's place alone, so that the backward pass, a recomputed block and any number of cores see the same.
public struct Dropout: Sendable, Equatable {
    /// Of 65,536 draws, how many drop: the rate is a multiple of that.
    private let threshold: UInt64
    private let key: UInt64

    /// - Parameters:
    ///   - rate: the share of elements that become 0.
    ///   - key: names the place: seed, step, layer, module.
    /// - Returns: nil for a rate that drops nothing.
    /// - Precondition: the rate is at least 0 and below 1.
    public init?(rate: Double, key: UInt64) {
        precondition(rate >= 0 && rate < 1)
        threshold = UInt64((rate * 65_536).rounded())
        guard threshold > 0 else { return nil }
        self.key = key
    }

    /// What kept elements are multiplied by.
    public var scale: Float { 65_536 / Float(65_536 - threshold) }

    /// Drops elements of `x` in place. Element c of row r of a matrix has the same fate whatever stands beside it.
    func apply(to x: MatrixView) {
        let scale = scale
        Rowwise.forEach(x.rows, columns: x.columns) { row in
            let line = x.row(row)
            let rowKey = Dropout.mix(key ^ UInt64(row))
            // One draw serves four elements.
            for first in stride(from: 0, to: x.columns, by: 4) {
                var draw = Dropout.mix(rowKey &+ UInt64(first))
                for column in first..<min(first + 4, x.columns) {
                    line[column] = draw & 0xffff < threshold ? 0 : line[column] * scale
                    draw >>= 16
                }
            }
        }
    }

    /// A copy of `x` with elements dropped, in the workspace.
    func dropping(_ x: MatrixView, _ workspace: Workspace) -> MatrixView {
        let copy = workspace.view(.dropped, rows: x.rows, columns: x.columns)
        copy.copy(from: x)
        apply(to: copy)
        return copy
    }

    /// The finaliser of SplitMix64 (Steele et al. 2014) over its increment.
    private static func mix(_ value: UInt64) -> UInt64 {
        var generator = SplitMix64(seed: value)
        return generator.next()
    }
}
