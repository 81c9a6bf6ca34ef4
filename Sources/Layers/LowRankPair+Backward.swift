import Kernels
public import Tensors

extension LowRankPair {
    /// Where the gradients of a pair go.
    public struct Gradients: Sendable {
        /// `[rank, in]`; nil where `a` does not learn.
        public var a: Matrix?
        /// `[out, rank]`; nil where `b` does not learn.
        public var b: Matrix?

        public init(a: Matrix?, b: Matrix?) {
            self.a = a
            self.b = b
        }
    }

    /// The backward pass of `y += scale * b(a(drop(x)))`: adds to the pair's gradients and to `dx`.
    ///
    /// The inner values are computed again: they cost `rank / out` of the layer's product.
    /// - Parameters:
    ///   - dy: `[rows, out]`
    ///   - x: `[rows, in]`, what the pair read.
    ///   - dropout: as in the forward pass.
    ///   - dx: `[rows, in]`; nil where nobody asks.
    public func backward(
        _ dy: MatrixView, x: MatrixView, dropout: Dropout? = nil, gradients: Gradients, into dx: MatrixView?,
        workspace: Workspace
    ) {
        let inner = workspace.view(.innerGradient, rows: dy.rows, columns: a.outputs)
        b.inputGradient(dy, scale: scale, into: inner, workspace: workspace)
        let dropped = gradients.a != nil || gradients.b != nil ? dropout.map { $0.dropping(x, workspace) } ?? x : x
        if let gradient = gradients.b {
            let values = workspace.view(.inner, rows: x.rows, columns: a.outputs)
            a.forward(dropped, into: values, workspace: workspace)
            LinearGradient.addWeight(dy, x: values, scale: scale, to: gradient.view)
        }
        if let gradient = gradients.a { LinearGradient.addWeight(inner, x: dropped, to: gradient.view) }
        guard let dx else { return }
        guard let dropout else { return a.inputGradient(inner, adds: true, into: dx, workspace: workspace) }
        let share = workspace.view(.dropped, rows: dx.rows, columns: dx.columns)
        a.inputGradient(inner, into: share, workspace: workspace)
        dropout.apply(to: share)
        Elementwise.add(share, to: dx)
    }
}
