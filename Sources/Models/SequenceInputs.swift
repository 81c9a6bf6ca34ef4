import Tensors

/// What a sequence has fed into the backbone, kept so that the whole can run again.
struct SequenceInputs: Sendable {
    private let width: Int
    /// `[count, width]`
    private var hidden: [Float] = []
    private var imageSpans: [Range<Int>] = []
    /// `[image positions, width]`
    private var crayon: [Float] = []
    private var hasCrayon = false

    init(width: Int) { self.width = width }

    var count: Int { hidden.count / width }

    mutating func append(_ prompt: EmbeddedPrompt) {
        let start = count
        hidden += UnsafeBufferPointer(start: prompt.hidden.pointer, count: prompt.hidden.count)
        imageSpans += prompt.imageSpans.map { $0.lowerBound + start..<$0.upperBound + start }
        if let rows = prompt.crayon {
            hasCrayon = true
            crayon += UnsafeBufferPointer(start: rows.pointer, count: rows.count)
        }
    }

    /// Makes room for that many positions in all.
    mutating func reserve(_ positions: Int) { hidden.reserveCapacity(positions * width) }

    mutating func truncate(to positions: Int) {
        guard positions < count else { return }
        hidden.removeSubrange(positions * width..<hidden.count)
        imageSpans = imageSpans.map { $0.clamped(to: 0..<positions) }.filter { !$0.isEmpty }
        if hasCrayon { crayon.removeSubrange(imageSpans.reduce(0) { $0 + $1.count } * width..<crayon.count) }
    }

    /// All of it as one prompt.
    var prompt: EmbeddedPrompt {
        EmbeddedPrompt(
            hidden: Matrix(rows: count, columns: width, values: hidden), imageSpans: imageSpans,
            crayon: hasCrayon ? Matrix(rows: crayon.count / width, columns: width, values: crayon) : nil)
    }
}
