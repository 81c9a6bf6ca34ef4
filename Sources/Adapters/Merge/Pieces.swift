/// The rows of a weight, each the unit that has an amplification of its own; a row longer than 2^15 is cut.
struct Pieces {
    static let longest = 1 << 15

    let rows: Int
    let columns: Int
    let perRow: Int

    /// - Precondition: neither is 0.
    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        perRow = (columns - 1) / Pieces.longest + 1
    }

    var count: Int { rows * perRow }

    func elements(of piece: Int) -> Range<Int> {
        let row = piece / perRow
        let start = piece % perRow * Pieces.longest
        return row * columns + start..<row * columns + min(start + Pieces.longest, columns)
    }

    func piece(of element: Int) -> Int { element / columns * perRow + element % columns / Pieces.longest }

    /// How many pieces make a task: work enough to pay for handing it out, little enough for the cache.
    var perTile: Int { max(1, (1 << 16) / min(columns, Pieces.longest)) }
}
