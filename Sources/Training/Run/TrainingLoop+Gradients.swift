import Bytes
import Collectives
import Kernels
import Models
import Tensors

/// What the batches of an update gave, on all ranks.
struct UpdateSum {
    var loss = LossSum()
    /// Records that were left out.
    var leftOut = 0
    /// Whether a rank was told to stop.
    var stops = false
}

/// The gradients of an update while its batches come in.
struct GradientSums {
    let matrices: [Matrix]

    init(_ learned: LearnedTensors) {
        matrices = learned.tensors.map { Matrix(rows: $0.value.rows, columns: $0.value.columns) }
    }
}

extension TrainingLoop {
    /// Leaves the sum over all batches in `learned`'s gradients.
    ///
    /// Each batch's gradient is made apart and then added, batch by batch and within a round in the order of ranks: what one
    /// process adds up is the same, bit by bit, as what several do.
    func gradients(of update: Int) throws(CrayonError) -> UpdateSum {
        var total = UpdateSum()
        for matrix in sums?.matrices ?? [] { matrix.pointer.update(repeating: 0, count: matrix.count) }
        for round in 0..<plan.batches / ranks.size {
            learned.clearGradients()
            var own = LossSum()
            var leftOut = 0
            var failure: CrayonError?
            do throws(CrayonError) {
                let batch = try batches.next()
                position = batch.position
                leftOut = batch.skipped
                if !batch.sequences.isEmpty {
                    own = try source.accumulate(
                        batch.sequences, update: update, microBatch: round * ranks.size + ranks.rank)
                }
            } catch {
                failure = error
            }
            let all = try ranks.gather([
                failure == nil ? 0 : 1, own.loss, Double(own.targets), Double(own.positions), Double(leftOut),
                job.shouldStop() ? 1 : 0,
            ])
            if let failure { throw failure }
            if let other = all.firstIndex(where: { $0[0] != 0 }) {
                throw CrayonError(
                    .io, in: "rank \(other)", found: "an error there, which it has told of",
                    expected: "all ranks at work", advice: "The last checkpoint is whole: go on with --resume.")
            }
            for part in all {
                total.loss += LossSum(loss: part[1], targets: Int(part[2]), positions: Int(part[3]))
                total.leftOut += Int(part[4])
                total.stops = total.stops || part[5] != 0
            }
            guard let sums else { continue }
            for (tensor, sum) in zip(learned.tensors, sums.matrices) {
                try ranks.add(tensor.gradient.pointer, to: sum.pointer, count: sum.count)
            }
        }
        for (tensor, sum) in zip(learned.tensors, sums?.matrices ?? []) {
            tensor.gradient.pointer.update(from: sum.pointer, count: sum.count)
        }
        return total
    }
}

extension LearnedTensors {
    /// Of all values, one after the other.
    var digest: SHA256Digest {
        let hasher = SHA256Hasher()
        for tensor in tensors {
            hasher.update(
                UnsafeRawBufferPointer(
                    start: tensor.value.pointer, count: tensor.value.count * MemoryLayout<Float>.stride))
        }
        return hasher.finish()
    }
}
