import Bytes
import Kernels
import Quantization
import Tensors

/// For every row of a weight what it would keep of its change, and at what cost, over a grid of amplifications.
struct RowCurves {
    /// From 1 to 1010, each a quarter over the last.
    static let amplifications: [Float] = (1..<32).reduce(into: [1]) { grid, _ in
        grid.append(grid[grid.count - 1] * 1.25)
    }
    /// With it, t = 1 + emphasis (1 - retention) stays on the grid.
    static let largestEmphasis = Double(amplifications[31]) - 1

    let base: NF4Tensor
    let pieces: Pieces
    /// A power of two that brings the scales near 1; sums are in these units.
    let unit: Float
    let name: String
    let place: String
    private(set) var squaredWeight = 0.0
    private(set) var product = 0.0
    private(set) var squaredDelta = 0.0
    /// By piece: the squared norm of its change, and for each amplification the sums of e delta and e^2; -1 where
    /// the piece had all of its change at a smaller one.
    let deltas: [Double]
    let points: [Point]

    struct Point {
        var product: Float = -1
        var squared: Float = -1
        var isMissing: Bool { squared < 0 }
    }

    /// - Parameter isWhole: measure every amplification, for the curve.
    init(_ base: NF4Tensor, delta: DeltaSource, isWhole: Bool, name: String, place: String) throws(CrayonError) {
        self.base = base
        self.name = name
        self.place = place
        let pieces = Pieces(rows: base.shape.rows, columns: base.shape.columns)
        let unit = RowCurves.unit(of: base)
        self.pieces = pieces
        self.unit = unit
        let grid = RowCurves.amplifications
        var points = [Point](repeating: Point(), count: pieces.count * grid.count)
        var totals = [(weight: Double, product: Double, delta: Double)](repeating: (0, 0, 0), count: pieces.count)
        try points.withUnsafeMutableBufferPointer { (points) throws(CrayonError) in
            let points = points
            try totals.withUnsafeMutableBufferPointer { (totals) throws(CrayonError) in
                let totals = totals
                try RowCurves.forEachPiece(pieces, of: base, delta: delta, unit: unit, name: name, place: place) {
                    piece, run in
                    totals[piece] = (run.squaredWeight, run.product, run.squaredDelta)
                    guard run.squaredDelta > 0 else { return }
                    for (index, amplification) in grid.enumerated() {
                        let sums = run.measure(amplification: amplification)
                        points[piece * grid.count + index] = Point(
                            product: Float(sums.product), squared: Float(sums.squared))
                        if !isWhole, sums.product >= run.squaredDelta { break }
                    }
                }
            }
        }
        self.points = points
        deltas = totals.map(\.delta)
        for total in totals {
            squaredWeight += total.weight
            product += total.product
            squaredDelta += total.delta
        }
    }

    /// Runs `body` for every piece, from several threads, with its elements and their changes in a run.
    static func forEachPiece(
        _ pieces: Pieces, of base: NF4Tensor, delta: DeltaSource, unit: Float, wantsSums: Bool = true,
        name: String, place: String, _ body: (Int, GridRun) -> Void
    ) throws(CrayonError) {
        let perTile = pieces.perTile
        try Parallel.forEach(count: (pieces.count - 1) / perTile + 1) { (tile) throws(CrayonError) in
            let range = tile * perTile..<min((tile + 1) * perTile, pieces.count)
            let elements =
                pieces.elements(of: range.lowerBound).lowerBound..<pieces.elements(of: range.upperBound - 1).upperBound
            let run = try base.gridRun(capacity: min(pieces.columns, Pieces.longest), name: name, place: place)
            try delta.withChange(elements) { (changes) throws(CrayonError) in
                for piece in range {
                    let own = pieces.elements(of: piece)
                    let change = changes + (own.lowerBound - elements.lowerBound)
                    base.prepare(run, elements: own, unit: unit, delta: change, wantsSums: wantsSums)
                    guard run.squaredDelta.isFinite else {
                        throw DeltaSource.notFinite(in: change, elements: own, name: name, place: place)
                    }
                    body(piece, run)
                }
            }
        }
    }

    /// The curve over the grid, one amplification for all rows.
    var curve: [KeepingRounder.CurvePoint] {
        let grid = RowCurves.amplifications
        return grid.indices.map { index in
            var sums = (product: 0.0, squared: 0.0)
            for piece in deltas.indices where deltas[piece] > 0 {
                sums.product += Double(points[piece * grid.count + index].product)
                sums.squared += Double(points[piece * grid.count + index].squared)
            }
            return KeepingRounder.CurvePoint(
                amplification: Double(grid[index]), retention: squaredDelta > 0 ? sums.product / squaredDelta : 1,
                relativeError: relativeError(sums))
        }
    }

    private func relativeError(_ sums: (product: Double, squared: Double)) -> Double {
        let error = max(sums.squared - 2 * sums.product + squaredDelta, 0)
        let target = squaredWeight + 2 * product + squaredDelta
        return target > 0 ? (error / target).squareRoot() : 0
    }

    /// The least emphasis with which all rows together keep `retention`, or the largest within the limit of error.
    func emphasis(retention: Double, errorLimit: Double) -> Double {
        func isEnough(_ emphasis: Double) -> Bool {
            let sums = predicted(emphasis: emphasis)
            return sums.product >= retention * squaredDelta || relativeError(sums) >= errorLimit
        }
        guard squaredDelta > 0, !isEnough(0) else { return 0 }
        // Of 1 + emphasis, so that small ones are found too.
        var low = 1.0
        var high = 1 + RowCurves.largestEmphasis
        guard isEnough(RowCurves.largestEmphasis) else { return RowCurves.largestEmphasis }
        for _ in 0..<24 {
            let middle = (low * high).squareRoot()
            if isEnough(middle - 1) { high = middle } else { low = middle }
        }
        return high - 1
    }
}
