import Bytes
import Kernels
import Quantization
import Tensors

/// The amplification of each row. A row minimises `|E - D|^2 + emphasis |D|^2 (1 - r)^2`, r being its retention; on its
/// own curve that is where `t = 1 + emphasis (1 - r(t))`. The right side falls with t, so there is one crossing.
extension RowCurves {
    /// The first point of a piece's grid at or beyond its crossing; nil when there is none.
    private func crossing(_ piece: Int, emphasis: Double) -> Int? {
        let grid = RowCurves.amplifications
        for index in grid.indices {
            let point = points[piece * grid.count + index]
            if point.isMissing { return nil }
            if excess(Double(grid[index]), Double(point.product), piece, emphasis) >= 0 { return index }
        }
        return nil
    }

    private func excess(_ amplification: Double, _ product: Double, _ piece: Int, _ emphasis: Double) -> Double {
        amplification - 1 - emphasis * (1 - product / deltas[piece])
    }

    /// The sums over all pieces at their crossings, interpolated between points of the grid.
    func predicted(emphasis: Double) -> (product: Double, squared: Double) {
        let grid = RowCurves.amplifications
        var sums = (product: 0.0, squared: 0.0)
        for piece in deltas.indices where deltas[piece] > 0 {
            let first = piece * grid.count
            let index = crossing(piece, emphasis: emphasis) ?? grid.count - 1
            let after = points[first + index]
            guard !after.isMissing else { continue }
            var share = 1.0
            var before = after
            if index > 0 {
                before = points[first + index - 1]
                let low = excess(Double(grid[index - 1]), Double(before.product), piece, emphasis)
                let high = excess(Double(grid[index]), Double(after.product), piece, emphasis)
                if high > 0, low < 0 { share = -low / (high - low) }
            }
            sums.product += Double(before.product) + share * Double(after.product - before.product)
            sums.squared += Double(before.squared) + share * Double(after.squared - before.squared)
        }
        return sums
    }

    /// The amplification of every piece: its crossing, found by bisection on the piece itself. Where the retention
    /// jumps over it, the better side.
    func amplifications(emphasis: Double, delta: DeltaSource) throws(CrayonError) -> [Float] {
        var chosen = [Float](repeating: 1, count: pieces.count)
        try chosen.withUnsafeMutableBufferPointer { (chosen) throws(CrayonError) in
            let chosen = chosen
            try RowCurves.forEachPiece(
                pieces, of: base, delta: delta, unit: unit, wantsSums: false, name: name, place: place
            ) { piece, run in
                if deltas[piece] > 0 { chosen[piece] = amplification(of: piece, in: run, emphasis: emphasis) }
            }
        }
        return chosen
    }

    private func amplification(of piece: Int, in run: GridRun, emphasis: Double) -> Float {
        let grid = RowCurves.amplifications
        guard let index = crossing(piece, emphasis: emphasis), index > 0 else {
            return crossing(piece, emphasis: emphasis) == 0 ? 1 : grid[grid.count - 1]
        }
        var low = grid[index - 1]
        var high = grid[index]
        var lowSums = points[piece * grid.count + index - 1].sums
        var highSums = points[piece * grid.count + index].sums
        // To a thousandth.
        for _ in 0..<8 where lowSums != highSums {
            let middle = (low + high) / 2
            let sums = run.measure(amplification: middle)
            if excess(Double(middle), sums.product, piece, emphasis) < 0 {
                (low, lowSums) = (middle, sums)
            } else {
                (high, highSums) = (middle, sums)
            }
        }
        func cost(_ sums: (product: Double, squared: Double)) -> Double {
            let missing = 1 - sums.product / deltas[piece]
            return sums.squared - 2 * sums.product + emphasis * deltas[piece] * missing * missing
        }
        return cost(lowSums) <= cost(highSums) ? low : high
    }

    /// A power of two that brings the largest scale to 1 or a little more.
    static func unit(of base: NF4Tensor) -> Float {
        var largest: Float = 0
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 4096) { scales in
            guard let start = scales.baseAddress else { return }
            for first in stride(from: 0, to: base.blockCount, by: 4096) {
                let blocks = first..<min(first + 4096, base.blockCount)
                base.scales(ofBlocks: blocks, into: start)
                for index in 0..<blocks.count where start[index].isFinite {
                    largest = max(largest, start[index].magnitude)
                }
            }
        }
        return largest.isNormal
            ? Float(sign: .plus, exponent: -min(max(largest.exponent, -100), 100), significand: 1) : 1
    }
}

extension RowCurves.Point {
    var sums: (product: Double, squared: Double) { (Double(product), Double(squared)) }
}

extension NF4Tensor {
    /// Memory for runs of this tensor.
    /// - Throws: `CrayonError` for a map that does not ascend.
    func gridRun(capacity: Int, name: String, place: String) throws(CrayonError) -> GridRun {
        guard let run = makeGridRun(capacity: capacity) else {
            throw CrayonError(
                .unsupported, in: place, item: "tensor '\(name).quant_map'", found: "levels that do not ascend",
                expected: "16 finite levels in ascending order",
                advice: "Merge by plain requantization, or keep the pair beside the weight.")
        }
        return run
    }
}
