import CKernels

/// Scaled dot-product attention of the query heads that share one head of keys and values, on the calling thread.
///
/// What a query gives depends on its position, its keys and values and the variant alone: not on what other queries are
/// computed with it. Positions that a query does not see count for nothing; where the values there are not finite the result
/// may not be, either.
public struct AttentionKernel: @unchecked Sendable {
    // @unchecked: borrowed memory; whoever splits the work gives each its own output.

    /// Positions of a part.
    public static let partLength = Int(CK_ATTENTION_PART)

    private let attention: ck_attention

    /// - Parameters:
    ///   - queries: `[tokens, heads, headSize]`, tokens `queryStride` elements apart.
    ///   - position: of the first token, where attention is causal.
    ///   - positions: how many there are of keys and values.
    ///   - window: a token sees at most this many of the latest positions, itself included; nil for all.
    ///   - output: `[tokens, heads, headSize]`, tokens `outputStride` elements apart, overwritten.
    /// - Precondition: keys are in float32 or in the values' format, and both have `headSize` columns; the tokens' positions are among the keys'.
    public init(
        keys: HeadRows, values: HeadRows, positions: Int, queries: UnsafePointer<Float>, tokens: Int, heads: Int,
        queryStride: Int, position: Int, isCausal: Bool, window: Int?, output: UnsafeMutablePointer<Float>,
        outputStride: Int
    ) {
        let headSize = keys.columns
        precondition((keys.format == values.format || keys.format == .f32) && values.columns == headSize)
        precondition(tokens > 0 && heads > 0 && queryStride >= heads * headSize && outputStride >= heads * headSize)
        precondition(!isCausal || position >= 0 && position + tokens <= positions && window ?? 1 > 0)
        attention = ck_attention(
            keys: keys.rows, values: values.rows, positions: Int64(positions),
            head_size: Int64(headSize), scale: 1 / Float(headSize).squareRoot(), queries: queries,
            tokens: Int64(tokens), heads: Int64(heads), query_stride: Int64(queryStride), position: Int64(position),
            is_causal: isCausal, window: Int64(window ?? Int.max / 2), output: output,
            output_stride: Int64(outputStride))
    }

    /// Floats that `attend` works in: it takes a block of keys at a time, so they do not grow with the number of positions.
    public static func scratchCount(tokens: Int, heads: Int, headSize: Int) -> Int {
        Int(ck_attention_scratch(Int64(tokens * heads), Int64(headSize)))
    }

    /// The whole of it; fast for many queries.
    public func attend(scratch: UnsafeMutablePointer<Float>) {
        withUnsafePointer(to: attention) { ck_attention_block($0, scratch) }
    }

    /// Floats of a part's result.
    public static func partCount(tokens: Int, heads: Int, headSize: Int) -> Int {
        Int(ck_attention_part_size(Int64(tokens * heads), Int64(headSize)))
    }

    /// How many parts there are of so many positions.
    public static func parts(positions: Int) -> Int { (positions + partLength - 1) / partLength }

    /// What `partLength` positions contribute: for few queries, as parts can be computed at once.
    /// - Parameter result: unspecified where no query sees any of them.
    public func attend(part: Int, into result: UnsafeMutablePointer<Float>) {
        precondition(part >= 0)
        withUnsafePointer(to: attention) { ck_attention_part($0, Int64(part), result) }
    }

    /// The output from the results of all parts that a query sees, which lie `stride` floats apart from part 0 on.
    public func merge(_ results: UnsafePointer<Float>, stride: Int) {
        withUnsafePointer(to: attention) { ck_attention_merge($0, results, Int64(stride)) }
    }
}
