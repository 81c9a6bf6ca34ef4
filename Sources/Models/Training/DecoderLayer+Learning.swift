import Layers

extension DecoderLayer {
    /// The forward pass over a batch, kept on a tape whose `input` is filled in.
    /// - Parameter output: the residual stream behind the block, `[tokens, hidden]`; may be the tape's input. Nil where only
    ///   the tape is wanted, which spares the last product.
    func forward(_ tape: BlockTape, into output: MatrixView?, pass: LearningPass) {
        let workspace = pass.workspace
        let (input, middle) = (tape.input, tape.middle)
        let normalized = workspace.view(.normalized, rows: input.rows, columns: input.columns)
        attentionInput(input, images: pass.images, addsCrayon: pass.addsCrayon, into: normalized)
        project(
            normalized, queries: tape.queries, keys: tape.keys, values: tape.values, images: pass.images,
            dropout: pass.dropout, workspace: workspace)
        for (span, rotary) in zip(pass.spans, pass.rotaries) {
            let (queries, keys) = (tape.queries.rows(span), tape.keys.rows(span))
            rotateQueries(queries, by: rotary, from: 0)
            Elementwise.rotate(keys, by: rotary, from: 0)
            attention.forward(
                queries: queries, groupStride: groupStride, keys: keys, values: tape.values.rows(span),
                into: tape.mixed.rows(span), workspace: workspace)
        }
        self.output.forward(
            tape.mixed, into: middle, images: pass.images, dropout: pass.dropout, workspace: workspace)
        Elementwise.add(input, to: middle)

        mlpNorm.forward(middle, into: normalized)
        gate.forward(normalized, into: tape.gate, images: pass.images, dropout: pass.dropout, workspace: workspace)
        up.forward(normalized, into: tape.up, images: pass.images, dropout: pass.dropout, workspace: workspace)
        guard let output else { return }
        let gated = workspace.view(.gated, rows: middle.rows, columns: gate.linear.outputs)
        Elementwise.siluMultiply(gate: tape.gate, up: tape.up, into: gated)
        down.forward(gated, into: output, images: pass.images, dropout: pass.dropout, workspace: workspace)
        Elementwise.add(middle, to: output)
    }

    /// The backward pass of the same; it uses the tape up.
    /// - Parameter gradient: with respect to the residual stream behind the block, then before it. `[tokens, hidden]`
    func backward(_ gradient: MatrixView, tape: BlockTape, pass: LearningPass) {
        let workspace = pass.workspace
        let normalized = workspace.view(.normalized, rows: gradient.rows, columns: gradient.columns)
        let toNormalized = workspace.view(.normalizedGradient, rows: gradient.rows, columns: gradient.columns)

        let gated = workspace.view(.gated, rows: gradient.rows, columns: gate.linear.outputs)
        let toGated = workspace.view(.gatedGradient, rows: gradient.rows, columns: gate.linear.outputs)
        Elementwise.siluMultiply(gate: tape.gate, up: tape.up, into: gated)
        down.backward(gradient, x: gated, into: toGated, pass: pass)
        Elementwise.siluMultiplyBackward(gradient: toGated, gate: tape.gate, up: tape.up)
        mlpNorm.forward(tape.middle, into: normalized)
        gate.backward(tape.gate, x: normalized, into: toNormalized, pass: pass)
        up.backward(tape.up, x: normalized, adds: true, into: toNormalized, pass: pass)
        mlpNorm.backward(toNormalized, x: tape.middle, addingTo: gradient)

        let toMixed = workspace.view(.mixedGradient, rows: gradient.rows, columns: tape.mixed.columns)
        output.backward(gradient, x: tape.mixed, into: toMixed, pass: pass)
        let toQueries = workspace.view(.queryGradient, rows: gradient.rows, columns: queryColumns)
        let toKeys = workspace.view(.keyGradient, rows: gradient.rows, columns: tape.keys.columns)
        let toValues = workspace.view(.valueGradient, rows: gradient.rows, columns: tape.values.columns)
        for (span, rotary) in zip(pass.spans, pass.rotaries) {
            attention.backward(
                queries: tape.queries.rows(span), groupStride: groupStride, keys: tape.keys.rows(span),
                values: tape.values.rows(span), gradient: toMixed.rows(span), queryGradient: toQueries.rows(span),
                keyGradient: toKeys.rows(span), valueGradient: toValues.rows(span), workspace: workspace)
            rotateQueries(toQueries.rows(span), by: rotary, from: 0, backwards: true)
            Elementwise.rotate(toKeys.rows(span), by: rotary, from: 0, backwards: true)
        }
        attentionInput(tape.input, images: pass.images, addsCrayon: pass.addsCrayon, into: normalized)
        switch projection {
        case .fused(let fused):
            eachFusedGroup { fusedKey, fusedValue, columns in
                toQueries.columns(fusedKey).copy(from: toKeys.columns(columns))
                toQueries.columns(fusedValue).copy(from: toValues.columns(columns))
            }
            fused.backward(toQueries, x: normalized, into: toNormalized, pass: pass)
        case .separate(let query, let key, let value):
            query.backward(toQueries, x: normalized, into: toNormalized, pass: pass)
            key.backward(toKeys, x: normalized, adds: true, into: toNormalized, pass: pass)
            value.backward(toValues, x: normalized, adds: true, into: toNormalized, pass: pass)
        }
        if pass.addsCrayon, let toCrayon = pass.crayonGradients {
            for (index, run) in pass.images.enumerated() where run.crayon != nil {
                Elementwise.add(toNormalized.rows(run.rows), to: toCrayon.view.rows(pass.crayonRows(index)))
            }
        }
        attentionNorm.backward(toNormalized, x: tape.input, addingTo: gradient)
    }
}
