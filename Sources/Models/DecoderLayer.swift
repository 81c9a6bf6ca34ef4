import Architecture
import Bytes
import Layers

/// One block of the backbone: `x += attention(norm(x))`, `x += mlp(norm(x))`.
struct DecoderLayer: Sendable {
    let index: Int
    let attentionNorm: RMSNorm
    let mlpNorm: RMSNorm
    let projection: Projection
    let output: AdaptedLinear
    let gate: AdaptedLinear
    let up: AdaptedLinear
    let down: AdaptedLinear
    let attention: Attention

    /// Query, key and value: one weight or three.
    enum Projection: Sendable {
        case fused(AdaptedLinear)
        case separate(query: AdaptedLinear, key: AdaptedLinear, value: AdaptedLinear)
    }

    init(
        _ index: Int, configuration: ModelConfiguration, sets: [LowRankSet], _ loader: WeightLoader
    ) throws(CrayonError) {
        let backbone = configuration.backbone
        func linear(_ module: BackboneModule) throws(CrayonError) -> AdaptedLinear {
            try AdaptedLinear(layer: index, module: module, configuration: configuration, sets: sets, loader)
        }
        self.index = index
        attentionNorm = RMSNorm(weight: try loader.vector(.attentionNorm(index)), epsilon: backbone.normEpsilon)
        mlpNorm = RMSNorm(weight: try loader.vector(.mlpNorm(index)), epsilon: backbone.normEpsilon)
        switch backbone.attentionForm {
        case .fused: projection = .fused(try linear(.qkv))
        case .separate:
            projection = .separate(query: try linear(.query), key: try linear(.key), value: try linear(.value))
        }
        output = try linear(.output)
        gate = try linear(.gate)
        up = try linear(.up)
        down = try linear(.down)
        let isWindowed = index >= backbone.firstWindowedLayer ?? 0
        attention = Attention(
            groupCount: backbone.keyValueHeadCount, headsPerGroup: backbone.headCount / backbone.keyValueHeadCount,
            headSize: backbone.headSize, isCausal: true, window: isWindowed ? backbone.slidingWindow : nil)
    }

    /// - Parameter hidden: the residual stream of the pass's tokens, `[tokens, hidden]`, changed in place.
    func forward(_ hidden: MatrixView, pass: DecoderPass) {
        let workspace = pass.workspace
        let normalized = workspace.view(.normalized, rows: hidden.rows, columns: hidden.columns)
        attentionInput(hidden, images: pass.images, addsCrayon: pass.addsCrayon, into: normalized)
        let mixed = workspace.view(
            .mixed, rows: hidden.rows, columns: attention.groupCount * attention.headsPerGroup * attention.headSize)
        attend(normalized, into: mixed, pass: pass)
        output.forward(mixed, into: normalized, images: pass.images, workspace: workspace)
        Elementwise.add(normalized, to: hidden)

        let gated = workspace.view(.gate, rows: hidden.rows, columns: gate.linear.outputs)
        let upper = workspace.view(.up, rows: hidden.rows, columns: up.linear.outputs)
        mlpNorm.forward(hidden, into: normalized)
        gate.forward(normalized, into: gated, images: pass.images, workspace: workspace)
        up.forward(normalized, into: upper, images: pass.images, workspace: workspace)
        Elementwise.siluMultiply(gate: gated, up: upper)
        down.forward(gated, into: normalized, images: pass.images, workspace: workspace)
        Elementwise.add(normalized, to: hidden)
    }

    /// What attention reads: the normalised stream, and the crayon prompt where that is how it enters.
    func attentionInput(_ hidden: MatrixView, images: [ImageRun], addsCrayon: Bool, into normalized: MatrixView) {
        attentionNorm.forward(hidden, into: normalized)
        guard addsCrayon else { return }
        for run in images {
            if let crayon = run.crayon { Elementwise.add(crayon, to: normalized.rows(run.rows)) }
        }
    }

    /// Columns of what projects the queries: theirs alone, or those of the fused projection.
    var queryColumns: Int {
        switch projection {
        case .fused(let fused): fused.linear.outputs
        case .separate(let query, _, _): query.linear.outputs
        }
    }

    /// Columns from one group's query heads to the next's.
    var groupStride: Int {
        switch projection {
        case .fused: (attention.headsPerGroup + 2) * attention.headSize
        case .separate: attention.headsPerGroup * attention.headSize
        }
    }

    /// Queries, keys and values, none of them rotated.
    /// - Parameters:
    ///   - queries: `[tokens, queryColumns]`
    ///   - keys: `[tokens, groups * headSize]`; `values` likewise.
    func project(
        _ x: MatrixView, queries: MatrixView, keys: MatrixView, values: MatrixView, images: [ImageRun],
        dropout: LearningDropout? = nil, workspace: Workspace
    ) {
        switch projection {
        case .fused(let fused):
            fused.forward(x, into: queries, images: images, dropout: dropout, workspace: workspace)
            eachFusedGroup { fusedKey, fusedValue, columns in
                keys.columns(columns).copy(from: queries.columns(fusedKey))
                values.columns(columns).copy(from: queries.columns(fusedValue))
            }
        case .separate(let query, let key, let value):
            query.forward(x, into: queries, images: images, dropout: dropout, workspace: workspace)
            key.forward(x, into: keys, images: images, dropout: dropout, workspace: workspace)
            value.forward(x, into: values, images: images, dropout: dropout, workspace: workspace)
        }
    }

    /// Where each group's key and value head stand in the fused projection, and in keys and values of their own.
    func eachFusedGroup(_ body: (_ fusedKey: Range<Int>, _ fusedValue: Range<Int>, _ columns: Range<Int>) -> Void) {
        let head = attention.headSize
        for group in 0..<attention.groupCount {
            let key = group * groupStride + attention.headsPerGroup * head
            body(key..<key + head, key + head..<key + 2 * head, group * head..<(group + 1) * head)
        }
    }

    /// Rotates the query heads of rows that stand at positions from `first` on.
    func rotateQueries(_ queries: MatrixView, by table: RotaryTable, from first: Int, backwards: Bool = false) {
        let width = attention.headsPerGroup * attention.headSize
        guard groupStride != width else {
            return Elementwise.rotate(queries, by: table, from: first, backwards: backwards)
        }
        for group in 0..<attention.groupCount {
            let own = group * groupStride..<group * groupStride + width
            Elementwise.rotate(queries.columns(own), by: table, from: first, backwards: backwards)
        }
    }

    private func attend(_ x: MatrixView, into mixed: MatrixView, pass: DecoderPass) {
        let queries = pass.workspace.view(.queries, rows: x.rows, columns: queryColumns)
        let (keys, values) = pass.newRows(layer: index, count: x.rows)
        project(x, queries: queries, keys: keys, values: values, images: pass.images, workspace: pass.workspace)
        for sequence in pass.sequences {
            let (past, own) = (sequence.cache.count, sequence.rows)
            let new = past..<past + own.count
            let storedKeys = sequence.cache.keys(index).rows(0..<new.upperBound)
            let storedValues = sequence.cache.values(index).rows(0..<new.upperBound)
            rotateQueries(queries.rows(own), by: sequence.rotary, from: past)
            if sequence.cache.holdsRotatedKeys {
                Elementwise.rotate(keys.rows(own), by: sequence.rotary, from: past)
            }
            if !pass.storesInPlace {
                storedKeys.rows(new).store(keys.rows(own))
                storedValues.rows(new).store(values.rows(own))
            }
            attention.forward(
                queries: queries.rows(own), groupStride: groupStride,
                keys: rotated(storedKeys, sequence: sequence, workspace: pass.workspace), values: storedValues,
                into: mixed.rows(own), workspace: pass.workspace)
        }
    }

    /// The keys as attention needs them: those of the cache, or a rotated copy where it holds them unrotated.
    private func rotated(_ keys: KVRows, sequence: PassSequence, workspace: Workspace) -> KVRows {
        if sequence.cache.holdsRotatedKeys { return keys }
        let copy = workspace.view(.rotatedKeys, rows: keys.rows, columns: keys.columns)
        keys.widen(into: copy)
        Elementwise.rotate(copy, by: sequence.rotary, from: 0)
        return KVRows(copy)
    }
}

/// What the blocks of one pass share.
struct DecoderPass {
    let images: [ImageRun]
    /// The crayon prompt is added to what attention reads (the paper's way of entering).
    let addsCrayon: Bool
    /// Whose rows the pass reads, in their order; at least one.
    let sequences: [PassSequence]
    let workspace: Workspace

    /// Whether new keys and values are computed where they are kept.
    var storesInPlace: Bool { sequences.count == 1 && sequences[0].cache.format == .f32 }

    /// Where a layer's new keys and values are computed: in the cache, or in scratch where they are kept in fewer bits or in
    /// several caches. `[count, groups * headSize]`
    func newRows(layer: Int, count: Int) -> (keys: MatrixView, values: MatrixView) {
        let cache = sequences[0].cache
        let new = cache.count..<cache.count + count
        if storesInPlace, let keys = cache.keys(layer).rows(new).floats,
            let values = cache.values(layer).rows(new).floats
        {
            return (keys, values)
        }
        let width = cache.groups * cache.headSize
        return (
            workspace.view(.keys, rows: count, columns: width), workspace.view(.values, rows: count, columns: width)
        )
    }
}

/// Rows of a pass that continue one sequence.
struct PassSequence {
    let rows: Range<Int>
    let cache: KVCache
    /// Angles for the sequence's length with these rows.
    let rotary: RotaryTable
}
