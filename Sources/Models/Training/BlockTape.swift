import Layers
import Tensors

/// What a block's backward pass needs of its forward pass, over the tokens of a batch.
///
/// What is cheap to compute again is not here: what the norms and SwiGLU gave, the inner values of low-rank pairs,
/// attention's probabilities.
final class BlockTape {
    /// Tokens that there is room for.
    let capacity: Int
    private let matrices: [Matrix]
    private let tokens: Int

    /// The matrices are in the order of the properties.
    init(tokens: Int, of layer: DecoderLayer, hidden: Int) {
        let keyColumns = layer.attention.groupCount * layer.attention.headSize
        let mixedColumns = keyColumns * layer.attention.headsPerGroup
        let inner = layer.gate.linear.outputs
        matrices = [hidden, layer.queryColumns, keyColumns, keyColumns, mixedColumns, hidden, inner, inner].map {
            Matrix(rows: tokens, columns: $0)
        }
        capacity = tokens
        self.tokens = tokens
    }

    /// A tape of fewer tokens over the same memory.
    init(_ tape: BlockTape, tokens: Int) {
        precondition(tokens <= tape.capacity)
        matrices = tape.matrices
        capacity = tape.capacity
        self.tokens = tokens
    }

    /// The residual stream before the block. `[tokens, hidden]`
    var input: MatrixView { view(0) }
    /// Queries, rotated, or the fused projection whose query heads are. `[tokens, queryColumns]`
    var queries: MatrixView { view(1) }
    /// Rotated. `[tokens, groups * headSize]`
    var keys: MatrixView { view(2) }
    /// `[tokens, groups * headSize]`
    var values: MatrixView { view(3) }
    /// What attention gave. `[tokens, heads * headSize]`
    var mixed: MatrixView { view(4) }
    /// The residual stream between attention and MLP. `[tokens, hidden]`
    var middle: MatrixView { view(5) }
    /// Before SwiGLU; the backward pass leaves the gradients there. `[tokens, mlp]`
    var gate: MatrixView { view(6) }
    var up: MatrixView { view(7) }

    private func view(_ index: Int) -> MatrixView { matrices[index].view.rows(0..<tokens) }
}
