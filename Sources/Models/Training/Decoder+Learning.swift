import Architecture
import Layers
import Tensors

extension Decoder {
    /// Predictions whose logits are in memory at a time, about 96 MiB of them: the head is widened once for each such part.
    private var headRows: Int { max(64, min(512, (96 << 20) / (head.outputs * MemoryLayout<Float>.stride))) }

    /// The sum of a batch's cross-entropies, without gradients.
    func loss(_ batch: LearningBatch, pass: LearningPass, tapes: TapePool) -> Double {
        let tape = tapes.take(1, tokens: batch.hidden.rows, of: self)[0]
        tape.input.copy(from: batch.hidden.view)
        for layer in layers { layer.forward(tape, into: tape.input, pass: pass) }
        return headLoss(tape.input, batch: batch, gradient: nil, workspace: pass.workspace)
    }

    /// Forward and backward: adds the gradients of the sum of the batch's cross-entropies.
    /// - Returns: the sum, and its gradient with respect to the batch's `hidden`, valid until the workspace's next pass.
    func learn(
        _ batch: LearningBatch, pass: LearningPass, checkpointing: GradientCheckpointing, tapes: TapePool
    ) -> (loss: Double, gradient: MatrixView) {
        let workspace = pass.workspace
        let (rows, width) = (batch.hidden.rows, batch.hidden.columns)
        let length = checkpointing.runLength(layers: layers.count)
        let runs = stride(from: 0, to: layers.count, by: length).map { $0..<min($0 + length, layers.count) }
        let tapes = tapes.take(length, tokens: rows, of: self)

        tapes[0].input.copy(from: batch.hidden.view)
        var kept: [Matrix] = []
        for run in runs.dropLast() {
            kept.append(Matrix(rows: rows, columns: width))
            kept[kept.count - 1].view.copy(from: tapes[0].input)
            for layer in layers[run] { layer.forward(tapes[0], into: tapes[0].input, pass: pass) }
        }
        let last = workspace.view(.residual, rows: rows, columns: width)
        record(runs[runs.count - 1], on: tapes, into: last, pass: pass)

        let gradient = workspace.view(.residualGradient, rows: rows, columns: width)
        for row in 0..<rows { gradient.row(row).update(repeating: 0, count: width) }
        let loss = headLoss(last, batch: batch, gradient: gradient, workspace: workspace)
        for (index, run) in runs.enumerated().reversed() {
            if index < runs.count - 1 {
                tapes[0].input.copy(from: kept.removeLast().view)
                record(run, on: tapes, into: nil, pass: pass)
            }
            for layer in run.reversed() {
                layers[layer].backward(gradient, tape: tapes[layer - run.lowerBound], pass: pass)
            }
        }
        return (loss, gradient)
    }

    /// Runs some blocks, each on a tape of its own; the first tape's input is filled in.
    private func record(_ run: Range<Int>, on tapes: [BlockTape], into output: MatrixView?, pass: LearningPass) {
        for layer in run {
            let next = layer + 1 < run.upperBound ? tapes[layer + 1 - run.lowerBound].input : output
            layers[layer].forward(tapes[layer - run.lowerBound], into: next, pass: pass)
        }
    }

    /// Final norm, output head and cross-entropy of the rows that predict, a few at a time.
    /// - Parameters:
    ///   - hidden: behind the last block. `[tokens, hidden]`
    ///   - gradient: with respect to `hidden`; added to. Nil for the loss alone.
    private func headLoss(
        _ hidden: MatrixView, batch: LearningBatch, gradient: MatrixView?, workspace: Workspace
    ) -> Double {
        var loss = 0.0
        let headRows = headRows
        for start in stride(from: 0, to: batch.predictors.count, by: headRows) {
            let part = start..<min(start + headRows, batch.predictors.count)
            let selected = workspace.view(.selected, rows: part.count, columns: hidden.columns)
            for (index, row) in batch.predictors[part].enumerated() {
                finalNorm.forward(hidden.rows(row..<row + 1), into: selected.rows(index..<index + 1))
            }
            let logits = workspace.view(.logits, rows: part.count, columns: head.outputs)
            head.forward(selected, into: logits, workspace: workspace)
            loss += CrossEntropy.forwardBackward(logits, targets: batch.targets[part])
            guard let gradient else { continue }
            let toSelected = workspace.view(.selectedGradient, rows: part.count, columns: hidden.columns)
            head.inputGradient(logits, into: toSelected, workspace: workspace)
            for (index, row) in batch.predictors[part].enumerated() {
                finalNorm.backward(
                    toSelected.rows(index..<index + 1), x: hidden.rows(row..<row + 1),
                    addingTo: gradient.rows(row..<row + 1))
            }
        }
        return loss
    }
}

/// Tapes that are kept from batch to batch, so that a step allocates little once the longest batch has been.
final class TapePool {
    private var tapes: [BlockTape] = []

    /// The first `count` tapes, with room for `tokens`; whoever takes them again gets the same.
    func take(_ count: Int, tokens: Int, of decoder: Decoder) -> [BlockTape] {
        for index in 0..<count where index >= tapes.count || tapes[index].capacity < tokens {
            if index < tapes.count { tapes.remove(at: index) }  // freed before its successor is allocated
            tapes.insert(
                BlockTape(tokens: tokens, of: decoder.layers[0], hidden: decoder.configuration.backbone.hiddenSize),
                at: index)
        }
        return tapes[..<count].map { BlockTape($0, tokens: tokens) }
    }
}
