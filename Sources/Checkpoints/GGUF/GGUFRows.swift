public import Architecture

/// Which rows of a checkpoint's linear layer llama.cpp's tensors have.
///
/// llama.cpp rotates neighbours where checkpoints rotate halves, and its converter reorders the rows of query and key to suit: row
/// 2 j + p of a head is the checkpoint's row p d/2 + j, d the head's size. Rows of InternLM2's fused `wqkv` are grouped by
/// key-value head: its query heads, its key head, its value head; llama.cpp has three tensors.
public struct GGUFRows: Sendable {
    /// The module of the tensor: `attn_q`.
    public let module: String
    /// The checkpoint's row for each of the tensor's; nil where they are the same.
    public let rows: [Int]?

    /// - Parameter turns: whether rows of query and key are reordered.
    public static func of(_ module: BackboneModule, in backbone: BackboneConfiguration, turns: Bool) -> [GGUFRows] {
        let size = backbone.headSize
        let keyHeads = backbone.keyValueHeadCount
        func heads(_ starts: [Int]) -> [Int] { starts.flatMap { row(ofHeadAt: $0, size: size, turns: turns) } }
        switch module {
        case .query:
            return [
                GGUFRows(module: "attn_q", rows: turns ? heads((0..<backbone.headCount).map { $0 * size }) : nil)
            ]
        case .key:
            return [GGUFRows(module: "attn_k", rows: turns ? heads((0..<keyHeads).map { $0 * size }) : nil)]
        case .value: return [GGUFRows(module: "attn_v", rows: nil)]
        case .qkv:
            let perGroup = backbone.headCount / keyHeads
            func start(_ group: Int, _ slot: Int) -> Int { (group * (perGroup + 2) + slot) * size }
            let queries = (0..<keyHeads).flatMap { group in (0..<perGroup).map { start(group, $0) } }
            let values = (0..<keyHeads).flatMap { group in (0..<size).map { start(group, perGroup + 1) + $0 } }
            return [
                GGUFRows(module: "attn_q", rows: heads(queries)),
                GGUFRows(module: "attn_k", rows: heads((0..<keyHeads).map { start($0, perGroup) })),
                GGUFRows(module: "attn_v", rows: values),
            ]
        case .output: return [GGUFRows(module: "attn_output", rows: nil)]
        case .gate: return [GGUFRows(module: "ffn_gate", rows: nil)]
        case .up: return [GGUFRows(module: "ffn_up", rows: nil)]
        case .down: return [GGUFRows(module: "ffn_down", rows: nil)]
        }
    }

    private static func row(ofHeadAt start: Int, size: Int, turns: Bool) -> [Int] {
        turns ? (0..<size).map { start + $0 % 2 * (size / 2) + $0 / 2 } : (0..<size).map { start + $0 }
    }
}
