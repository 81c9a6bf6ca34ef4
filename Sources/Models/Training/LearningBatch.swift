import Layers
import Tensors

/// The sequences of a batch as the backbone sees them, one behind the other.
struct LearningBatch {
    /// Input of the first block. `[tokens, hidden]`
    let hidden: Matrix
    /// Rows of each sequence.
    let spans: [Range<Int>]
    let pictures: [Picture]
    /// The crayon prompt of all pictures; nil where it is off. `[image tokens, hidden]`
    let crayon: Matrix?
    /// Rows whose logits predict, ascending, and what they should say.
    let predictors: [Int]
    let targets: [Int]

    /// A picture's place and what its embeddings were made of.
    struct Picture {
        let rows: Range<Int>
        /// The tower's last hidden state. `[patches, vision width]`
        let features: Matrix
        /// Nil where the crayon prompt is off.
        let grid: CrayonGrid?
    }

    var imageRuns: [ImageRun] {
        var first = 0
        return pictures.map { picture in
            defer { first += picture.rows.count }
            return ImageRun(rows: picture.rows, crayon: crayon?.view.rows(first..<first + picture.rows.count))
        }
    }
}
