import Layers
import Tensors

/// What the blocks of one pass over a batch share while they learn.
///
/// The sequences of a batch lie one behind the other in the rows of every matrix, without padding: what treats a token by
/// itself does not know of them, and attention takes them one by one.
struct LearningPass {
    /// Rows of each sequence.
    let spans: [Range<Int>]
    /// Image positions of all sequences.
    let images: [ImageRun]
    /// The crayon prompt's gradient, run after run, `[image tokens, hidden]`; nil where nothing that makes it learns.
    let crayonGradients: Matrix?
    /// The crayon prompt is added to what attention reads.
    let addsCrayon: Bool
    /// The angles of each sequence: under dynamic scaling they depend on its length.
    let rotaries: [RotaryTable]
    let learned: LearnedTensors
    let dropout: LearningDropout?
    let workspace: Workspace

    func gradients(of adapted: AdaptedPair) -> LowRankPair.Gradients {
        LowRankPair.Gradients(a: learned[adapted.a]?.gradient, b: learned[adapted.b]?.gradient)
    }

    /// Rows of `crayonGradients` that belong to a run.
    func crayonRows(_ run: Int) -> Range<Int> {
        let first = images[..<run].reduce(0) { $0 + $1.rows.count }
        return first..<first + images[run].rows.count
    }
}
