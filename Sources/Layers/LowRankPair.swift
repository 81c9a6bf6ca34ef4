/// One low-rank pair (Hu et al. 2021): `y += scale * b(a(x))`.
public struct LowRankPair: Sendable {
    /// `[rank, in]`
    public let a: Linear
    /// `[out, rank]`
    public let b: Linear
    public let scale: Float

    public init(a: Linear, b: Linear, scale: Float) {
        precondition(a.outputs == b.inputs)
        self.a = a
        self.b = b
        self.scale = scale
    }

    /// Adds the pair's share to `y` `[rows, out]`, reading `x` `[rows, in]`, of which dropout takes some first, as in PEFT.
    public func accumulate(_ x: MatrixView, dropout: Dropout? = nil, into y: MatrixView, workspace: Workspace) {
        let inner = workspace.view(.inner, rows: x.rows, columns: a.outputs)
        a.forward(dropout.map { $0.dropping(x, workspace) } ?? x, into: inner, workspace: workspace)
        b.accumulate(inner, scale: scale, into: y, workspace: workspace)
    }
}
