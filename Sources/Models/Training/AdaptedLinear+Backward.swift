import Architecture
import Layers

extension AdaptedLinear {
    /// The backward pass: gradients of the pairs that learn, of the crayon prompt, and of what the layer read.
    /// - Parameters:
    ///   - dy: `[tokens, out]`
    ///   - x: `[tokens, in]`, what the layer read.
    ///   - adds: adds to `dx` instead of overwriting it.
    ///   - dx: `[tokens, in]`
    func backward(_ dy: MatrixView, x: MatrixView, adds: Bool = false, into dx: MatrixView, pass: LearningPass) {
        let workspace = pass.workspace
        linear.inputGradient(dy, adds: adds, into: dx, workspace: workspace)
        for adapted in everywhere {
            adapted.pair.backward(
                dy, x: x, dropout: pass.dropout?.at(adapted), gradients: pass.gradients(of: adapted), into: dx,
                workspace: workspace)
        }
        for (index, run) in pass.images.enumerated() {
            let rows = dy.rows(run.rows)
            for adapted in atImages {
                adapted.pair.backward(
                    rows, x: x.rows(run.rows), dropout: pass.dropout?.at(adapted, run: index),
                    gradients: pass.gradients(of: adapted), into: dx.rows(run.rows), workspace: workspace)
            }
            guard let crayon = run.crayon else { continue }
            let toCrayon = pass.crayonGradients?.view.rows(pass.crayonRows(index))
            for adapted in onCrayon {
                let gradients = pass.gradients(of: adapted)
                guard toCrayon != nil || gradients.a != nil || gradients.b != nil else { continue }
                adapted.pair.backward(
                    rows, x: crayon, dropout: pass.dropout?.at(adapted, run: index), gradients: gradients,
                    into: toCrayon, workspace: workspace)
            }
        }
    }
}
